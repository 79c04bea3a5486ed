// Jobs: submit, follow, cancel. Every variation is a job of its own, so the first can be heard while others are made.
import {ApiError, follow, get, post, saveBlob, ask} from './api.js'
import {newProject, refOf, refreshTakes, takesOf} from './project.js'
import {obstacle, randomSeed, requestOf} from './request.js'
import {loadFacts, soundOf} from './sounds.js'
import {changed, set, state, toast} from './store.js'
import {hearFinetune, loadFinetunes} from './training.js'
import {T} from './texts.js'

export const isRunning = (job) => ['queued', 'running', 'sending'].includes(job.state)
export const runningJobs = () => Object.values(state.jobs).filter(isRunning)

/** Make takes with the present settings. */
export async function generate(n = state.edit.n) {
  const ref = refOf(state.base)
  const {edit} = state
  const problem = obstacle(edit, Boolean(ref))
  if (problem) return toast(T.obstacles[problem])
  if (!state.project) await newProject(null, T.tasks.new[0])
  const count = edit.task === 'compress' ? 1 : n
  const seconds = ref ? (await loadFacts(ref)).seconds : Infinity
  const parent = state.base === 'input' ? null : state.base
  for (let k = 0; k < count; k++) {
    const request = requestOf(edit, ref, edit.seed, seconds, k + 1, count)
    try {
      await submit(request, parent)
    } catch (error) {
      toast(error.message, {kind: 'error'})
      break
    }
  }
  if (!edit.locked) set({edit: {...state.edit, seed: randomSeed()}})
}

async function submit(request, parent) {
  const query = new URLSearchParams({project: state.project.id, ...(parent && {parent})})
  const path = request.task === 'compress' ? '/api/v1/jobs' : `/api/v1/jobs?${query}`
  const job = await post(path, request, {headers: {'Idempotency-Key': crypto.randomUUID?.() ?? String(Math.random())}})
  state.jobs[job.id] = {...job, parent, began: performance.now()}
  changed()
}

/** Follow all jobs of the server that are this caller's. */
export function followJobs() {
  let wasAway = false
  return follow(hear, (online) => {
    if (state.online !== online) set({online})
    if (!online) wasAway = true
    else if (wasAway) {
      wasAway = false
      catchUp()
    }
  })
}

async function catchUp() {
  for (const job of runningJobs()) {
    try {
      hear(await get(`/api/v1/jobs/${job.id}`))
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) delete state.jobs[job.id]
    }
  }
  await Promise.all([refreshTakes(), loadFinetunes()].map((one) => one.catch(() => {})))
  changed()
}

function hear(job) {
  if (job.task === 'finetune') return hearFinetune(job)
  const known = state.jobs[job.id]
  if (!known) return
  const startedNow = known.state !== 'running' && job.state === 'running'
  state.jobs[job.id] = {...known, ...job, startedAt: startedNow ? performance.now() : known.startedAt}
  if (job.state === 'done') finish(state.jobs[job.id])
  else if (job.state === 'cancelled' || job.state === 'deleted') delete state.jobs[job.id]
  changed()
}

export const whenTaken = new Set() // called with each new take

async function finish(job) {
  if (job.task === 'compress') return finishSmallFile(job)
  const before = new Set(takesOf().map((take) => take.id))
  for (let tries = 0; tries < 40 && state.jobs[job.id]; tries++) {
    await Promise.all([refreshTakes(), loadFinetunes()].map((one) => one.catch(() => {})))
    if (takesOf().some((take) => take.job === job.id)) break
    await new Promise((resolve) => setTimeout(resolve, 150))
  }
  delete state.jobs[job.id]
  for (const warning of job.result?.warnings ?? []) toast(warning, {kind: 'warning', seconds: 12})
  for (const [k, output] of (job.result?.outputs ?? []).entries()) {
    const sound = soundOf(`job:${job.id}/${k + 1}`)
    Object.assign(sound, {seconds: output.seconds, kept: output.kept_share})
  }
  for (const take of takesOf()) if (!before.has(take.id)) for (const tell of whenTaken) tell(take)
  changed()
}

async function finishSmallFile(job) {
  delete state.jobs[job.id]
  const answer = await ask('GET', `/api/v1/jobs/${job.id}/outputs/1/audio`)
  const blob = await answer.blob()
  toast(T.smallFile(job.outputs[0].name, blob.size), {seconds: 20, action: {label: T.save, run: () => saveBlob(blob, job.outputs[0].name)}})
}

export async function cancel(id) {
  const job = state.jobs[id]
  if (!job) return
  if (!isRunning(job)) {
    delete state.jobs[id]
    return changed()
  }
  try {
    await post(`/api/v1/jobs/${id}/cancel`)
    state.jobs[id] = {...state.jobs[id], stopping: true}
  } catch (error) {
    toast(error.message, {kind: 'error'})
  }
  changed()
}

export async function cancelAll() {
  await Promise.all(runningJobs().map((job) => cancel(job.id)))
}

/** How far a job is, in words, and as a share. */
export function progressOf(job) {
  if (job.state === 'sending') return {share: 0, text: T.sendingJob}
  if (job.state === 'queued') return {share: 0, text: T.waiting(job.position ?? 0)}
  const {stage, done, total, share} = job.progress
  let left = job.seconds_left
  if (left === undefined || left === null) {
    const elapsed = job.startedAt ? (performance.now() - job.startedAt) / 1000 : 0
    left = share > 0.05 && elapsed > 0.3 ? (elapsed * (1 - share)) / share : null
  }
  const text = job.stopping ? T.stopping : T.atWork(stage, done, total, left)
  return {share, text}
}
