"""What else a masked model can do with audio: fill in, extend, continue, make anew, stretch, pass on.

Each task is a prompt and some care for the waveform around it. What a task promises to keep, it copies from the input:
outside the regions of `inpaint`, and in the whole input of `outpaint`, samples are those of the input bit for bit, but
for CROSSFADE_S at each join.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vampnet.audio import Audio, Samples
from vampnet.config import Sampling, check
from vampnet.errors import SettingsError
from vampnet.frames import resampled_length, samples_to_frames, seconds_to_samples
from vampnet.generation import derive_seed
from vampnet.jobs import Progress
from vampnet.loudness import gain_to, measure, soft_limit
from vampnet.pipeline import DEFAULT_PROMPT, Vampnet
from vampnet.prompts import Keep, Nothing, Periodic, Prompt
from vampnet.prompts_time import Prefix
from vampnet.streams import Encoded, MemorySource, decode_blocks, encode
from vampnet.times import Time

CROSSFADE_S = 0.01
"""Linear crossfade at each join between input and generated audio, seconds."""
CONTEXT_S = 7.0
"""Audio on each side of a region, or before a continuation, that the models see, seconds."""
NEW_LUFS = -18.0
"""Loudness of audio that is made from nothing."""
MAX_NEW_S = 3600.0
"""Longest stretch of new audio, seconds."""


@dataclass(frozen=True, eq=False)
class Made:
    """What a task made."""

    audio: Audio
    seed: int
    mask_CT: Tensor | None = None
    """bool, True where tokens were generated; None where there are several passes or regions."""


def inpaint(
    model: Vampnet,
    audio: Audio,
    regions: Sequence[tuple[float, float]],
    sampling: Sampling = Sampling(),  # noqa: B008  (frozen)
    progress: Progress | None = None,
) -> Made:
    """Generate what lies in `regions` (start and end in seconds) anew; all samples outside them stay bit for bit.

    The crossfades lie inside the regions. Regions that touch or overlap become one. Raises SettingsError for a region
    that is empty or outside the audio.
    """
    rate_hz, samples = audio.sample_rate_hz, audio.samples.copy()
    mask_CT = None
    for number, (start, stop) in enumerate(_spans(regions, audio)):
        first = max(start - seconds_to_samples(CONTEXT_S, rate_hz), 0)
        last = min(stop + seconds_to_samples(CONTEXT_S, rate_hz), audio.n_samples)
        keep = _outside(model, start - first, stop - first, last - first, rate_hz, touching=True)
        seed = sampling.seed if number == 0 else derive_seed(sampling.seed, "region", number)
        drawn = dataclasses.replace(sampling, seed=seed)
        made, mask_CT = _regenerate(model, Audio(samples[:, first:last], rate_hz), keep, drawn, progress)
        new = made[:, start - first : stop - first]
        samples[:, start:stop] = _join(samples[:, start:stop], new, rate_hz, start > 0, stop < audio.n_samples)
    return Made(Audio(samples, rate_hz), sampling.seed, mask_CT if len(regions) == 1 else None)


def outpaint(
    model: Vampnet,
    audio: Audio,
    before_s: float = 0.0,
    after_s: float = 0.0,
    sampling: Sampling = Sampling(),  # noqa: B008
    progress: Progress | None = None,
) -> Made:
    """Generate `before_s` and `after_s` seconds around the audio; the input stays but for CROSSFADE_S at the joins."""
    check("seconds before", before_s, 0.0, MAX_NEW_S)
    check("seconds after", after_s, 0.0, MAX_NEW_S)
    rate_hz = audio.sample_rate_hz
    n_before, n_after = (seconds_to_samples(s, rate_hz) for s in (before_s, after_s))
    if n_before + n_after == 0:
        raise SettingsError("nothing to do: give seconds to add before or after the audio")
    context = seconds_to_samples(CONTEXT_S, rate_hz)
    samples = np.pad(audio.samples, ((0, 0), (n_before, n_after)))
    fade = min(seconds_to_samples(CROSSFADE_S, rate_hz), audio.n_samples // 2)
    for number, (n_new, at_end) in enumerate(((n_after, True), (n_before, False))):
        if n_new == 0:
            continue
        known = min(context, audio.n_samples)
        first = n_before + audio.n_samples - known if at_end else 0
        excerpt = Audio(samples[:, first : first + known + n_new], rate_hz)
        start, stop = (known, known + n_new) if at_end else (0, n_new)
        keep = _outside(model, start, stop, known + n_new, rate_hz, touching=False)
        seed = sampling.seed if number == 0 else derive_seed(sampling.seed, "before", 0)
        made, _ = _regenerate(model, excerpt, keep, dataclasses.replace(sampling, seed=seed), progress)
        # The crossfade lies in the input's last (or first) samples, where both are known.
        reach = slice(start - fade, stop) if at_end else slice(start, stop + fade)
        place = slice(first + reach.start, first + reach.stop)
        samples[:, place] = _join(samples[:, place], made[:, reach], rate_hz, at_end, not at_end, fade)
    return Made(Audio(samples, rate_hz), sampling.seed)


def generate(
    model: Vampnet,
    seconds: float,
    like: Audio | None = None,
    prompt: Prompt | None = None,
    sampling: Sampling = Sampling(),  # noqa: B008
    progress: Progress | None = None,
) -> Made:
    """New audio: from nothing (mono, at the codec's rate), or in the style of a clip.

    A clip is repeated to the length and vamped with `prompt`, by default a sparse periodic one; the result has its
    rate, channels and loudness.
    """
    check("seconds", seconds, 0.1, MAX_NEW_S)
    if like is not None:
        n_samples = seconds_to_samples(seconds, like.sample_rate_hz)
        clip = Audio(np.resize(like.samples.T, (n_samples, like.channels)).T.copy(), like.sample_rate_hz)
        result = model.vamp(clip, prompt or Periodic(32), sampling, progress)
        return Made(result.audio, result.seed, result.mask_CT)
    rate_hz = model.codec.sample_rate_hz
    n_samples = seconds_to_samples(seconds, rate_hz)
    n_frames = samples_to_frames(n_samples, model.codec.hop)
    codes_NCT = torch.zeros(1, model.codec.n_codebooks, n_frames, dtype=torch.int32)
    mask_CT = model.mask(prompt or Nothing(), codes_NCT.shape[2], sampling.seed)
    made_NCT = model.generate(codes_NCT, mask_CT[None], sampling, [sampling.seed], progress)[0]
    samples = _decode(model, made_NCT, rate_hz, n_samples)
    samples = soft_limit(samples * np.float32(gain_to(measure(samples, rate_hz), NEW_LUFS)))
    return Made(Audio(samples, rate_hz), sampling.seed, mask_CT)


def stretch(
    model: Vampnet,
    audio: Audio,
    factor: float,
    sampling: Sampling = Sampling(),  # noqa: B008
    progress: Progress | None = None,
) -> Made:
    """Spread the tokens over `factor` times the length (1 to 16) and generate those between them."""
    check("factor", factor, 1.0, 16.0)
    encoded = encode(MemorySource(audio), model.codec)
    n_old, n_new = encoded.codes_NCT.shape[2], math.ceil(encoded.codes_NCT.shape[2] * factor)
    place_T = (torch.arange(n_old) * factor).round().long().clamp(max=n_new - 1)
    codes_NCT = torch.zeros(*encoded.codes_NCT.shape[:2], n_new, dtype=torch.int32)
    codes_NCT[:, :, place_T] = encoded.codes_NCT
    mask_CT = torch.ones(codes_NCT.shape[1:], dtype=torch.bool)
    mask_CT[:, place_T] = False
    made_NCT = model.generate(codes_NCT, mask_CT[None], sampling, [sampling.seed], progress)[0]
    n_samples = max(round(audio.n_samples * factor), 1)
    samples = _levelled(_decode(model, made_NCT, audio.sample_rate_hz, n_samples), audio.sample_rate_hz, encoded)
    return Made(Audio(samples, audio.sample_rate_hz), sampling.seed, mask_CT)


def telephone(
    model: Vampnet,
    audio: Audio,
    rounds: int,
    prompt: Prompt = DEFAULT_PROMPT,
    sampling: Sampling = Sampling(),  # noqa: B008
    progress: Progress | None = None,
) -> list[Made]:
    """Vamp the audio, then the result, and so on; each round with a seed of its own. Returns every round."""
    check("rounds", rounds, 1, 1000)
    made: list[Made] = []
    for number in range(rounds):
        drawn = dataclasses.replace(sampling, seed=(sampling.seed + number) % 2**63)
        result = model.vamp(made[-1].audio if made else audio, prompt, drawn, progress)
        made.append(Made(result.audio, result.seed, result.mask_CT))
    return made


def _spans(regions: Sequence[tuple[float, float]], audio: Audio) -> list[tuple[int, int]]:
    """Regions in samples, sorted, those that touch joined."""
    if not regions:
        raise SettingsError("no region given; write for instance --region 3.0:5.5")
    spans: list[tuple[int, int]] = []
    for start_s, end_s in sorted(regions):
        if not 0 <= start_s < min(end_s, audio.duration_s):
            raise SettingsError(
                f"region {start_s:g}:{end_s:g} must begin within the {audio.duration_s:.3f} s of audio and end later"
            )
        start = seconds_to_samples(start_s, audio.sample_rate_hz)
        stop = audio.n_samples if math.isinf(end_s) else seconds_to_samples(end_s, audio.sample_rate_hz)
        stop = min(stop, audio.n_samples)
        if start >= stop:
            raise SettingsError(f"region {start_s:g}:{end_s:g} is shorter than a sample")
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(stop, spans[-1][1]))
        else:
            spans.append((start, stop))
    return spans


def _outside(model: Vampnet, start: int, stop: int, n_samples: int, rate_hz: int, touching: bool) -> Prompt:
    """Keep the frames outside samples `start` to `stop`; those that reach into it only with `touching`."""
    begin, end = (place / rate_hz * model.codec.frames_per_s for place in (start, stop))
    slack = 1e-6  # a join on the edge of a frame shall not cost that frame
    n_before = math.ceil(begin - slack) if touching else math.floor(begin + slack)
    first_after = math.floor(end + slack) if touching else math.ceil(end - slack)
    prompt: Prompt = Nothing()
    if n_before > 0:
        prompt = prompt | Prefix(Time(n_before, "f"))
    return prompt | Keep(Time(first_after, "f"), math.inf) if stop < n_samples else prompt


def _regenerate(
    model: Vampnet, audio: Audio, prompt: Prompt, sampling: Sampling, progress: Progress | None
) -> tuple[Samples, Tensor]:
    """Vamp an excerpt without touching its level: what the prompt keeps comes out as loud as it went in."""
    encoded = encode(MemorySource(audio), model.codec)
    mask_CT = model.mask(prompt, encoded.codes_NCT.shape[2], sampling.seed)
    made_NCT = model.generate(encoded.codes_NCT, mask_CT[None], sampling, [sampling.seed], progress)[0]
    samples = _decode(model, made_NCT, audio.sample_rate_hz, audio.n_samples)
    return soft_limit(samples * np.float32(1 / encoded.gain)), mask_CT


def _decode(model: Vampnet, codes_NCT: Tensor, rate_hz: int, n_samples: int) -> Samples:
    wanted = samples_to_frames(resampled_length(n_samples, rate_hz, model.codec.sample_rate_hz), model.codec.hop)
    codes_NCT = codes_NCT[:, :, :wanted]
    return np.concatenate(list(decode_blocks(codes_NCT, model.codec, rate_hz, n_samples)), axis=1)


def _levelled(samples: Samples, rate_hz: int, encoded: Encoded) -> Samples:
    if math.isinf(encoded.lufs):
        return samples
    return soft_limit(samples * np.float32(gain_to(measure(samples, rate_hz), encoded.lufs)))


def _join(
    old: Samples, new: Samples, rate_hz: int, fade_in: bool, fade_out: bool, n_fade: int | None = None
) -> Samples:
    """`new`, crossfaded with `old` at its beginning and end where asked."""
    n_fade = seconds_to_samples(CROSSFADE_S, rate_hz) if n_fade is None else n_fade
    n_fade = min(n_fade, new.shape[1] // 2 if fade_in and fade_out else new.shape[1])
    weight = np.ones(new.shape[1], dtype=np.float32)
    ramp = (np.arange(n_fade, dtype=np.float32) + 0.5) / max(n_fade, 1)
    if fade_in:
        weight[:n_fade] = ramp
    if fade_out:
        weight[len(weight) - n_fade :] = ramp[::-1]
    return (old * (1 - weight) + new * weight).astype(np.float32)
