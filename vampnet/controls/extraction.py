"""Controls heard in audio: levels, onsets, beats, chords, key and melody, by librosa and the beat tracker.

Frames are those asked for (the embedded codec's by default). What cannot be heard is None: no tempo in a drone, no key
in drums. benchmarks/controls/extraction.py measures all of it against the composer's truth.

Axis letters: P pitch class, T frame, U spectrum, M mel band.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr

from vampnet.audio.compiled import librosa
from vampnet.audio.files import Audio
from vampnet.audio.units import samples_to_frames
from vampnet.beats.events import Events, TrackerConfig
from vampnet.beats.tracking import track_events
from vampnet.config import check
from vampnet.controls.harmony import find_chords, find_key
from vampnet.controls.melody import trace_melody, trace_voice
from vampnet.controls.signals import CODEC_HOP, CODEC_RATE_HZ, SIGNALS, Controls, Floats, read_signal
from vampnet.controls.spectra import BASS_RANGE, CHROMA_RANGE, FFT, RATE_HZ, SemitoneSpectra, semitone_spectra
from vampnet.controls.timeline import trace_phase
from vampnet.errors import SettingsError

HARMONY_CONTROLS = ("chroma", "bass_chroma", "chords", "key")
RHYTHM_CONTROLS = ("beat_phase", "bar_phase", "tempo_bpm", "metre")
EXTRACTED = ("loudness_db", "onset_low", "onset_high", *RHYTHM_CONTROLS, *HARMONY_CONTROLS, "melody")
"""Every control that audio gives; style and instruments it does not."""
ONSET_FFT, ONSET_HOP, ONSET_MELS = 1024, 256, 64
SPLIT_HZ = 250.0
"""Between the low and the high band of onsets."""
ONSET_RANGE_DB = 60.0
"""Mel bands further below the loudest count as this far below."""
SILENCE_DB = -80.0
MAX_EXTRACTED_S = 4 * 3600.0


@dataclass(frozen=True)
class ExtractionConfig:
    """Settings of extraction: names of the controls, and their frames."""

    controls: tuple[str, ...] = EXTRACTED
    """Names of EXTRACTED."""
    sample_rate_hz: int = CODEC_RATE_HZ
    """Sample rate that frames are counted in, Hz."""
    hop: int = CODEC_HOP
    """Samples per frame at that rate."""
    tracker: TrackerConfig = TrackerConfig()
    """Beat tracker."""
    is_voice: bool = False
    """The audio is one voice alone (hummed, whistled): its pitch is traced by pYIN, exact but slower."""

    def __post_init__(self) -> None:
        for name in self.controls:
            if name not in EXTRACTED:
                raise SettingsError(f"control {name!r} cannot be heard in audio; these can: {', '.join(EXTRACTED)}")
        check("sample_rate_hz", self.sample_rate_hz, 1000, 768000)
        check("hop", self.hop, 16, 1_000_000)


def extract_controls(
    audio: Audio, config: ExtractionConfig = ExtractionConfig(), *, events: Events | None = None
) -> Controls:
    """Listen to audio.

    Args:
        audio: any rate and channels, at most four hours.
        config: what to listen for.
        events: beats and downbeats where they are known already.

    Returns:
        Controls over the audio, in frames of the config.

    Raises:
        SettingsError: audio that is too long.
    """
    check("length of the audio in seconds", audio.duration_s, 0.0, MAX_EXTRACTED_S)
    wanted = set(config.controls)
    n_samples = max(round(audio.n_samples * config.sample_rate_hz / audio.sample_rate_hz), 1)
    frames = Controls(samples_to_frames(n_samples, config.hop), config.sample_rate_hz, config.hop)
    mono = soxr.resample(audio.samples.mean(axis=0), audio.sample_rate_hz, RATE_HZ).astype(np.float32)
    mono = np.pad(mono, (0, max(FFT - len(mono), 0)))
    found: dict[str, Any] = {}
    if "loudness_db" in wanted:
        found["loudness_db"] = measure_level(audio, frames)
    if wanted & {"onset_low", "onset_high"}:
        found["onset_low"], found["onset_high"] = measure_onsets(mono, frames)
    if wanted & {*RHYTHM_CONTROLS, "chords", "key"}:
        events = events or track_events([audio.samples], audio.sample_rate_hz, audio.n_samples, config.tracker)
        found |= describe_beats(events, frames)
    if wanted & {*HARMONY_CONTROLS, "melody"}:
        spectra = semitone_spectra(mono)
        if wanted & set(HARMONY_CONTROLS):
            found |= _describe_harmony(spectra, events, audio.duration_s, frames)
        if "melody" in wanted:
            found["melody"] = _trace(mono, spectra, frames, config.is_voice)
    return Controls(
        frames.n_frames, frames.sample_rate_hz, frames.hop, **{k: v for k, v in found.items() if k in wanted}
    )  # type: ignore[arg-type]


def extract_batch(
    audios: Iterable[Audio], config: ExtractionConfig = ExtractionConfig(), *, workers: int = 2
) -> Iterator[Controls]:
    """`extract_controls` of several recordings, in their order, `workers` of them at a time."""
    check("workers", workers, 1, 256)
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(lambda audio: extract_controls(audio, config), audios)


def measure_level(audio: Audio, frames: Controls) -> Floats:
    """RMS level of each frame over all channels, dBFS (T,), at least SILENCE_DB."""
    power = np.concatenate([[0.0], np.cumsum(np.square(audio.samples, dtype=np.float64).mean(axis=0))])
    edges = np.arange(frames.n_frames + 1) / frames.frames_per_s * audio.sample_rate_hz
    edges = np.clip(np.round(edges).astype(int), 0, audio.n_samples)
    mean = np.diff(power[edges]) / np.maximum(np.diff(edges), 1)
    return np.maximum(10.0 * np.log10(np.maximum(mean, 1e-12)), SILENCE_DB).astype(np.float32)


def measure_onsets(mono: Floats, frames: Controls) -> tuple[Floats, Floats]:
    """Rise of the mel spectrum in dB below and above SPLIT_HZ (T,): the mean over bands, the largest in each frame."""
    mel_MU = librosa.feature.melspectrogram(
        y=mono, sr=RATE_HZ, n_fft=ONSET_FFT, hop_length=ONSET_HOP, n_mels=ONSET_MELS, fmin=30.0, fmax=10000.0
    )
    mel_db = librosa.power_to_db(mel_MU, ref=max(float(mel_MU.max(initial=0.0)), 1e-8), top_db=ONSET_RANGE_DB)
    rise = np.maximum(np.diff(mel_db, axis=1, prepend=mel_db[:, :1]), 0.0)
    centres = librosa.mel_frequencies(ONSET_MELS + 2, fmin=30.0, fmax=10000.0)[1:-1]
    places = np.clip((np.arange(rise.shape[1]) * ONSET_HOP / RATE_HZ * frames.frames_per_s).astype(int), 0, None)
    bands = []
    for inside in (centres < SPLIT_HZ, centres >= SPLIT_HZ):
        strength = np.zeros(frames.n_frames)
        mean = rise[inside].mean(axis=0)
        kept = places < frames.n_frames
        np.maximum.at(strength, places[kept], mean[kept])
        bands.append(strength.astype(np.float32))
    return bands[0], bands[1]


def describe_beats(events: Events, frames: Controls) -> dict[str, Any]:
    """Phases, tempo and metre of beats that are known; nothing where there are fewer than three."""
    if len(events.beats_s) < 3:
        return {}
    found: dict[str, Any] = {
        "beat_phase": trace_phase(events.beats_s, frames.times_s),
        "tempo_bpm": float(np.clip(60.0 / np.median(np.diff(events.beats_s)), 10.0, 1000.0)),
    }
    if len(events.downbeats_s) >= 2:
        counts = np.diff(np.searchsorted(np.asarray(events.beats_s), np.asarray(events.downbeats_s) - 0.01)).tolist()
        beats_per_bar = Counter(counts).most_common(1)[0][0]
        found["bar_phase"] = trace_phase(events.downbeats_s, frames.times_s)
        found["metre"] = f"{beats_per_bar}/4"
    return found


def _describe_harmony(
    spectra: SemitoneSpectra, events: Events | None, duration_s: float, frames: Controls
) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: read_signal(spectra.fold(*band), spectra.times_s, frames.times_s, SIGNALS[name])
        for name, band in (("chroma", CHROMA_RANGE), ("bass_chroma", BASS_RANGE))
    }
    if events is not None:
        chords = find_chords(spectra, events.beats_s, duration_s)
        found |= {"chords": chords, "key": find_key(spectra, chords)}
    return found


def _trace(mono: Floats, spectra: SemitoneSpectra, frames: Controls, is_voice: bool) -> Floats:
    times_s, pitch = trace_voice(mono) if is_voice else (spectra.times_s, trace_melody(spectra))
    traced = read_signal(pitch, times_s, frames.times_s, SIGNALS["melody"])
    return np.where(np.isfinite(traced), traced, 0.0).astype(np.float32)
