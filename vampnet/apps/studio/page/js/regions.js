// Regions: stretches that are made anew or kept. Each has two handles that are sliders, for mouse, touch and keys.
import {listBeats, moveBeat, removeBeat, setGrid, toggleBar} from './beats.js'
import {clock} from './draw.js'
import {isPinching} from './pointing.js'
import {refOf} from './project.js'
import {applyRange, place, play, seek, stop} from './sound.js'
import {soundOf} from './sounds.js'
import {edit, html, set, state} from './store.js'
import {T} from './texts.js'

const SHORTEST_S = 0.02
const lengthNow = () => {
  const ref = refOf(state.base)
  return ref ? soundOf(ref).seconds : 0
}
let number = 0

/** Add a region of the kind that the tool makes; it is chosen at once. */
export function addRegion(start, end, kind = state.regionKind ?? 'new') {
  const length = lengthNow()
  const low = Math.max(0, Math.min(start, length)), high = Math.min(length, Math.max(end, low + SHORTEST_S))
  if (high - low < SHORTEST_S / 2) return
  const id = `r${Date.now().toString(36)}${number++}`
  edit({regions: [...state.edit.regions, {id, start: low, end: high, kind}].sort((a, b) => a.start - b.start)})
  set({selected: id, side: 'A'})
}

/** A region without a pointer: from the playhead on, two beats or a fifth of the sound long. */
export function addRegionHere() {
  const length = lengthNow(), start = Math.min(place(), length * 0.95)
  addRegion(start, Math.min(length, start + Math.max(SHORTEST_S, Math.min(length / 5, 2))))
  queueMicrotask(() => document.querySelector(`[data-region="${state.selected}"] [role=slider]`)?.focus())
}

export function changeRegion(id, patch, key = '') {
  edit({regions: state.edit.regions.map((one) => (one.id === id ? {...one, ...patch} : one))}, key)
  if (state.soloRegion && state.selected === id) applyRange()
}

export function removeRegion(id) {
  edit({regions: state.edit.regions.filter((one) => one.id !== id)})
  set({selected: null, soloRegion: false})
  applyRange()
}

/** Move one end of a region, kept within the sound and the other end. */
export function moveEdge(region, edge, to, key) {
  const length = lengthNow()
  const value = edge === 'start' ? Math.min(Math.max(0, to), region.end - SHORTEST_S) : Math.max(Math.min(length, to), region.start + SHORTEST_S)
  changeRegion(region.id, {[edge]: value}, key ?? `${region.id}${edge}`)
}

export function setEdge(edge) {
  const region = state.edit.regions.find((one) => one.id === state.selected)
  const here = place()
  if (region) moveEdge(region, edge, here)
  else if (edge === 'start') addRegion(here, lengthNow())
  else addRegion(0, here)
}

/** Loop a region alone, or all again. */
export function solo(id) {
  const on = !(state.soloRegion && state.selected === id)
  set({selected: id, soloRegion: on})
  applyRange()
  if (on) {
    seek(state.edit.regions.find((one) => one.id === id).start)
    if (!state.playing) play()
  } else stop()
}

export const x = (seconds) => `${((seconds - state.view.start) / (state.view.end - state.view.start || 1)) * 100}%`

function place100(from, to) {
  const {start, end} = state.view
  const low = Math.max(from, start), high = Math.min(to, end)
  if (high <= low) return null
  return {left: x(low), width: `${((high - low) / (end - start)) * 100}%`}
}

export function Regions() {
  if (!state.edit || state.view.end <= state.view.start) return null
  const draft = state.draft && place100(state.draft.start, state.draft.end)
  return html`<div class="regions">
    ${state.edit.regions.map((region, k) => html`<${Region} key=${region.id} region=${region} number=${k + 1} />`)}
    ${draft && html`<div class=${`region ${state.regionKind ?? 'new'} draft`} style=${draft}></div>`}
  </div>`
}

function Region({region, number: place}) {
  const where = place100(region.start, region.end)
  if (!where) return null
  const chosen = state.selected === region.id
  const name = T.regionName(place, region.kind)
  return html`<div class=${`region ${region.kind}${chosen ? ' chosen' : ''}`} style=${where} data-region=${region.id}
      role="group" aria-label=${`${name}, ${clock(region.start)} – ${clock(region.end)}`}>
    <${Handle} region=${region} edge="start" name=${name} />
    <${Handle} region=${region} edge="end" name=${name} />
    <button class="tag" onClick=${() => set({selected: chosen ? null : region.id})} aria-pressed=${chosen}
      title=${T.regionHint}>${T.kinds[region.kind]}</button>
  </div>`
}

