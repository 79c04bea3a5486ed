// Keys for everything that has no place in the tab order of its own.
import {tap} from './beats.js'
import {cancelAll, generate, runningJobs} from './jobs.js'
import {addRegionHere, removeRegion, setEdge, solo} from './regions.js'
import {applyRange, hear, place, seek, toggle} from './sound.js'
import {zoom, zoomFit} from './stage.js'
import {edit, redo, set, state, undo} from './store.js'
import {chooseNumber, goOnFrom} from './takes.js'
import {patchTake, removeTake, takeOf, takesOf} from './project.js'
import {randomSeed} from './request.js'

const KEYS = {
  ' ': toggle,
  g: () => generate(),
  b: () => hear(state.side === 'A' ? 'B' : 'A'),
  l: () => { set({loop: !state.loop}); applyRange() },
  '[': () => setEdge('start'),
  ']': () => setEdge('end'),
  r: addRegionHere,
  o: () => state.selected && solo(state.selected),
  Delete: () => state.selected && removeRegion(state.selected),
  ArrowLeft: () => seek(place() - 0.5),
  ArrowRight: () => seek(place() + 0.5),
  Home: () => seek(0),
  n: () => neighbour(1),
  N: () => neighbour(-1),
  c: () => state.heard && goOnFrom(state.heard),
  p: () => state.heard && patchTake(state.heard, {pinned: !takeOf(state.heard).pinned}),
  e: () => state.heard && dispatchEvent(new CustomEvent('rename-take', {detail: state.heard})),
  x: () => state.heard && removeTake(state.heard),
  t: () => tap(),
  d: () => edit({seed: randomSeed()}),
  '+': () => zoom(1.6),
  '=': () => zoom(1.6),
  '-': () => zoom(1 / 1.6),
  0: zoomFit,
  '?': () => set({dialog: {kind: 'help'}}),
}

function neighbour(step) {
  const takes = takesOf(), at = takes.findIndex((take) => take.id === state.heard)
  if (takes.length) chooseNumber(((at + step + takes.length) % takes.length) + 1)
}

const isText = (target) => target.closest?.('input:not([type=range]):not([type=checkbox]),textarea,select,[contenteditable]')

export function listenToKeys() {
  addEventListener('keydown', (event) => {
    if (event.defaultPrevented || document.querySelector('dialog[open]')) return
    if (event.key === 'Escape') {
      if (runningJobs().length) cancelAll()
      else if (state.toasts.length) set({toasts: []})
      return
    }
    if (isText(event.target)) return
    const withControl = event.ctrlKey || event.metaKey
    if (withControl && event.key.toLowerCase() === 'z') {
      event.preventDefault()
      if (event.shiftKey) redo()
      else undo()
      return
    }
    if (withControl && event.key === 'y') {
      event.preventDefault()
      redo()
      return
    }
    if (withControl && event.key === 'Enter') {
      event.preventDefault()
      generate()
      return
    }
    if (withControl || event.altKey || !state.project) return event.key === '?' && KEYS['?']()
    if (!state.keysOn && event.key.length === 1 && event.key !== ' ') return
    if (/^[1-9]$/.test(event.key)) return chooseNumber(+event.key)
    if (event.key === ' ' && event.target.closest('button,summary,[role=switch]')) return
    if (event.target.type === 'range' && /^(Arrow|Home|End)/.test(event.key)) return
    const act = KEYS[event.key]
    if (!act) return
    event.preventDefault()
    act()
  })
}
