// Runs in the audio thread: hands what the microphone gives to the page.
class Recorder extends AudioWorkletProcessor {
  process([input]) {
    if (input.length) this.port.postMessage(input.map((channel) => channel.slice()))
    return true
  }
}
registerProcessor('recorder', Recorder)
