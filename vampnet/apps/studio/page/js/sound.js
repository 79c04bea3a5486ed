// What is heard: the player with A and B, kept in step with the page's state.
import {nameOf, refOf, startOf, takeOf} from './project.js'
import {Player} from './player.js'
import {loadBuffer, loadFacts, soundOf} from './sounds.js'
import {set, state, toast} from './store.js'
import {T} from './texts.js'

let player = null
export const playerNow = () => player

/** Reference of what A is: the base, or a take that is compared with. */
export const nodeA = () => (state.against && (state.against === 'input' || takeOf(state.against)) ? state.against : state.base)
/** Seconds of the time axis: from the earliest start to the latest end of base and what is heard. */
export function extent() {
  let low = 0, high = 0
  for (const node of new Set([state.base, state.heard, state.against])) {
    const ref = node && refOf(node)
    if (!ref) continue
    const start = startOf(node)
    low = Math.min(low, start)
    high = Math.max(high, start + (soundOf(ref)?.seconds || 0))
  }
  return [low, high]
}

/** The range that plays: the chosen region, else all of what is heard. */
export function playRange() {
  const region = state.edit?.regions.find((one) => one.id === state.selected)
  if (region && state.soloRegion) return [region.start, region.end]
  const node = state.side === 'B' && state.heard ? state.heard : nodeA()
  const ref = refOf(node)
  const start = ref ? startOf(node) : 0
  return [start, start + (ref ? soundOf(ref).seconds : 1)]
}

async function ready() {
  const ref = refOf(nodeA()) ?? refOf(state.heard)
  if (!ref) return null
  const facts = await loadFacts(ref)
  const rate = facts.rate >= 8000 && facts.rate <= 96000 ? facts.rate : 44100
  if (player && player.rate !== rate) {
    player.stop()
    await player.context.close()
    player = null
  }
  if (!player) {
    player = new Player(new AudioContext({sampleRate: rate, latencyHint: 'interactive'}))
    player.onended = () => set({playing: false})
    player.setVolume(state.volume ?? 1)
    player.from = state.place ?? 0
  }
  return player
}

/** Bring both sides into the player. When: "now", or "end" for the end of the loop. */
export async function tune(when = 'now') {
  const now = await ready()
  if (!now) return null
  const refA = refOf(nodeA()), refB = state.heard ? refOf(state.heard) : null
  for (const ref of [refA, refB]) if (ref) await loadFacts(ref)
  const [a, b] = await Promise.all([refA && loadBuffer(refA, now.context), refB && loadBuffer(refB, now.context)])
  if (a) now.setSide('A', a.buffer, {at: startOf(nodeA())})
  else now.clearSide('A')
  if (!b) now.clearSide('B')
  const match = a && b && a.loudness !== null && b.loudness !== null ? 10 ** ((a.loudness - b.loudness) / 20) : 1
  if (b) arrive(now, now.setSide('B', b.buffer, {at: startOf(state.heard), match: Math.min(8, Math.max(0.05, match)), when}))
  now.setMix(state.side === 'B' && b ? state.wet : 0)
  return now
}

/** Note that a take comes in later, until it does. */
function arrive(now, time) {
  const id = state.heard
  if (!time) return state.arriving && set({arriving: null})
  set({arriving: id})
  setTimeout(() => state.arriving === id && set({arriving: null}), (time - now.context.currentTime) * 1000)
}

const quietly = (work) => async (...given) => {
  try {
    return await work(...given)
  } catch (error) {
    set({playing: false, loadingSound: false})
    toast(error.name === 'EncodingError' ? T.cannotDecode(nameOf(nodeA())) : error.message, {kind: 'error'})
    return null
  }
}

export const play = quietly(async (place = null) => {
  set({loadingSound: true})
  const now = await tune()
  set({loadingSound: false})
  if (!now) return
  await now.context.resume()
  now.setRange(...playRange(), state.loop)
  now.play(place ?? now.from)
  set({playing: true})
})

export function stop() {
  player?.stop()
  set({playing: false})
}

export const toggle = () => (state.playing ? stop() : play())

/** Hear A or B from the same place on. */
export const hear = quietly(async (side) => {
  if (side === 'B' && !state.heard) return toast(T.noTakeYet)
  set({side})
  if (!player) return
  const now = await tune()
  if (state.playing) now.setRange(...playRange(), state.loop)
})

/** Choose the take that B is. While it plays, it comes in at the loop's end or at once, as is set. */
export const choose = quietly(async (id, {play: start = false, when = state.swap} = {}) => {
  const wasPlaying = state.playing
  set({heard: id, side: 'B'})
  if (wasPlaying) {
    const now = await tune(when)
    const range = playRange()
    if (range.join() !== now.range.join()) now.setRange(...range, state.loop)
  } else if (start) await play()
})

export function seek(place) {
  const [low, high] = playRange()
  const to = Math.min(Math.max(place, low), high - 0.001)
  if (player) player.seek(to)
  set({place: to})
}

export function place() {
  return player ? player.position() : state.place ?? 0
}

export function applyRange() {
  player?.setRange(...playRange(), state.loop)
}

export function setWet(wet) {
  set({wet})
  if (state.side === 'B') player?.setMix(wet)
}

export function setVolume(volume) {
  set({volume})
  player?.setVolume(volume)
}
