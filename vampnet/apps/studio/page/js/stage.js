// The stage: ruler, waveform, spectrogram with the mask, regions and playhead, all on one time axis.
import {useEffect, useLayoutEffect, useRef} from '../vendor/hooks.js'
import {beatsNow} from './beats.js'
import {colours, drawBeats, drawMask, drawMel, drawRuler, drawWave, fit} from './draw.js'
import {Overview} from './overview.js'
import {pointer} from './pointing.js'
import {refOf, startOf} from './project.js'
import {BeatHandle, GridHandle, Regions} from './regions.js'
import {extent, nodeA, place} from './sound.js'
import {loadAnalysis, loadFacts, loadMel, loadPeaks, loadStretch, BINS, soundOf} from './sounds.js'
import {changed, html, set, state, toast} from './store.js'
import {T} from './texts.js'

/** The node whose sound is drawn: what one hears. */
export const shownNode = () => (state.side === 'B' && state.heard ? state.heard : nodeA())

const mels = new Map() // reference -> spectrogram of the stretch that was asked for last
const sharp = new Map() // reference -> peaks of that stretch, where those of the whole are too coarse

export function Stage() {
  const box = useRef(), ruler = useRef(), wave = useRef(), mel = useRef(), mask = useRef(), beats = useRef(), head = useRef(), brush = useRef()
  const node = shownNode(), ref = refOf(node), {view} = state

  useEffect(() => {
    if (!ref) return
    Promise.all([loadFacts(ref), loadPeaks(ref, BINS)]).then(fitOnce).catch((error) => toast(error.message, {kind: 'error'}))
    loadAnalysis(refOf(state.base) ?? ref).catch((error) => toast(error.message, {kind: 'error'}))
  }, [ref, state.base])

  useEffect(() => {
    if (!ref || !soundOf(ref).seconds || view.end <= view.start) return
    const {seconds} = soundOf(ref), at = startOf(node)
    const start = Math.max(0, view.start - at), end = Math.min(seconds, view.end - at)
    if (end <= start) return
    const known = mels.get(ref)
    if (known && known.start <= start + 1e-3 && known.end >= end - 1e-3 && known.end - known.start < 2 * (end - start)) return
    const calling = new AbortController()
    const timer = setTimeout(async () => {
      try {
        const width = Math.min(1600, Math.max(200, Math.round(box.current.clientWidth)))
        const coarse = (BINS / seconds) * (end - start) < width * 0.9
        const [made, peaks] = await Promise.all([loadMel(ref, start, end, width, calling.signal),
          coarse ? loadStretch(ref, start, end, 2 * width, calling.signal) : null])
        if (made) mels.set(ref, made)
        if (peaks) sharp.set(ref, peaks)
        changed()
      } catch (error) {
        if (error.name !== 'AbortError') toast(error.message, {kind: 'error'})
      }
    }, known ? 120 : 0)
    return () => {
      clearTimeout(timer)
      calling.abort()
    }
  }, [ref, view.start, view.end, ref && soundOf(ref).seconds])

  const paint = () => {
    if (!box.current) return
    const palette = colours(box.current), sound = ref ? soundOf(ref) : null, at = ref ? startOf(node) : 0
    drawRuler(ruler.current, view, state.unit, beatsNow(), palette)
    const near = ref && sharp.get(ref)
    const fits = near && near.start <= Math.max(0, view.start - at) + 1e-3 && near.end >= Math.min(view.end - at, sound.seconds) - 1e-3 && near.end - near.start < 3 * (view.end - view.start)
    drawWave(wave.current, view, fits ? near : sound?.peaks, at, palette, state.side)
    drawMel(mel.current, view, ref ? mels.get(ref) : null, at, palette)
    drawMask(mask.current, view, state.side === 'A' ? state.mask : null, 0, palette)
    drawBeats(beats.current, view, beatsNow(), palette, state.tool === 'beats')
    drawBrush(brush.current, view, palette)
  }
  useLayoutEffect(paint)
  useEffect(() => {
    const watch = new ResizeObserver(paint)
    watch.observe(box.current)
    const dark = matchMedia('(prefers-color-scheme: dark)')
    dark.addEventListener('change', paint)
    return () => {
      watch.disconnect()
      dark.removeEventListener('change', paint)
    }
  })

  useEffect(() => {
    let frame = 0
    const move = () => {
      const {start, end} = state.view
      const share = (place() - start) / (end - start || 1)
      if (head.current) {
        head.current.style.transform = `translateX(${(share * box.current.clientWidth).toFixed(2)}px)`
        head.current.hidden = share < 0 || share > 1
      }
      if (state.playing) frame = requestAnimationFrame(move)
    }
    move()
    return () => cancelAnimationFrame(frame)
  })

  return html`<div class="stage-body">
    <div class="axis" ref=${box} ...${pointer(box)} data-tool=${state.tool}>
      <canvas class="ruler" ref=${ruler} aria-hidden="true"></canvas>
      <canvas class="wave" ref=${wave} role="img" aria-label=${T.waveLabel(ref ? soundOf(ref).seconds : 0)}></canvas>
      <div class="mel">
        <canvas ref=${mel} role="img" aria-label=${T.melLabel}></canvas>
        ${ref && !mels.has(ref) && html`<span class="drawing hint">${T.drawing}</span>`}
        <canvas ref=${mask} role="img" aria-label=${T.maskLabel(state.mask?.kept_share)}></canvas>
        <canvas ref=${brush} aria-hidden="true"></canvas>
      </div>
      <canvas class="beats" ref=${beats} aria-hidden="true"></canvas>
      <${Regions} />
      ${state.tool === 'beats' && (state.edit.beats ? html`<${BeatHandle} />` : state.edit.grid && html`<${GridHandle} />`)}
      <div class="playhead" ref=${head}></div>
    </div>
    <${Overview} />
  </div>`
}

function drawBrush(canvas, view, palette) {
  const {context, width, height} = fit(canvas)
  const {stroke, mask} = state
  if (!stroke || !mask) return
  const perSecond = width / (view.end - view.start), row = height / mask.n_codebooks
  const x = (stroke.start / mask.frames_per_s - view.start) * perSecond
  context.fillStyle = stroke.kind === 'keep' ? palette.keep : palette.fresh
  context.globalAlpha = 0.5
  context.fillRect(x, height - stroke.to * row, ((stroke.end - stroke.start) / mask.frames_per_s) * perSecond, (stroke.to - stroke.from + 1) * row)
  context.globalAlpha = 1
}

let fitted = ''
/** Show all of a sound, once, when it is opened. */
function fitOnce() {
  const key = `${state.project?.id} ${state.base} ${state.heard}`
  const [low, high] = extent()
  if (high <= low) return
  if (key !== fitted || state.view.end <= state.view.start) {
    fitted = key
    const {start, end} = state.view
    if (end <= start || low < start || high > end || high < end - 0.01) set({view: {start: low, end: high}})
  }
}

export function zoom(factor, around = null) {
  const [low, high] = extent(), {start, end} = state.view
  const centre = around ?? (place() >= start && place() <= end ? place() : (start + end) / 2)
  const length = Math.min(high - low, Math.max(0.05, (end - start) / factor))
  show(centre - ((centre - start) / (end - start)) * length, length)
}

export function show(start, length = state.view.end - state.view.start) {
  const [low, high] = extent()
  const from = Math.max(low, Math.min(start, high - length))
  set({view: {start: from, end: Math.min(high, from + length)}})
}

export function zoomFit() {
  const [start, end] = extent()
  if (end > start) set({view: {start, end}})
}
