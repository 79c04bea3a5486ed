// Drawing on canvases: waveform, spectrogram, mask, ruler. All get the visible stretch {start, end} in seconds.

export function colours(element) {
  const style = getComputedStyle(element)
  const get = (name) => style.getPropertyValue(name).trim()
  return {ink: get('--ink'), soft: get('--soft'), line: get('--line'), wave: get('--wave'), keep: get('--keep'), fresh: get('--new'),
    card: get('--card'), veil: get('--veil'), map: get('--map').split(',').map((text) => text.trim()), rms: get('--rms')}
}

/** Fit a canvas to its box, in device pixels; gives its context, width and height in CSS pixels. */
export function fit(canvas) {
  const ratio = Math.min(2, devicePixelRatio || 1)
  const width = canvas.clientWidth, height = canvas.clientHeight
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio)
    canvas.height = Math.round(height * ratio)
  }
  const context = canvas.getContext('2d')
  context.setTransform(ratio, 0, 0, ratio, 0, 0)
  context.clearRect(0, 0, width, height)
  return {context, width, height}
}

/** Waveform from peaks of a sound that begins at `at`. peaks: {low, high, start, seconds}. */
export function drawWave(canvas, view, peaks, at, palette, side) {
  const {context, width, height} = fit(canvas)
  if (!peaks || !width) return
  const n = peaks.low.length, middle = height / 2
  const from = (peaks.start ?? 0) + at
  const top = Math.max(0.05, peaks.top ?? Math.max(...peaks.high.map(Math.abs), ...peaks.low.map(Math.abs)))
  const scale = (height / 2 - 3) / Math.min(1, Math.max(0.25, top))
  const perSecond = n / peaks.seconds, step = (view.end - view.start) / width
  context.fillStyle = side === 'B' ? palette.fresh : palette.wave
  context.globalAlpha = 0.92
  for (let x = 0; x < width; x++) {
    const first = (view.start + x * step - from) * perSecond, last = first + step * perSecond
    let low = 1, high = -1
    for (let k = Math.max(0, Math.floor(first)); k < Math.min(n, Math.max(Math.ceil(last), Math.floor(first) + 1)); k++) {
      if (peaks.low[k] < low) low = peaks.low[k]
      if (peaks.high[k] > high) high = peaks.high[k]
    }
    if (high < low) continue
    const y = middle - high * scale, bottom = middle - low * scale
    context.fillRect(x, y, 1, Math.max(1, bottom - y))
  }
  context.globalAlpha = 1
}

const maps = new Map()
function colourMap(stops) {
  const key = stops.join()
  if (maps.has(key)) return maps.get(key)
  const parsed = stops.map((text) => [1, 3, 5].map((k) => parseInt(text.slice(k, k + 2), 16)))
  const table = new Uint8Array(256 * 3)
  for (let value = 0; value < 256; value++) {
    const place = (value / 255) * (parsed.length - 1), k = Math.min(parsed.length - 2, Math.floor(place)), f = place - k
    for (let c = 0; c < 3; c++) table[value * 3 + c] = parsed[k][c] + (parsed[k + 1][c] - parsed[k][c]) * f
  }
  maps.set(key, table)
  return table
}

const pictures = new WeakMap()
function pictureOf(mel, stops) {
  const known = pictures.get(mel)
  if (known?.key === stops.join()) return known.canvas
  const {width, height, data} = mel, table = colourMap(stops)
  const canvas = document.createElement('canvas')
  canvas.width = width
  canvas.height = height
  const image = new ImageData(width, height)
  for (let row = 0; row < height; row++) {
    for (let x = 0; x < width; x++) {
      const value = data[row * width + x], to = ((height - 1 - row) * width + x) * 4
      image.data[to] = table[value * 3]
      image.data[to + 1] = table[value * 3 + 1]
      image.data[to + 2] = table[value * 3 + 2]
      image.data[to + 3] = 255
    }
  }
  canvas.getContext('2d').putImageData(image, 0, 0)
  pictures.set(mel, {key: stops.join(), canvas})
  return canvas
}

