"""Actions: what each command does to a looper."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vampnet.apps.live.commands import LiveCommand
from vampnet.apps.live.recording import Overdub, Recording
from vampnet.apps.live.transport import FASTEST, SLOWEST, guess_bars
from vampnet.config import nearest, type_hints
from vampnet.errors import SettingsError
from vampnet.generation.config import SamplingConfig

if TYPE_CHECKING:
    from vampnet.apps.live.looper import Looper
    from vampnet.apps.live.track import LoopTrack

TAP_PAUSE_S = 2.0
"""A longer pause begins a new row of taps."""
CATCH_UP_S = 2.0
"""Behind a clock, a difference in phase is made good in about this time."""


def act(looper: Looper, command: LiveCommand, heard: int) -> None:
    """Carry out a command; `heard`: output sample that was heard when it was given. Raises SettingsError."""
    if command.name not in _ACTIONS:
        raise SettingsError(f"{command.name} is for a session with a device, not for a looper alone")
    _ACTIONS[command.name](looper, heard, *command.values)


def _record(looper: Looper, heard: int, bars: int, loop: int) -> None:
    track = looper.track(loop)
    recording, grid = track.recording, looper.grid
    if isinstance(recording, Recording):
        if recording.is_open:
            _end_recording(looper, track, recording, heard)
        return
    if isinstance(recording, Overdub):
        raise SettingsError("the loop is being overdubbed; end that first")
    bars = looper.record_bars if bars < 0 else bars
    others_play = any(other.is_playing for other in looper.tracks)
    rate_hz, config = looper.config.sample_rate_hz, looper.config
    if bars and grid.bar is None:
        raise SettingsError("recording so many bars needs a tempo; set one with `tempo`, tap it, or record 0")
    if grid.bar is None:
        start = round(looper.transport.song_at(heard))
    elif others_play or looper.follows:
        start = round(grid.next_bar(looper.song))
    else:
        grid.zero = round(looper.song)
        start = round(grid.zero + looper.countin * grid.bar)
    n_max = round(bars * grid.bar) if bars and grid.bar else int(config.max_loop_s * rate_hz)
    if not looper.shortest_s <= n_max / rate_hz <= config.max_loop_s + 1:
        raise SettingsError(
            f"{bars} bars are {n_max / rate_hz:.2f} s, but a loop must have {looper.shortest_s:.2f} to "
            f"{config.max_loop_s:g} s"
        )
    recording = Recording(config.channels, start, n_max, track.n_fade)
    track.record(recording)
    if bars:
        recording.close_at(start + n_max, bars)
        track.start_with(recording.take, recording.stop)


def _end_recording(looper: Looper, track: LoopTrack, recording: Recording, heard: int) -> None:
    rate_hz, grid = looper.config.sample_rate_hz, looper.grid
    pressed = round(looper.transport.song_at(heard))
    if grid.bar is None:
        n = pressed - recording.start
        bars = guess_bars(max(n, 1) / rate_hz, grid.beats_per_bar)
    else:
        bars = max(round((pressed - recording.start) / grid.bar + 0.3), 1)
        n = round(bars * grid.bar)
    n = min(n, recording.take.n_samples)
    if n / rate_hz < looper.shortest_s:
        track.recording = None
        raise SettingsError(
            f"the loop has {max(n, 0) / rate_hz:.2f} s, but must have {looper.shortest_s:.2f} s or more"
        )
    if grid.bar is None:
        grid.beat, grid.zero = n / (bars * grid.beats_per_bar), recording.start
    recording.close_at(recording.start + n, bars)
    track.start_with(recording.take, max(recording.stop, looper.song))


def _overdub(looper: Looper, heard: int, loop: int) -> None:
    track, song = looper.track(loop), round(looper.transport.song_at(heard))
    recording = track.recording
    if isinstance(recording, Overdub):
        recording.close_at(song)
    elif recording is not None or track.current is None or not track.current.is_complete:
        raise SettingsError("there is no complete loop to overdub yet")
    elif track.n_samples < looper.shortest_s * looper.config.sample_rate_hz:
        raise SettingsError(f"the loop is too short to overdub; it must have {looper.shortest_s:.2f} s or more")
    else:
        track.overdub(song)


def _vary(looper: Looper, heard: int, on: int, loop: int) -> None:
    track = looper.track(loop)
    on = int(not track.vary) if on < 0 else on
    track.vary = -on
    if not on:
        track.swap = None


def _next(looper: Looper, heard: int, loop: int) -> None:
    track = looper.track(loop)
    if track.vary >= 0:
        track.vary += 1


def _undo(looper: Looper, heard: int, loop: int) -> None:
    track = looper.track(loop)
    if not track.step(looper.song, -1):
        raise SettingsError("there is nothing to undo")


def _redo(looper: Looper, heard: int, loop: int) -> None:
    if not looper.track(loop).step(looper.song, 1):
        raise SettingsError("there is nothing to redo")


def _keep(looper: Looper, heard: int, loop: int) -> None:
    if not looper.track(loop).keep():
        raise SettingsError("there is no complete take to keep")


def _back(looper: Looper, heard: int, loop: int) -> None:
    track = looper.track(loop)
    if track.current is None or track.source is None or not track.source.is_complete:
        raise SettingsError("there is no complete loop to go back to")
    track.vary = 0
    track.offer(track.source, track.next_line(looper.song, looper.swap_unit))


def _clear(looper: Looper, heard: int, loop: int) -> None:
    looper.track(loop).clear(looper.now)


def _select(looper: Looper, heard: int, loop: int) -> None:
    looper.selected = looper.track(loop).number


def _gain(looper: Looper, heard: int, db: float, loop: int) -> None:
    looper.track(loop).set_level(looper.now, gain_db=db)


def _mute(looper: Looper, heard: int, on: int, loop: int) -> None:
    track = looper.track(loop)
    track.set_level(looper.now, muted=not track.is_muted if on < 0 else bool(on))


def _change(track: LoopTrack, **changes: Any) -> None:
    """Another recipe; what was made by the old one and does not play yet is dropped."""
    track.recipe = replace(track.recipe, **changes)
    if track.swap is not None and track.swap.counts and track.vary:
        track.swap = None


def _prompt(looper: Looper, heard: int, prompt: str, loop: int) -> None:
    _change(looper.track(loop), prompt=prompt)


def _seed(looper: Looper, heard: int, seed: int, loop: int) -> None:
    track = looper.track(loop)
    _change(track, sampling=replace(track.recipe.sampling, seed=seed))


def _set(looper: Looper, heard: int, name: str, value: float, loop: int) -> None:
    hints = type_hints(SamplingConfig)
    names = [field.name for field in dataclasses.fields(SamplingConfig) if field.name != "seed"]
    if name not in names:
        raise SettingsError(f"no setting {name[:40]!r}{nearest(name, names)}; known: {', '.join(names)}")
    track = looper.track(loop)
    number = int(value) if hints[name] is int and value == int(value) else value
    _change(track, sampling=replace(track.recipe.sampling, **{name: number}))


def _swap(looper: Looper, heard: int, unit: str) -> None:
    looper.swap_unit = unit


def _tempo(looper: Looper, heard: int, bpm: float) -> None:
    if any(track.current is not None for track in looper.tracks):
        raise SettingsError("the tempo is that of the loops; clear them first, or record without a tempo")
    looper.grid.beat = 60.0 / bpm * looper.config.sample_rate_hz


def _meter(looper: Looper, heard: int, beats: int) -> None:
    looper.grid.beats_per_bar = beats


def _tap(looper: Looper, heard: int) -> None:
    rate_hz = looper.config.sample_rate_hz
    if looper.taps and heard - looper.taps[-1] > TAP_PAUSE_S * rate_hz:
        looper.taps.clear()
    looper.taps = [*looper.taps[-7:], heard]
    if len(looper.taps) >= 3:
        gaps = [later - earlier for earlier, later in zip(looper.taps, looper.taps[1:], strict=False)]
        gap = statistics.median(gaps)
        if gap > 0:
            _tempo(looper, heard, min(max(60.0 * rate_hz / gap, 20.0), 400.0))


def _bars(looper: Looper, heard: int, bars: int) -> None:
    looper.record_bars = bars


def _countin(looper: Looper, heard: int, bars: int) -> None:
    looper.countin = bars


def _click(looper: Looper, heard: int, mode: int) -> None:
    looper.click_mode = mode


def _start(looper: Looper, heard: int) -> None:
    """All loops from the top: those that began together begin together again."""
    loops = [track for track in looper.tracks if track.current is not None and track.recording is None]
    if not loops:
        return
    song = round(looper.song)
    first = min(track.origin for track in loops)
    for track in loops:
        length = track.n_samples
        track.shift(song - first - ((track.origin - first) // length) * length)
        track.start(looper.now)
    looper.grid.zero = song


def _stop(looper: Looper, heard: int) -> None:
    for track in looper.tracks:
        track.stop(looper.now)


def _panic(looper: Looper, heard: int) -> None:
    for track in looper.tracks:
        track.stop(looper.now, hard=True)


def _clock(looper: Looper, heard: int, bpm: float, beat: float) -> None:
    """Go along with a clock: by rate while loops are bound to a tempo, by the grid while there are none."""
    rate_hz, grid, transport = looper.config.sample_rate_hz, looper.grid, looper.transport
    looper.follows = True
    theirs = 60.0 / bpm * rate_hz
    bound = any(track.current is not None or track.recording is not None for track in looper.tracks)
    song = transport.song_at(heard)
    if not bound or grid.beat is None:
        transport.set_rate(looper.now, 1.0)
        grid.beat, grid.zero = theirs, song - beat * theirs
        return
    ratio = grid.beat / theirs
    if not SLOWEST < ratio < FASTEST:
        return  # out of reach; the display says so
    ours = (song - grid.zero) / grid.beat
    error = beat - ours
    error -= round(error)  # in phase to the beat; Start says which beat is the first
    transport.set_rate(looper.now, ratio + error * grid.beat / (CATCH_UP_S * rate_hz))


def _free(looper: Looper, heard: int) -> None:
    looper.follows = False
    looper.transport.set_rate(looper.now, 1.0)


_ACTIONS: dict[str, Callable[..., None]] = {
    "record": _record, "overdub": _overdub, "vary": _vary, "next": _next, "undo": _undo, "redo": _redo,
    "keep": _keep, "back": _back, "clear": _clear, "select": _select, "gain": _gain, "mute": _mute,
    "prompt": _prompt, "seed": _seed, "set": _set, "swap": _swap, "tempo": _tempo, "meter": _meter, "tap": _tap,
    "bars": _bars, "countin": _countin, "click": _click, "start": _start, "stop": _stop, "panic": _panic,
    "clock": _clock, "free": _free,
}  # fmt: skip
