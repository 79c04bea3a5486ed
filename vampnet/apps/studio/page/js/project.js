// The project: its sound, takes and settings, as the server keeps them. And the tree that takes make.
import {ApiError, ask, get, json, post, upload} from './api.js'
import {newEdit} from './request.js'
import {note, soundOf} from './sounds.js'
import {changed, set, state, toast} from './store.js'
import {T} from './texts.js'

export const takesOf = () => state.project?.takes ?? []
export const takeOf = (id) => takesOf().find((take) => take.id === id) ?? null

/** Reference of the sound of "input" or of a take. */
export function refOf(node) {
  if (!state.project) return null
  if (node === 'input' || !node) return state.project.input || null
  const take = takeOf(node)
  return take ? `job:${take.job}/${take.number}` : null
}

/** Seconds that were added before the project's input, up to this node. */
export function originOf(node) {
  let origin = 0, take = takeOf(node)
  for (let depth = 0; take && depth < 1000; depth++) {
    origin += take.request?.before_s ?? 0
    take = takeOf(take.parent)
  }
  return origin
}

/** Where a node's sound begins on the time axis, which is that of the base. */
export const startOf = (node) => originOf(state.base) - originOf(node)

export function nameOf(node) {
  if (node === 'input' || !node) return T.inputName
  const take = takeOf(node)
  return take ? take.name || T.takeName(takesOf().indexOf(take) + 1) : T.goneTake
}

/** Takes as a tree: {take, children}; those without a parent stand below the input. */
export function treeOf() {
  const nodes = new Map(takesOf().map((take) => [take.id, {take, children: []}]))
  const roots = []
  for (const node of nodes.values()) (nodes.get(node.take.parent)?.children ?? roots).push(node)
  return roots
}

export async function loadProjects() {
  const {projects} = await get('/api/v1/projects')
  set({projects})
  return projects
}

/** Open the project that was open last, else the newest, else none. */
export async function openLast() {
  const projects = await loadProjects()
  const wanted = location.hash.slice(1)
  const known = projects.find(({id}) => id === wanted) ?? projects.at(0)
  if (known) await openProject(known.id)
  else set({project: null, edit: newEdit()})
}

export async function openProject(id) {
  const project = await get(`/api/v1/projects/${id}`)
  const kept = project.state?.edit ?? {}
  const edit = {...newEdit(), ...kept}
  edit.prompts = {...newEdit().prompts, ...kept.prompts}
  edit.fresh = {...newEdit().fresh, ...kept.fresh}
  edit.loras = edit.loras.filter(({name}) => state.loras.some((lora) => lora.name === name))
  const takes = new Set(project.takes.map((take) => take.id))
  const base = takes.has(project.state?.base) ? project.state.base : 'input'
  const heard = takes.has(project.state?.heard) ? project.state.heard : null
  set({project, edit, base, heard, against: null, side: 'A', undo: [], redo: [], jobs: {}, mask: null, view: {start: 0, end: 0},
    selected: null, unit: project.state?.unit ?? 's'})
  noteTakes()
  history.replaceState(null, '', `#${id}`)
  await findJobs()
}

/** Jobs of this project that still run, after a page was opened. */
async function findJobs() {
  const {jobs} = await get('/api/v1/jobs?limit=100')
  for (const job of jobs) {
    if (job.project === state.project.id && ['queued', 'running'].includes(job.state)) state.jobs[job.id] = job
  }
  changed()
}

export async function newProject(input, name) {
  const project = await post('/api/v1/projects', {name, input})
  await loadProjects()
  await openProject(project.id)
}

export async function refreshTakes() {
  if (!state.project) return
  const {id} = state.project
  const project = await get(`/api/v1/projects/${id}`)
  if (state.project?.id !== id) return
  const gone = new Set(leaving.keys())
  state.project.takes = project.takes.filter((take) => !gone.has(take.id))
  for (const take of state.project.takes) delete state.jobs[take.job]
  noteTakes()
  changed()
}

function noteTakes() {
  for (const take of takesOf()) {
    const sound = soundOf(`job:${take.job}/${take.number}`)
    if (take.seconds && !sound.seconds) note(sound.ref, {seconds: take.seconds})
  }
}

