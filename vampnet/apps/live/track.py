"""Track: one loop of the looper. It plays, records, takes over variations and goes back to earlier takes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vampnet.apps.live.recording import Overdub, Recording
from vampnet.apps.live.takes import (
    Recipe,
    Take,
    crossfade_gains,
    interpolate_turns,
    likeness,
    read_turns,
)
from vampnet.apps.live.tape import Tape
from vampnet.apps.live.transport import Transport
from vampnet.audio.samples import Samples

UNDO_BYTES = 256 << 20
"""Takes beyond this are forgotten, the oldest first."""
UNDO_TAKES = 32


@dataclass
class Ramp:
    """A gain that moves in a straight line from one value to another."""

    output: int
    """Output sample at which it begins to move."""
    start: float
    stop: float
    n: int
    """Samples that it takes."""

    def gains(self, output: int, n: int) -> Samples | None:
        """Gains of `n` output samples; None where all are 1."""
        if output >= self.output + self.n and self.stop == 1.0:
            return None
        share = np.clip((np.arange(output, output + n) - self.output) / self.n, 0.0, 1.0)
        return (self.start + (self.stop - self.start) * share).astype(np.float32)

    def is_silent(self, output: int) -> bool:
        """True where it has come down to 0."""
        return self.stop == 0.0 and output >= self.output + self.n

    def turn_to(self, output: int, gain: float) -> None:
        """Move to another gain from an output sample on."""
        share = min(max((output - self.output) / self.n, 0.0), 1.0)
        self.start, self.stop, self.output = self.start + (self.stop - self.start) * share, gain, output


@dataclass
class Fade:
    """A crossfade from the take that played before."""

    old: Take
    output: int
    alike: float


@dataclass(frozen=True)
class Swap:
    """A take that is taken over at a position of the song."""

    take: Take
    song: float
    counts: bool
    """Whether it can be undone: false for undo itself."""
    back: int = 0
    """Steps from the end of the history to the take, for undo and redo: a take may be there more than once."""


class LoopTrack:
    """One loop. Song positions and output samples are those of the looper."""

    def __init__(self, number: int, channels: int, sample_rate_hz: int, recipe: Recipe) -> None:
        self.number, self.channels, self.recipe = number, channels, recipe
        """`recipe`: prompt and settings of its variations, with the seed of the next one."""
        self.n_fade = max(sample_rate_hz // 125, 1)
        self.history: list[Take] = []
        self.place = -1
        self.source: Take | None = None
        """Source of variations: the recording, or the take that was kept."""
        self.vary = 0
        """Variations that are still to be made; -1 goes on for ever."""
        self.swap: Swap | None = None
        self.recording: Recording | Overdub | None = None
        self.is_muted, self.gain_db = False, 0.0
        self.peak = 0.0
        """Largest sample since it was last read."""
        self.switches: list[tuple[int, Take]] = []
        """Output samples at which another take began, until the looper fetches them."""
        self._fade: Fade | None = None
        self._starts_at: float | None = None
        self._entry: Take | None = None
        self._plays = False
        self._level = Ramp(-(1 << 40), 1.0, 1.0, self.n_fade)
        self._gate = Ramp(-(1 << 40), 0.0, 0.0, self.n_fade)

    # What it is

    @property
    def current(self) -> Take | None:
        """The take that plays."""
        return self.history[self.place] if self.place >= 0 else None

    @property
    def n_samples(self) -> int:
        """Length of a turn, 0 while there is none."""
        return self.current.n_samples if self.current is not None else 0

    @property
    def origin(self) -> int:
        """Position of the song at which a turn begins."""
        return self.current.origin if self.current is not None else 0

    @property
    def bars(self) -> int:
        """Bars of a turn; 0 where there is no tempo."""
        return self.current.bars if self.current is not None else 0

    @property
    def is_playing(self) -> bool:
        """True while it is heard, or about to be."""
        return (self._plays and self._gate.stop > 0) or self._starts_at is not None

    def turn_at(self, song: float) -> float:
        """Place in its turn, 0 to 1."""
        return ((song - self.origin) % self.n_samples) / self.n_samples if self.n_samples else 0.0

    def next_line(self, song: float, unit: str) -> float:
        """The next place for a swap at or after a position: the end of the `loop`, of a `bar`, or `now`."""
        if unit == "now":
            return song
        parts = max(self.bars, 1) if unit == "bar" else 1
        turn, into = divmod(song - self.origin, self.n_samples)
        lines = [self.origin + turn * self.n_samples + round(k * self.n_samples / parts) for k in range(parts + 1)]
        return next(line for line in lines if line - self.origin - turn * self.n_samples >= into)

    # What is done to it

    def load(self, take: Take) -> None:
        """Take over a complete loop, which becomes the source of variations."""
        self._push(take)
        self.source, self.swap = take, None

    def adopt(self, take: Take) -> None:
        """Let a variation of the source be the take that plays, from now on."""
        self._push(take)

    def shift(self, by: int) -> None:
        """Let all turns begin so many positions later."""
        takes = {id(t): t for t in (*self.history, self.source, self.swap and self.swap.take) if t is not None}
        for take in takes.values():
            take.origin += by

    def keep(self) -> bool:
        """Let variations go on from the take that plays; False where there is none, or it is not complete."""
        if self.current is None or not self.current.is_complete:
            return False
        self.source, self.swap = self.current, None
        if self.source.codes is not None:
            self.source.seam = self.source.codes
        return True

    def start_with(self, take: Take, song: float) -> None:
        """Begin to play a take, which may still be on its way in, at a position of the song."""
        self._starts_at, self._entry = song, take

    def start(self, output: int, *, soft: bool = True) -> None:
        """Begin to play, at once. `soft` fades in."""
        self._plays, self._starts_at = True, None
        self._gate.turn_to(output, 1.0)
        if not soft:
            self._gate = Ramp(-(1 << 40), 1.0, 1.0, self.n_fade)

    def stop(self, output: int, *, hard: bool = False) -> None:
        """End: with a short fade, or at the next sample."""
        self._starts_at = None
        self._gate.turn_to(output, 0.0)
        if hard:
            self._plays, self._fade, self.recording = False, None, None
            self._gate = Ramp(output, 0.0, 0.0, self.n_fade)

    def set_level(self, output: int, *, gain_db: float | None = None, muted: bool | None = None) -> None:
        """Change gain or mute, over a few milliseconds."""
        self.gain_db = self.gain_db if gain_db is None else gain_db
        self.is_muted = self.is_muted if muted is None else muted
        self._level.turn_to(output, 0.0 if self.is_muted else 10.0 ** (self.gain_db / 20))

    def record(self, recording: Recording) -> None:
        """Begin a new turn; what plays goes on until it is there."""
        self.recording, self.swap, self.vary = recording, None, 0

    def overdub(self, start: int) -> None:
        """Begin to lay the input over the turn that plays."""
        assert self.current is not None
        dub = Overdub(self.current, start, self.n_fade)
        self.recording, self.swap, self.vary = dub, None, 0
        self._push(dub.take)

    def offer(self, take: Take, song: float) -> None:
        """Take over another take of the same length at a position of the song. The newest wins."""
        self.swap = Swap(take, song, True)

    def step(self, song: float, by: int) -> bool:
        """Go back (-1) or forth (1) among the takes, at a position of the song; False where there is no other."""
        place = self.place + by
        if not 0 <= place < len(self.history):
            return False
        take = self.history[place]
        self.swap = Swap(take, song, False, len(self.history) - place)
        self.source, self.vary = take.source or take, 0
        return True

    def clear(self, output: int) -> None:
        """Forget the loop, which fades out."""
        self.stop(output)
        if self.current is not None and self._plays:
            self._fade = Fade(self.current, output, 0.0)
        self.history, self.place, self.source, self.swap, self.vary = [], -1, None, None, 0
        self.recording = None

    def _push(self, take: Take) -> None:
        del self.history[self.place + 1 :]
        self.history.append(take)
        while len(self.history) > UNDO_TAKES or (
            len(self.history) > 2 and sum(t.samples.nbytes for t in self.history) > UNDO_BYTES
        ):
            del self.history[0]
        self.place = len(self.history) - 1

    # What it does

    def write(self, tape: Tape, transport: Transport, output: int, n: int, latency: int) -> None:
        """Take in what was played to `n` output samples, from `output` on."""
        for first, stop, segment in transport.stretches(output, n):
            if self.recording is None:
                return
            if self.recording.write(tape, first, stop, segment, latency):
                take, self.recording = self.recording.take, None
                self.source = take
                if take is self._entry and self._starts_at is None:  # stopped before it began: it waits for a start
                    self._entry = None
                    self._push(take)

    def render(self, out: Samples, transport: Transport, output: int) -> None:
        """Add the loop to `out`, the output from sample `output` on."""
        done, n = 0, out.shape[1]
        while done < n:
            here, k = output + done, n - done
            for due, act in ((self._starts_at, self._begin), (self.swap and self.swap.song, self._take_over)):
                if due is None:
                    continue
                at = transport.output_at(due)
                if self._fade is not None and act == self._take_over:
                    at = max(at, self._fade.output + self.n_fade)
                if at <= here:
                    act(here)
                else:
                    k = min(k, at - here)
            if self._fade is not None and here >= self._fade.output + self.n_fade:
                self._fade = None
            elif self._fade is not None:
                k = min(k, self._fade.output + self.n_fade - here)
            if self._plays:
                self._add(out[:, done : done + k], transport, here)
            done += k

    def _begin(self, output: int) -> None:
        entry, self._entry = self._entry, None
        if entry is not None:
            self._switch(entry, output)
        self.start(output)

    def _take_over(self, output: int) -> None:
        swap, self.swap = self.swap, None
        assert swap is not None
        self._switch(swap.take, output, swap.back)

    def _switch(self, take: Take, output: int, back: int = 0) -> None:
        old = self.current
        if back:
            self.place = len(self.history) - back
        else:
            self._push(take)
        self.switches.append((output, take))
        if old is not None and self._plays:
            self._fade = Fade(old, output, -1.0)

    def _add(self, out: Samples, transport: Transport, output: int) -> None:
        if self._gate.is_silent(output) and self._fade is None:
            self._plays = False
            return
        n = out.shape[1]
        take = self.current
        sound = self._read(take, transport, output, n) if take is not None else np.zeros((self.channels, n), np.float32)
        if self._fade is not None:
            sound = self._faded(sound, transport, output)
        for gains in (self._level.gains(output, n), self._gate.gains(output, n)):
            if gains is not None:
                sound = sound * gains
        self.peak = max(self.peak, float(np.abs(sound).max(initial=0.0)))
        out += sound

    def _read(self, take: Take, transport: Transport, output: int, n: int) -> Samples:
        segment = transport.last
        if segment.is_exact:
            return read_turns(take.samples, int(segment.song_at(output)) - take.origin, n)
        return interpolate_turns(take.samples, transport.positions(output, n) - take.origin)

    def _faded(self, sound: Samples, transport: Transport, output: int) -> Samples:
        fade = self._fade
        assert fade is not None
        old = self._read(fade.old, transport, output, sound.shape[1])
        if fade.alike < 0:  # its first samples: how alike the two are is heard over the whole of it
            fade.alike = self._likeness(fade, transport)
        old_gain, new_gain = crossfade_gains(output - fade.output, sound.shape[1], self.n_fade, fade.alike)
        return np.asarray(old * old_gain + sound * new_gain, np.float32)

    def _likeness(self, fade: Fade, transport: Transport) -> float:
        if self.current is None:
            return 0.0
        start, n = math.floor(transport.last.song_at(fade.output)), self.n_fade
        old = read_turns(fade.old.samples, start - fade.old.origin, n)
        return likeness(old, read_turns(self.current.samples, start - self.current.origin, n))
