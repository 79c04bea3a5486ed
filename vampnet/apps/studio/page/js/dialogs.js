// Dialogs: help, API key, deleting, and texts to copy by hand.
import {useEffect, useRef, useState} from '../vendor/hooks.js'
import {setKey} from './api.js'
import {deleteAll} from './project.js'
import {html, set, state, toast} from './store.js'
import {T} from './texts.js'

export function Dialog() {
  const {dialog} = state, box = useRef()
  useEffect(() => {
    if (!dialog) return
    const before = document.activeElement
    box.current.showModal()
    return () => before?.focus?.()
  }, [dialog])
  if (!dialog) return null
  const close = () => set({dialog: null})
  return html`<dialog ref=${box} onClose=${close} onCancel=${close} aria-labelledby="dialog-title"
    onClick=${(event) => event.target === box.current && close()}>${KINDS[dialog.kind]({dialog, close})}</dialog>`
}

const KINDS = {
  help: ({close}) => html`<div class="dialog help"><h2 id="dialog-title">${T.helpTitle}</h2><p>${T.helpText}</p>
    <div class="key-groups">${T.keys.map(([title, keys]) => html`<section key=${title}><h3>${title}</h3><dl>${keys.map(([key, text]) => html`<div key=${key}><dt>${key.split(' ').map((one) => html`<kbd>${one}</kbd>`)}</dt><dd>${text}</dd></div>`)}</dl></section>`)}</div>
    <div class="row end"><label class="row grow"><input type="checkbox" checked=${state.keysOn} onChange=${(event) => { localStorage.setItem('vampnet-keys', event.target.checked ? 'on' : 'off'); set({keysOn: event.target.checked}) }} /> ${T.keysOn}</label>
      <button class="main" onClick=${close}>${T.close}</button></div></div>`,
  key: KeyForm,
  text: ({dialog, close}) => html`<div class="dialog"><h2 id="dialog-title">${dialog.title}</h2><textarea readonly rows="8" value=${dialog.text} onFocus=${(event) => event.target.select()} aria-label=${dialog.title}></textarea>
    <div class="row end"><button onClick=${close}>${T.close}</button></div></div>`,
  sure: ({dialog, close}) => html`<div class="dialog"><h2 id="dialog-title">${dialog.text}</h2><div class="row end"><button onClick=${close}>${T.keepIt}</button>
    <button class="danger-fill" onClick=${() => { close(); dialog.run() }}>${dialog.yes}</button></div></div>`,
  data: DataForm,
}

function KeyForm({dialog}) {
  const submit = (event) => {
    event.preventDefault()
    setKey(new FormData(event.target).get('key').trim())
    set({dialog: null})
    dialog.then()
  }
  return html`<form class="dialog" onSubmit=${submit}><h2 id="dialog-title">${T.keyTitle}</h2><p>${T.keyText}</p>
    <div class="field"><label for="key">${T.keyLabel}</label><input id="key" name="key" type="password" autocomplete="current-password" required aria-invalid=${Boolean(dialog.isWrong)} /></div>
    ${dialog.isWrong && html`<p class="danger" role="alert">${T.wrongKey}</p>`}
    <div class="row end"><button class="main">${T.enter}</button></div></form>`
}

function DataForm({close}) {
  const [sure, setSure] = useState(false)
  const run = async () => {
    close()
    try {
      await deleteAll()
    } catch (error) {
      toast(error.message, {kind: 'error'})
    }
  }
  return html`<div class="dialog"><h2 id="dialog-title">${T.deleteData}</h2><p>${T.deleteDataText}</p>
    <label class="row"><input type="checkbox" checked=${sure} onChange=${(event) => setSure(event.target.checked)} /> ${T.deleteDataSure}</label>
    <div class="row end"><button onClick=${close}>${T.keepIt}</button><button class="danger-fill" disabled=${!sure} onClick=${run}>${T.deleteData}</button></div></div>`
}