/** Mel spectrogram of a sound that begins at `at`. */
export function drawMel(canvas, view, mel, at, palette) {
  const {context, width, height} = fit(canvas)
  if (!mel?.width || !width) return
  const perSecond = width / (view.end - view.start)
  context.imageSmoothingEnabled = true
  context.drawImage(pictureOf(mel, palette.map), 0, 0, mel.width, mel.height,
    (mel.start + at - view.start) * perSecond, 0, (mel.end - mel.start) * perSecond, height)
}

/** Bits of a preview as a function (codebook, frame) -> kept. */
export function keptBits(mask) {
  const bytes = Uint8Array.from(atob(mask.mask), (letter) => letter.charCodeAt(0))
  const n = mask.mask_frames ?? mask.n_frames, before = mask.first_frame ?? 0
  return (book, frame) => {
    const bit = book * n + frame - before
    return (bytes[bit >> 3] >> (bit & 7)) & 1
  }
}

const drawn = new WeakMap() // canvas -> what it shows

/** Whether a canvas shows other things than these, or has another size; they are noted as shown. */
function isNew(canvas, ...things) {
  const now = [...things, canvas.clientWidth, canvas.clientHeight, devicePixelRatio], before = drawn.get(canvas)
  drawn.set(canvas, now)
  return !before || now.some((thing, k) => thing !== before[k])
}

/** Kept tokens of each codebook before each frame of a mask that is known, for counting them in any stretch. */
function keptBefore(mask, known, n) {
  const sums = new Uint32Array(mask.n_codebooks * (n + 1))
  for (let book = 0; book < mask.n_codebooks; book++) {
    const row = book * (n + 1)
    for (let frame = 0; frame < n; frame++) sums[row + frame + 1] = sums[row + frame] + mask.bits(book, known + frame)
  }
  return sums
}

const SHADES = 16

/** The mask over the spectrogram: what is made anew lies under a veil, what is kept is clear and marked. */
export function drawMask(canvas, view, mask, at, palette) {
  if (!isNew(canvas, mask, view.start, view.end, at, palette.keep, palette.veil)) return
  const {context, width, height} = fit(canvas)
  if (!mask || !width) return
  mask.bits ??= keptBits(mask)
  const {n_frames: frames, n_codebooks: books, frames_per_s: rate} = mask
  const begin = at + (mask.start_s ?? 0), perFrame = width / (view.end - view.start) / rate
  const x0 = (begin - view.start) * (width / (view.end - view.start))
  const known = mask.first_frame ?? 0, n = Math.min(frames - known, mask.mask_frames ?? frames)
  const row = height / books
  const fill = (book, x, wide, kept) => {
    const y = height - (book + 1) * row // the coarsest codebook lies lowest
    context.fillStyle = palette.veil
    context.globalAlpha = 1 - kept
    if (kept < 1) context.fillRect(x, y, wide, row)
    context.fillStyle = palette.keep
    context.globalAlpha = (wide > 8 && kept === 1 ? 0.13 : 0.5) * kept
    if (kept) context.fillRect(x, y, Math.max(1, wide), row - (row > 6 ? 1 : 0))
  }
  if (perFrame >= 1) drawCells(mask, x0, perFrame, known, n, width, fill)
  else drawShares(mask, x0, perFrame, known, n, width, fill)
  context.globalAlpha = 1
}

/** Each run of equal tokens as it is. */
function drawCells(mask, x0, perFrame, known, n, width, fill) {
  const first = Math.max(known, Math.floor(-x0 / perFrame)), last = Math.min(known + n, Math.ceil((width - x0) / perFrame))
  for (let book = 0; book < mask.n_codebooks; book++) {
    for (let from = first, to; from < last; from = to) {
      const kept = mask.bits(book, from)
      for (to = from + 1; to < last && mask.bits(book, to) === kept;) to += 1
      fill(book, x0 + from * perFrame, (to - from) * perFrame, kept)
    }
  }
}

