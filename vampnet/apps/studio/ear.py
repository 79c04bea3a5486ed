"""Functions that helper processes of the server run on audio: analysis, masks, mel spectra, passages, other formats.

Imports are inside functions: each process loads what it is asked for, and the web process nothing of it.
"""

from __future__ import annotations

import base64
import functools
import io
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vampnet.tasks.preview import CodecGrid

ANALYSED_S = 600.0
"""Beats are looked for in so much of a recording, from its start, seconds."""
KEY_S = 180.0
"""The key is looked for in so much of it, seconds."""
PASSAGE_S = 120.0
"""Longest passage that is cut out of a file for playing, seconds."""
_PLACES = 4


def warm_reader(bundle: str) -> None:
    """Import what reading and drawing files needs, so that the first sound that is dropped need not wait for it."""
    import numpy as np  # noqa: F401

    import vampnet.audio.files  # noqa: F401


def warm_masks(bundle: str) -> None:
    """Import what masks need, so that the first preview need not wait for it."""
    import vampnet.jobs.preview  # noqa: F401

    codec_grid(bundle)


def warm_listener(bundle: str) -> None:
    """Listen to a second of noise, so that the first analysis need not wait for imports and compiling."""
    import numpy as np

    from vampnet.beats.tracking import track_events

    noise = np.random.default_rng(0).standard_normal((1, 22050)).astype(np.float32)
    track_events([0.1 * noise], 22050, noise.shape[1])
    codec_grid(bundle)


def analyse(path: str, bundle: str, kept: str) -> dict[str, Any]:
    """Controls heard in a file, kept as JSON at `kept` (no path: not kept). Raises AudioError."""
    from vampnet.audio.sources import FileSource
    from vampnet.audio.splice import Slice
    from vampnet.audio.units import seconds_to_samples
    from vampnet.beats.events import tempo_of
    from vampnet.beats.tracking import track_events
    from vampnet.storage import write_whole
    from vampnet.tasks.preview import count_tokens

    source, grid = FileSource(path), codec_grid(bundle)
    rate_hz = source.sample_rate_hz
    n_heard = min(source.n_samples, seconds_to_samples(ANALYSED_S, rate_hz))
    found = track_events(Slice(source, 0, n_heard).blocks(), rate_hz, n_heard)
    lufs, tempo_bpm = _loudness(source), tempo_of(found)
    result = {
        "seconds": source.n_samples / rate_hz,
        "sample_rate_hz": rate_hz,
        "channels": source.channels,
        "loudness_lufs": round(lufs, 3) if math.isfinite(lufs) else None,
        "frames_per_s": grid.frames_per_s,
        "n_frames": count_tokens(source, grid).n_frames,
        "n_codebooks": grid.n_codebooks,
        "tempo_bpm": None if tempo_bpm is None else round(tempo_bpm, 2),
        "key": _key(source, found),
        "analysed_s": n_heard / rate_hz,
        **{f"{kind}_s": [round(float(t), _PLACES) for t in found.events(kind)] for kind in _KINDS},
        "exact": {kind: [float(t) for t in found.events(kind)] for kind in _KINDS},
        "warnings": list(source.info.warnings),
    }
    if kept:
        write_whole(Path(kept), json.dumps(result).encode())
    return result


_KINDS = ("beats", "downbeats", "onsets")


def _loudness(source: Any) -> float:
    from vampnet.audio.loudness import LoudnessMeter

    meter = LoudnessMeter(source.sample_rate_hz, source.channels)
    for block in source.blocks():
        meter.add(block)
    return meter.integrated_lufs


def _key(source: Any, found: Any) -> str | None:
    """Key of the beginning of a recording; None where none is heard."""
    import numpy as np

    from vampnet.audio.samples import Audio
    from vampnet.audio.splice import Slice
    from vampnet.audio.units import seconds_to_samples
    from vampnet.controls.extraction import ExtractionConfig, extract_controls

    n = min(source.n_samples, seconds_to_samples(KEY_S, source.sample_rate_hz))
    mono = np.concatenate([block.mean(axis=0, keepdims=True) for block in Slice(source, 0, n).blocks()], axis=1)
    if not np.any(mono):
        return None
    audio = Audio(mono, source.sample_rate_hz)
    return extract_controls(audio, ExtractionConfig(("key",)), events=found).key


