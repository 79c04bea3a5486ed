// Takes: cards that play, and the tree that shows what came from what.
import {useEffect, useLayoutEffect, useRef, useState} from '../vendor/hooks.js'
import {shiftedBeats} from './beats.js'
import {download, get, hasKey} from './api.js'
import {colours, drawWave} from './draw.js'
import {Icon, Menu, Segments} from './inputs.js'
import {cancel, isRunning, progressOf} from './jobs.js'
import {nameOf, originOf, patchTake, refOf, removeTake, takeOf, takesOf, treeOf} from './project.js'
import {choose, hear, stop} from './sound.js'
import {loadPeaks, soundOf, urlOf} from './sounds.js'
import {changed, html, remember, set, state, toast} from './store.js'
import {T} from './texts.js'

const FORMATS = ['wav', 'flac', 'mp3', 'ogg', 'opus']

export function Takes() {
  const jobs = Object.values(state.jobs), takes = takesOf()
  const pinned = takes.filter((take) => take.pinned), others = takes.filter((take) => !take.pinned).reverse()
  return html`<section class="card takes-card" aria-label=${T.takes}>
    <div class="section-top"><h2>${T.takes}${takes.length ? html` <span class="count">${takes.length}</span>` : ''}</h2>
      ${takes.length > 0 && html`<${Segments} label=${T.listLabel} value=${state.list} onChange=${(list) => set({list})} options=${[['cards', T.cards], ['tree', T.tree]]} />`}</div>
    ${state.base !== 'input' && html`<p class="base-note">${T.goingOnFrom(nameOf(state.base))} <button class="quiet" onClick=${() => goOnFrom('input')}>${T.backToInput}</button></p>`}
    ${!jobs.length && !takes.length && html`<p class="empty">${T.noTakes}</p>`}
    ${state.list === 'tree' && takes.length ? html`<${Tree} jobs=${jobs} />` : html`<ul class="takes" aria-label=${T.takes}>
      ${jobs.map((job) => html`<${Pending} key=${job.id} job=${job} />`)}
      ${[...pinned, ...others].map((take) => html`<${Card} key=${take.id} take=${take} />`)}
    </ul>`}
  </section>`
}

function Pending({job}) {
  if (!isRunning(job)) {
    return html`<li class="take failed" role="alert"><div class="take-top"><strong>${T.failed}</strong></div>
      <p>${job.error ?? T.unknownFailure}</p><button class="quiet" onClick=${() => cancel(job.id)}>${T.close}</button></li>`
  }
  const {share, text} = progressOf(job)
  return html`<li class="take pending"><div class="take-top"><strong>${T.coming}</strong><span class="seed-note">${T.seedIs((job.request?.sampling?.seed ?? 0) + (job.request?.variation ?? 1) - 1)}</span></div>
    <progress max="1" value=${share} aria-label=${T.progress}></progress>
    <div class="take-foot"><span class="hint">${text}</span><button class="quiet" onClick=${() => cancel(job.id)} disabled=${job.stopping}>${T.cancel}</button></div></li>`
}

export function goOnFrom(node) {
  const moved = originOf(node) - originOf(state.base), {task, bars} = takeOf(node)?.request ?? {}
  const beats = task === 'stretch' || bars ? {grid: null, beats: null} : moved ? shiftedBeats(state.edit, moved) : {}
  remember()
  stop()
  set({base: node, heard: null, against: null, side: 'A', mask: null, selected: null, soloRegion: false, view: {start: 0, end: 0},
    edit: {...state.edit, ...beats, regions: [], paint: []}})
  document.querySelector('.axis')?.scrollIntoView?.({block: 'nearest'})
}

