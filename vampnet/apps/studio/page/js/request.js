// Requests: what the page's settings ask the server for, as the JSON of a job.
import {withKept} from './prompt.js'

export const TASKS = ['vary', 'loop', 'fill', 'extend', 'continue', 'new', 'stretch', 'compress']
export const PROMPTED = ['vary', 'loop', 'fill']
/** Settings of sampling: default, lowest, highest, step. */
export const SETTINGS = {
  steps: [12, 1, 64, 1],
  c2f_steps: [2, 1, 16, 1],
  temperature: [0.9, 0, 2, 0.05],
  mask_temperature: [40, 0, 100, 0.5],
  top_p: [1, 0.05, 1, 0.01],
  typical_mass: [1, 0.05, 1, 0.01],
  typical_min_tokens: [64, 1, 512, 1],
}

/** Tasks of requests whose takes can follow the original. */
const FOLLOWING = new Set(['vamp', 'loop', 'inpaint', 'outpaint'])
const THEME = 'periodic(16) | beats(after=75ms)'

export function newEdit() {
  return {
    task: 'vary',
    prompts: {vary: 'periodic(7)', loop: 'periodic(7)', fill: 'nothing', theme: THEME, like: 'periodic(32) | beats(after=75ms)'},
    regions: [], paint: [], grid: null, beats: null, settings: {}, seed: randomSeed(), locked: false, n: 4,
    before: 0, after: 4, seconds: 8, factor: 2, bars: 0, points: false, rounds: 1, codebooks: 4, period: 1,
    fresh: {seconds: 10, like: false, bpm: '', key: '', chords: '', bars: '', style: '', instruments: ''},
    follow: [], best: 1, bundle: 'default', loras: [],
  }
}

export const randomSeed = () => crypto.getRandomValues(new Uint32Array(1))[0] % 1000000

const time = (seconds) => +seconds.toFixed(4)
export const spanText = ({start, end}) => `keep(${time(start)}, ${time(end)})`

/** Strokes of one kind as a part of the prompt's language: paint(1-2@40f:52f, 4@60f:80f). */
export function paintText(strokes, kind) {
  const some = strokes.filter((stroke) => stroke.kind === kind)
  if (!some.length) return ''
  const books = ({from, to}) => (from === to ? `${from}` : `${from}-${to}`)
  const texts = some.map((one) => `${books(one)}@${one.start}f:${one.end}f`)
  return `${kind === 'keep' ? 'paint' : 'erase'}(${texts.join(', ')})`
}

/** Strokes with one more; what it covers is taken away from strokes of the other kind. */
export function withStroke(strokes, added) {
  const left = strokes.flatMap((stroke) => (stroke.kind === added.kind ? [stroke] : cut(stroke, added)))
  return [...left, added]
}

function cut(stroke, hole) {
  const from = Math.max(stroke.from, hole.from), to = Math.min(stroke.to, hole.to)
  const start = Math.max(stroke.start, hole.start), end = Math.min(stroke.end, hole.end)
  if (from > to || start >= end) return [stroke]
  return [
    {...stroke, to: from - 1}, {...stroke, from: to + 1},
    {...stroke, from, to, end: start}, {...stroke, from, to, start: end},
  ].filter((part) => part.from <= part.to && part.start < part.end)
}

export const regionsOf = (edit, kind) => edit.regions.filter((region) => region.kind === kind)

/** The whole prompt: the text, kept regions and what is painted. */
export function wholePrompt(edit, name = edit.task) {
  const kept = regionsOf(edit, 'keep').map(spanText)
  const painted = paintText(edit.paint, 'keep'), erased = paintText(edit.paint, 'new')
  if (painted) kept.push(painted)
  const text = withKept(edit.prompts[name], kept)
  if (!erased) return text
  return `${text.includes('|') ? `(${text})` : text} & ${erased}`
}

/** Why nothing can be made yet, as the name of a sentence; empty where it can. */
export function obstacle(edit, hasSound) {
  if (!hasSound && edit.task !== 'new') return 'noSound'
  if (edit.task === 'fill' && !regionsOf(edit, 'new').length) return 'noRegion'
  if (edit.task === 'extend' && !(edit.before + edit.after > 0)) return 'noLength'
  return ''
}

