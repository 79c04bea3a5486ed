// Small controls that all panels use: a slider with its number, a switch, a choice, a menu.
import {useEffect, useRef, useState} from '../vendor/hooks.js'
import {html} from './store.js'

let number = 0
const useId = (given) => {
  const id = useRef(given ?? `i${number++}`)
  return id.current
}

/** A number that is taken over once it is typed; what is being typed stays while the page changes around it. */
export function NumberInput({value, onNumber, ...more}) {
  const [draft, setDraft] = useState(null)
  const done = (event) => {
    if (draft !== null && event.target.value !== '' && Number.isFinite(+event.target.value)) onNumber(+event.target.value)
    setDraft(null)
  }
  return html`<input type="number" value=${draft ?? value} onInput=${(event) => setDraft(event.target.value)} onChange=${done} onBlur=${done}
    onKeyDown=${(event) => event.key === 'Enter' && done(event)} ...${more} />`
}

/** A slider and, beside it, the number itself. range: [low, high, step]. */
export function Slider({label, hint, value, range: [low, high, step], unit = '', onInput, text, disabled, id: given}) {
  const id = useId(given)
  const put = (next) => onInput(Math.min(high, Math.max(low, next)))
  const share = `${((Math.min(high, Math.max(low, value)) - low) / (high - low)) * 100}%`
  return html`<div class="field">
    <div class="field-top"><label for=${id}>${label}</label>
      <span class="number"><${NumberInput} value=${value} min=${low} max=${high} step=${step} onNumber=${put} disabled=${disabled}
        aria-label=${unit ? `${label}, ${unit}` : label} />${unit && html`<span class="unit" aria-hidden="true">${unit}</span>`}</span></div>
    <input type="range" id=${id} min=${low} max=${high} step=${step} value=${value} onInput=${(event) => put(+event.target.value)} disabled=${disabled}
      style=${{'--share': share}} aria-valuetext=${text ?? `${value} ${unit}`} aria-describedby=${hint ? `${id}-hint` : undefined} />
    ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
  </div>`
}

export function Switch({label, hint, on, onChange, children}) {
  const id = useId()
  return html`<div class=${`switch-field${on ? ' on' : ''}`}>
    <label class="switch"><input type="checkbox" role="switch" id=${id} checked=${on} onChange=${(event) => onChange(event.target.checked)}
      aria-describedby=${hint ? `${id}-hint` : undefined} /><span class="knob" aria-hidden="true"></span><span>${label}</span></label>
    ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
    ${on && children}
  </div>`
}

/** A choice among a few: options are [value, label] pairs. */
export function Choice({label, value, options, onChange, hideLabel = false}) {
  const id = useId()
  return html`<div class="choice"><label for=${id} class=${hideLabel ? 'unseen' : ''}>${label}</label>
    <select id=${id} value=${value} onChange=${(event) => onChange(event.target.value)}>
      ${options.map(([key, text]) => html`<option key=${key} value=${key} selected=${key === value}>${text}</option>`)}
    </select></div>`
}

export function TextField({label, hint, value, onInput, placeholder, type = 'text', inputMode, list}) {
  const id = useId()
  return html`<div class="field"><label for=${id}>${label}</label>
    <input type=${type} id=${id} value=${value} placeholder=${placeholder} inputmode=${inputMode} list=${list}
      onInput=${(event) => onInput(event.target.value)} aria-describedby=${hint ? `${id}-hint` : undefined} />
    ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}</div>`
}

/** Buttons of which one is pressed. options: [value, label, title] */
export function Segments({label, value, options, onChange}) {
  return html`<div class="segments" role="group" aria-label=${label}>
    ${options.map(([key, text, title]) => html`<button key=${key} aria-pressed=${key === value} title=${title} onClick=${() => onChange(key)}>${text}</button>`)}
  </div>`
}

/** A button that opens a list of actions. items: [label, action, kind]. */
export function Menu({label, items, children, class: kind = ''}) {
  const [open, setOpen] = useState(false), box = useRef(), button = useRef()
  useEffect(() => {
    if (!open) return
    box.current?.querySelector('[role=menuitem]')?.focus()
    const away = (event) => !box.current?.contains(event.target) && !button.current?.contains(event.target) && setOpen(false)
    addEventListener('pointerdown', away)
    return () => removeEventListener('pointerdown', away)
  }, [open])
  const onKeyDown = (event) => {
    const entries = [...box.current.querySelectorAll('[role=menuitem]')], at = entries.indexOf(document.activeElement)
    const to = {ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: entries.length - 1}[event.key]
    if (event.key === 'Escape' || event.key === 'Tab') {
      setOpen(false)
      button.current.focus()
    } else if (to === undefined) return
    else entries[(to + entries.length) % entries.length].focus()
    if (event.key !== 'Tab') event.preventDefault()
    event.stopPropagation()
  }
  return html`<span class="menu-box">
    <button ref=${button} class=${kind} aria-haspopup="menu" aria-expanded=${open} aria-label=${label} title=${label} onClick=${() => setOpen(!open)}>${children}</button>
    ${open && html`<div class="menu" role="menu" ref=${box} onKeyDown=${onKeyDown} aria-label=${label}>
      ${items.filter(Boolean).map(([text, run, type]) => html`<button key=${text} role="menuitem" tabindex="-1" class=${type ?? ''}
        onClick=${() => { setOpen(false); button.current.focus(); run() }}>${text}</button>`)}
    </div>`}
  </span>`
}

/** Icons, drawn with strokes in the text's colour. */
const PATHS = {
  play: 'M7 4.5v15l12-7.5z', stop: 'M6 6h12v12H6z', loop: 'M4 12a7 7 0 0 1 7-7h6m-3-3 3 3-3 3M20 12a7 7 0 0 1-7 7H7m3 3-3-3 3-3',
  dice: 'M5 5h14v14H5zM9 9h.01M15 15h.01M15 9h.01M9 15h.01M12 12h.01', lock: 'M7 11V8a5 5 0 0 1 10 0v3M5 11h14v9H5z',
  unlock: 'M7 11V8a5 5 0 0 1 9.6-2M5 11h14v9H5z', pin: 'M9 4h6l-1 6 3 3H7l3-3zM12 13v7', more: 'M5 12h.01M12 12h.01M19 12h.01',
  close: 'M6 6l12 12M18 6 6 18', plus: 'M12 5v14M5 12h14', minus: 'M5 12h14', undo: 'M9 7 4 12l5 5M4 12h10a6 6 0 0 1 0 12', help: 'M9 9a3 3 0 1 1 4 2.8c-.8.4-1 1-1 2.2M12 18h.01',
  down: 'M12 4v11m-5-5 5 5 5-5M5 20h14', next: 'M5 12h13m-6-6 6 6-6 6', fit: 'M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5', sliders: 'M4 7h9m4 0h3M4 17h3m4 0h9M15 4.5v5M9 14.5v5', mic: 'M12 3a3 3 0 0 0-3 3v6a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3zM5 11a7 7 0 0 0 14 0M12 18v3',
}
export const Icon = ({name}) => html`<svg class=${`icon icon-${name}`} viewBox="0 0 24 24" aria-hidden="true"><path d=${PATHS[name]} /></svg>`
