// State of the page: one object, changed by `set` and, where it can be undone, by `edit`.
import {h} from '../vendor/preact.js'
import htm from '../vendor/htm.js'

export const html = htm.bind(h)

export const state = {
  ready: false, // the project was loaded
  health: {model: 'loading', message: ''},
  online: true,
  prompts: {presets: [], parts: []},
  models: [],
  loras: [],
  finetunes: [], // jobs that make adapters, the newest first
  training: {files: [], name: '', steps: 200}, // the next of them
  examples: [],
  projects: [],
  project: null, // as the server keeps it
  sounds: {}, // facts of files and outputs by their reference, such as file:ID
  jobs: {}, // jobs of this project that have not become takes, by id
  base: 'input', // what A is and what the next takes start from: "input" or a take's id
  heard: null, // the take that B is
  against: null, // what A is instead of the base, for comparing two takes
  side: 'A',
  edit: null, // what can be undone; see project.js
  undo: [],
  redo: [],
  view: {start: 0, end: 1},
  tool: 'regions',
  unit: 's',
  mask: null,
  maskError: '',
  playing: false,
  loop: true,
  wet: 1,
  swap: 'now',
  arriving: null, // take that comes in at the loop's end
  keysOn: true,
  said: '', // told to screen readers
  follow: false,
  dialog: null,
  toasts: [],
  selected: null, // region that has the focus
  beat: 0, // number of the beat that is chosen, of those by hand
  brush: {kind: 'keep', from: 1, to: 4},
  list: 'cards',
  busy: '',
}

const listeners = new Set()
let waiting = false

export function subscribe(listener) {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

export function changed() {
  if (waiting) return
  waiting = true
  queueMicrotask(() => {
    waiting = false
    for (const listener of listeners) listener()
  })
}

export function set(patch) {
  Object.assign(state, patch)
  changed()
}

const MOST_UNDO = 100
let lastKey = '', lastTime = 0

/** Change what can be undone. Changes with the same key that follow each other at once are undone together. */
export function edit(patch, key = '') {
  const now = performance.now()
  if (!key || key !== lastKey || now - lastTime > 900) {
    state.undo = [...state.undo.slice(-MOST_UNDO), {edit: state.edit, base: state.base}]
    state.redo = []
  }
  lastKey = key
  lastTime = now
  state.edit = {...state.edit, ...patch}
  changed()
}

/** Note the present for undo, before a change that `edit` does not make. */
export function remember() {
  lastKey = ''
  state.undo = [...state.undo.slice(-MOST_UNDO), {edit: state.edit, base: state.base}]
  state.redo = []
}

function step(from, to) {
  const past = state[from].at(-1)
  if (!past) return false
  if (past.back) {
    state[from] = state[from].slice(0, -1)
    past.back()
    changed()
    return true
  }
  state[to] = [...state[to], {edit: state.edit, base: state.base}]
  state[from] = state[from].slice(0, -1)
  lastKey = ''
  set({edit: past.edit, base: past.base})
  return true
}

export const undo = () => step('undo', 'redo')
export const redo = () => step('redo', 'undo')

let toastNumber = 0

/** Tell something that goes away by itself; `action` is {label, run}. Errors stay until they are closed. */
export function toast(text, {kind = 'note', action = null, seconds = 6} = {}) {
  const id = ++toastNumber
  if (state.toasts.some((one) => one.text === text && one.kind === kind)) return id
  set({toasts: [...state.toasts.slice(-3), {id, text, kind, action}]})
  if (kind !== 'error') setTimeout(() => closeToast(id), seconds * 1000)
  return id
}

export function closeToast(id) {
  set({toasts: state.toasts.filter((one) => one.id !== id)})
}
