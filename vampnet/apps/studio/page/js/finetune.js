// The tab that fine-tunes, and the picker of adapters: recordings in, progress, a comparison by ear, and use.
import {useEffect, useRef, useState} from '../vendor/hooks.js'
import {ask} from './api.js'
import {Icon, Segments, Slider} from './inputs.js'
import {isRunning} from './jobs.js'
import {stop} from './sound.js'
import {edit, html, set, state, toast} from './store.js'
import {T} from './texts.js'
import {addRecordings, deleteTraining, filesOf, freeName, goodOnes, removeRecording, secondsLeft, startTraining, stopTraining, useAdapter} from './training.js'

export function LoraPicker() {
  const {loras} = state.edit
  if (!state.loras.length) return html`<p class="hint">${T.noLoras}</p>`
  const strengthOf = (name) => loras.find((one) => one.name === name)?.strength
  const put = (name, strength) => {
    const others = loras.filter((one) => one.name !== name)
    edit({loras: strength === 0 ? others : [...others, {name, strength}]}, `lora ${name}`)
  }
  return html`<fieldset class="fields"><legend>${T.loras}</legend>
    ${state.loras.map(({name}) => html`<${Slider} key=${name} label=${name} value=${strengthOf(name) ?? 0} range=${[0, 2, 0.05]}
      onInput=${(strength) => put(name, strength)} />`)}
    <p class="hint">${T.lorasHint}</p></fieldset>`
}

const act = async (work) => {
  try {
    return await work()
  } catch (error) {
    return toast(error.message, {kind: 'error'})
  }
}

export function FinetunePanel() {
  const [starting, setStarting] = useState(false)
  const {training} = state, good = goodOnes(), isSending = training.files.some(({file}) => file)
  const drop = async (event) => {
    event.preventDefault()
    event.stopPropagation()
    set({dropping: false})
    act(async () => addRecordings(await filesOf(event.dataTransfer)))
  }
  const start = async () => {
    setStarting(true)
    await act(startTraining)
    setStarting(false)
  }
  const put = (name) => (value) => set({training: {...state.training, [name]: value}})
  return html`<div class="finetune">
    <label class="drop small" onDrop=${drop} onDragOver=${(event) => event.preventDefault()}><span>${T.dropTraining}</span>
      <input type="file" id="training-files" accept="audio/*" multiple class="unseen" onChange=${(event) => { addRecordings(event.target.files); event.target.value = '' }} /></label>
    ${training.files.length > 0 && html`<ul class="files" aria-label=${T.recordings}>${training.files.map((one) => html`<${Recording} key=${one.key} one=${one} />`)}</ul>
      <p class="where" role="status">${T.foundMusic(good.length, good.reduce((sum, one) => sum + one.seconds, 0), isSending)}</p>`}
    <div class="field"><label for="lora-name">${T.loraNameLabel}</label><input id="lora-name" value=${training.name} placeholder=${freeName()} maxlength="60"
      onInput=${(event) => put('name')(event.target.value)} /></div>
    <${Slider} label=${T.trainSteps} hint=${T.trainStepsHint} value=${training.steps} range=${[20, 1000, 10]} onInput=${put('steps')} />
    <button class="main" disabled=${!good.length || isSending || starting || !state.online} onClick=${start}>${T.startFinetune}</button>
    <p class="hint">${T.finetuneHint}</p>
    ${state.finetunes.map((job) => html`<${Training} key=${job.id} job=${job} />`)}
    ${state.loras.length > 0 && html`<${LoraPicker} />`}
  </div>`
}

function Recording({one}) {
  const facts = one.error ? html`<span class="danger">${one.error}</span>` : html`<span class="hint">${one.id ? T.length(one.seconds) : T.sendingShare(one.share)}</span>`
  return html`<li><span class="file-name">${one.name}</span>${facts}
    <button class="quiet" aria-label=${T.removeFile(one.name)} onClick=${() => removeRecording(one.key)}>×</button></li>`
}

function Training({job}) {
  const {name} = job.request
  if (isRunning(job)) {
    const text = job.stopping ? T.stopping : job.state === 'queued' ? T.waiting(job.position ?? 0) : T.learning(job.progress, secondsLeft(job))
    return html`<article class="training" aria-label=${name}><div class="take-top"><strong>${name}</strong>
        <button class="quiet" disabled=${job.stopping} onClick=${() => act(() => stopTraining(job))}>${T.cancel}</button></div>
      <progress max="1" value=${job.progress.share} aria-label=${T.training}></progress><p class="hint">${text}</p></article>`
  }
  if (job.state === 'failed') {
    return html`<article class="training failed" role="alert"><div class="take-top"><strong>${T.finetuneFailed(name)}</strong>
      <button class="quiet" onClick=${() => act(() => deleteTraining(job))}>${T.close}</button></div><p>${job.error ?? T.unknownFailure}</p></article>`
  }
  return html`<${Learned} job=${job} />`
}

function Learned({job}) {
  const {facts} = job.result
  const remove = () => set({dialog: {kind: 'sure', text: T.sureAdapter(facts.lora), yes: T.deleteAdapter, run: () => act(() => deleteTraining(job))}})
  return html`<article class="training" aria-label=${facts.lora}><div class="take-top"><strong>${facts.lora}</strong>
      <button class="quiet danger" onClick=${remove}>${T.deleteAdapter}</button></div>
    <p>${T.learnedFrom(facts)} ${T.gained(facts)}</p>
    ${facts.left_out.length > 0 && html`<details class="more"><summary>${T.leftOut(facts.left_out.length)}</summary><ul>${facts.left_out.map((line) => html`<li class="hint" key=${line}>${line}</li>`)}</ul></details>`}
    <div class="row"><${Listen} outputs=${job.outputs} /><button class="main" onClick=${() => useAdapter(facts.lora)}>${T.useIt}</button></div></article>`
}

let sounding = null // the example that plays, of all cards one

/** Plays the original, its vamp without and its vamp with the adapter; switching stays at the same place. */
function Listen({outputs}) {
  const [which, setWhich] = useState(2), [on, setOn] = useState(false), players = useRef([])
  const halt = () => {
    players.current.forEach((player) => player?.pause())
    setOn(false)
  }
  useEffect(() => () => {
    players.current.forEach((player) => { player?.pause(); if (player) URL.revokeObjectURL(player.src) })
  }, [])
  const playerOf = async (k) => {
    if (!players.current[k]) {
      const player = new Audio(URL.createObjectURL(await (await ask('GET', outputs[k].audio)).blob()))
      player.loop = true
      players.current[k] = player
    }
    return players.current[k]
  }
  const hear = (k) => act(async () => {
    const before = players.current.find((player) => player && !player.paused)
    setWhich(k)
    const next = await playerOf(k)
    if (before && before !== next) {
      next.currentTime = before.currentTime
      before.pause()
    }
    if (sounding && sounding !== halt) sounding()
    sounding = halt
    stop()
    next.volume = state.volume ?? 1
    await next.play()
    setOn(true)
  })
  return html`<div class="row listen"><button class="round small" onClick=${() => (on ? halt() : hear(which))} aria-label=${on ? T.stop : T.playExample}><${Icon} name=${on ? 'stop' : 'play'} /></button>
    <${Segments} label=${T.examples} value=${which} options=${T.exampleNames.map((name, k) => [k, name])} onChange=${(k) => (on ? hear(k) : setWhich(k))} /></div>`
}
