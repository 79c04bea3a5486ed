"""The audio of a listening test: files of one stem per condition, brought to one rate, length and loudness; anchors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import firwin, kaiserord, oaconvolve

from vampnet.audio.files import ENDINGS, AudioReader, Samples, resample
from vampnet.audio.loudness import gain_to, measure
from vampnet.errors import ListeningError
from vampnet.evaluation.listening.design import ANCHORS_HZ, REFERENCE, ListeningConfig

MAX_S = 60.0
"""Longest stimulus, seconds: the page holds all stimuli of a trial decoded."""
MAX_RATE_HZ = 48000
TOLERANCE_S = 0.1
"""Files of one item may differ so much in length, for codecs that pad; all are cut to the shortest."""
CEILING_DB = -1.0
"""No peak between samples above this, dBFS, so that nothing clips on the way to the ear."""
_STOPBAND_DB = 60.0
_TRANSITION = 1 / 7  # of the cut-off: 3.5 to 4 kHz, 7 to 8 kHz
_OVERSAMPLING = 4  # BS.1770-4, annex 2


@dataclass(frozen=True, eq=False)
class Prepared:
    """One stimulus ready to be written."""

    item: str
    condition: str
    samples: Samples
    """float32 (channels, samples), gain applied."""
    loudness_lufs: float
    """Before the gain; -inf for silence."""
    gain_db: float


def find_items(folder: str | Path) -> dict[str, dict[str, Path]]:
    """condition -> item -> file, both sorted. Raises ListeningError if there are under two conditions, two files of
    one stem in a folder, or an item that is not in all of them."""
    root = Path(folder)
    if not root.is_dir():
        raise ListeningError(f"{folder}: no such folder; it must hold one folder of audio per condition")
    found = {sub.name: _stems(sub) for sub in sorted(root.iterdir()) if sub.is_dir() and not sub.name.startswith(".")}
    found = {name: files for name, files in found.items() if files}
    if len(found) < 2:
        raise ListeningError(f"{folder}: {len(found)} folders with audio, but a test needs at least 2 conditions")
    stems = {stem for files in found.values() for stem in files}
    missing = [f"{name}/{stem}" for name, files in found.items() for stem in sorted(stems) if stem not in files]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise ListeningError(f"{folder}: every condition needs the same files; missing: {', '.join(missing[:5])}{more}")
    clash = sorted(set(found) & set(ANCHORS_HZ))
    if clash:
        raise ListeningError(f"{root / clash[0]}: this name is kept for the anchor made here; rename the folder")
    return found


def _stems(folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() not in ENDINGS or not path.is_file():
            continue
        if path.stem in files:
            raise ListeningError(f"{path}: {files[path.stem].name} has the same stem; keep one of them")
        files[path.stem] = path
    return files


def prepare(found: dict[str, dict[str, Path]], settings: ListeningConfig) -> tuple[list[Prepared], int, float]:
    """All stimuli, their sample rate, and the loudness that all were brought to (NaN if levels were left alone).

    The rate is the highest of all files, at most 48 kHz; mono becomes stereo if any file is stereo. With
    `match_loudness`, one loudness for the whole test: the one asked for, or as much less as it takes to keep every true
    peak under `CEILING_DB`. Anchors get the gain of the reference: they are that signal, low-passed. Raises
    ListeningError for too short, too long or unequal files, AudioError for unreadable ones.
    """
    audio = {
        (item, condition): _excerpt(path, settings)
        for condition, files in found.items()
        for item, path in files.items()
    }
    rate_hz = min(MAX_RATE_HZ, max(rate for _, rate in audio.values()))
    channels = max(len(samples) for samples, _ in audio.values())
    brought = {key: _brought(samples, rate, rate_hz, channels) for key, (samples, rate) in audio.items()}
    cut = _cut_to_shortest(brought, rate_hz)
    # Whose loudness decides about the gain: the stimulus' own, for an anchor the reference's.
    lufs = {key: measure(samples, rate_hz) for key, samples in cut.items()}
    deciding = dict(lufs)
    if settings.kind == "mushra" and settings.anchors:
        for (item, name), samples in _anchors(cut, rate_hz).items():
            cut[item, name] = samples
            lufs[item, name] = measure(samples, rate_hz)
            deciding[item, name] = deciding[item, REFERENCE]
    if settings.match_loudness:
        target = _common_loudness(cut, deciding, rate_hz, settings.loudness_lufs)
    else:
        target = math.nan
        _refuse_clipping(cut)
    return (
        [
            _prepared(item, condition, samples, lufs[item, condition], gain_to(deciding[item, condition], target))
            for (item, condition), samples in cut.items()
        ],
        rate_hz,
        target,
    )


def low_pass(samples: Samples, rate_hz: int, cutoff_hz: float) -> Samples:
    """An anchor of BS.1534-3: the signal (channels, samples) up to `cutoff_hz`, without delay.

    A linear-phase Kaiser-window FIR: flat within 0.02 dB up to the cut-off, 60 dB down from 8/7 of it on (4 kHz for
    3.5 kHz). The recommendation asks for a ripple within 0.1 dB, 25 dB at 4 kHz and 50 dB at 4.5 kHz. Raises
    ListeningError if the rate cannot hold the filter's transition.
    """
    stop_hz = cutoff_hz * (1 + _TRANSITION)
    if stop_hz >= rate_hz / 2:
        raise ListeningError(
            f"an anchor of {cutoff_hz / 1000:g} kHz needs a sample rate above {2 * stop_hz:.0f} Hz, the files have "
            f"{rate_hz}; use a higher rate, or --anchors false"
        )
    n_taps, beta = kaiserord(_STOPBAND_DB, (stop_hz - cutoff_hz) / (rate_hz / 2))
    window: Any = ("kaiser", beta)
    taps = np.asarray(firwin(n_taps | 1, (cutoff_hz + stop_hz) / 2, window=window, fs=rate_hz))
    return oaconvolve(samples.astype(np.float64), taps[None], mode="same", axes=-1).astype(np.float32)


def true_peak(samples: Samples, rate_hz: int) -> float:
    """Highest magnitude between samples, by four-fold oversampling (BS.1770-4, annex 2)."""
    return float(np.abs(resample(samples, rate_hz, _OVERSAMPLING * rate_hz)).max())


def _excerpt(path: Path, settings: ListeningConfig) -> tuple[Samples, int]:
    with AudioReader(path) as reader:
        rate = reader.info.sample_rate_hz
        if reader.info.channels > 2:
            raise ListeningError(f"{path}: {reader.info.channels} channels, but a test takes mono or stereo")
        first = round(settings.start_s * rate)
        wanted = round((settings.length_s or MAX_S) * rate)
        if not settings.length_s and reader.info.n_samples - first > wanted:
            raise ListeningError(f"{path}: longer than {MAX_S:g} s; take an excerpt with --start-s and --length-s")
        blocks, done = [], 0
        for block in reader:
            done += block.shape[1]
            blocks.append(block)
            if done >= first + wanted:
                break
    samples = np.concatenate(blocks, axis=1)[:, first : first + wanted]
    if samples.shape[1] < rate // 2:
        raise ListeningError(f"{path}: the excerpt has {samples.shape[1] / rate:.2f} s, but needs at least 0.5")
    return samples, rate


def _brought(samples: Samples, from_hz: int, to_hz: int, channels: int) -> Samples:
    resampled = resample(samples, from_hz, to_hz)
    return np.repeat(resampled, channels, axis=0) if len(resampled) < channels else resampled


def _cut_to_shortest(audio: dict[tuple[str, str], Samples], rate_hz: int) -> dict[tuple[str, str], Samples]:
    cut = {}
    for item in dict.fromkeys(item for item, _ in audio):
        lengths = {condition: samples.shape[1] for (stem, condition), samples in audio.items() if stem == item}
        short, long = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
        if lengths[long] - lengths[short] > TOLERANCE_S * rate_hz:
            raise ListeningError(
                f"{item}: {lengths[short] / rate_hz:.2f} s in {short}, {lengths[long] / rate_hz:.2f} s in {long}; "
                f"files of one item may differ by {TOLERANCE_S:g} s, cut them or use --length-s"
            )
        cut |= {(item, condition): audio[item, condition][:, : lengths[short]] for condition in lengths}
    return cut


def _anchors(audio: dict[tuple[str, str], Samples], rate_hz: int) -> dict[tuple[str, str], Samples]:
    return {
        (item, name): low_pass(samples, rate_hz, cutoff_hz)
        for (item, condition), samples in audio.items()
        if condition == REFERENCE
        for name, cutoff_hz in ANCHORS_HZ.items()
    }


def _common_loudness(
    audio: dict[tuple[str, str], Samples], deciding: dict[tuple[str, str], float], rate_hz: int, wanted_lufs: float
) -> float:
    """The wanted loudness, or a lower one at which no true peak exceeds the ceiling, LUFS."""
    reachable = [wanted_lufs]
    for key, samples in audio.items():
        if math.isfinite(deciding[key]):
            reachable.append(deciding[key] + CEILING_DB - 20 * math.log10(true_peak(samples, rate_hz)))
    return min(reachable)


def _refuse_clipping(audio: dict[tuple[str, str], Samples]) -> None:
    for (item, condition), samples in audio.items():
        peak = float(np.abs(samples).max())
        if peak > 1:
            raise ListeningError(
                f"{condition}/{item} has a peak of {peak:.2f}, which would clip at 1; lower all files by the same "
                "amount, or let the loudness be matched"
            )


def _prepared(item: str, condition: str, samples: Samples, lufs: float, gain: float) -> Prepared:
    return Prepared(item, condition, (samples * np.float32(gain)), lufs, 20 * math.log10(gain))
