// Player: two sounds on one clock. Both run in step all the time, so A/B is a matter of gains and exact to the sample;
// loops are the source nodes' own, so they have no gap. Times are seconds on the page's time axis.
import {LongSound, PieceSource} from './pieces.js'

const AHEAD_S = 0.03
const FADE_S = 0.01

export class Player {
  constructor(context) {
    this.context = context
    this.rate = context.sampleRate
    this.master = context.createGain()
    this.master.connect(context.destination)
    this.sides = {A: this.makeSide(), B: this.makeSide()}
    this.mix = 0 // share of B, 0 to 1
    this.range = [0, 1]
    this.loop = true
    this.playing = false
    this.from = 0
    this.began = 0
    this.onended = null
    this.level()
  }

  makeSide() {
    const gain = this.context.createGain()
    gain.connect(this.master)
    return {gain, buffer: null, at: 0, match: 1, node: null, fade: null}
  }

  grid(seconds) {
    return Math.round(seconds * this.rate) / this.rate
  }

  /** What a side is: a buffer that begins at `at`, and the gain that matches its loudness. When: "now" or "end".
   *  Gives the context's time from which it is heard, 0 where that is at once. */
  setSide(name, buffer, {at = 0, match = 1, when = 'now'} = {}) {
    const side = this.sides[name]
    if (side.buffer === buffer && side.at === at) {
      side.match = match
      this.level()
      return 0
    }
    Object.assign(side, {buffer, at})
    if (!this.playing) {
      side.match = match
      this.level()
      return 0
    }
    const atEnd = when === 'end' && this.loop
    const time = atEnd ? this.nextEnd() : this.soon()
    this.retire(side, time, atEnd)
    side.match = match
    this.level(time)
    this.startSide(side, time, atEnd ? this.range[0] : this.positionAt(time), !atEnd)
    return atEnd ? time : 0
  }

  /** Take a side's sound away. */
  clearSide(name) {
    const side = this.sides[name]
    if (!side.buffer) return
    this.retire(side, this.context.currentTime, false)
    Object.assign(side, {buffer: null, match: 1})
    this.level()
  }

  soon() {
    return this.grid(this.context.currentTime + AHEAD_S)
  }

  /** Time of the context at which the loop begins again next. */
  nextEnd() {
    const [start, end] = this.range
    const first = this.began + (end - this.from)
    const length = end - start
    const now = this.context.currentTime + 0.005
    return this.grid(now <= first ? first : first + Math.ceil((now - first) / length) * length)
  }

  positionAt(time) {
    const [start, end] = this.range
    const place = this.from + Math.max(0, time - this.began)
    if (place < end) return place
    return this.loop ? start + ((place - end) % (end - start)) : end
  }

  position() {
    if (!this.playing) return this.from
    return this.positionAt(this.context.currentTime - (this.context.outputLatency || 0))
  }

  /** Play from a place (seconds); the loop is the range. */
  play(place = this.from, time = this.soon()) {
    this.stopNodes(time)
    const [start, end] = this.range
    this.from = this.grid(place >= start && place < end - 1e-4 ? place : start)
    this.began = time
    this.playing = true
    for (const side of Object.values(this.sides)) this.startSide(side, time, this.from, false)
    this.watchEnd()
  }

  startSide(side, time, place, fadeIn) {
    if (!side.buffer) return
    const fade = this.context.createGain()
    fade.connect(side.gain)
    if (fadeIn) {
      fade.gain.setValueAtTime(0, time)
      fade.gain.linearRampToValueAtTime(1, time + FADE_S)
    }
    if (side.buffer instanceof LongSound) return this.startPieces(side, time, place, fade)
    const {buffer, low, from, to} = this.aligned(side)
    const node = this.context.createBufferSource()
    node.buffer = buffer
    node.loop = this.loop
    node.loopStart = this.seconds(from - low)
    node.loopEnd = this.seconds(to - low)
    node.connect(fade)
    const first = Math.round(place * this.rate)
    if (this.loop) node.start(time, this.seconds(first - low))
    else node.start(time, this.seconds(first - low), Math.max(0, this.seconds(to - first)))
    Object.assign(side, {node, fade})
  }

