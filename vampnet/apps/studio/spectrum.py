"""Mel spectra for drawing, as bytes: any stretch of a file of any length at any width.

The whole file is measured once in coarse columns, which are kept beside it; a stretch of few columns is measured anew,
as finely as it is drawn. A helper process runs this; it imports numpy, not torch.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Bytes = NDArray[np.uint8]

HEIGHT = 96
"""Mel bands."""
RANGE_DB = 80.0
"""Levels from the file's peak down to this far below it are told apart."""
MAX_WIDTH = 4000
_WINDOW_S = 0.046
_STEP_DB, _FLOOR_DB = 0.5, -127.5
_TOP_HZ = 20000.0
_QUIETEST_DB = -40.0
"""Lowest peak that is drawn bright: silence stays dark."""
_COLUMNS_AT_ONCE = 512


@dataclass(frozen=True)
class _Grid:
    """Settings of a spectrum."""

    rate_hz: int

    @property
    def n_fft(self) -> int:
        """Samples of a window: a power of two near 46 ms."""
        return max(1 << round(_WINDOW_S * self.rate_hz).bit_length() - 1, 64)

    @property
    def hop(self) -> int:
        """Samples from one kept column to the next."""
        return self.n_fft // 2

    @property
    def top_hz(self) -> float:
        """Upper edge of the highest band."""
        return min(self.rate_hz / 2, _TOP_HZ)


def mel_picture(path: str, start_s: float, end_s: float | None, width: int, kept: str) -> dict[str, Any]:
    """Levels of HEIGHT mel bands, the lowest first, in `width` columns from `start_s` to `end_s`, row by row.

    0 is RANGE_DB below the file's peak or less, 255 the peak. `kept`: path at which the coarse columns of the whole
    file are kept; no path keeps nothing. Raises AudioError, SettingsError for a stretch outside the file.
    """
    import numpy as np

    from vampnet.audio.files import AudioReader
    from vampnet.errors import SettingsError

    with AudioReader(path, check_level=False) as reader:
        info = reader.info
    grid, seconds = _Grid(info.sample_rate_hz), info.duration_s
    end = seconds if end_s is None else min(end_s, seconds)
    if not 0 <= start_s < end:
        raise SettingsError(
            f"start_s is {start_s:g}, but must lie before end_s and the end of the file at {seconds:g} s"
        )
    coarse = _coarse(path, grid, kept)
    peak_db = max(float(coarse.max()) * _STEP_DB + _FLOOR_DB, _QUIETEST_DB)
    first, stop = (place * info.sample_rate_hz for place in (start_s, end))
    if (stop - first) / grid.hop >= width:
        edges = np.linspace(first / grid.hop, stop / grid.hop, width + 1).astype(int).clip(0, len(coarse) - 1)
        levels_db = np.maximum.reduceat(coarse, edges[:-1], axis=0).astype(np.float32) * _STEP_DB + _FLOOR_DB
    else:
        centres = first + (np.arange(width) + 0.5) * (stop - first) / width
        levels_db = _fine(path, grid, centres.astype(int))
    scaled = (255 * (1 + (levels_db - peak_db) / RANGE_DB)).clip(0, 255).round().astype(np.uint8)
    return {
        "width": width,
        "height": HEIGHT,
        "top_hz": grid.top_hz,
        "bytes": np.ascontiguousarray(scaled.T).tobytes(),
    }


def _coarse(path: str, grid: _Grid, kept: str) -> Bytes:
    """Levels (columns, HEIGHT) of a whole file in steps of _STEP_DB above _FLOOR_DB, kept for the next time."""
    import numpy as np

    if kept and os.path.exists(kept):
        return np.load(kept, mmap_mode="r", allow_pickle=False)
    parts = [_quantised(power) for power in _columns(_padded(path, grid, 0, None), grid, grid.hop)]
    result = np.concatenate(parts)
    if kept:
        partial = Path(kept).with_name(f".partial-{os.getpid()}-{Path(kept).name}")
        with open(partial, "wb") as file:
            np.save(file, result, allow_pickle=False)
        partial.replace(kept)
    return result


def _quantised(power: Floats) -> Bytes:
    import numpy as np

    level_db = 10 * np.log10(np.maximum(power, 1e-13))
    return ((level_db - _FLOOR_DB) / _STEP_DB).clip(0, 255).round().astype(np.uint8)


