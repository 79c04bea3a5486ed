// The page: header, stage, tasks, takes, dialogs; drop and paste; how everything begins.
import {render} from '../vendor/preact.js'
import {useEffect, useState} from '../vendor/hooks.js'
import {ApiError, get, hasKey} from './api.js'
import {Dialog} from './dialogs.js'
import {Header} from './header.js'
import {followJobs, runningJobs, whenTaken} from './jobs.js'
import {listenToKeys} from './keys.js'
import {preview} from './preview.js'
import {bringSound, keepState, nameOf, openLast, refOf} from './project.js'
import {choose} from './sound.js'
import {Stage} from './stage.js'
import {closeToast, html, set, state, subscribe, toast} from './store.js'
import {Takes} from './takes.js'
import {Tasks} from './tasks.js'
import {StageBar, ToolPanel, Transport} from './transport.js'
import {T} from './texts.js'
import {addRecordings, filesOf, loadFinetunes} from './training.js'
import {Welcome} from './welcome.js'

function App() {
  const [, tick] = useState(0)
  useEffect(() => subscribe(() => tick((n) => n + 1)), [])
  const title = T.title(state.project?.name, runningJobs().length)
  useEffect(() => { document.title = title }, [title])
  if (!state.ready) return html`<main class="loading"><p role="status">${state.problem ?? T.starting}</p>
    ${state.problem === T.needsKey && html`<button onClick=${askForKey}>${T.giveKey}</button>`}</main><${Dialog} />`
  const hasStage = Boolean(refOf(state.base) || (state.heard && refOf(state.heard)))
  return html`<a class="skip" href="#task-panel">${T.skip}</a>
    <${Header} />
    ${!state.online && html`<p class="banner" role="alert">${T.serverAwayLong}</p>`}
    <main class=${hasStage ? '' : 'bare'}>
      ${hasStage ? html`<section class="card stage" aria-label=${T.stage}><${StageBar} /><${Stage} /><${ToolPanel} /><${Transport} /></section>`
        : html`<${Welcome} />`}
      ${state.project && html`<div class="columns"><${Tasks} /><${Takes} /></div>`}
    </main>
    ${state.busy && html`<div class="busy" role="status">${state.busy}</div>`}
    <p class="unseen" role="status">${state.said}</p>
    <${Dropping} />
    <${Toasts} />
    <${Dialog} />`
}

function Toasts() {
  return html`<div class="toasts" aria-live="polite">
    ${state.toasts.map((one) => html`<div key=${one.id} class=${`toast ${one.kind}`} role=${one.kind === 'error' ? 'alert' : 'status'}>
      <span>${one.text}</span>
      ${one.action && html`<button onClick=${() => { one.action.run(); closeToast(one.id) }}>${one.action.label}</button>`}
      <button class="quiet" aria-label=${T.close} onClick=${() => closeToast(one.id)}>×</button></div>`)}
  </div>`
}

const Dropping = () => state.dropping && html`<div class="dropping"><p>${isTraining() ? T.dropToLearn : T.dropHere}</p></div>`

async function bring(file) {
  try {
    await bringSound(file)
  } catch (error) {
    toast(error.message, {kind: 'error'})
  }
}

/** Whether what is dropped is to be learned from. */
const isTraining = () => Boolean(state.project) && state.edit?.task === 'finetune'

function listenToFiles() {
  const hasFiles = (event) => event.dataTransfer?.types.includes('Files')
  addEventListener('dragover', (event) => {
    if (!hasFiles(event)) return
    event.preventDefault()
    if (!state.dropping) set({dropping: true})
  })
  addEventListener('dragleave', (event) => event.relatedTarget === null && set({dropping: false}))
  addEventListener('drop', (event) => {
    set({dropping: false})
    if (!hasFiles(event)) return
    event.preventDefault()
    if (isTraining()) return filesOf(event.dataTransfer).then(addRecordings)
    const [file] = event.dataTransfer.files
    if (file) bring(file)
  })
  addEventListener('paste', (event) => {
    const [file] = event.clipboardData?.files ?? []
    if (!file) return
    event.preventDefault()
    if (isTraining()) addRecordings(event.clipboardData.files)
    else bring(file)
  })
}

const orNone = (promise, none) => promise.catch((error) => {
  if (error instanceof ApiError && error.status === 404) return none
  throw error
})

const askForKey = () => set({dialog: {kind: 'key', isWrong: hasKey(), then: begin}, problem: T.needsKey})

async function begin() {
  try {
    const [prompts, models, loras, examples] = await Promise.all([
      orNone(get('/api/v1/prompts'), {presets: [], parts: []}), orNone(get('/api/v1/models'), {models: []}),
      orNone(get('/api/v1/loras'), {loras: []}), orNone(get('/api/v1/examples'), {examples: []})])
    Object.assign(state, {prompts, models: models.models, loras: loras.loras, examples: examples.examples})
    await Promise.all([openLast(), orNone(loadFinetunes(), null)])
    set({ready: true, problem: undefined})
  } catch (error) {
    if (error.status === 401) return askForKey()
    set({problem: error.message})
    return setTimeout(begin, 1500)
  }
  followJobs()
  watchModel()
}

async function watchModel() {
  try {
    const health = await get('/health')
    if (health.model !== state.health.model || health.message !== state.health.message) set({health})
  } catch { /* the banner says it */ }
  setTimeout(watchModel, state.health.model === 'ready' ? 5000 : 700)
}

whenTaken.add((take) => {
  set({said: T.takeReady(nameOf(take.id))})
  if (!state.heard) set({heard: take.id, side: refOf(state.base) ? state.side : 'B'})
  else if (state.follow && state.playing) choose(take.id, {when: 'end'})
})
subscribe(() => state.ready && preview())
subscribe(keepState)
listenToKeys()
listenToFiles()
set({keysOn: localStorage.getItem('vampnet-keys') !== 'off'})
render(html`<${App} />`, document.getElementById('app'))
begin()
