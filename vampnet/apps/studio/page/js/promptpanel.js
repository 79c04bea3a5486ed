// The prompt: presets, controls and text, each changing the others; painting with a brush.
import {Choice, Slider, Switch} from './inputs.js'
import {CONTROLS, NARROWING, UNITED, controlsOf, textOf} from './prompt.js'
import {withStroke} from './request.js'
import {edit, html, set, state} from './store.js'
import {T} from './texts.js'

const presetTexts = () => Object.fromEntries(state.prompts.presets.map(({name, prompt}) => [name, prompt]))

export function PromptPanel({name}) {
  const text = state.edit.prompts[name]
  const controls = controlsOf(text, presetTexts())
  const write = (made, key) => edit({prompts: {...state.edit.prompts, [name]: made}}, key)
  const preset = state.prompts.presets.find((one) => one.prompt === text || one.name === text)
  return html`<div class="prompt">
    <h3>${T.promptTitle[name] ?? T.promptTitle.vary}</h3>
    ${state.prompts.presets.length > 0 && html`<div class="chips presets" role="group" aria-label=${T.presets}>
      ${state.prompts.presets.map((one) => html`<button key=${one.name} class="chip" aria-pressed=${one === preset} title=${one.sentence}
        onClick=${() => write(one.prompt)}>${T.presetName(one.name)}</button>`)}</div>
      <p class="hint preset-sentence">${preset?.sentence ?? T.noPreset}</p>`}
    <details class="more" open=${!preset || state.promptOpen} onToggle=${(event) => (state.promptOpen = event.target.open)}>
      <summary>${T.fineControls}</summary>
      ${controls ? html`<${Controls} controls=${controls} write=${write} />` : html`<p class="hint">${T.richText}</p>`}
    </details>
    <label class="prompt-text" for=${`text-${name}`}><span>${T.promptText}</span></label>
    <textarea id=${`text-${name}`} rows="2" spellcheck="false" autocapitalize="off" value=${text} aria-invalid=${state.maskError !== ''}
      aria-describedby=${`error-${name}`} onInput=${(event) => write(event.target.value, `text ${name}`)}></textarea>
    <p class="prompt-error" id=${`error-${name}`} role="alert">${state.maskError}</p>
  </div>`
}

function Controls({controls, write}) {
  const put = (part, values) => {
    const next = {...controls}
    if (values) next[part] = values
    else delete next[part]
    write(textOf(next), part)
  }
  return html`<div class="fields controls">
    ${[...UNITED, ...NARROWING].map((part) => html`<${Part} key=${part} part=${part} values=${controls[part]} put=${(values) => put(part, values)} />`)}
  </div>`
}

function Part({part, values, put}) {
  const fields = Object.entries(CONTROLS[part])
  const turn = (on) => put(on ? Object.fromEntries(fields.map(([field, {start}]) => [field, start])) : null)
  return html`<${Switch} label=${T.part[part][0]} hint=${T.part[part][1]} on=${Boolean(values)} onChange=${turn}>
    <div class="part">${values && fields.map(([field, spec]) => spec.choices
      ? html`<${Choice} key=${field} label=${T.partField[`${part} ${field}`]} value=${values[field]} options=${spec.choices.map((one) => [one, T.which[one]])}
          onChange=${(value) => put({...values, [field]: value})} />`
      : html`<${Slider} key=${field} label=${T.partField[`${part} ${field}`]} value=${values[field]} range=${wide(spec.range, values[field])}
          unit=${spec.unit ?? ''} onInput=${(value) => put({...values, [field]: value})} />`)}</div>
  <//>`
}

const wide = ([low, high, step], value) => [Math.min(low, value), Math.max(high, value), step]

/** Tools of the brush, shown while the stage is painted on. */
export function BrushPanel() {
  const {brush, mask, edit: now} = state
  if (!mask) return html`<p class="hint">${T.brushWaits}</p>`
  const books = mask.n_codebooks
  return html`<div class="brush" role="group" aria-label=${T.brush}>
    <p class="hint">${T.brushHint}</p>
    <div class="row">
      <${Choice} label=${T.brushKind} value=${brush.kind} options=${[['keep', T.kinds.keep], ['new', T.kinds.new]]} onChange=${(kind) => set({brush: {...brush, kind}})} />
      <${StrokeForm} books=${books} />
      ${now.paint.length > 0 && html`<button class="quiet" onClick=${() => edit({paint: []})}>${T.clearPaint(now.paint.length)}</button>`}
    </div></div>`
}

/** A stroke without a pointer: codebooks and seconds as numbers. */
function StrokeForm({books}) {
  const submit = (event) => {
    event.preventDefault()
    const form = new FormData(event.target), rate = state.mask.frames_per_s
    const [from, to, start, end] = ['from', 'to', 'start', 'end'].map((name) => +form.get(name))
    const stroke = {kind: state.brush.kind, from: Math.min(from, to), to: Math.max(from, to), start: Math.floor(Math.min(start, end) * rate),
      end: Math.max(Math.ceil(Math.max(start, end) * rate), Math.floor(Math.min(start, end) * rate) + 1)}
    edit({paint: withStroke(state.edit.paint, stroke)})
  }
  const field = (name, label, value, high, step) => html`<label>${label}<input type="number" name=${name} defaultValue=${value} min=${step === 1 ? 1 : 0} max=${high} step=${step} required /></label>`
  const seconds = state.mask.n_frames / state.mask.frames_per_s
  return html`<form class="stroke" onSubmit=${submit}>
    ${field('from', T.bookFrom, 1, books, 1)} ${field('to', T.bookTo, Math.min(4, books), books, 1)}
    ${field('start', T.from, 0, seconds, 'any')} ${field('end', T.to, Math.min(1, seconds).toFixed(2), seconds, 'any')}
    <button>${T.paintStroke}</button></form>`
}
