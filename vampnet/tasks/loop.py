"""Loops that loop: variations with exactly the loop's number of samples that join themselves and each other.

The loop is brought to a whole number of token frames by a resampling that is undone at the end (at most half a frame in
its whole length), so that time is a circle in tokens: it is encoded, generated and decoded with its own end before its
beginning. The frames around the seam are generated last, with music on both sides in sight, and once for all
variations: so any variation may follow any other.
"""

from __future__ import annotations

import numpy as np
import soxr
import torch
from torch import Tensor

from vampnet.audio.files import Audio, Samples
from vampnet.audio.loudness import gain_to, measure, soft_limit
from vampnet.audio.sources import MemorySource
from vampnet.audio.units import resampled_length, seconds_to_frames, seconds_to_samples
from vampnet.beats.event_finder import EventFinder
from vampnet.beats.events import Events, TrackerConfig
from vampnet.config import check
from vampnet.errors import AudioError
from vampnet.generation.config import SamplingConfig
from vampnet.generation.pipeline import DEFAULT_PROMPT, VampNet
from vampnet.generation.timings import Progress
from vampnet.generation.windows import derive_seed
from vampnet.prompts.parts import Prompt
from vampnet.tasks.in_memory import Made

SEAM_S = 0.3
"""How far from the seam, either way, tokens are shared by all variations of a loop, seconds."""


MIN_LOOP_S, MAX_LOOP_S = 0.25, 120.0


AROUND_FRAMES = 64
"""Frames of the loop's other end that encoder and decoder see; more than either reaches."""


def loop(
    model: VampNet,
    audio: Audio,
    n: int = 1,
    prompt: Prompt = DEFAULT_PROMPT,
    sampling: SamplingConfig = SamplingConfig(),
    progress: Progress | None = None,
    rhythm: Events | TrackerConfig | None = None,
) -> list[Made]:
    """`n` variations of a loop (its samples from the first to the last are one turn of it).

    Each has the loop's rate, channels, number of samples and loudness; the end of any leads into the start of any.
    Raises SettingsError for audio too short or long to be a loop.
    """
    check("length of the loop in seconds", audio.duration_s, MIN_LOOP_S, MAX_LOOP_S)
    check("number of variations", n, 1, 1000)
    hop, codec_hz = model.codec.hop, model.codec.sample_rate_hz
    n_frames = max(round(resampled_length(audio.n_samples, audio.sample_rate_hz, codec_hz) / hop), 1)
    lufs = measure(audio.samples, audio.sample_rate_hz)
    peak = float(np.abs(audio.samples).max())
    gain = min(gain_to(lufs), 1 / peak) if peak > 0 else 1.0
    turn = _resampled_turn(audio.samples, n_frames * hop) * np.float32(gain)
    codes_NCT = _encode_turn(model, turn, n_frames)
    seeds = [(sampling.seed + k) % 2**63 for k in range(n)]
    find = EventFinder(MemorySource(audio), rhythm)
    masks_VCT = torch.stack([model.mask(prompt, n_frames, seed, find.events) for seed in seeds])
    codes_VNCT = _generate_turns(model, codes_NCT, masks_VCT, sampling, seeds, progress)
    made = []
    for codes, mask_CT, seed in zip(codes_VNCT, masks_VCT, seeds, strict=True):
        decoded = _decode_turn(model, codes)
        samples = _resampled_turn(decoded, audio.n_samples)
        samples = soft_limit(samples * np.float32(gain_to(measure(samples, audio.sample_rate_hz), lufs)))
        made.append(Made(Audio(samples, audio.sample_rate_hz), seed, mask_CT))
    return made


