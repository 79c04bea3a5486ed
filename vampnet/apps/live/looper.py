"""Looper: loops that play, are recorded and are varied, as a pure function of input samples and commands.

`render` turns a block of input into a block of output and knows no clock but the samples that it has rendered. So the
same commands at the same samples give the same output, bit for bit, in whatever blocks it is rendered; a sound card,
a file and a test drive it alike.

Output is rendered ahead of what is heard. The input block of a call is `delay` samples older than its output: it is
what came in when that earlier output was played. `latency` is the further way of a sound out of the speaker and back.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vampnet.apps.live.actions import act
from vampnet.apps.live.click import Click
from vampnet.apps.live.commands import LiveCommand
from vampnet.apps.live.takes import TAPS, Recipe, Take
from vampnet.apps.live.tape import Tape
from vampnet.apps.live.track import LoopTrack
from vampnet.apps.live.transport import Grid, Transport
from vampnet.audio.samples import Samples
from vampnet.beats.events import Events
from vampnet.config import check_settings, setting
from vampnet.errors import SettingsError
from vampnet.generation.config import SamplingConfig, variation_seed
from vampnet.tasks.defaults import DEFAULT_PROMPT, MAX_LOOP_S, MIN_LOOP_S

TAPE_S = 2.0


@dataclass(frozen=True)
class LooperConfig:
    """Settings of a looper, fixed while it plays."""

    sample_rate_hz: int = setting(44100, low=100, high=768000)
    channels: int = setting(2, low=1, high=2)
    """Channels of loops and of the output; the input has as many."""
    delay: int = setting(16384, low=0, high=10**7)
    """Samples by which the input that a call of `render` gets is older than its output."""
    latency: int = setting(0, low=-(10**7), high=10**7)
    """Samples from the output of a sound to its return at the input."""
    n_loops: int = setting(4, low=1, high=16)
    prompt: str = DEFAULT_PROMPT
    sampling: SamplingConfig = SamplingConfig()
    max_loop_s: float = setting(MAX_LOOP_S, low=MIN_LOOP_S, high=3600.0)
    """Longest loop, seconds."""

    def __post_init__(self) -> None:
        check_settings(self)
        if self.delay + self.latency < 0:
            raise SettingsError(
                f"the latency is {self.latency} samples, but a sound cannot come back before it is played, "
                f"{self.delay} samples ahead; give a latency of {-self.delay} or more"
            )

    @property
    def lag(self) -> int:
        """Samples between playing a place of the song and knowing what was played to it."""
        return self.delay + self.latency + TAPS


@dataclass(frozen=True, eq=False)
class VariationRequest:
    """A variation that the looper asks for."""

    number: int
    """Counts requests, from 1."""
    loop: int
    source: Take
    recipe: Recipe
    sample_rate_hz: int
    beats: Events | None
    """Beats of the turn, where there is a tempo; None leaves them to the tracker."""
    seam: NDArray[np.int32] | None
    """Tokens of which it takes over the frames around the seam."""


@dataclass(frozen=True, eq=False)
class MadeVariation:
    """Outcome of a request."""

    number: int
    samples: Samples
    codes: NDArray[np.int32] | None
    kept: NDArray[np.bool_] | None
    seconds: float = 0.0
    """Time taken, seconds."""


class Looper:
    """Some loops on one song."""

    def __init__(self, config: LooperConfig) -> None:
        self.config = config
        self.now = 0
        """Output samples rendered so far."""
        self.transport, self.grid = Transport(), Grid()
        recipe = Recipe(config.prompt, config.sampling)
        self.tracks = [
            LoopTrack(k, config.channels, config.sample_rate_hz, recipe) for k in range(1, config.n_loops + 1)
        ]
        self.selected = 1
        self.swap_unit, self.record_bars, self.countin, self.click_mode = "loop", 0, 1, 1
        self.swaps: deque[tuple[int, int, int]] = deque(maxlen=1000)
        """Output sample, loop and take of the last swaps."""
        self.n_swaps = 0
        self.taps: list[int] = []
        self.input_peak = self.peak = 0.0
        self.follows = False
        """True behind a clock."""
        self._click = Click(config.sample_rate_hz)
        self._tape = Tape(config.channels, int(TAPE_S * config.sample_rate_hz) + 2 * TAPS)
        self._tape.start_at(-config.delay)
        self._asked: VariationRequest | None = None
        self._n_asked = 0

    @property
    def song(self) -> float:
        """Position of the song at the next output sample."""
        return self.transport.last.song_at(self.now)

    @property
    def asked(self) -> VariationRequest | None:
        """The request whose answer it waits for."""
        return self._asked

    def track(self, loop: int) -> LoopTrack:
        """A loop by its number; 0 is the selected one. Raises SettingsError."""
        number = loop or self.selected
        if not 1 <= number <= len(self.tracks):
            raise SettingsError(f"loop is {loop}, but must lie in 1 to {len(self.tracks)}")
        return self.tracks[number - 1]

    def do(self, command: LiveCommand, heard: int | None = None) -> None:
        """Carry out a command now; `heard`: output sample that was heard when it was given, now at the latest.

        Raises SettingsError where it cannot be done.
        """
        act(self, command, self.now if heard is None else min(heard, self.now))

    def render(self, block: Samples) -> Samples:
        """The next output samples (channels, n) for as many input samples."""
        n, most = block.shape[1], max(self.config.lag - TAPS, 1)
        out = np.zeros((self.config.channels, n), np.float32)
        for start in range(0, n, most):  # no piece reads what it writes
            self._render(block[:, start : start + most], out[:, start : start + most])
        return out

    def _render(self, block: Samples, out: Samples) -> None:
        n = block.shape[1]
        self._tape.add(block)
        self.input_peak = max(self.input_peak, float(np.abs(block).max(initial=0.0)))
        for track in self.tracks:
            if track.recording is not None:
                track.write(self._tape, self.transport, self.now - self.config.lag, n, self.config.latency)
            track.render(out, self.transport, self.now)
            for output, take in track.switches:
                self.n_swaps += 1
                self.swaps.append((output, track.number, take.number))
            track.switches.clear()
        self._add_click(out)
        self.peak = max(self.peak, float(np.abs(out).max(initial=0.0)))
        self.now += n

    def load(self, loop: int, samples: Samples, *, bars: int = 0, origin: int | None = None, **known: Any) -> Take:
        """Put a turn into a loop, which plays from now on. `known`: fields of its take.

        Raises SettingsError for one that is too short or too long.
        """
        seconds = samples.shape[1] / self.config.sample_rate_hz
        if not MIN_LOOP_S <= seconds <= self.config.max_loop_s:
            raise SettingsError(
                f"the loop has {seconds:.2f} s, but must have {MIN_LOOP_S:g} to {self.config.max_loop_s:g} s"
            )
        place = round(self.song) if origin is None else origin
        take = Take(np.ascontiguousarray(samples, np.float32), origin=place, bars=bars, **known)
        track = self.track(loop)
        track.load(take)
        track.start(self.now, soft=self.now > 0)
        return take

    @property
    def shortest_s(self) -> float:
        """Shortest loop that can be recorded or overdubbed: its beginning has to be in before it is played."""
        return max(MIN_LOOP_S, (self.config.lag + 2 * self.tracks[0].n_fade) / self.config.sample_rate_hz)

    # Variations

    def ask(self) -> VariationRequest | None:
        """The variation to be made next, or None; the loops take turns.

        An answer is taken by `offer`; asking again gives up on the answer to the request before.
        """
        self._asked = None
        number = self._n_asked
        for track in (self.tracks[(number + k) % len(self.tracks)] for k in range(len(self.tracks))):
            source, is_free = track.source, track.current is not None and track.swap is None
            if track.vary and is_free and source is not None and source.is_complete and track.is_playing:
                self._n_asked += 1
                beats, rate_hz = self._beats(source), self.config.sample_rate_hz
                self._asked = VariationRequest(
                    self._n_asked, track.number, source, track.recipe, rate_hz, beats, source.seam
                )
                return self._asked
        return None

    def is_stale(self) -> bool:
        """True where the answer that it waits for is not wanted any more: the prompt has changed, the loop is gone."""
        if self._asked is None:
            return False
        track = self.track(self._asked.loop)
        return not track.vary or track.source is not self._asked.source or track.recipe != self._asked.recipe

    def offer(self, made: MadeVariation) -> bool:
        """Take over a variation at the next loop end or bar; False where it is not wanted any more."""
        asked = self._asked
        if asked is None or made.number != asked.number or self.is_stale():
            return False
        self._asked = None
        track, source = self.track(asked.loop), asked.source
        if made.samples.shape != source.samples.shape:
            return False
        if source.seam is None:
            source.seam = made.codes
        take = Take(made.samples, asked.recipe, made.codes, made.kept, True, source.origin, source.bars, source)
        track.offer(take, track.next_line(self.song, self.swap_unit))
        track.vary -= track.vary > 0
        sampling = track.recipe.sampling
        track.recipe = replace(track.recipe, sampling=replace(sampling, seed=variation_seed(sampling.seed, 1)))
        return True

    def give_up(self) -> None:
        """Forget the request that it waits for."""
        self._asked = None

    def _beats(self, source: Take) -> Events | None:
        if not source.bars:
            return None
        seconds = source.n_samples / self.config.sample_rate_hz
        per_bar = self.grid.beats_per_bar
        beats = [seconds * k / (source.bars * per_bar) for k in range(source.bars * per_bar)]
        return Events(tuple(beats), tuple(beats[::per_bar]))

    def _add_click(self, out: Samples) -> None:
        # By position, not by whether a recording is still on its way in: that ends with a block.
        until = max((track.recording.stop for track in self.tracks if track.recording is not None), default=-math.inf)
        until = {0: -math.inf, 1: until, 2: math.inf}[self.click_mode]
        self._click.add(out, self.grid, self.transport, self.now, until)
