// Long sounds: played in pieces that are fetched ahead of time and start exactly where the one before ends.
import {ask} from './api.js'

const PIECE_S = 20
const READY_S = 6 // so much is always scheduled
const MOST_KEPT = 12

/** A long sound: {length, rate, load}. Pieces are numbered from 0. */
export class LongSound {
  constructor(url, seconds, context) {
    this.url = url
    this.context = context
    this.sampleRate = context.sampleRate
    this.length = Math.round(seconds * this.sampleRate)
    this.size = PIECE_S * this.sampleRate
    this.kept = new Map()
  }

  /** Samples of a piece, once they are there. */
  load(number) {
    if (!this.kept.has(number)) {
      const start = (number * this.size) / this.sampleRate, end = Math.min(this.length, (number + 1) * this.size) / this.sampleRate
      const made = ask('GET', `${this.url}/audio?start_s=${start}&end_s=${end}`)
        .then((answer) => answer.arrayBuffer()).then((bytes) => this.context.decodeAudioData(bytes))
      made.catch(() => this.kept.delete(number))
      this.kept.set(number, made)
      if (this.kept.size > MOST_KEPT) this.kept.delete(this.kept.keys().next().value)
    }
    return this.kept.get(number)
  }

  pieceAt(sample) {
    return Math.max(0, Math.min(Math.ceil(this.length / this.size) - 1, Math.floor(sample / this.size)))
  }
}

/** Plays a long sound into a node; a source node to the player: connect, start, stop. Places are samples of the sound. */
export class PieceSource {
  constructor(sound) {
    this.sound = sound
    this.nodes = []
    this.over = false
  }

  connect(target) {
    this.target = target
  }

  /** Play from sample `place` at the context's time `time`; `from` to `to` is the range, which repeats where `loop`. */
  start(time, place, from, to, loop) {
    Object.assign(this, {time, place, from, to, loop})
    this.pump()
  }

  async pump() {
    const {context, sampleRate: rate, size, length} = this.sound
    while (!this.over && this.time < context.currentTime + READY_S) {
      if (this.place >= this.to) {
        if (!this.loop) return
        this.place = this.from
      }
      if (this.place < 0 || this.place >= length) { // silence around the sound
        const next = this.place < 0 ? Math.min(0, this.to) : this.to
        this.time += (next - this.place) / rate
        this.place = next
        continue
      }
      const number = this.sound.pieceAt(this.place)
      const end = Math.min((number + 1) * size, length, this.to)
      let buffer
      try {
        buffer = await this.sound.load(number)
      } catch {
        return // the server is away: silence, until play is pressed again
      }
      if (this.over) return
      const late = Math.max(0, Math.ceil((context.currentTime + 0.005 - this.time) * rate))
      const first = this.place - number * size + late, count = end - this.place - late
      if (count > 0) this.schedule(buffer, this.time + late / rate, first, count)
      this.time += (end - this.place) / rate
      this.place = end
      this.sound.load(this.sound.pieceAt(end < this.to ? end : this.from)).catch(() => {})
    }
    if (!this.over) this.timer = setTimeout(() => this.pump(), 500)
  }

  schedule(buffer, time, first, count) {
    const {context, sampleRate: rate} = this.sound
    const node = context.createBufferSource()
    node.buffer = buffer
    node.connect(this.target)
    node.start(Math.round(time * rate) / rate, first / rate, count / rate)
    node.onended = () => (this.nodes = this.nodes.filter((one) => one !== node))
    this.nodes.push(node)
  }

  stop(time) {
    this.over = true
    clearTimeout(this.timer)
    for (const node of this.nodes) node.stop(time)
  }
}
