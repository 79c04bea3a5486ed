"""Display: loops, mask, levels, the model and the device in a few lines of text."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vampnet.apps.live.looper import Looper
from vampnet.apps.live.making import MakerStatus
from vampnet.apps.live.recording import Overdub
from vampnet.apps.live.track import LoopTrack
from vampnet.errors import require

WIDTH = 32
SHADES = " ░▒▓█"


@dataclass(frozen=True)
class DeviceState:
    """The device, for the display."""

    dropouts: int = 0
    """Number of underflows of the ring."""
    xruns: int = 0
    """Late blocks that the device has counted."""
    fill_ms: float = 0.0
    lowest_ms: float = 0.0


def state_lines(
    looper: Looper,
    status: MakerStatus,
    device: DeviceState,
    *,
    message: str = "",
    n_repeats: int = 0,
    bpm: float | None = None,
) -> list[str]:
    """The state as lines of text. `bpm`: tempo of a MIDI clock."""
    lines = [_head(looper, bpm)]
    for track in looper.tracks:
        if track.current is not None or track.recording is not None or track.number == looper.selected:
            lines += _loop_lines(looper, track)
    lines.append(_model_line(looper, status, n_repeats))
    lines.append(
        f"audio: {device.dropouts} dropouts, {device.xruns} late blocks, "
        f"{device.fill_ms:.0f} ms ahead (lowest {device.lowest_ms:.0f}); "
        f"in {_meter(looper.input_peak)} out {_meter(looper.peak)}"
    )
    if message:
        lines.append(f"! {message}")
    looper.input_peak = looper.peak = 0.0
    return lines


def _head(looper: Looper, bpm: float | None) -> str:
    grid, rate_hz = looper.grid, looper.config.sample_rate_hz
    if grid.beat is None:
        return "no tempo yet: record a loop, tap, or :tempo 120"
    beat = (looper.song - grid.zero) / grid.beat
    bar, place = divmod(math.floor(beat), grid.beats_per_bar)
    dots = "".join("●" if k == place else "○" for k in range(grid.beats_per_bar))
    clock = f"  clock {bpm:.1f} bpm" if bpm is not None else ""
    if bpm is not None and looper.follows and not 0.9 < bpm * grid.beat / (60 * rate_hz) < 1.1:
        clock += " (out of reach: loops bend by 10 % at most)"
    return f"{60 * rate_hz / grid.beat * looper.transport.last.rate:6.1f} bpm  bar {bar + 1:3d}  {dots}{clock}"


def _loop_lines(looper: Looper, track: LoopTrack) -> list[str]:
    mark = ">" if track.number == looper.selected else " "
    seconds = track.n_samples / looper.config.sample_rate_hz
    place = int(track.turn_at(looper.song) * WIDTH) if track.n_samples else -1
    bar = "".join("█" if k == place else "·" for k in range(WIDTH))
    takes = f"take {track.place + 1} of {len(track.history)}" if track.history else "empty"
    level = "muted" if track.is_muted else f"{track.gain_db:+.0f} dB"
    peak, track.peak = track.peak, 0.0
    current = track.current
    seed = f"  seed {current.recipe.sampling.seed}" if current is not None and current.recipe is not None else ""
    lines = [
        f"{mark}{track.number} [{bar}] {seconds:5.2f} s  {_doing(track):<10} {takes}  {level} {_meter(peak)}{seed}"
    ]
    if track.vary or (current is not None and current.kept is not None):
        mask = mask_text(current.kept) if current is not None and current.kept is not None else ""
        lines.append(f"   [{mask:<{WIDTH}}] keeps {track.recipe.prompt}")
    return lines


def _doing(track: LoopTrack) -> str:
    if track.recording is not None:
        return "overdub" if isinstance(track.recording, Overdub) else "recording"
    if not track.is_playing:
        return "stopped" if track.history else ""
    if track.swap is not None:
        return "next ready"
    return "varying" if track.vary else "playing"


def mask_text(kept_CT: NDArray[np.bool_], width: int = WIDTH) -> str:
    """Share of the tokens that were kept over the turn, as shades."""
    n_frames = kept_CT.shape[1]
    edges = np.linspace(0, n_frames, width + 1).astype(int)
    shares = [kept_CT[:, a : max(b, a + 1)].mean() for a, b in pairwise(edges.tolist())]
    return "".join(SHADES[math.ceil(share * (len(SHADES) - 1))] for share in shares)


def _model_line(looper: Looper, status: MakerStatus, n_repeats: int) -> str:
    text = f"model: {status.state}"
    if status.state == "working":
        left = "" if status.left_s is None else f", next variation in {status.left_s:.1f} s"
        text += f" {100 * status.share:.0f} %{left}"
    asked = looper.asked
    if asked is not None:
        text += f" (loop {asked.loop}, seed {asked.recipe.sampling.seed})"
    if n_repeats:
        text += f"; {n_repeats} turns repeated"
    return f"{text}; {status.text}" if status.text else text


def _meter(peak: float) -> str:
    if peak <= 0:
        return "[      ]"
    db = 20 * math.log10(peak)
    n = min(max(round((db + 48) / 8), 0), 6)
    return f"[{'|' * n}{' ' * (6 - n)}]{' CLIP' if peak > 1 else ''}"


@contextlib.contextmanager
def screen() -> Iterator[Callable[[list[str]], Any]]:
    """A function that shows lines of text: in place on a terminal, not at all elsewhere."""
    if not sys.stderr.isatty():
        yield lambda lines: None
        return
    require("rich", "the display of loops")
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    with Live(console=console, auto_refresh=False, screen=True) as live:
        yield lambda lines: live.update(Text("\n".join(lines), overflow="crop", no_wrap=True), refresh=True)