function Card({take}) {
  const heard = state.heard === take.id, isBase = state.base === take.id, ref = `job:${take.job}/${take.number}`
  const sounding = heard && state.side === 'B' && state.playing
  const press = () => {
    if (sounding) return stop()
    if (heard && state.playing) return hear('B')
    return choose(take.id, {play: true})
  }
  return html`<li class=${`take${heard ? ' heard' : ''}${isBase ? ' base' : ''}`} aria-current=${heard ? 'true' : undefined} data-take=${take.id}
      draggable="true" onDragStart=${(event) => dragOut(event, take)}>
    <div class="take-top">
      <button class="round small" onClick=${press} aria-label=${sounding ? T.stopTake(nameOf(take.id)) : T.playTake(nameOf(take.id))}><${Icon} name=${sounding ? 'stop' : 'play'} /></button>
      <${Name} take=${take} />
      <button class="icon-button pin" aria-pressed=${Boolean(take.pinned)} aria-label=${T.pin(nameOf(take.id))} title=${T.pinHint} onClick=${() => act(() => patchTake(take.id, {pinned: !take.pinned}))}><${Icon} name="pin" /></button>
      <${TakeMenu} take=${take} />
    </div>
    <${Small} refText=${ref} chosen=${heard} onClick=${() => choose(take.id)} />
    <p class="summary" title=${take.summary}>${state.arriving === take.id ? T.arriving : take.summary.replace(/, seed \d+$/, '')}</p>
    <div class="take-foot"><span class="seed-note">${T.seedIs(take.seed)}</span>
      <button class="quiet go-on" onClick=${() => goOnFrom(take.id)} disabled=${isBase} aria-label=${T.goOnFrom(nameOf(take.id))}>${isBase ? T.isBase : T.goOn} ${!isBase && html`<${Icon} name="next" />`}</button></div>
  </li>`
}

function Name({take}) {
  const [open, setOpen] = useState(false), box = useRef()
  useEffect(() => {
    const start = (event) => event.detail === take.id && setOpen(true)
    addEventListener('rename-take', start)
    return () => removeEventListener('rename-take', start)
  }, [take.id])
  useLayoutEffect(() => open && box.current?.select(), [open])
  const done = (event) => {
    setOpen(false)
    const name = event.target.value.trim()
    if (name && name !== take.name) act(() => patchTake(take.id, {name}))
  }
  if (open) {
    return html`<input class="name" ref=${box} defaultValue=${nameOf(take.id)} aria-label=${T.rename} onBlur=${done}
      onKeyDown=${(event) => { event.stopPropagation(); if (event.key === 'Enter') event.target.blur(); if (event.key === 'Escape') { event.target.value = ''; event.target.blur() } }} />`
  }
  return html`<button class="name" onClick=${() => choose(take.id)} onDblClick=${() => setOpen(true)} title=${T.nameHint}>${nameOf(take.id)}</button>`
}

/** A small waveform. */
function Small({refText: ref, chosen, onClick}) {
  const canvas = useRef(), sound = soundOf(ref)
  useEffect(() => {
    loadPeaks(ref, 240).catch(() => {})
  }, [ref])
  useLayoutEffect(() => {
    const peaks = sound.peaks
    if (peaks) drawWave(canvas.current, {start: 0, end: peaks.seconds}, peaks, 0, colours(canvas.current), chosen ? 'B' : 'A')
  })
  return html`<canvas class="small-wave" ref=${canvas} onClick=${onClick} aria-hidden="true"></canvas>`
}

const fileName = (take, format) => `${nameOf(take.id).replace(/[^\p{L}\p{N} ._-]+/gu, '-')}.${format}`

async function act(work) {
  try {
    return await work()
  } catch (error) {
    toast(error.message, {kind: 'error'})
  }
}

const save = (take, format) => act(() => download(`${urlOf(`job:${take.job}/${take.number}`)}/audio?format=${format}`, fileName(take, format)))

/** What a drag hands to the desktop or a DAW: an address of the file that the browser fetches. Needs no key. */
function dragOut(event, take) {
  if (hasKey()) return
  const address = new URL(`${urlOf(`job:${take.job}/${take.number}`)}/audio?format=wav`, location.href).href
  event.dataTransfer.setData('DownloadURL', `audio/wav:${fileName(take, 'wav')}:${address}`)
  event.dataTransfer.setData('text/uri-list', address)
  event.dataTransfer.effectAllowed = 'copy'
}

async function copy(take, kind) {
  const path = `${urlOf(`job:${take.job}/${take.number}`)}/code`
  await act(async () => {
    const code = await get(path)
    const text = typeof code[kind] === 'string' ? code[kind] : JSON.stringify(code[kind], null, 2)
    try {
      await navigator.clipboard.writeText(text)
      toast(T.copied(T.codes[kind]))
    } catch {
      set({dialog: {kind: 'text', title: T.codes[kind], text}})
    }
  })
}