def cut_bars(audio: Audio, rhythm: Events, bars: int) -> Audio:
    """The first `bars` bars from the first downbeat on. Raises AudioError when the audio has fewer."""
    check("bars", bars, 1, 1000)
    downbeats_s = rhythm.downbeats_s
    if len(downbeats_s) < 2:
        raise AudioError("found fewer than two bars in the audio; give its tempo with --bpm, or cut the loop yourself")
    if len(downbeats_s) > bars:
        length_s = downbeats_s[bars] - downbeats_s[0]
    else:  # the last bar ends with the audio: it is as long as those before it
        length_s = bars * (downbeats_s[-1] - downbeats_s[0]) / (len(downbeats_s) - 1)
    start, length = (seconds_to_samples(s, audio.sample_rate_hz) for s in (downbeats_s[0], length_s))
    if start + length > audio.n_samples:
        raise AudioError(f"the audio has fewer than {bars} bars from its first downbeat at {downbeats_s[0]:.2f} s")
    return Audio(audio.samples[:, start : start + length], audio.sample_rate_hz)


def rhythm_of(audio: Audio, rhythm: Events | TrackerConfig | None = None) -> Events:
    """Beats and bars of audio in memory: those given, or found."""
    heard = EventFinder(MemorySource(audio), rhythm)
    return Events(tuple(heard.events("beats")), tuple(heard.events("downbeats")))


def _generate_turns(
    model: VampNet,
    codes_NCT: Tensor,
    masks_VCT: Tensor,
    sampling: SamplingConfig,
    seeds: list[int],
    progress: Progress | None = None,
) -> Tensor:
    """New codes (V, N, C, T) of which any variation may follow any other."""
    n_frames = codes_NCT.shape[2]
    reach = min(seconds_to_frames(SEAM_S, model.codec.sample_rate_hz, model.codec.hop), n_frames // 4)
    half = n_frames // 2
    at_seam_T = torch.zeros(n_frames, dtype=torch.bool)
    at_seam_T[:reach] = True
    at_seam_T[n_frames - reach :] = True
    # The first variation is made whole, then its seam anew, half a turn round, so that it has music on both sides. The
    # others keep that seam at both of their ends, so they lead out of it and back into it.
    whole = model.generate(codes_NCT, masks_VCT[:1], sampling, seeds[:1], progress)[0]
    seam_mask = (masks_VCT[0] & at_seam_T).roll(half, dims=1)
    seam_seed = derive_seed(seeds[0], "seam", 0)
    turned = model.generate(whole.roll(half, dims=2), seam_mask[None], sampling, [seam_seed], progress)[0]
    first = turned.roll(-half, dims=2)
    if len(seeds) == 1:
        return first[None]
    shared = torch.where(at_seam_T, first, codes_NCT)
    others = model.generate(shared, masks_VCT[1:] & ~at_seam_T, sampling, seeds[1:], progress)
    return torch.cat([first[None], others])


def _resampled_turn(samples: Samples, n_samples: int) -> Samples:
    """One turn (channels, n) of a loop at another number of samples, as if it went on for ever."""
    n_old = samples.shape[1]
    if n_old == n_samples:
        return samples
    turns = 3 if n_old > 4096 else 2 * (4096 // n_old) + 3  # enough on both sides for the filter
    tiled = np.tile(samples, (1, turns)).T
    result = soxr.resample(tiled, n_old, n_samples, quality="VHQ").T
    start = turns // 2 * n_samples
    return np.ascontiguousarray(result[:, start : start + n_samples])


def _encode_turn(model: VampNet, turn: Samples, n_frames: int) -> Tensor:
    hop = model.codec.hop
    around = AROUND_FRAMES * hop
    padded = np.pad(turn, ((0, 0), (around, around)), mode="wrap")
    codes_NCT = model.codec.encode(torch.from_numpy(padded))
    return codes_NCT[:, :, AROUND_FRAMES : AROUND_FRAMES + n_frames].to("cpu", torch.int32)


def _decode_turn(model: VampNet, codes_NCT: Tensor) -> Samples:
    hop, n_frames = model.codec.hop, codes_NCT.shape[2]
    index = torch.arange(-AROUND_FRAMES, n_frames + AROUND_FRAMES) % n_frames
    audio_NS = torch.cat(list(model.codec.decode_blocks(codes_NCT[:, :, index].long())), dim=1)
    return audio_NS[:, AROUND_FRAMES * hop : (AROUND_FRAMES + n_frames) * hop].float().cpu().numpy()
