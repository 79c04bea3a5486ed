// Beats: those that were found, or an even grid of the user's; tap tempo.
import {refOf} from './project.js'
import {soundOf} from './sounds.js'
import {edit, state, toast} from './store.js'
import {T} from './texts.js'

/** Beats that prompts and the ruler go by, in seconds of the base: {beats_s, downbeats_s, bpm, perBar, own}. */
export function beatsNow() {
  const ref = refOf(state.base), sound = ref && soundOf(ref)
  if (!sound?.seconds) return null
  const {grid} = state.edit
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
  edit({grid}, key)
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