function TakeMenu({take}) {
  const rename = () => dispatchEvent(new CustomEvent('rename-take', {detail: take.id}))
  return html`<${Menu} label=${T.moreOf(nameOf(take.id))} class="icon-button" items=${[
    [T.compareThis, () => { set({against: take.id}); hear('A') }],
    [T.rename, rename],
    ...FORMATS.map((format) => [T.downloadAs(format), () => save(take, format)]),
    ...['command', 'python', 'json'].map((kind) => [T.copyAs(T.codes[kind]), () => copy(take, kind)]),
    [T.sameSettings, () => reuse(take)],
    [T.removeTake, () => removeTake(take.id), 'danger']]}><${Icon} name="more" /><//>`
}

/** Take over a take's sampling settings and seed. */
function reuse(take) {
  remember()
  const {seed, ...settings} = take.request?.sampling ?? {}
  const {variation, variations} = take.request ?? {}
  state.edit = {...state.edit, settings, seed: (variation ? seed : take.seed) ?? seed ?? state.edit.seed, locked: true}
  if (variation) state.edit.n = variations // of takes that share their seam, the first is needed too
  if (take.request?.prompt && state.edit.prompts[state.edit.task] !== undefined) {
    state.edit.prompts = {...state.edit.prompts, [state.edit.task]: take.request.prompt}
  }
  changed()
}

function Tree({jobs}) {
  const roots = treeOf()
  const onKeyDown = (event) => {
    const rows = [...event.currentTarget.querySelectorAll('[role=treeitem]')], at = rows.indexOf(document.activeElement)
    const to = {ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1}[event.key]
    if (to !== undefined) rows[Math.max(0, Math.min(rows.length - 1, to))].focus()
    else if (event.key === 'Enter') document.activeElement.querySelector('.name')?.click()
    else return
    event.preventDefault()
    event.stopPropagation()
  }
  return html`<ul class="tree" role="tree" aria-label=${T.treeLabel} onKeyDown=${onKeyDown}>
    <li role="treeitem" tabindex="0" aria-expanded="true" aria-selected=${state.base === 'input'} class=${state.base === 'input' ? 'base' : ''}>
      <div class="tree-row"><button class="name" tabindex="-1" onClick=${() => hear('A')}>${refOf('input') ? nameOf('input') : T.nothingYet}</button>
      ${state.base !== 'input' && refOf('input') && html`<button class="quiet" tabindex="-1" onClick=${() => goOnFrom('input')}>${T.goOn}</button>`}</div>
      <ul role="group">${roots.map((node) => html`<${Branch} key=${node.take.id} node=${node} />`)}
        ${jobs.map((job) => html`<li key=${job.id} role="treeitem" tabindex="-1" aria-selected="false" class="pending"><div class="tree-row"><span>${T.coming}</span><span class="hint">${isRunning(job) ? progressOf(job).text : job.error}</span></div></li>`)}</ul>
    </li></ul>`
}

function Branch({node: {take, children}}) {
  const isBase = state.base === take.id
  return html`<li role="treeitem" tabindex="-1" aria-expanded=${children.length ? 'true' : undefined} aria-selected=${state.heard === take.id}
      class=${`${isBase ? 'base' : ''}${state.heard === take.id ? ' heard' : ''}`}>
    <div class="tree-row"><button class="name" tabindex="-1" onClick=${() => choose(take.id, {play: true})}>${take.pinned ? '★ ' : ''}${nameOf(take.id)}</button>
      <span class="hint">${take.summary}</span>
      <button class="quiet" tabindex="-1" disabled=${isBase} onClick=${() => goOnFrom(take.id)}>${isBase ? T.isBase : T.goOn}</button></div>
    ${children.length > 0 && html`<ul role="group">${children.map((child) => html`<${Branch} key=${child.take.id} node=${child} />`)}</ul>`}
  </li>`
}

export const chooseNumber = (number) => {
  const take = takesOf()[number - 1]
  if (take) choose(take.id)
}
