// Sounds by their reference (file:ID or job:ID/N): facts, peaks, analysis, and samples for playing.
import {ApiError, ask, get} from './api.js'
import {loudnessOf} from './loudness.js'
import {LongSound} from './pieces.js'
import {changed, state} from './store.js'

/** Longest sound whose samples are held for playing, seconds. Longer ones are played in pieces. */
/** Parts of a whole sound's peaks. */
export const BINS = 4000
const LONGEST_DECODED_S = 420
const MOST_SAMPLES = 120e6 // of all decoded sounds together, channels counted

export function urlOf(ref) {
  if (ref.startsWith('file:')) return `/api/v1/files/${ref.slice(5)}`
  const [job, number] = ref.slice(4).split('/')
  return `/api/v1/jobs/${job}/outputs/${number}`
}

/** What is known of a sound; what is missing comes later. */
export function soundOf(ref) {
  if (!ref) return null
  state.sounds[ref] ??= {ref, url: urlOf(ref), seconds: 0, rate: 0, channels: 0, name: '', peaks: null, analysis: null}
  return state.sounds[ref]
}

export function note(ref, facts) {
  Object.assign(soundOf(ref), facts)
  changed()
}

const loading = new Map()

function once(key, make) {
  if (!loading.has(key)) {
    const made = make().catch((error) => {
      loading.delete(key)
      throw error
    })
    loading.set(key, made)
  }
  return loading.get(key)
}

export function loadFacts(ref) {
  return once(`facts ${ref}`, async () => {
    if (ref.startsWith('file:')) {
      const file = await get(urlOf(ref))
      note(ref, {name: file.name, seconds: file.seconds, rate: file.sample_rate_hz, channels: file.channels,
        format: file.format})
    } else {
      const peaks = await loadPeaks(ref, BINS)
      if (!soundOf(ref).seconds) note(ref, {seconds: peaks.seconds})
    }
    return soundOf(ref)
  })
}

export function loadPeaks(ref, bins) {
  return once(`peaks ${ref} ${bins}`, async () => {
    const peaks = await get(`${urlOf(ref)}/peaks?bins=${bins}`)
    const sound = soundOf(ref)
    topOf(peaks)
    if (!sound.peaks || sound.peaks.low.length < peaks.low.length) note(ref, {peaks})
    if (!sound.seconds) note(ref, {seconds: peaks.seconds})
    return peaks
  })
}

/** Tempo, key, beats and frames of a sound; asks until they are there. Null where the server has no answer. */
export function loadAnalysis(ref) {
  return once(`analysis ${ref}`, async () => {
    for (let tries = 0; tries < 2000; tries++) {
      let answer
      try {
        answer = await ask('GET', `${urlOf(ref)}/analysis`)
      } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 404) throw error
        note(ref, {analysis: {}})
        return null
      }
      const analysis = await answer.json()
      if (answer.status === 200) {
        note(ref, {analysis, seconds: soundOf(ref).seconds || analysis.seconds,
          rate: analysis.sample_rate_hz, channels: analysis.channels})
        return analysis
      }
      await new Promise((resolve) => setTimeout(resolve, Math.min(2000, 250 + 50 * tries)))
    }
    return null
  })
}

const decoded = new Map() // reference -> {buffer, loudness}; the last used stands last

/** Samples of a sound at the player's rate, and their loudness in LUFS. */
export async function loadBuffer(ref, context) {
  const key = `${ref} ${context.sampleRate}`
  const known = decoded.get(key)
  if (known) {
    decoded.delete(key)
    decoded.set(key, known)
    return known
  }
  return once(`buffer ${key}`, async () => {
    const {seconds} = await loadFacts(ref)
    if (seconds > LONGEST_DECODED_S) return {buffer: new LongSound(urlOf(ref), seconds, context), loudness: null}
    const bytes = await (await ask('GET', `${urlOf(ref)}/audio`)).arrayBuffer()
    const buffer = await context.decodeAudioData(bytes)
    const made = {buffer, loudness: loudnessOf(buffer)}
    decoded.set(key, made)
    forgetOld(key)
    loading.delete(`buffer ${key}`)
    return made
  })
}

function forgetOld(newest) {
  const size = ({buffer}) => buffer.length * buffer.numberOfChannels
  let total = [...decoded.values()].reduce((sum, one) => sum + size(one), 0)
  for (const [key, one] of decoded) {
    if (total <= MOST_SAMPLES) return
    if (key === newest) continue
    decoded.delete(key)
    total -= size(one)
  }
}

/** Peaks of a stretch, sharper than those of the whole; null where the server gives the whole alone. */
export async function loadStretch(ref, start, end, bins, signal) {
  const path = `${urlOf(ref)}/peaks?bins=${bins}&start_s=${start.toFixed(4)}&end_s=${end.toFixed(4)}`
  const peaks = await get(path, {signal})
  return Math.abs(peaks.seconds - (end - start)) < 0.1 ? {...peaks, start, end, top: topOf(soundOf(ref).peaks)} : null
}

function topOf(peaks) {
  if (!peaks) return 1
  peaks.top ??= Math.max(...peaks.high.map(Math.abs), ...peaks.low.map(Math.abs))
  return peaks.top
}

/** Bytes of the mel spectrogram of a stretch: {data, width, height, start, end}; null where the server has none. */
export async function loadMel(ref, start, end, width, signal) {
  try {
    const path = `${urlOf(ref)}/mel?start_s=${start.toFixed(4)}&end_s=${end.toFixed(4)}&width=${width}`
    const answer = await ask('GET', path, {signal})
    const data = new Uint8Array(await answer.arrayBuffer())
    const found = {width: +answer.headers.get('X-Mel-Width'), height: +answer.headers.get('X-Mel-Height')}
    return {data, start, end, ...found}
  } catch (error) {
    if (error.status === 404) return null
    throw error
  }
}