/** The request of take `number` of `count` (from 1). `input`: reference of the sound that it starts from, or null. */
export function requestOf(edit, input, seed, length = Infinity, number = 1, count = 1) {
  const isLoop = edit.task === 'loop' && count > 1 // such takes share their seam, which is that of the first
  const sampling = {...edit.settings, seed: isLoop ? seed : seed + number - 1}
  const request = {task: '', sampling}
  if (isLoop) Object.assign(request, {variations: count, variation: number})
  if (edit.task !== 'new') request.input = input
  const model = {}
  if (edit.bundle !== 'default') model.bundle = edit.bundle
  if (edit.loras.length) model.lora = edit.loras.map(({name, strength}) => `${name}:${strength}`)
  if (Object.keys(model).length) request.model = model
  const beats = edit.beats ? handed(edit.beats) : edit.grid && {bpm: edit.grid.bpm, downbeat_s: time(edit.grid.downbeat_s), beats_per_bar: edit.grid.beats_per_bar}
  TASK[edit.task](request, edit, beats, input, length)
  if (edit.follow.length && FOLLOWING.has(request.task)) {
    request.steering = {follow: edit.follow.join(','), ...(edit.best > 1 && {best_of: edit.best})}
  }
  return request
}

/** Beats by hand as a request has them. */
function handed(list) {
  const downs = list.filter(([, bar]) => bar)
  return {beats_s: list.map(([at]) => at), ...(downs.length && {downbeats_s: downs.map(([at]) => at)})}
}

const TASK = {
  vary(request, edit, beats, input, length) {
    const regions = regionsOf(edit, 'new')
    if (regions.length) return TASK.fill(request, edit, beats, input, length)
    if (edit.rounds > 1) Object.assign(request, {task: 'telephone', rounds: edit.rounds, prompt: wholePrompt(edit)})
    else Object.assign(request, {task: 'vamp', prompt: wholePrompt(edit)})
    if (beats) request.beats = beats
    if (edit.rounds > 1) return
  },
  loop(request, edit, beats) {
    Object.assign(request, {task: 'loop', prompt: wholePrompt(edit)})
    if (edit.bars) request.bars = edit.bars
    if (edit.points) request.loop_points = true
    if (beats) request.beats = beats
  },
  fill(request, edit, beats, input, length) {
    const regions = regionsOf(edit, 'new').map(({start, end}) => [time(start), time(Math.min(end, length))])
    Object.assign(request, {task: 'inpaint', regions, prompt: wholePrompt(edit)})
    if (beats) request.beats = beats
  },
  extend(request, edit) {
    Object.assign(request, {task: 'outpaint', theme: edit.prompts.theme})
    if (edit.before) request.before_s = edit.before
    if (edit.after) request.after_s = edit.after
  },
  continue(request, edit) {
    Object.assign(request, {task: 'outpaint', after_s: edit.seconds, theme: edit.prompts.theme})
  },
  new(request, edit, beats, input) {
    const {fresh} = edit
    request.task = 'generate'
    if (fresh.like && input) {
      Object.assign(request, {like: input, seconds: fresh.seconds, prompt: edit.prompts.like})
      return
    }
    const words = {}
    if (fresh.bpm) words.bpm = +fresh.bpm
    if (fresh.bars) words.bars = Math.round(+fresh.bars)
    for (const name of ['key', 'chords', 'style']) if (fresh[name]) words[name] = fresh[name]
    const instruments = fresh.instruments.split(',').map((name) => name.trim()).filter(Boolean)
    if (instruments.length) words.instruments = instruments
    if (Object.keys(words).length) request.words = words
    if (!words.bars) request.seconds = fresh.seconds
  },
  stretch(request, edit) {
    Object.assign(request, {task: 'stretch', factor: edit.factor})
  },
  compress(request, edit) {
    Object.assign(request, {task: 'compress', compression: {codebooks: edit.codebooks, period: edit.period}})
    delete request.sampling
  },
}
