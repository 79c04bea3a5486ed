"""Control signals: loudness, onsets, beat and bar phase, chroma and melody per frame; tempo, key, style per piece.

Frames are those of the codec: frame t covers the samples from t * hop on, and its value holds for its centre. NaN in a
signal means that nothing is said there; None in place of a signal, that nothing is said at all.

Axis letters: P pitch class (12, C first), T frame.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vampnet.config import check
from vampnet.controls.charts import ChordSpan, merge_spans
from vampnet.controls.names import NO_CHORD, key_text, parse_chord, parse_key
from vampnet.errors import SettingsError

FORMAT = 1
"""Version of the JSON form; older ones are read, newer ones refused."""
CODEC_RATE_HZ, CODEC_HOP = 44100, 768
"""Frames of the embedded codec, the default: 57.4 per second."""
MAX_CONTROL_FRAMES = 10_000_000
REST = 0.0
"""Value of the melody where nothing leads."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class SignalKind:
    """Shape and range of one signal."""

    rows: int
    """1 for a signal (T,), 12 for one (12, T)."""
    low: float
    high: float
    unit: str
    is_phase: bool = False
    """Whether it goes round: 1 is 0 again."""
    is_stepped: bool = False
    """Whether values between two frames mean nothing, as between two notes."""


SIGNALS: dict[str, SignalKind] = {
    "loudness_db": SignalKind(1, -100.0, 20.0, "dBFS"),
    "onset_low": SignalKind(1, 0.0, 100.0, "dB"),
    "onset_high": SignalKind(1, 0.0, 100.0, "dB"),
    "beat_phase": SignalKind(1, 0.0, 1.0, "beats", is_phase=True),
    "bar_phase": SignalKind(1, 0.0, 1.0, "bars", is_phase=True),
    "chroma": SignalKind(12, 0.0, 1.0, "share"),
    "bass_chroma": SignalKind(12, 0.0, 1.0, "share"),
    "melody": SignalKind(1, 0.0, 127.0, "MIDI pitch", is_stepped=True),
}
"""Every signal of `Controls` by its name."""


