// Recording from the microphone, as a WAV file of floats.
import {bringSound} from './project.js'
import {set, state, toast} from './store.js'
import {T} from './texts.js'

let recording = null

export async function startRecording() {
  if (!navigator.mediaDevices?.getUserMedia) return toast(T.noMicrophone, {kind: 'error'})
  let stream
  try {
    stream = await navigator.mediaDevices.getUserMedia({audio: {echoCancellation: false, noiseSuppression: false, autoGainControl: false}})
  } catch (error) {
    return toast(error.name === 'NotAllowedError' ? T.microphoneRefused : T.noMicrophone, {kind: 'error'})
  }
  const context = new AudioContext()
  await context.audioWorklet.addModule(new URL('recorder.js', import.meta.url))
  const node = new AudioWorkletNode(context, 'recorder', {numberOfOutputs: 0})
  const blocks = []
  node.port.onmessage = ({data}) => {
    blocks.push(data)
    const seconds = blocks.reduce((sum, block) => sum + block[0].length, 0) / context.sampleRate
    if (Math.abs(seconds - (state.recording ?? 0)) > 0.1) set({recording: seconds})
  }
  context.createMediaStreamSource(stream).connect(node)
  recording = {stream, context, blocks}
  set({recording: 0})
}

export async function stopRecording() {
  if (!recording) return
  const {stream, context, blocks} = recording
  recording = null
  for (const track of stream.getTracks()) track.stop()
  const rate = context.sampleRate
  await context.close()
  set({recording: null})
  if (!blocks.length) return toast(T.recordedNothing, {kind: 'error'})
  try {
    await bringSound(new File([wavOf(blocks, rate)], T.recordingName, {type: 'audio/wav'}))
  } catch (error) {
    toast(error.message, {kind: 'error'})
  }
}

/** A WAV file of 32-bit floats from blocks of channels. */
export function wavOf(blocks, rate) {
  const channels = blocks[0].length, n = blocks.reduce((sum, block) => sum + block[0].length, 0)
  const bytes = new DataView(new ArrayBuffer(58 + n * channels * 4))
  const text = (at, word) => [...word].forEach((letter, k) => bytes.setUint8(at + k, letter.charCodeAt(0)))
  text(0, 'RIFF')
  bytes.setUint32(4, bytes.byteLength - 8, true)
  text(8, 'WAVEfmt ')
  bytes.setUint32(16, 18, true)
  bytes.setUint16(20, 3, true)
  bytes.setUint16(22, channels, true)
  bytes.setUint32(24, rate, true)
  bytes.setUint32(28, rate * channels * 4, true)
  bytes.setUint16(32, channels * 4, true)
  bytes.setUint16(34, 32, true)
  text(38, 'fact')
  bytes.setUint32(42, 4, true)
  bytes.setUint32(46, n, true)
  text(50, 'data')
  bytes.setUint32(54, n * channels * 4, true)
  let at = 58
  for (const block of blocks) {
    for (let k = 0; k < block[0].length; k++) {
      for (let channel = 0; channel < channels; channel++, at += 4) bytes.setFloat32(at, block[channel][k], true)
    }
  }
  return bytes.buffer
}
