// Transport: play, loop, A/B, dry and wet, place and zoom; tools of the stage; beats.
import {useEffect, useRef} from '../vendor/hooks.js'
import {addBeat, beatsNow, gridFromFound, listBeats, moveBeat, removeBeat, setGrid, takeBeats, tap, toggleBar} from './beats.js'
import {clock} from './draw.js'
import {Icon, Menu, NumberInput, Segments} from './inputs.js'
import {generate} from './jobs.js'
import {nameOf, refOf, takesOf} from './project.js'
import {BrushPanel} from './promptpanel.js'
import {addRegionHere, changeRegion, removeRegion, solo} from './regions.js'
import {obstacle} from './request.js'
import {applyRange, extent, hear, nodeA, place, setVolume, setWet, toggle} from './sound.js'
import {soundOf} from './sounds.js'
import {shownNode, zoom, zoomFit} from './stage.js'
import {edit, html, set, state} from './store.js'
import {T} from './texts.js'

export function StageBar() {
  const ref = refOf(shownNode()), sound = ref && soundOf(ref), base = refOf(state.base) && soundOf(refOf(state.base))
  const beats = beatsNow(), analysis = base?.analysis
  const facts = sound ? [sound.seconds && T.length(sound.seconds), T.channels(sound.channels || base?.channels), T.rate(sound.rate || base?.rate),
    beats?.bpm && T.bpm(beats.bpm), analysis?.key, !analysis && base && T.listening].filter(Boolean) : []
  return html`<div class="stage-bar">
    <div class="what"><h2>${nameOf(shownNode())}${shownNode() !== state.base ? '' : state.base === 'input' ? '' : html` <span class="badge">${T.baseBadge}</span>`}</h2>
      <p class="facts">${facts.join(' · ')}</p></div>
    <${Segments} label=${T.tool} value=${state.tool} onChange=${(tool) => set({tool, ...(tool === 'paint' && {side: 'A'})})}
      options=${[['regions', T.tools.regions, T.toolHints.regions], ['paint', T.tools.paint, T.toolHints.paint], ['beats', T.tools.beats, T.toolHints.beats]]} />
    <${Segments} label=${T.unit} value=${state.unit} onChange=${(unit) => set({unit})} options=${[['s', T.secondsUnit], ['bars', T.barsUnit]]} />
    <div class="segments" role="group" aria-label=${T.zoom}>
      <button aria-label=${T.zoomOut} title=${T.zoomOut} onClick=${() => zoom(1 / 1.6)}><${Icon} name="minus" /></button>
      <button aria-label=${T.zoomFit} title=${T.zoomFit} onClick=${zoomFit}><${Icon} name="fit" /></button>
      <button aria-label=${T.zoomIn} title=${T.zoomIn} onClick=${() => zoom(1.6)}><${Icon} name="plus" /></button>
    </div>
  </div>`
}

export function ToolPanel() {
  if (state.tool === 'paint') return html`<${BrushPanel} />`
  if (state.tool === 'beats') return html`<${BeatsPanel} />`
  return html`<${RegionsPanel} />`
}

function RegionsPanel() {
  const region = state.edit.regions.find((one) => one.id === state.selected)
  const kind = region?.kind ?? state.regionKind ?? 'new'
  const turn = (value) => {
    set({regionKind: value})
    if (region) changeRegion(region.id, {kind: value})
  }
  return html`<div class="tool-panel row">
    <${Segments} label=${T.regionKind} value=${kind} onChange=${turn} options=${[['new', T.kinds.new, T.kindHints.new], ['keep', T.kinds.keep, T.kindHints.keep]]} />
    <button onClick=${addRegionHere}>${T.addRegion}</button>
    ${region ? html`<span class="times">${clock(region.start)} – ${clock(region.end)}</span>
        <button aria-pressed=${Boolean(state.soloRegion)} onClick=${() => solo(region.id)}>${T.loopRegion}</button>
        <button onClick=${() => removeRegion(region.id)}>${T.removeRegion}</button>`
      : html`<span class="hint">${T.dragHint}</span>`}
    ${state.edit.regions.length > 1 && html`<button class="quiet" onClick=${() => { edit({regions: []}); set({selected: null, soloRegion: false}); applyRange() }}>${T.clearRegions}</button>`}
  </div>`
}

const BEATS = {found: () => edit({grid: null, beats: null}), own: () => setGrid({}), hand: takeBeats}

function BeatsPanel() {
  const {grid, beats} = state.edit
  return html`<div class="tool-panel row beats-panel">
    <${Segments} label=${T.beatsFrom} value=${beats ? 'hand' : grid ? 'own' : 'found'} onChange=${(value) => BEATS[value]()}
      options=${[['found', T.foundBeats, T.foundBeatsHint], ['own', T.ownBeats, T.ownBeatsHint], ['hand', T.handBeats, T.handBeatsHint]]} />
    ${beats ? html`<${BeatFields} />` : html`<${GridFields} />`}
  </div>`
}