  startPieces(side, time, place, fade) {
    const node = new PieceSource(side.buffer), at = Math.round(side.at * this.rate)
    node.connect(fade)
    const [from, to] = this.range.map((seconds) => Math.round(seconds * this.rate) - at)
    node.start(time, Math.round(place * this.rate) - at, from, to, this.loop)
    Object.assign(side, {node, fade})
  }

  retire(side, time, sharp) {
    const {node, fade} = side
    if (!node) return
    if (sharp) node.stop(time)
    else {
      fade.gain.setValueAtTime(1, time)
      fade.gain.linearRampToValueAtTime(0, time + FADE_S)
      node.stop(time + FADE_S)
    }
    side.node = side.fade = null
  }

  /** Seconds that are not, by rounding, a hair more than so many samples: a loop would then last one sample more. */
  seconds(samples) {
    let value = samples / this.rate
    while (value * this.rate > samples) value -= value * Number.EPSILON
    return value
  }

  /** The side's sound on the range that is played: as it is where it covers it, else with silence around it. In samples. */
  aligned(side) {
    const [start, end] = this.range
    const first = Math.round(side.at * this.rate), last = first + side.buffer.length
    const from = Math.round(start * this.rate), to = Math.round(end * this.rate)
    if (first <= from && to <= last) return {buffer: side.buffer, low: first, from, to}
    const low = Math.min(first, from), high = Math.max(last, to)
    const padded = this.context.createBuffer(side.buffer.numberOfChannels, high - low, this.rate)
    for (let channel = 0; channel < side.buffer.numberOfChannels; channel++) {
      padded.copyToChannel(side.buffer.getChannelData(channel), channel, first - low)
    }
    return {buffer: padded, low, from, to}
  }

  /** The range that plays or loops, in seconds; goes on in step where the place lies in it. */
  setRange(start, end, loop = this.loop) {
    const next = [this.grid(start), Math.max(this.grid(start) + 1 / this.rate, this.grid(end))]
    if (next[0] === this.range[0] && next[1] === this.range[1] && loop === this.loop) return
    if (!this.playing) {
      this.range = next
      this.loop = loop
      return
    }
    const time = this.soon(), place = this.positionAt(time)
    this.range = next
    this.loop = loop
    this.play(place, time)
  }

  seek(place) {
    if (this.playing) this.play(place)
    else this.from = this.grid(place)
  }

  stop() {
    if (!this.playing) return
    this.from = this.position()
    this.playing = false
    const time = this.context.currentTime
    for (const side of Object.values(this.sides)) this.retire(side, time, false)
  }

  stopNodes(time) {
    for (const side of Object.values(this.sides)) this.retire(side, time, true)
  }

  watchEnd() {
    clearTimeout(this.ending)
    if (this.loop || !this.playing || !this.context.resume) return
    const left = this.began + (this.range[1] - this.from) - this.context.currentTime
    this.ending = setTimeout(() => {
      if (!this.playing || this.loop) return
      if (this.context.currentTime < this.began + (this.range[1] - this.from) - 0.01) return this.watchEnd()
      this.playing = false
      this.from = this.range[0]
      for (const side of Object.values(this.sides)) side.node = side.fade = null
      this.onended?.()
    }, Math.max(10, left * 1000))
  }

  /** Share of B in what is heard: 0 is A alone, 1 is B alone. */
  setMix(mix, time = this.context.currentTime) {
    this.mix = mix
    this.level(time)
  }

  level(time = this.context.currentTime) {
    const {A, B} = this.sides
    const quieter = Math.max(1, A.match, B.match) // both down rather than one into the ceiling
    this.ramp(A.gain, ((B.buffer ? 1 - this.mix : 1) * A.match) / quieter, time)
    this.ramp(B.gain, (this.mix * B.match) / quieter, time)
  }

  ramp(gain, value, time) {
    const wanted = gain.wanted ?? 1
    if (wanted === value) return
    gain.gain.cancelScheduledValues(time)
    gain.wanted = value
    if (!this.playing) return gain.gain.setValueAtTime(value, time)
    gain.gain.setValueAtTime(wanted, time)
    gain.gain.linearRampToValueAtTime(value, time + FADE_S)
  }

  setVolume(value) {
    this.ramp(this.master, value, this.context.currentTime)
  }
}
