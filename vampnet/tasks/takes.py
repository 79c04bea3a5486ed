"""The tasks beside `vamp`, in bounded memory: an input source in, an output source on disk out.

`tasks.py` does the same for audio in memory, and says what each task promises.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vampnet.audio.files import Audio
from vampnet.audio.output_format import Target, restored
from vampnet.audio.sources import RepeatedSource, Source
from vampnet.audio.splice import Canvas, Excerpt, Patch
from vampnet.audio.spool import Spool, SpoolSource
from vampnet.audio.units import resampled_length, samples_to_frames, samples_to_seconds, seconds_to_samples
from vampnet.beats.event_finder import EventFinder
from vampnet.beats.events import Events
from vampnet.codec.chunked import BLOCK_FRAMES
from vampnet.config import check
from vampnet.errors import SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.generation.pipeline import Drawn, VampNet
from vampnet.generation.stream import Job
from vampnet.generation.timings import Clock, Progress
from vampnet.generation.tokens import Material
from vampnet.generation.windows import derive_seed
from vampnet.prompts.parts import Keep, Nothing, Periodic, Prompt
from vampnet.prompts.rhythmic import Beats, Prefix
from vampnet.prompts.time import Time
from vampnet.tasks.theme import ThemedSource, find_theme

CROSSFADE_S = 0.01
"""Linear crossfade at each join between input and generated audio, seconds."""
CONTEXT_S = 7.0
"""Audio on each side of a region, or before a continuation, that the models see, seconds."""
DEFAULT_THEME = Periodic(16) | Beats(after=0.075)
"""What a continuation keeps of the last bars, repeated: without it, key and tempo are lost (docs/long-range.md)."""
LIKE_PROMPT = Periodic(32) | Beats(after=0.075)
"""What is kept of a clip whose style is taken up."""
OPENING_S = 10.0
"""Length of what is made from nothing before the rest goes on from it, seconds: a coarse window."""
NEW_LUFS = -18.0
"""Loudness of audio that is made from nothing."""
MAX_NEW_S = 3600.0
"""Longest stretch of new audio, seconds."""


@dataclass(frozen=True, eq=False)
class Take:
    """What a task made; valid while its Desk is open."""

    sound: Source
    seed: int
    mask_CT: Tensor
    """bool, True where tokens were generated; its frames begin with the sound."""


class Desk(contextlib.ExitStack):
    """A model, and temporary files that go when the `with` block ends. `folder`: where they lie."""

    def __init__(self, model: VampNet, progress: Progress | None = None, folder: Path | None = None) -> None:
        super().__init__()
        self.model, self.progress, self.folder = model, progress, folder

    def spool(self, channels: int) -> Spool:
        return self.enter_context(Spool(channels, folder=self.folder))

    def make(
        self, material: Material, drawn: Drawn, sampling: SamplingConfig, first: int = 0, stop: int = 2**62
    ) -> Spool:
        """Generate and decode material; of what comes out, samples `first` to `stop` - 1."""
        model, clock, target = self.model, Clock(), material.target
        generation = model.generation(drawn.mask_CT[None], material.n_items, sampling, [drawn.seed])
        result = self.spool(target.channels)
        with Spool(material.n_items, folder=self.folder) as decoded:
            model.run(
                Job(material, generation, model.codec, [decoded], clock, self.progress), sampling, clock, self.progress
            )
            place = 0
            for block in restored(decoded, model.codec.sample_rate_hz, target):
                result.add(block[:, max(first - place, 0) : max(stop - place, 0)])
                place += block.shape[1]
        return result


def vamp(desk: Desk, source: Source, prompt: Prompt, sampling: SamplingConfig, rhythm: Events | None = None) -> Take:
    """One variation of a source."""
    material = desk.model.prepare(source, Clock())
    drawn = desk.model.draw(source, material.n_frames, 1, prompt, sampling, rhythm)[0]
    made = SpoolSource(desk.make(material, drawn, sampling), source.sample_rate_hz)
    return Take(made, drawn.seed, drawn.mask_CT)


def inpaint(
    desk: Desk,
    source: Source,
    regions: Sequence[tuple[float, float]],
    sampling: SamplingConfig,
    prompt: Prompt | None = None,
) -> Take:
    """Generate regions (start and end in seconds) anew, one after the other: each hears those before it.

    Within them, tokens stay that `prompt` keeps; its times and periods count from the start of the source.
    """
    rate_hz, canvas = source.sample_rate_hz, Canvas(source)
    context, fade = seconds_to_samples(CONTEXT_S, rate_hz), seconds_to_samples(CROSSFADE_S, rate_hz)
    places, heard = spans(regions, source), EventFinder(source, None)
    for number, (start, stop) in enumerate(places):
        first, last = max(start - context, 0), min(stop + context, source.n_samples)
        keep = _outside(desk.model, start - first, stop - first, last - first, rate_hz, touching=True)
        seed = sampling.seed if number == 0 else derive_seed(sampling.seed, "region", number)
        inside = None if prompt is None else _Inside(prompt, heard.events, first)
        excerpt = canvas.excerpt(first, last)
        new = _regenerate(desk, excerpt, keep, seed, sampling, start - first, stop - first, inside)
        sides = (start > 0, stop < source.n_samples)
        n_fade = min(fade, (stop - start) // 2 if all(sides) else stop - start)
        canvas.patches.append(Patch(start, stop, new, *(n_fade if side else 0 for side in sides)))
    return Take(canvas, sampling.seed, _mask(desk.model, canvas, places))


def outpaint(
    desk: Desk,
    source: Source,
    before_s: float,
    after_s: float,
    sampling: SamplingConfig,
    theme: Prompt | None = DEFAULT_THEME,
) -> Take:
    """Generate music after a source, then before it.

    `theme`: what new music keeps of the source's last (or first) bars, repeated; None or `Nothing()`: nothing.
    """
    check("seconds before", before_s, 0.0, MAX_NEW_S)
    check("seconds after", after_s, 0.0, MAX_NEW_S)
    rate_hz = source.sample_rate_hz
    n_before, n_after = (seconds_to_samples(s, rate_hz) for s in (before_s, after_s))
    if n_before + n_after == 0:
        raise SettingsError("nothing to do: give seconds to add before or after the audio")
    canvas, known = Canvas(source, n_before, n_after), min(seconds_to_samples(CONTEXT_S, rate_hz), source.n_samples)
    heard, inside = canvas, None
    if theme is not None and not isinstance(theme, Nothing):
        first_bars = find_theme(source, at_end=False) if n_before else None
        last_bars = find_theme(source, at_end=True) if n_after else None
        heard = ThemedSource(source, first_bars, n_before, last_bars, n_after)
        inside = _Inside(theme, heard.events, 0)
    # The crossfades lie in the input's first and last samples, where both are known.
    fade = min(seconds_to_samples(CROSSFADE_S, rate_hz), source.n_samples // 2)
    end = n_before + source.n_samples
    if n_after:
        first = end - known
        keep = _outside(desk.model, known, known + n_after, known + n_after, rate_hz, touching=False)
        excerpt = Excerpt(heard, first, canvas.n_samples)
        held = inside and dataclasses.replace(inside, first=first)
        new = _regenerate(desk, excerpt, keep, sampling.seed, sampling, known - fade, known + n_after, held)
        canvas.patches.append(Patch(end - fade, canvas.n_samples, new, fade_in=fade))
    if n_before:
        keep = _outside(desk.model, 0, n_before, n_before + known, rate_hz, touching=False)
        seed = derive_seed(sampling.seed, "before", 0)
        excerpt = Excerpt(heard, 0, n_before + known)
        new = _regenerate(desk, excerpt, keep, seed, sampling, 0, n_before + fade, inside)
        canvas.patches.append(Patch(0, n_before + fade, new, fade_out=fade))
    return Take(canvas, sampling.seed, _mask(desk.model, canvas, [(0, n_before), (end, canvas.n_samples)]))


def generate(
    desk: Desk,
    seconds: float,
    like: Audio | None,
    prompt: Prompt | None,
    sampling: SamplingConfig,
    theme: Prompt | None = DEFAULT_THEME,
) -> Take:
    """New audio from nothing, or in the style of a clip.

    From nothing comes an opening of OPENING_S; what is longer goes on from it, as `outpaint` does with its `theme`.
    """
    check("seconds", seconds, 0.1, MAX_NEW_S)
    if like is not None:
        n_samples = seconds_to_samples(seconds, like.sample_rate_hz)
        return vamp(desk, RepeatedSource(like, n_samples), prompt or LIKE_PROMPT, sampling)
    n_rest = seconds_to_samples(max(seconds - OPENING_S, 0.0), desk.model.codec.sample_rate_hz)
    if not n_rest or theme is None or isinstance(theme, Nothing):
        return _from_nothing(desk, seconds, prompt or Nothing(), sampling)
    opening = _from_nothing(desk, OPENING_S, prompt or Nothing(), sampling)
    rest = dataclasses.replace(sampling, seed=derive_seed(sampling.seed, "rest", 0))
    whole = outpaint(desk, opening.sound, 0.0, seconds - OPENING_S, rest, theme)
    return Take(whole.sound, sampling.seed, torch.ones_like(whole.mask_CT))


def _from_nothing(desk: Desk, seconds: float, prompt: Prompt, sampling: SamplingConfig) -> Take:
    codec = desk.model.codec
    n_samples = seconds_to_samples(seconds, codec.sample_rate_hz)
    n_frames = samples_to_frames(n_samples, codec.hop)

    def nothing(skip_blocks: int) -> Iterator[Tensor]:
        for start in range(skip_blocks * BLOCK_FRAMES, n_frames, BLOCK_FRAMES):
            yield torch.zeros(1, codec.n_codebooks, min(BLOCK_FRAMES, n_frames - start), dtype=torch.int32)

    target = Target(codec.sample_rate_hz, 1, n_samples, lufs=NEW_LUFS, limited=False)
    drawn = Drawn(sampling.seed, desk.model.mask(prompt, n_frames, sampling.seed))
    spool = desk.make(Material(n_frames, 1, nothing, target), drawn, sampling)
    return Take(SpoolSource(spool, codec.sample_rate_hz), drawn.seed, drawn.mask_CT)


def stretch(desk: Desk, source: Source, factor: float, sampling: SamplingConfig) -> Take:
    """Spread the tokens out and generate those between them."""
    check("factor", factor, 1.0, 16.0)
    old = desk.model.prepare(source, Clock())
    n_new, n_codebooks = math.ceil(old.n_frames * factor), desk.model.codec.n_codebooks
    place_T = (torch.arange(old.n_frames, dtype=torch.float64) * factor).round().long().clamp(max=n_new - 1)

    def spread(skip_blocks: int) -> Iterator[Tensor]:
        assert skip_blocks == 0  # such material is not resumed
        done = 0
        for codes in old.codes(0):
            stop = done + codes.shape[2]
            first, last = int(place_T[done]), int(place_T[stop]) if stop < old.n_frames else n_new
            spaced = torch.zeros(old.n_items, n_codebooks, last - first, dtype=torch.int32)
            spaced[:, :, place_T[done:stop] - first] = codes
            done = stop
            yield spaced

    mask_CT = torch.ones(n_codebooks, n_new, dtype=torch.bool)
    mask_CT[:, place_T] = False
    target = dataclasses.replace(old.target, n_samples=max(round(source.n_samples * factor), 1))
    drawn = Drawn(sampling.seed, mask_CT)
    spool = desk.make(Material(n_new, old.n_items, spread, target), drawn, sampling)
    return Take(SpoolSource(spool, source.sample_rate_hz), drawn.seed, mask_CT)


def telephone(desk: Desk, source: Source, rounds: int, prompt: Prompt, sampling: SamplingConfig) -> Iterator[Take]:
    """Vamp the source, then the result, and so on; each round with a seed of its own.

    A take is valid until the next one is asked for.
    """
    check("rounds", rounds, 1, 1000)
    for number in range(rounds):
        drawn = dataclasses.replace(sampling, seed=(sampling.seed + number) % 2**63)
        take = vamp(desk, source, prompt, drawn)
        if isinstance(source, SpoolSource) and number:
            source.spool.close()
        yield take
        source = take.sound


def spans(regions: Sequence[tuple[float, float]], source: Source) -> list[tuple[int, int]]:
    """Regions in samples, sorted, those that touch joined."""
    if not regions:
        raise SettingsError("no region given; write for instance --region 3.0:5.5")
    rate_hz, n_samples = source.sample_rate_hz, source.n_samples
    duration_s, found = samples_to_seconds(n_samples, rate_hz), list[tuple[int, int]]()
    for start_s, end_s in sorted(regions):
        if not 0 <= start_s < min(end_s, duration_s):
            raise SettingsError(
                f"region {start_s:g}:{end_s:g} must begin within the {duration_s:.3f} s of audio and end later"
            )
        start = seconds_to_samples(start_s, rate_hz)
        stop = min(n_samples if math.isinf(end_s) else seconds_to_samples(end_s, rate_hz), n_samples)
        if start >= stop:
            raise SettingsError(f"region {start_s:g}:{end_s:g} is shorter than a sample")
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(stop, found[-1][1]))
        else:
            found.append((start, stop))
    return found


@dataclass(frozen=True, eq=False)
class _Inside:
    """What more is kept of an excerpt that begins with sample `first` of the source."""

    prompt: Prompt
    find_events: Callable[[str], Sequence[float]]
    first: int


def _regenerate(
    desk: Desk,
    excerpt: Source,
    prompt: Prompt,
    seed: int,
    sampling: SamplingConfig,
    first: int,
    stop: int,
    inside: _Inside | None = None,
) -> Spool:
    """Vamp an excerpt without touching its level: what the prompt keeps comes out as loud as it went in."""
    material = desk.model.prepare(excerpt, Clock())
    untouched = dataclasses.replace(material, target=dataclasses.replace(material.target, lufs=None))
    mask_CT = desk.model.mask(prompt, material.n_frames, seed)
    if inside is not None:
        start_frame = round(inside.first / excerpt.sample_rate_hz * desk.model.codec.frames_per_s)
        mask_CT &= desk.model.mask(inside.prompt, material.n_frames, seed, inside.find_events, start_frame)
    drawn = Drawn(seed, mask_CT)
    return desk.make(untouched, drawn, sampling, first, stop)


def _outside(model: VampNet, start: int, stop: int, n_samples: int, rate_hz: int, touching: bool) -> Prompt:
    """Keep the frames outside samples `start` to `stop`; those that reach into it only with `touching`."""
    begin, end = (place / rate_hz * model.codec.frames_per_s for place in (start, stop))
    slack = 1e-6  # a join on the edge of a frame shall not cost that frame
    n_before = math.ceil(begin - slack) if touching else math.floor(begin + slack)
    first_after = math.floor(end + slack) if touching else math.ceil(end - slack)
    prompt: Prompt = Nothing()
    if n_before > 0:
        prompt = prompt | Prefix(Time(n_before, "f"))
    return prompt | Keep(Time(first_after, "f"), math.inf) if stop < n_samples else prompt


def _mask(model: VampNet, sound: Source, places: Sequence[tuple[int, int]]) -> Tensor:
    """mask_CT, bool: True at the frames of the sound that samples of `places` touch."""
    codec = model.codec
    n_codec = resampled_length(sound.n_samples, sound.sample_rate_hz, codec.sample_rate_hz)
    mask_CT = torch.zeros(codec.n_codebooks, samples_to_frames(n_codec, codec.hop), dtype=torch.bool)
    for start, stop in places:
        begin, end = (place / sound.sample_rate_hz * codec.frames_per_s for place in (start, stop))
        mask_CT[:, math.floor(begin) : math.ceil(end)] = True
    return mask_CT