@dataclass(frozen=True, eq=False)
class Controls:
    """Control signals and facts of a stretch of music. Signals are float32 (T,) or (12, T)."""

    n_frames: int
    """Length T in frames, 1 or more."""
    sample_rate_hz: int = CODEC_RATE_HZ
    """Sample rate that frames are counted in, Hz."""
    hop: int = CODEC_HOP
    """Samples per frame."""
    loudness_db: Floats | None = None
    """RMS level, dBFS."""
    onset_low: Floats | None = None
    """Rise of the spectrum below 250 Hz since the frame before, dB: kicks and bass notes."""
    onset_high: Floats | None = None
    """Rise of the spectrum above 250 Hz since the frame before, dB."""
    beat_phase: Floats | None = None
    """Place within the beat, 0 on the beat up to 1."""
    bar_phase: Floats | None = None
    """Place within the bar, 0 on the downbeat up to 1."""
    chroma: Floats | None = None
    """Strength of the pitch classes, C first, the strongest at 1; (12, T)."""
    bass_chroma: Floats | None = None
    """The same below about 260 Hz."""
    melody: Floats | None = None
    """MIDI pitch of the leading voice, fractions allowed; 0 where nothing leads."""
    tempo_bpm: float | None = None
    """Beats per minute; a beat is a quarter, in 6/8 a dotted quarter."""
    key: str | None = None
    """Tonic and mode, such as "D minor"."""
    metre: str | None = None
    """Time signature, such as "4/4"."""
    style: str | None = None
    instruments: tuple[str, ...] | None = None
    chords: tuple[ChordSpan, ...] | None = None
    """Chords over time, in order; where no span lies nothing is said."""

    def __post_init__(self) -> None:
        check("n_frames of controls", self.n_frames, 1, MAX_CONTROL_FRAMES)
        check("sample_rate_hz of controls", self.sample_rate_hz, 1, 2**31 - 1)
        check("hop of controls", self.hop, 1, 2**31 - 1)
        for name, kind in SIGNALS.items():
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _check_signal(name, kind, getattr(self, name), self.n_frames))
        if self.tempo_bpm is not None:
            check("tempo_bpm of controls", self.tempo_bpm, 10.0, 1000.0)
        if self.key is not None:
            object.__setattr__(self, "key", key_text(*parse_key(self.key)))

    @property
    def frames_per_s(self) -> float:
        """Frames per second."""
        return self.sample_rate_hz / self.hop

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_frames / self.frames_per_s

    @property
    def times_s(self) -> NDArray[np.float64]:
        """Centres of the frames, seconds (T,)."""
        return (np.arange(self.n_frames, dtype=np.float64) + 0.5) / np.float64(self.frames_per_s)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the controls that are there."""
        fields = (f.name for f in dataclasses.fields(self) if f.name not in ("n_frames", "sample_rate_hz", "hop"))
        return tuple(name for name in fields if getattr(self, name) is not None)

    def signal(self, name: str) -> Floats:
        """A signal by its name. Raises SettingsError where it is absent."""
        signal = getattr(self, name, None) if name in SIGNALS else None
        if signal is None:
            raise SettingsError(f"these controls have no {name!r}; they have {', '.join(self.names) or 'none'}")
        return signal

    def known_share(self, name: str) -> float:
        """Share of frames, 0 to 1, in which a signal says something."""
        signal = getattr(self, name)
        return 0.0 if signal is None else float(np.isfinite(np.atleast_2d(signal)).all(axis=0).mean())

    def keep_only(self, *names: str) -> Controls:
        """The same with the named controls alone. Raises SettingsError for an unknown name."""
        known = [f.name for f in dataclasses.fields(self)[3:]]
        for name in names:
            if name not in known:
                raise SettingsError(f"control {name!r} is unknown; known are {', '.join(known)}")
        return dataclasses.replace(self, **{name: None for name in known if name not in names})

    def slice(self, start: int, stop: int) -> Controls:
        """Frames `start` to `stop` - 1; frames outside of the music say nothing."""
        check("length of the slice in frames", stop - start, 1, MAX_CONTROL_FRAMES)
        changes: dict[str, Any] = {"n_frames": stop - start}
        first, last = max(start, 0), max(min(stop, self.n_frames), max(start, 0))
        for name in SIGNALS:
            signal = getattr(self, name)
            if signal is not None:
                cut = np.full((*signal.shape[:-1], stop - start), np.nan, np.float32)
                cut[..., first - start : last - start] = signal[..., first:last]
                changes[name] = cut
        if self.chords is not None:
            shift_s, length_s = start / self.frames_per_s, (stop - start) / self.frames_per_s
            changes["chords"] = _move_chords(self.chords, -shift_s, length_s)
        return dataclasses.replace(self, **changes)

    def roll(self, n_frames: int) -> Controls:
        """The same round a circle, all signals `n_frames` frames later; chords, which lie in time, are left out."""
        turned = {name: np.roll(getattr(self, name), n_frames, axis=-1) for name in SIGNALS if name in self.names}
        return dataclasses.replace(self, chords=None, **turned)

    def resample(self, n_frames: int, sample_rate_hz: int | None = None, hop: int | None = None) -> Controls:
        """The same music in frames of another rate or size, read at their centres; time is kept."""
        rate_hz, size = sample_rate_hz or self.sample_rate_hz, hop or self.hop
        frames = Controls(n_frames, rate_hz, size)
        changes: dict[str, Any] = {"n_frames": n_frames, "sample_rate_hz": rate_hz, "hop": size}
        for name, kind in SIGNALS.items():
            if getattr(self, name) is not None:
                changes[name] = read_signal(getattr(self, name), self.times_s, frames.times_s, kind)
        if self.chords is not None:
            changes["chords"] = _move_chords(self.chords, 0.0, frames.duration_s)
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: unknown values are null, absent controls are left out."""
        data: dict[str, Any] = {
            "format": FORMAT,
            "n_frames": self.n_frames,
            "sample_rate_hz": self.sample_rate_hz,
            "hop": self.hop,
        }
        for name in self.names:
            value = getattr(self, name)
            if name in SIGNALS:
                data[name] = _plain(value)
            elif name == "chords":
                data[name] = [[round(s.start_s, 4), round(s.end_s, 4), s.label] for s in value]
            else:
                data[name] = list(value) if isinstance(value, tuple) else value
        return data

    @classmethod
    def from_dict(cls, data: Any, where: str = "controls") -> Controls:
        """Controls from the plain data of `to_dict`. Raises SettingsError naming `where` and the fault."""
        if not isinstance(data, dict):
            raise SettingsError(f"{where}: expected controls, found {type(data).__name__}")
        values = dict(data)
        version = values.pop("format", None)
        if version != FORMAT:
            raise SettingsError(f"{where}: format is {version!r}, but this version reads {FORMAT}; update vampnet")
        known = [f.name for f in dataclasses.fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise SettingsError(f"{where}: unknown control {', '.join(unknown)}; known are {', '.join(known)}")
        try:
            for name in ("n_frames", "sample_rate_hz", "hop"):
                if isinstance(values.get(name), bool) or not isinstance(values.get(name), int):
                    raise ValueError(f"{name} is {values.get(name)!r}, but must be a whole number")
            for name in ("key", "metre", "style"):
                if not isinstance(values.get(name, ""), str):
                    raise ValueError(f"{name} is {values[name]!r}, but must be text")
            tempo = values.get("tempo_bpm", 60.0)
            if isinstance(tempo, bool) or not isinstance(tempo, (int, float)):
                raise ValueError(f"tempo_bpm is {tempo!r}, but must be a number")
            for name in SIGNALS:
                if name in values:
                    values[name] = np.array(values[name], dtype=np.float32)
            if "chords" in values:
                values["chords"] = tuple(_read_span(entry) for entry in values["chords"])
            if "instruments" in values:
                values["instruments"] = tuple(str(name) for name in values["instruments"])
            return cls(**values)
        except (TypeError, ValueError, SettingsError) as error:
            raise SettingsError(f"{where}: {error}") from None


def read_signal(signal: Floats, from_s: np.ndarray, to_s: np.ndarray, kind: SignalKind) -> Floats:
    """A signal (T,) or (12, T) at other times: linear, round the circle for phases, the nearest frame for steps."""
    spacing_s = float(from_s[1] - from_s[0]) if len(from_s) > 1 else math.inf
    nearest = np.clip(np.round((to_s - from_s[0]) / spacing_s).astype(int), 0, len(from_s) - 1)
    inside = (to_s >= from_s[0] - spacing_s / 2 - 1e-9) & (to_s <= from_s[-1] + spacing_s / 2 + 1e-9)
    rows = np.atleast_2d(signal).astype(np.float64)
    read = rows[:, nearest]
    if not kind.is_stepped:
        for number, row in enumerate(rows):
            if kind.is_phase:
                angle = 2.0 * np.pi * row
                turned = np.arctan2(np.interp(to_s, from_s, np.sin(angle)), np.interp(to_s, from_s, np.cos(angle)))
                value = np.mod(turned / (2.0 * np.pi), 1.0)
            else:
                value = np.interp(to_s, from_s, row)
            read[number] = np.where(np.isfinite(value), value, read[number])
    read[:, ~inside] = np.nan
    return read.reshape((*signal.shape[:-1], len(to_s))).astype(np.float32)


def _check_signal(name: str, kind: SignalKind, signal: Any, n_frames: int) -> Floats:
    wanted = (n_frames,) if kind.rows == 1 else (kind.rows, n_frames)
    if not isinstance(signal, np.ndarray) or signal.dtype.kind != "f" or signal.shape != wanted:
        found = f"{signal.dtype} {signal.shape}" if isinstance(signal, np.ndarray) else type(signal).__name__
        raise SettingsError(f"control {name} is {found}, but must be an array of floats of shape {wanted}")
    known = signal[~np.isnan(signal)]
    if known.size and not (known.min() >= kind.low and known.max() <= kind.high):
        wrong = known[(known < kind.low) | (known > kind.high)][0]
        raise SettingsError(f"control {name} has {wrong:g}, but must lie in {kind.low:g} to {kind.high:g} {kind.unit}")
    return signal.astype(np.float32, copy=False)


def _plain(signal: Floats) -> list[Any]:
    if signal.ndim > 1:
        return [_plain(row) for row in signal]
    return [None if math.isnan(value) else round(value, 4) for value in signal.tolist()]


def _read_span(entry: Any) -> ChordSpan:
    start_s, end_s, label = entry
    if not 0.0 <= float(start_s) <= float(end_s):
        raise ValueError(f"chord {label!r} lies from {start_s} to {end_s} s, which is no stretch of time")
    return ChordSpan(float(start_s), float(end_s), None if label == NO_CHORD else parse_chord(str(label)))


def _move_chords(chords: tuple[ChordSpan, ...], shift_s: float, length_s: float) -> tuple[ChordSpan, ...]:
    moved = (ChordSpan(max(c.start_s + shift_s, 0.0), min(c.end_s + shift_s, length_s), c.chord) for c in chords)
    return merge_spans([span for span in moved if span.end_s - span.start_s > 1e-6])
