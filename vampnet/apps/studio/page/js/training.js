// Fine-tuning: recordings that are handed over for it, jobs that learn from them, and what they sound like.
import {get, json, post, upload} from './api.js'
import {edit, set, state, toast} from './store.js'
import {T} from './texts.js'

const AUDIO = /\.(wav|flac|ogg|oga|opus|mp3|aiff?|m4a|aac|mp4|wma|caf|w64|au)$/i
let number = 0, sending = false

/** Recordings that can be learned from, of those that were handed over. */
export const goodOnes = () => state.training.files.filter((one) => one.id)

/** Files of a drop; folders are looked into, and of what lies there audio alone is taken. Call it within the event. */
export function filesOf(transfer) {
  const entries = [...(transfer.items ?? [])].map((item) => item.webkitGetAsEntry?.()).filter(Boolean)
  if (!entries.some((entry) => entry.isDirectory)) return Promise.resolve([...transfer.files])
  return Promise.all(entries.map((entry) => within(entry, false))).then((lists) => lists.flat())
}

async function within(entry, isInside) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject))
    return isInside && !AUDIO.test(file.name) ? [] : [file]
  }
  const reader = entry.createReader(), found = []
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject))
    if (!some.length) break
    found.push(...some)
  }
  return (await Promise.all(found.map((one) => within(one, true)))).flat()
}

const change = (patch) => set({training: {...state.training, ...patch}})
const changeFile = (key, patch) => change({files: state.training.files.map((one) => (one.key === key ? {...one, ...patch} : one))})

/** Hand files over, one after the other; what is no audio is said beside its name. */
export async function addRecordings(files) {
  const fresh = [...files].map((file) => ({key: `f${number++}`, name: file.name, file, share: 0, id: null, error: ''}))
  change({files: [...state.training.files, ...fresh]})
  if (sending) return
  sending = true
  for (let one; (one = state.training.files.find(({id, error, file}) => file && !id && !error));) {
    const {key} = one
    try {
      if (!one.file.size) throw new Error(T.emptyFile)
      const made = await upload('/api/v1/files', 'audio', one.file, one.name, (share) => changeFile(key, {share}))
      if (made.seconds === null || made.seconds === undefined) throw new Error(T.noMusic)
      changeFile(key, {id: made.id, seconds: made.seconds, file: null})
    } catch (error) {
      changeFile(key, {error: error.message, file: null})
    }
  }
  sending = false
}

export const removeRecording = (key) => change({files: state.training.files.filter((one) => one.key !== key)})

/** A name for an adapter that no other has. */
export function freeName(wanted = T.loraName) {
  const taken = new Set([...state.loras, ...state.finetunes.map((job) => job.request)].map(({name}) => name.toLowerCase()))
  let name = wanted
  for (let k = 2; taken.has(name.toLowerCase()); k++) name = `${wanted} ${k}`
  return name
}

export async function loadFinetunes() {
  const {finetunes} = await get('/api/v1/finetunes')
  set({finetunes: finetunes.filter((job) => job.state !== 'cancelled')})
}

export async function startTraining() {
  const {name, steps, files} = state.training
  const body = {name: name.trim() || freeName(), steps, files: goodOnes().map(({id}) => `file:${id}`)}
  if (state.edit.bundle !== 'default') body.bundle = state.edit.bundle
  const job = await post('/api/v1/finetunes', body)
  set({finetunes: [job, ...state.finetunes], training: {...state.training, name: '', files: files.filter(({error}) => error)}})
}

/** Take in what the server says of a fine-tuning job. */
export function hearFinetune(job) {
  const known = state.finetunes.find(({id}) => id === job.id)
  if (job.state === 'deleted' || job.state === 'cancelled') return set({finetunes: state.finetunes.filter(({id}) => id !== job.id)})
  const others = state.finetunes.filter(({id}) => id !== job.id)
  const now = {...job, pace: paceOf(known, job), stopping: known?.stopping}
  set({finetunes: known ? state.finetunes.map((one) => (one.id === job.id ? now : one)) : [now, ...others]})
  if (job.state === 'done' && known?.state !== 'done') announce(job)
}

async function announce(job) {
  const {loras} = await get('/api/v1/loras')
  set({loras, said: T.finetuned(job.result.facts.lora)})
  toast(T.finetuned(job.result.facts.lora), {seconds: 20, action: {label: T.useIt, run: () => useAdapter(job.result.facts.lora)}})
}

/** When a stage was first seen and how far it was then: by it, what is left can be told after a restart too. */
function paceOf(known, job) {
  const {stage, done} = job.progress
  return known?.pace?.stage === stage ? known.pace : {stage, done, at: performance.now()}
}

/** Seconds that are left at most; null while nothing can be said. */
export function secondsLeft(job) {
  const {stage, done, total} = job.progress, {pace} = job
  if (!pace || !/^train/.test(stage) || done - pace.done < 3) return null
  const perStep = (performance.now() - pace.at) / 1000 / (done - pace.done)
  return perStep * (total - done + (stage === 'train coarse' ? total : 0))
}

export async function stopTraining(job) {
  set({finetunes: state.finetunes.map((one) => (one.id === job.id ? {...one, stopping: true} : one))})
  hearFinetune(await post(`/api/v1/finetunes/${job.id}/cancel`))
}

/** Delete a job, its adapter and its examples. */
export async function deleteTraining(job) {
  await json('DELETE', `/api/v1/finetunes/${job.id}`)
  const name = job.result?.facts.lora
  set({finetunes: state.finetunes.filter(({id}) => id !== job.id), loras: state.loras.filter((lora) => lora.name !== name)})
  if (state.edit.loras.some((lora) => lora.name === name)) edit({loras: state.edit.loras.filter((lora) => lora.name !== name)})
}

/** Mix an adapter into the next takes, and go to where they are made. */
export function useAdapter(name) {
  const others = state.edit.loras.filter((lora) => lora.name !== name)
  edit({loras: [...others, {name, strength: 1}], task: 'vary'})
  toast(T.adapterUsed(name), {seconds: 4})
}