def _fine(path: str, grid: _Grid, centres: NDArray[np.int64]) -> Floats:
    """Levels (columns, HEIGHT) in dB around given samples of a file, which are few and near each other."""
    import numpy as np

    first, stop = int(centres[0]), int(centres[-1]) + 1
    audio = np.concatenate(list(_padded(path, grid, first, stop)), axis=1)
    audio = np.pad(audio, ((0, 0), (0, max(stop - first + grid.n_fft - audio.shape[1], 0))))
    views = np.lib.stride_tricks.sliding_window_view(audio, grid.n_fft, axis=1)
    parts = []
    for start in range(0, len(centres), _COLUMNS_AT_ONCE):
        parts.append(_mel_power(views[:, centres[start : start + _COLUMNS_AT_ONCE] - first], grid))
    return 10 * np.log10(np.maximum(np.concatenate(parts), 1e-13))


def _padded(path: str, grid: _Grid, first: int, stop: int | None) -> Iterator[Floats]:
    """Samples from half a window before `first` to half a window after `stop` (None: the end), silence outside."""
    import numpy as np

    from vampnet.audio.files import AudioReader

    half = grid.n_fft // 2
    with AudioReader(path, check_level=False) as reader:
        begin = max(first - half, 0)
        left = (reader.info.n_samples if stop is None else min(stop + half, reader.info.n_samples)) - begin
        silence = np.zeros((reader.info.channels, half), np.float32)
        yield silence[:, : half - (first - begin)]
        reader.skip(begin)
        for block in reader:
            yield block[:, :left]
            left -= min(left, block.shape[1])
            if not left:
                break
        yield silence


def _columns(blocks: Iterator[Floats], grid: _Grid, hop: int) -> Iterator[Floats]:
    """Power (columns, HEIGHT) of windows every `hop` samples of a stream."""
    import numpy as np

    held, n_fft, is_first = None, grid.n_fft, True
    for block in blocks:
        held = block if held is None else np.concatenate([held, block], axis=1)
        while held.shape[1] >= n_fft + hop * (_COLUMNS_AT_ONCE - 1):
            yield _windows(held, grid, hop, _COLUMNS_AT_ONCE)
            held, is_first = held[:, hop * _COLUMNS_AT_ONCE :], False
    assert held is not None
    if held.shape[1] >= n_fft or is_first:
        held = np.pad(held, ((0, 0), (0, max(n_fft - held.shape[1], 0))))
        yield _windows(held, grid, hop, 1 + (held.shape[1] - n_fft) // hop)


def _windows(held: Floats, grid: _Grid, hop: int, n: int) -> Floats:
    import numpy as np

    views = np.lib.stride_tricks.sliding_window_view(held, grid.n_fft, axis=1)
    return _mel_power(views[:, : n * hop : hop][:, :n], grid)


def _mel_power(windows: Floats, grid: _Grid) -> Floats:
    """Mean power over the channels (columns, HEIGHT) of windows (channels, columns, n_fft)."""
    import numpy as np

    shape, filters = _shape_and_filters(grid)
    total = 0.0
    for channel in windows:
        spectrum = np.fft.rfft(channel * shape, axis=-1)
        total = total + (spectrum.real**2 + spectrum.imag**2)
    return np.asarray(total / len(windows), np.float32) @ filters


@functools.lru_cache(maxsize=4)
def _shape_and_filters(grid: _Grid) -> tuple[Floats, Floats]:
    """A Hann window of sum 2, and triangular mel filters (n_fft / 2 + 1, HEIGHT) that peak at 1.

    For drawing alone, so that a picture need not wait seconds for librosa to be imported.
    """
    import numpy as np

    shape = np.hanning(grid.n_fft + 1)[:-1].astype(np.float32)
    edges_mel = np.linspace(0.0, 2595 * np.log10(1 + grid.top_hz / 700), HEIGHT + 2)
    edges = 700 * (10 ** (edges_mel / 2595) - 1) * grid.n_fft / grid.rate_hz
    bins = np.arange(grid.n_fft // 2 + 1)[:, None]
    rising, falling = (bins - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - bins) / np.diff(edges)[1:]
    filters = np.minimum(rising, falling).clip(0, None)
    # Low bands that lie between two bins would stay dark: they take the bin next to them.
    for band in np.flatnonzero(filters.max(axis=0) < 0.5):
        filters[min(round(edges[band + 1]), grid.n_fft // 2), band] = 1.0
    return shape * np.float32(2 / shape.sum()), np.ascontiguousarray(filters, np.float32)
