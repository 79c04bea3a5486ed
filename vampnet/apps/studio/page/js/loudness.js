// Loudness by ITU-R BS.1770-4: K-weighting, blocks of 400 ms, gates at -70 LUFS and 10 LU below the rest.
const SILENT = -70

function highShelf(rate) {
  const gain = 10 ** (3.99984385397 / 20), q = 0.7071752369554193, k = Math.tan((Math.PI * 1681.9744509555319) / rate)
  const vb = gain ** 0.499666774155, a0 = 1 + k / q + k * k
  return [(gain + (vb * k) / q + k * k) / a0, (2 * (k * k - gain)) / a0, (gain - (vb * k) / q + k * k) / a0,
    (2 * (k * k - 1)) / a0, (1 - k / q + k * k) / a0]
}

function highPass(rate) {
  const q = 0.5003270373253953, k = Math.tan((Math.PI * 38.13547087613982) / rate), a0 = 1 + k / q + k * k
  return [1, -2, 1, (2 * (k * k - 1)) / a0, (1 - k / q + k * k) / a0]
}

function squares(samples, rate) {
  const [b0, b1, b2, a1, a2] = highShelf(rate), [, , , c1, c2] = highPass(rate)
  const hop = Math.round(rate / 10), sums = new Float64Array(Math.max(1, Math.floor(samples.length / hop)))
  let x1 = 0, x2 = 0, y1 = 0, y2 = 0, z1 = 0, z2 = 0
  for (let k = 0; k < samples.length; k++) {
    const x = samples[k], y = b0 * x + b1 * x1 + b2 * x2 - a1 * y1 - a2 * y2
    const z = y - 2 * y1 + y2 - c1 * z1 - c2 * z2
    x2 = x1; x1 = x; y2 = y1; y1 = y; z2 = z1; z1 = z
    sums[Math.min(sums.length - 1, Math.floor(k / hop))] += z * z
  }
  return {sums, hop}
}

/** Integrated loudness in LUFS of an AudioBuffer; null for silence. */
export function loudnessOf(buffer) {
  let total = null, hop = 1
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    const one = squares(buffer.getChannelData(channel), buffer.sampleRate)
    hop = one.hop
    if (!total) total = one.sums
    else for (let k = 0; k < total.length; k++) total[k] += one.sums[k]
  }
  const width = Math.min(4, total.length), powers = []
  for (let k = 0; k + width <= total.length; k++) {
    let sum = 0
    for (let j = 0; j < width; j++) sum += total[k + j]
    powers.push(sum / (width * hop))
  }
  const lufs = (power) => -0.691 + 10 * Math.log10(power)
  const mean = (list) => list.reduce((a, b) => a + b, 0) / list.length
  const loud = powers.filter((power) => power > 0 && lufs(power) > SILENT)
  if (!loud.length) return null
  const gate = lufs(mean(loud)) - 10
  return lufs(mean(loud.filter((power) => lufs(power) > gate)))
}