// What the page was set to is kept with the project, a moment after the last change.
let timer = 0, kept = '', waiting = ''
export function keepState() {
  if (!state.project || !state.ready) return
  const text = JSON.stringify({edit: state.edit, base: state.base, heard: state.heard, unit: state.unit})
  if (text === kept || text === waiting) return
  waiting = text
  clearTimeout(timer)
  const {id} = state.project
  timer = setTimeout(async () => {
    kept = text
    waiting = ''
    try {
      await json('PATCH', `/api/v1/projects/${id}`, {state: JSON.parse(text)})
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 0)) toast(error.message, {kind: 'error'})
      kept = ''
    }
  }, 600)
}

export async function patchTake(id, patch) {
  Object.assign(takeOf(id), patch)
  changed()
  await json('PATCH', `/api/v1/projects/${state.project.id}/takes/${id}`, patch)
}

const leaving = new Map() // takes that are deleted once their moment for undo is over

/** Take a take away; the server is told after a while, so that it can come back. */
export function removeTake(id) {
  const take = takeOf(id), project = state.project
  const place = takesOf().indexOf(take)
  const before = {base: state.base, heard: state.heard}
  project.takes = takesOf().filter((one) => one.id !== id)
  if (state.base === id) set({base: takeOf(take.parent) ? take.parent : 'input'})
  if (state.heard === id) set({heard: null, side: 'A'})
  const back = () => {
    if (!leaving.has(id)) return
    clearTimeout(leaving.get(id))
    leaving.delete(id)
    project.takes = [...project.takes.slice(0, place), take, ...project.takes.slice(place)]
    set(before)
  }
  leaving.set(id, setTimeout(async () => {
    leaving.delete(id)
    try {
      await json('DELETE', `/api/v1/projects/${project.id}/takes/${id}`)
    } catch (error) {
      toast(error.message, {kind: 'error'})
    }
  }, 8000))
  state.undo = [...state.undo, {back}]
  toast(T.takeRemoved(take.name || T.takeName(place + 1)), {action: {label: T.undo, run: back}, seconds: 8})
  changed()
  return back
}

export async function renameProject(name) {
  state.project.name = name
  changed()
  await json('PATCH', `/api/v1/projects/${state.project.id}`, {name})
  await loadProjects()
}

export async function deleteProject(id) {
  clearTimeout(timer)
  await json('DELETE', `/api/v1/projects/${id}`)
  if (state.project?.id === id) {
    history.replaceState(null, '', '#')
    await openLast()
  } else await loadProjects()
}

export async function deleteAll() {
  clearTimeout(timer)
  await ask('DELETE', '/api/v1/data')
  history.replaceState(null, '', '#')
  set({project: null, projects: [], sounds: {}, jobs: {}, finetunes: [], loras: (await get('/api/v1/loras')).loras, edit: newEdit(), heard: null, base: 'input', side: 'A', mask: null})
  toast(T.allDeleted)
}

/** A new project around a sound of the user's (a File or Blob). */
export async function bringSound(file, name = file.name) {
  set({busy: T.sending(name, 0)})
  try {
    if (/\.zip$/i.test(name)) return await bringProject(file, name)
    const made = await upload('/api/v1/files', 'audio', file, name, (share) => set({busy: T.sending(name, share)}))
    note(`file:${made.id}`, {name: made.name, seconds: made.seconds, rate: made.sample_rate_hz,
      channels: made.channels, format: made.format})
    await newProject(`file:${made.id}`, made.name.replace(/\.[^.]*$/, ''))
  } finally {
    set({busy: ''})
  }
}

async function bringProject(file, name) {
  const project = await upload('/api/v1/projects/import', 'file', file, name, (share) => set({busy: T.sending(name, share)}))
  await loadProjects()
  await openProject(project.id)
  toast(T.imported(project.name))
}

export async function bringExample(example) {
  set({busy: T.opening})
  try {
    const made = await post(`/api/v1/examples/${encodeURIComponent(example)}`)
    await newProject(`file:${made.id}`, made.name.replace(/\.[^.]*$/, ''))
  } finally {
    set({busy: ''})
  }
}