function BeatFields() {
  const beats = listBeats(), k = Math.min(state.beat, beats.length - 1), [time, bar] = beats[k]
  return html`<label>${T.beatTime(k + 1, beats.length)}<${NumberInput} step="any" value=${time} onNumber=${(value) => moveBeat(k, value, '')} /></label>
    <button aria-pressed=${Boolean(bar)} onClick=${() => toggleBar(k)}>${T.beginsBar}</button>
    <button onClick=${() => removeBeat(k)}>${T.removeBeat}</button>
    <button onClick=${() => addBeat(place())}>${T.addBeat}</button>
    <span class="hint">${T.beatsHint}</span>`
}

function GridFields() {
  const {grid} = state.edit, shown = grid ?? gridFromFound()
  const field = (name, label, step) => html`<label>${label}<${NumberInput} step=${step} value=${shown[name]}
    onNumber=${(value) => setGrid({[name]: value}, `grid ${name}`)} /></label>`
  return html`${field('bpm', T.bpmLabel, 'any')} ${field('downbeat_s', T.firstBeat, 'any')} ${field('beats_per_bar', T.perBar, 1)}
    <button onClick=${() => tap()}>${T.tap} <kbd>t</kbd></button>
    <button onClick=${() => setGrid({bpm: shown.bpm * 2})} aria-label=${T.doubleTime}>×2</button>
    <button onClick=${() => setGrid({bpm: shown.bpm / 2})} aria-label=${T.halfTime}>÷2</button>
    <span class="hint">${grid ? T.gridHint : T.foundHint}</span>`
}

export function Transport() {
  const clockBox = useRef()
  useEffect(() => {
    let timer = 0
    const tell = () => {
      if (clockBox.current) clockBox.current.textContent = `${clock(place())} / ${clock(extent()[1])}`
      if (state.playing) timer = setTimeout(tell, 60)
    }
    tell()
    return () => clearTimeout(timer)
  })
  const others = takesOf().filter((take) => take.id !== state.heard)
  return html`<div class="transport" role="group" aria-label=${T.transport}>
    <button class="round play" onClick=${toggle} aria-label=${state.playing ? T.stop : T.play} title=${`${state.playing ? T.stop : T.play} (Space)`} aria-busy=${Boolean(state.loadingSound)}>
      <${Icon} name=${state.playing ? 'stop' : 'play'} /></button>
    <button class="icon-button" aria-pressed=${state.loop} aria-label=${T.loop} title=${`${T.loop} (l)`} onClick=${() => { set({loop: !state.loop}); applyRange() }}><${Icon} name="loop" /></button>
    <span class="clock" ref=${clockBox}></span>
    <button class="main only-phone" onClick=${() => generate()} disabled=${Boolean(obstacle(state.edit, Boolean(refOf(state.base)))) || state.maskError !== ''}>${T.makeShort(state.edit.task === 'compress' ? 1 : state.edit.n)}</button>
    <div class="ab" role="group" aria-label=${T.ab}>
      <button aria-pressed=${state.side === 'A'} onClick=${() => hear('A')} title=${T.hearA}><b>A</b><span>${nameOf(nodeA())}</span></button>
      <button aria-pressed=${state.side === 'B'} onClick=${() => hear('B')} disabled=${!state.heard} title=${T.hearB}><b>B</b><span>${state.heard ? nameOf(state.heard) : T.noB}</span></button>
      <${Menu} label=${T.compareWith} class="icon-button" items=${[[T.compareBase(nameOf(state.base)), () => against(null)],
        state.base !== 'input' && [nameOf('input'), () => against('input')],
        ...others.filter((take) => take.id !== state.base).map((take) => [nameOf(take.id), () => against(take.id)])]}><${Icon} name="more" /><//>
    </div>
    <label class="mix"><span>${T.dry}</span><input type="range" min="0" max="1" step="0.01" value=${state.wet} style=${{'--share': `${state.wet * 100}%`}} disabled=${!state.heard}
      aria-label=${T.wetLabel} aria-valuetext=${T.percent(state.wet)} onInput=${(event) => setWet(+event.target.value)} /><span>${T.wet}</span></label>
    <${Menu} label=${T.playSettings} class="icon-button" items=${[[state.swap === 'end' ? T.swapNow : T.swapEnd, () => set({swap: state.swap === 'end' ? 'now' : 'end'})],
      [state.follow ? T.followOff : T.followOn, () => set({follow: !state.follow})],
      ...[1, 0.5, 0.25].map((volume) => [T.volume(volume), () => setVolume(volume)])]}><${Icon} name="sliders" /><//>
  </div>`
}

function against(node) {
  set({against: node})
  hear('A')
}

