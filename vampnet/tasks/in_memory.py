"""What else a masked model can do with audio: fill in, extend, continue, make anew, stretch, pass on.

Each task is a prompt and some care for the waveform around it. What a task promises to keep, it copies from the input:
outside the regions of `inpaint`, and in the whole input of `outpaint`, samples are those of the input bit for bit, but
for CROSSFADE_S at each join. These functions take and give audio in memory; `takes.py` does the work in bounded memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from vampnet.audio.files import Audio
from vampnet.audio.sources import MemorySource
from vampnet.generation.config import SamplingConfig
from vampnet.generation.pipeline import DEFAULT_PROMPT, VampNet
from vampnet.generation.timings import Progress
from vampnet.prompts.parts import Prompt
from vampnet.tasks import takes


@dataclass(frozen=True, eq=False)
class Made:
    """What a task made."""

    audio: Audio
    seed: int
    mask_CT: Tensor
    """bool, True where tokens were generated; its frames begin with the audio."""


def inpaint(
    model: VampNet,
    audio: Audio,
    regions: Sequence[tuple[float, float]],
    sampling: SamplingConfig = SamplingConfig(),
    progress: Progress | None = None,
    prompt: Prompt | None = None,
) -> Made:
    """Generate what lies in `regions` (start and end in seconds) anew; all samples outside them stay bit for bit.

    `prompt` says what is kept within the regions, by default nothing; its times count from the start of the audio.
    The crossfades lie inside the regions. Regions that touch or overlap become one. Raises SettingsError for a region
    that is empty or outside the audio.
    """
    with takes.Desk(model, progress) as desk:
        return _in_memory(takes.inpaint(desk, MemorySource(audio), regions, sampling, prompt))


def outpaint(
    model: VampNet,
    audio: Audio,
    before_s: float = 0.0,
    after_s: float = 0.0,
    sampling: SamplingConfig = SamplingConfig(),
    progress: Progress | None = None,
    theme: Prompt | None = takes.DEFAULT_THEME,
) -> Made:
    """Generate `before_s` and `after_s` seconds around the audio; the input stays but for CROSSFADE_S at the joins.

    `theme` says what new music keeps of the audio's first and last bars, repeated (`vampnet.tasks.theme`); None:
    nothing.
    """
    with takes.Desk(model, progress) as desk:
        return _in_memory(takes.outpaint(desk, MemorySource(audio), before_s, after_s, sampling, theme))


def generate(
    model: VampNet,
    seconds: float,
    like: Audio | None = None,
    prompt: Prompt | None = None,
    sampling: SamplingConfig = SamplingConfig(),
    progress: Progress | None = None,
    theme: Prompt | None = takes.DEFAULT_THEME,
) -> Made:
    """New audio: from nothing (mono, at the codec's rate), or in the style of a clip.

    A clip is repeated to the length and vamped with `prompt`, by default a sparse periodic one and its beats; the
    result has its rate, channels and loudness. From nothing an opening is made, of which what follows keeps `theme`.
    """
    with takes.Desk(model, progress) as desk:
        return _in_memory(takes.generate(desk, seconds, like, prompt, sampling, theme))


def stretch(
    model: VampNet,
    audio: Audio,
    factor: float,
    sampling: SamplingConfig = SamplingConfig(),
    progress: Progress | None = None,
) -> Made:
    """Spread the tokens over `factor` times the length (1 to 16) and generate those between them."""
    with takes.Desk(model, progress) as desk:
        return _in_memory(takes.stretch(desk, MemorySource(audio), factor, sampling))


def telephone(
    model: VampNet,
    audio: Audio,
    rounds: int,
    prompt: Prompt = DEFAULT_PROMPT,
    sampling: SamplingConfig = SamplingConfig(),
    progress: Progress | None = None,
) -> list[Made]:
    """Vamp the audio, then the result, and so on; each round with a seed of its own. Returns every round."""
    with takes.Desk(model, progress) as desk:
        return [_in_memory(take) for take in takes.telephone(desk, MemorySource(audio), rounds, prompt, sampling)]


def _in_memory(take: takes.Take) -> Made:
    samples = np.concatenate(list(take.sound.blocks()), axis=1)
    return Made(Audio(samples, take.sound.sample_rate_hz), take.seed, take.mask_CT)