/** Of many frames in a pixel, the share that is kept, so that the spectrogram stays to be seen. */
function drawShares(mask, x0, perFrame, known, n, width, fill) {
  mask.sums ??= keptBefore(mask, known, n)
  const place = (x) => Math.max(0, Math.min(n, Math.floor((x - x0) / perFrame) - known))
  for (let book = 0; book < mask.n_codebooks; book++) {
    const row = book * (n + 1)
    let shade = -1, from = 0
    for (let x = 0; x <= width; x++) {
      const start = place(x), stop = Math.max(start + 1, place(x + 1))
      const isIn = x < width && start < n && x >= x0 + known * perFrame - 1
      const now = isIn ? Math.round(((mask.sums[row + Math.min(stop, n)] - mask.sums[row + start]) / (Math.min(stop, n) - start)) * SHADES) : -1
      if (now === shade) continue
      if (shade >= 0) fill(book, from, x - from, shade / SHADES)
      shade = now
      from = x
    }
  }
}

const STEPS_S = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 3600]

export function clock(seconds, digits = 2) {
  const sign = seconds < -0.0005 ? '−' : '', value = Math.abs(seconds)
  const minutes = Math.floor(value / 60), rest = value - minutes * 60
  if (minutes < 60) return `${sign}${minutes}:${rest.toFixed(digits).padStart(digits ? 3 + digits : 2, '0')}`
  return `${sign}${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, '0')}:${rest.toFixed(digits).padStart(digits ? 3 + digits : 2, '0')}`
}

/** Ruler in seconds, or in bars where beats are known. beats: {beats_s, downbeats_s}. */
export function drawRuler(canvas, view, unit, beats, palette) {
  const {context, width, height} = fit(canvas)
  if (!width || view.end <= view.start) return
  const perSecond = width / (view.end - view.start)
  const x = (seconds) => (seconds - view.start) * perSecond
  context.font = '11px system-ui, sans-serif'
  context.textBaseline = 'middle'
  const mark = (seconds, label) => {
    const place = Math.round(x(seconds)) + 0.5
    context.fillStyle = palette.line
    context.fillRect(place, height - 6, 1, 6)
    if (!label) return
    context.fillStyle = palette.soft
    const wide = context.measureText(label).width
    context.fillText(label, Math.min(place + 4, width - wide - 2), height / 2)
  }
  if (unit === 'bars' && beats?.downbeats_s.length > 1) {
    const every = Math.max(1, 2 ** Math.ceil(Math.log2(46 / (((beats.downbeats_s.at(-1) - beats.downbeats_s[0]) / (beats.downbeats_s.length - 1)) * perSecond))))
    beats.downbeats_s.forEach((seconds, k) => {
      if (seconds >= view.start - 1 && seconds <= view.end && k % every === 0) mark(seconds, String(k + 1))
    })
    return
  }
  const step = STEPS_S.find((one) => one * perSecond >= 64) ?? 3600
  const digits = step < 0.01 ? 3 : step < 0.1 ? 2 : step < 1 ? 1 : 0
  for (let k = Math.ceil(view.start / step); k * step <= view.end; k++) mark(k * step, clock(k * step, digits))
}

/** Beats as lines over waveform and spectrogram; first beats of bars stronger. */
export function drawBeats(canvas, view, beats, palette, isTool) {
  const {context, width, height} = fit(canvas)
  if (!beats || !width) return
  const perSecond = width / (view.end - view.start)
  const shown = beats.beats_s.filter((seconds) => seconds >= view.start && seconds <= view.end)
  if (shown.length > width / 4) return
  const first = new Set(beats.downbeats_s.map((seconds) => seconds.toFixed(3)))
  for (const seconds of shown) {
    const strong = first.has(seconds.toFixed(3))
    context.fillStyle = isTool ? palette.keep : palette.ink
    context.globalAlpha = isTool ? 1 : strong ? 0.5 : 0.2
    const place = Math.round((seconds - view.start) * perSecond)
    context.fillRect(place, 0, strong ? (isTool ? 2.5 : 1.5) : 1, height)
    if (isTool) context.fillRect(place - (strong ? 4 : 2), 0, strong ? 10 : 5, strong ? 8 : 5)
  }
  context.globalAlpha = 1
}