@functools.lru_cache(maxsize=8)
def codec_grid(bundle: str) -> CodecGrid:
    """Size and time base of the tokens of a bundle. Raises BundleError."""
    from vampnet.models.bundle import find_bundle, load_codec
    from vampnet.models.bundle_config import read_config
    from vampnet.tasks.preview import CodecGrid

    folder = find_bundle(bundle)
    codec: Any
    if (folder / "config.json").exists() and not (folder / "codec.pth").exists():
        codec = read_config(folder)[1].codec
        if codec.kind == "magnitude":
            return CodecGrid(codec.n_codebooks, codec.sample_rate_hz, codec.hop)
    codec = load_codec(bundle)
    return CodecGrid(codec.n_codebooks, codec.sample_rate_hz, codec.hop)


def preview_mask(
    work: dict[str, Any], bundle: str, heard: dict[str, Any] | None, window_s: tuple[float, float | None] | None
) -> dict[str, Any] | None:
    """The tokens that a request's job would keep, packed; None where its events are not known yet.

    `heard`: an analysis of the input; `window_s`: start and end of the part of the mask that is wanted.
    Raises VampnetError as the job would.
    """
    import numpy as np

    from vampnet.beats.events import Events
    from vampnet.jobs.preview import Heard, make_preview
    from vampnet.jobs.request import request_from_json
    from vampnet.tasks.preview import EventsUnknown

    grid, known = codec_grid(bundle), None
    if heard is not None:
        times = heard["exact"]
        events = Events(*(tuple(times[kind]) for kind in _KINDS))
        known = Heard(events, heard["analysed_s"] >= heard["seconds"])
    try:
        made = make_preview(request_from_json(work), grid, known)
    except EventsUnknown:
        return None
    keep_CT, first = made.keep_CT, 0
    n_frames = keep_CT.shape[1]
    if window_s is not None:
        start_s, end_s = window_s
        first = min(max(math.floor((start_s - made.start_s) * grid.frames_per_s), 0), n_frames)
        stop = n_frames if end_s is None else math.ceil((end_s - made.start_s) * grid.frames_per_s)
        keep_CT = keep_CT[:, first : max(stop, first)]
    packed = np.packbits(keep_CT.numpy().reshape(-1), bitorder="little")
    return {
        "frames_per_s": grid.frames_per_s,
        "n_frames": n_frames,
        "n_codebooks": keep_CT.shape[0],
        "kept_share": round(float(made.keep_CT.float().mean()), 6) if n_frames else 0.0,
        "start_s": float(made.start_s),
        "first_frame": first,
        "mask_frames": keep_CT.shape[1],
        "exact": made.exact,
        "mask": base64.b64encode(packed.tobytes()).decode("ascii"),
    }


def cut_passage(path: str, start_s: float, end_s: float | None) -> bytes:
    """A passage of a file as a WAV file of 16 bits, at its own rate and channels. Raises AudioError, SettingsError."""
    import soundfile

    from vampnet.audio.files import AudioReader
    from vampnet.audio.units import seconds_to_samples
    from vampnet.errors import SettingsError

    file = io.BytesIO()
    with AudioReader(path) as reader:
        info = reader.info
        first = seconds_to_samples(start_s, info.sample_rate_hz)
        stop = info.n_samples if end_s is None else min(seconds_to_samples(end_s, info.sample_rate_hz), info.n_samples)
        if not first < stop:
            raise SettingsError(f"start_s is {start_s:g}, but must lie before end_s and the end, {info.duration_s:g} s")
        if stop - first > PASSAGE_S * info.sample_rate_hz:
            raise SettingsError(f"the passage has {(stop - first) / info.sample_rate_hz:.1f} s, at most {PASSAGE_S:g}")
        reader.skip(first)
        left = stop - first
        with soundfile.SoundFile(file, "w", info.sample_rate_hz, info.channels, "PCM_16", format="WAV") as writer:
            for block in reader:
                writer.write(block[:, :left].T.clip(-1, 1))
                left -= min(left, block.shape[1])
                if not left:
                    break
    return file.getvalue()


def convert(path: str, kept: str) -> None:
    """Write a file in another format, which the ending of `kept` names. Raises AudioError."""
    from vampnet.audio.files import AudioReader, AudioWriter

    target = Path(kept)
    partial = target.with_name(f".partial-{target.name}")
    with AudioReader(path, exact=True) as reader:
        info = reader.info
        with AudioWriter(partial, info.sample_rate_hz, info.channels, None, info) as writer:
            for block in reader:
                writer.write(block)
    partial.replace(target)
