// LoRA adapters: choose them with a strength, and make one of one's own music.
import {useState} from '../vendor/hooks.js'
import {upload} from './api.js'
import {Slider} from './inputs.js'
import {cancel, finetune, isRunning, progressOf} from './jobs.js'
import {edit, html, set, state, toast} from './store.js'
import {T} from './texts.js'

export function LoraPicker() {
  const {loras} = state.edit
  if (!state.loras.length) return html`<p class="hint">${T.noLoras}</p>`
  const strengthOf = (name) => loras.find((one) => one.name === name)?.strength
  const put = (name, strength) => {
    const others = loras.filter((one) => one.name !== name)
    edit({loras: strength === 0 ? others : [...others, {name, strength}]}, `lora ${name}`)
  }
  return html`<fieldset class="fields"><legend>${T.loras}</legend>
    ${state.loras.map(({name}) => html`<${Slider} key=${name} label=${name.replace(/\.safetensors$/, '')} value=${strengthOf(name) ?? 0} range=${[0, 2, 0.05]}
      onInput=${(strength) => put(name, strength)} />`)}
    <p class="hint">${T.lorasHint}</p></fieldset>`
}

export function FinetunePanel() {
  const [files, setFiles] = useState([]), [name, setName] = useState(''), [sending, setSending] = useState('')
  const jobs = Object.values(state.jobs).filter((job) => job.task === 'finetune')
  const add = (list) => setFiles([...files, ...list])
  const drop = (event) => {
    event.preventDefault()
    event.stopPropagation()
    set({dropping: false})
    add(event.dataTransfer.files)
  }
  const start = async () => {
    try {
      const ids = []
      for (const [k, file] of files.entries()) {
        setSending(T.sendingOf(k + 1, files.length))
        ids.push(`file:${(await upload('/api/v1/files', 'audio', file, file.name)).id}`)
      }
      await finetune(ids, name.trim() || T.loraName)
      setFiles([])
    } catch (error) {
      toast(error.status === 404 || error.status === 405 ? T.noFinetune : error.message, {kind: 'error'})
    }
    setSending('')
  }
  return html`<div class="finetune">
    <label class="drop small" onDrop=${drop} onDragOver=${(event) => event.preventDefault()}>${T.dropTraining}
      <input type="file" accept="audio/*" multiple class="unseen" onChange=${(event) => add(event.target.files)} /></label>
    ${files.length > 0 && html`<ul class="files">${files.map((file, k) => html`<li key=${k}>${file.name}
      <button class="quiet" aria-label=${T.removeFile(file.name)} onClick=${() => setFiles(files.filter((_, j) => j !== k))}>×</button></li>`)}</ul>`}
    <div class="field"><label for="lora-name">${T.loraNameLabel}</label><input id="lora-name" value=${name} placeholder=${T.loraName}
      onInput=${(event) => setName(event.target.value)} /></div>
    <button class="main" disabled=${!files.length || Boolean(sending)} onClick=${start}>${sending || T.startFinetune}</button>
    <p class="hint">${T.finetuneHint}</p>
    ${jobs.map((job) => html`<${Training} key=${job.id} job=${job} />`)}
    ${state.loras.length > 0 && html`<h3>${T.loras}</h3><${LoraPicker} />`}
  </div>`
}

function Training({job}) {
  if (!isRunning(job)) return html`<p role="alert">${job.error} <button class="quiet" onClick=${() => cancel(job.id)}>${T.close}</button></p>`
  const {share, text} = progressOf(job)
  return html`<div class="row"><progress max="1" value=${share} aria-label=${T.training}></progress><span>${text}</span>
    <button onClick=${() => cancel(job.id)}>${T.cancel}</button></div>`
}