function Handle({region, edge, name}) {
  const value = region[edge]
  const onKeyDown = (event) => {
    const step = event.shiftKey ? 0.1 : event.altKey ? 0.001 : 0.01
    const moves = {ArrowRight: value + step, ArrowUp: value + step, ArrowLeft: value - step, ArrowDown: value - step,
      PageUp: value + 1, PageDown: value - 1, Home: edge === 'start' ? 0 : region.start, End: edge === 'end' ? lengthNow() : region.end}
    if (event.key in moves) moveEdge(region, edge, moves[event.key])
    else if (event.key === 'Delete' || event.key === 'Backspace') removeRegion(region.id)
    else if (event.key === 'k') changeRegion(region.id, {kind: region.kind === 'new' ? 'keep' : 'new'})
    else if (event.key === 'Enter') solo(region.id)
    else return
    event.preventDefault()
    event.stopPropagation()
  }
  const onPointerDown = (event) => {
    event.preventDefault()
    const handle = event.currentTarget, box = handle.closest('.axis').getBoundingClientRect(), {view} = state
    handle.focus()
    handle.setPointerCapture(event.pointerId)
    set({selected: region.id})
    handle.onpointermove = (move) => {
      const now = state.edit.regions.find((one) => one.id === region.id)
      if (now && !isPinching()) moveEdge(now, edge, view.start + ((move.clientX - box.left) / box.width) * (view.end - view.start))
    }
    handle.onpointerup = handle.onpointercancel = () => (handle.onpointermove = null)
  }
  return html`<span class=${`handle ${edge}`} role="slider" tabindex="0" aria-orientation="horizontal"
    aria-label=${`${name}: ${T.edges[edge]}`} aria-valuemin="0" aria-valuemax=${lengthNow().toFixed(3)}
    aria-valuenow=${value.toFixed(3)} aria-valuetext=${T.seconds(value)}
    onFocus=${() => state.selected !== region.id && set({selected: region.id})}
    onKeyDown=${onKeyDown} onPointerDown=${onPointerDown}></span>`
}

/** The first beat of the grid as a slider: moves the whole grid. */
export function GridHandle() {
  const {grid} = state.edit
  const {start, end} = state.view
  if (grid.downbeat_s < start || grid.downbeat_s > end) return null
  const onKeyDown = (event) => {
    const step = event.shiftKey ? 0.1 : event.altKey ? 0.001 : 0.01
    const sign = {ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1}[event.key]
    if (!sign) return
    event.preventDefault()
    event.stopPropagation()
    setGrid({downbeat_s: grid.downbeat_s + sign * step})
  }
  return html`<span class="handle grid" role="slider" tabindex="0" style=${{left: x(grid.downbeat_s)}} aria-label=${T.firstBeat}
    aria-valuemin="0" aria-valuemax=${lengthNow().toFixed(3)} aria-valuenow=${grid.downbeat_s.toFixed(3)}
    aria-valuetext=${T.seconds(grid.downbeat_s)} onKeyDown=${onKeyDown}></span>`
}

/** The chosen beat of those by hand as a slider; the others are reached with Control and the arrows. */
export function BeatHandle() {
  const beats = listBeats(), k = Math.min(state.beat, beats.length - 1)
  const {start, end} = state.view
  if (k < 0) return null
  const [time, bar] = beats[k], isSeen = time >= start && time <= end
  const choose = (to) => set({beat: Math.max(0, Math.min(beats.length - 1, to))})
  const onKeyDown = (event) => {
    const step = event.shiftKey ? 0.1 : event.altKey ? 0.001 : 0.01
    const sign = {ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1}[event.key]
    if (sign && (event.ctrlKey || event.metaKey)) choose(k + sign)
    else if (sign) moveBeat(k, time + sign * step)
    else if (event.key === 'Home' || event.key === 'End') choose(event.key === 'Home' ? 0 : beats.length - 1)
    else if (event.key === 'Delete' || event.key === 'Backspace') removeBeat(k)
    else if (event.key === 'Enter' || event.key === 'k') toggleBar(k)
    else return
    event.preventDefault()
    event.stopPropagation()
  }
  return html`<span class=${`handle beat${bar ? ' bar' : ''}${isSeen ? '' : ' unseen'}`} role="slider" tabindex="0" style=${{left: isSeen ? x(time) : '0'}} aria-label=${T.beatName(k + 1, bar)}
    aria-valuemin="0" aria-valuemax=${lengthNow().toFixed(3)} aria-valuenow=${time.toFixed(3)} aria-valuetext=${T.seconds(time)} onKeyDown=${onKeyDown}></span>`
}
