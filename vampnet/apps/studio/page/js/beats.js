// Beats: those that were found, an even grid of the user's, or beats that were set by hand; tap tempo.
import {refOf} from './project.js'
import {soundOf} from './sounds.js'
import {edit, set, state, toast} from './store.js'
import {T} from './texts.js'

/** Beats that prompts and the ruler go by, in seconds of the base: {beats_s, downbeats_s, bpm, perBar, own}. */
export function beatsNow() {
  const ref = refOf(state.base), sound = ref && soundOf(ref)
  if (!sound?.seconds) return null
  const {grid, beats} = state.edit
  if (beats) return handBeats(beats)
  if (grid) return evenBeats(grid, sound.seconds)
  const found = sound.analysis
  if (!found?.beats_s) return null
  return {beats_s: found.beats_s, downbeats_s: found.downbeats_s ?? [], bpm: found.tempo_bpm, own: false}
}

function evenBeats({bpm, downbeat_s: first, beats_per_bar: perBar}, seconds) {
  const every = 60 / bpm, beats_s = [], downbeats_s = []
  for (let k = Math.ceil((0 - first) / every - 1e-6); first + k * every < seconds; k++) {
    const time = Math.max(0, first + k * every)
    beats_s.push(time)
    if (((k % perBar) + perBar) % perBar === 0) downbeats_s.push(time)
  }
  return {beats_s, downbeats_s, bpm, perBar, own: true}
}

const secondsNow = () => soundOf(refOf(state.base))?.seconds ?? 0
const APART_S = 0.01 // beats that are nearer than this are one

function handBeats(beats) {
  const gaps = beats.slice(1).map(([time], k) => time - beats[k][0]).sort((a, b) => a - b)
  const gap = gaps[gaps.length >> 1]
  return {beats_s: beats.map(([time]) => time), downbeats_s: beats.filter(([, bar]) => bar).map(([time]) => time),
    bpm: gap ? 60 / gap : null, own: true}
}

/** Beats by hand, [time, 1 where a bar begins], to begin with those that are shown. */
export function listBeats() {
  if (state.edit.beats) return state.edit.beats
  const now = beatsNow()
  if (!now) return []
  const bars = new Set(now.downbeats_s.map((time) => time.toFixed(3)))
  return now.beats_s.map((time) => [+time.toFixed(4), bars.has(time.toFixed(3)) ? 1 : 0])
}

function setBeats(beats, key = '') {
  edit({beats}, key)
}

/** Beats by hand from now on. */
export function takeBeats() {
  const beats = listBeats()
  setBeats(beats.length ? beats : [[0, 1]])
}

/** Number of the beat next to a time, at most `within` seconds away; -1 for none. */
export function beatNear(time, within) {
  let best = -1
  listBeats().forEach(([at], k, all) => {
    if (Math.abs(at - time) <= within && (best < 0 || Math.abs(at - time) < Math.abs(all[best][0] - time))) best = k
  })
  return best
}

/** Move a beat, between its neighbours. */
export function moveBeat(k, time, key = `beat ${k}`) {
  const beats = listBeats()
  const low = k ? beats[k - 1][0] + APART_S : 0, high = k + 1 < beats.length ? beats[k + 1][0] - APART_S : secondsNow()
  const to = +Math.min(Math.max(low, time), Math.max(low, high)).toFixed(4)
  setBeats(beats.map((one, j) => (j === k ? [to, one[1]] : one)), key)
}

/** Add a beat, which is chosen then; one that lies there already is chosen alone. */
export function addBeat(time) {
  const at = +Math.min(secondsNow(), Math.max(0, time)).toFixed(4), near = beatNear(at, APART_S)
  if (near >= 0) return set({beat: near})
  const beats = [...listBeats(), [at, 0]].sort((a, b) => a[0] - b[0])
  setBeats(beats)
  set({beat: beats.findIndex(([time]) => time === at)})
}

export function removeBeat(k) {
  const beats = listBeats()
  if (beats.length < 2) return toast(T.lastBeat)
  setBeats(beats.filter((_, j) => j !== k))
  set({beat: Math.min(k, beats.length - 2)})
}

/** Have a bar begin at a beat, or no longer. */
export const toggleBar = (k) => setBeats(listBeats().map(([time, bar], j) => (j === k ? [time, bar ? 0 : 1] : [time, bar])))

/** Grid and beats by hand after `seconds` were added before the sound. */
export function shiftedBeats({grid, beats}, seconds) {
  return {
    grid: grid && {...grid, downbeat_s: +(grid.downbeat_s + seconds).toFixed(4)},
    beats: beats && beats.map(([time, bar]) => [+(time + seconds).toFixed(4), bar]).filter(([time]) => time >= 0),
  }
}

/** A grid to begin with: the found tempo and first beat of a bar. */
export function gridFromFound() {
  const ref = refOf(state.base), found = ref && soundOf(ref)?.analysis
  const downs = found?.downbeats_s ?? []
  const bar = downs.length > 2 ? (downs.at(-1) - downs[0]) / (downs.length - 1) : 0
  const bpm = found?.tempo_bpm || 120
  const perBar = bar ? Math.max(1, Math.min(12, Math.round((bar * bpm) / 60))) : 4
  const even = bar ? (60 * perBar) / bar : bpm
  return {bpm: +even.toFixed(2), downbeat_s: +(downs[0] ?? 0).toFixed(3), beats_per_bar: perBar}
}

export function setGrid(patch, key = 'grid') {
  const grid = {...(state.edit.grid ?? gridFromFound()), ...patch}
  grid.bpm = Math.min(300, Math.max(30, +grid.bpm || 120))
  grid.downbeat_s = Math.max(0, +(+grid.downbeat_s || 0).toFixed(4))
  grid.beats_per_bar = Math.min(16, Math.max(1, Math.round(+grid.beats_per_bar || 4)))
  edit({grid, beats: null}, key)
}

let taps = []
/** Tap tempo: from the second tap on, the mean of the last taps. */
export function tap(now = performance.now()) {
  if (taps.length && now - taps.at(-1) > 2500) taps = []
  taps = [...taps.slice(-15), now]
  if (taps.length < 2) return toast(T.tapAgain, {seconds: 2})
  const bpm = 60000 / ((taps.at(-1) - taps[0]) / (taps.length - 1))
  setGrid({bpm: +bpm.toFixed(1)}, 'tap')
}
