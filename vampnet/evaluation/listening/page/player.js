// Audio: loading, and playing all stimuli of a trial in step, of which one is heard.

const waiting = new Map();
// Every audio script calls this with its FLAC data.
window.vampnetAudio = (id, base64) => {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let k = 0; k < text.length; k += 1) bytes[k] = text.charCodeAt(k);
  waiting.get(id)?.(bytes.buffer);
  waiting.delete(id);
};

/** The FLAC data of a stimulus. Scripts load where `fetch` may not: from a folder. */
function loadEncoded(id) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    waiting.set(id, resolve);
    script.src = `audio/${id}.js`;
    script.onload = () => script.remove();
    script.onerror = () => {
      script.remove();
      reject(new Error(`audio/${id}.js cannot be loaded`));
    };
    document.head.append(script);
  });
}

/** Decoded stimuli, kept while they are needed: those of this trial and of the next. */
class AudioBank {
  constructor(rateHz) {
    this.decoder = new OfflineAudioContext(2, 1, rateHz);
    this.decoded = new Map();
  }

  get(id) {
    if (!this.decoded.has(id)) {
      const buffer = loadEncoded(id).then((data) => this.decoder.decodeAudioData(data));
      buffer.catch(() => this.decoded.delete(id)); // so that another try loads it again
      this.decoded.set(id, buffer);
    }
    return this.decoded.get(id);
  }

  keepOnly(ids) {
    for (const id of this.decoded.keys()) if (!ids.has(id)) this.decoded.delete(id);
  }
}

const LEAD_S = 0.03; // all sources are started so much ahead, for the same sample
const SWITCH_S = 0.004; // time constant of the cross-fade; both sides add up to 1 at every moment
const EDGE_S = 0.005; // fade at both ends of the loop, so that its seam does not click
const MIN_REGION_S = 0.5;

/** The samples of a region, in a buffer of their own with faded ends: it loops exactly, in every browser. */
function sliceOf(context, buffer, startS, endS) {
  const first = Math.round(startS * buffer.sampleRate);
  const length = Math.min(Math.round(endS * buffer.sampleRate), buffer.length) - first;
  const slice = context.createBuffer(buffer.numberOfChannels, length, buffer.sampleRate);
  const edge = Math.min(Math.round(EDGE_S * buffer.sampleRate), length >> 1);
  for (let channel = 0; channel < buffer.numberOfChannels; channel += 1) {
    const samples = slice.getChannelData(channel);
    samples.set(buffer.getChannelData(channel).subarray(first, first + length));
    for (let k = 0; k < edge; k += 1) {
      const gain = 0.5 - 0.5 * Math.cos((Math.PI * k) / edge);
      samples[k] *= gain;
      samples[length - 1 - k] *= gain;
    }
  }
  return slice;
}

/** Loops all stimuli at once and lets one through, so that switching never loses the place. */
class Player {
  constructor(context) {
    this.context = context;
    this.onchange = () => {};
    this.voices = new Map();
    this.label = null;
    this.unload();
  }

  unload() {
    this.stop();
    this.buffers = new Map();
    this.durationS = 0;
    this.region = [0, 0];
    this.label = null;
  }

  /** `buffers`: label -> AudioBuffer, all of one rate. */
  load(buffers) {
    this.unload();
    this.buffers = buffers;
    this.slices = null;
    this.durationS = Math.min(...[...buffers.values()].map((buffer) => buffer.duration));
    this.region = [0, this.durationS];
  }

  get playing() {
    return this.voices.size > 0;
  }

  /** Seconds into the stimulus. */
  get positionS() {
    const [start, end] = this.region;
    if (!this.playing) return start;
    const passed = Math.max(0, this.context.currentTime - this.startedAt);
    return start + (passed % (end - start));
  }

  /** Hear `label`, from the start of the region or, while playing, from where the others are. */
  play(label) {
    if (!this.buffers.has(label)) return;
    this.label = label;
    if (this.playing) this.crossfade();
    else this.begin();
    this.onchange();
  }

  stop() {
    for (const { source, gain } of this.voices.values()) {
      source.stop();
      gain.disconnect();
    }
    this.voices.clear();
    this.onchange();
  }

  setRegion(startS, endS) {
    const start = Math.max(0, Math.min(startS, this.durationS - MIN_REGION_S));
    const end = Math.min(this.durationS, Math.max(endS, start + MIN_REGION_S));
    this.region = [start, end];
    this.slices = null;
    if (this.playing) {
      this.stop();
      this.begin();
    }
    this.onchange();
  }

  begin() {
    if (this.context instanceof AudioContext) this.context.resume(); // browsers hold it back until a key or click
    this.slices ??= [...this.buffers].map(([label, buffer]) => [label, sliceOf(this.context, buffer, ...this.region)]);
    this.startedAt = this.context.currentTime + LEAD_S;
    for (const [label, slice] of this.slices) {
      const source = this.context.createBufferSource();
      const gain = this.context.createGain();
      source.buffer = slice;
      source.loop = true;
      gain.gain.value = label === this.label ? 1 : 0;
      source.connect(gain).connect(this.context.destination);
      source.start(this.startedAt);
      this.voices.set(label, { source, gain });
    }
  }

  crossfade() {
    const now = this.context.currentTime;
    for (const [label, { gain }] of this.voices) {
      gain.gain.cancelScheduledValues(now);
      gain.gain.setTargetAtTime(label === this.label ? 1 : 0, now, SWITCH_S);
    }
  }
}
