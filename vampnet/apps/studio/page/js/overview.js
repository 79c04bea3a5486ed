// Overview below the stage: the whole sound, with the visible stretch as a window that moves. Shown when zoomed in.
import {useLayoutEffect, useRef} from '../vendor/hooks.js'
import {colours, drawWave} from './draw.js'
import {refOf, startOf} from './project.js'
import {extent} from './sound.js'
import {soundOf} from './sounds.js'
import {shownNode, show} from './stage.js'
import {html, state} from './store.js'
import {T} from './texts.js'

export function Overview() {
  const canvas = useRef()
  const [low, high] = extent(), {start, end} = state.view
  const zoomed = high > low && end - start < (high - low) * 0.999
  useLayoutEffect(() => {
    if (!zoomed || !canvas.current) return
    const node = shownNode(), ref = refOf(node)
    drawWave(canvas.current, {start: low, end: high}, ref && soundOf(ref).peaks, startOf(node), colours(canvas.current), state.side)
  })
  if (!zoomed) return null
  const to = (event) => {
    const {left, width} = event.currentTarget.getBoundingClientRect()
    show(low + ((event.clientX - left) / width) * (high - low) - (end - start) / 2)
  }
  const onKeyDown = (event) => {
    const sign = {ArrowRight: 1, ArrowLeft: -1}[event.key]
    if (!sign) return
    event.preventDefault()
    event.stopPropagation()
    show(start + sign * (end - start) * 0.2)
  }
  const left = `${((start - low) / (high - low)) * 100}%`, width = `${((end - start) / (high - low)) * 100}%`
  return html`<div class="overview" onPointerDown=${(event) => { event.currentTarget.setPointerCapture(event.pointerId); to(event) }}
      onPointerMove=${(event) => event.buttons && to(event)}>
    <canvas ref=${canvas} aria-hidden="true"></canvas>
    <span class="window" style=${{left, width}} role="slider" tabindex="0" aria-label=${T.overview} aria-valuemin=${low.toFixed(2)}
      aria-valuemax=${high.toFixed(2)} aria-valuenow=${start.toFixed(2)} aria-valuetext=${T.seconds(start)} onKeyDown=${onKeyDown}></span>
  </div>`
}
