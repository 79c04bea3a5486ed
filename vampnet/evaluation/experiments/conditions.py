"""Outputs of a condition for a batch of excerpts, as waveforms at the loudness of the input.

Axis letters: B excerpt, A variation, C codebook, T frame, S sample.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vampnet.audio.files import Audio, Samples, read, resample, write
from vampnet.audio.loudness import gain_to, measure
from vampnet.audio.output_format import MAX_CORRECTION_DB, OutputFormat
from vampnet.beats.events import Events
from vampnet.errors import DependencyError
from vampnet.evaluation.experiments.experiment import Condition
from vampnet.generation.config import SamplingConfig
from vampnet.generation.pipeline import Pipeline
from vampnet.generation.run import run_all
from vampnet.generation.tokens import tokens_of_codes
from vampnet.generation.windows import Plan, generate_codes
from vampnet.seeds import excerpt_seed
from vampnet.work_folders import scratch_folder

OPUS_RATE_HZ = 48000


@dataclass(frozen=True, eq=False)
class ConditionOutputs:
    """Outputs of a condition for B excerpts."""

    audio_BAS: Samples
    """Waveforms at the codec's rate and the excerpts' loudness and length."""
    codes_BACT: Tensor | None
    """Codes that were decoded, int32; None for Opus."""
    keep_BACT: Tensor | None
    """bool, True where tokens were kept, False where generated, or replaced by noise; None for Opus."""
    bits_B: np.ndarray
    """Bits of the kept tokens, or of the Opus stream."""


def run_condition(
    condition: Condition,
    model: Pipeline,
    audio_BS: Samples,
    codes_BCT: Tensor,
    rhythms: Sequence[Events],
    seeds: list[int],
) -> ConditionOutputs:
    """Run a condition. `audio_BS` is what `codes_BCT` were encoded from; `seeds`: one per excerpt."""
    if condition.kind == "opus":
        coded = [through_opus(mono, model.codec.sample_rate_hz, condition.opus_kbps) for mono in audio_BS]
        audio = np.stack([samples for samples, _ in coded])[:, None]
        return ConditionOutputs(
            _match_loudness(audio, audio_BS, model), None, None, np.array([bits for _, bits in coded])
        )
    if condition.kind == "vamp":
        keeps = [_keep(condition, model, codes_BCT.shape[2], r, s) for r, s in zip(rhythms, seeds, strict=True)]
        keep_BACT = torch.stack(keeps)
        variants = [[excerpt_seed(seed, k) for k in range(condition.variations)] for seed in seeds]
        codes_BACT = generate_batch(model, codes_BCT, keeps, condition.sampling, variants)
    else:
        pairs = [
            _replace_by_noise(codes, condition.noise_share, model.codec.codebook_size, s)
            for codes, s in zip(codes_BCT, seeds, strict=True)
        ]
        codes_BACT, keep_BACT = (torch.stack(part)[:, None] for part in zip(*pairs, strict=True))
    decoded = _decode(model, codes_BACT, audio_BS.shape[1])
    kept = keep_BACT[:, 0].sum((1, 2)).numpy() * np.log2(model.codec.codebook_size)
    return ConditionOutputs(_match_loudness(decoded, audio_BS, model), codes_BACT, keep_BACT, kept)


def generate_batch(
    model: Pipeline,
    codes_BCT: Tensor,
    keeps: Sequence[Tensor],
    sampling: SamplingConfig,
    seeds: Sequence[Sequence[int]],
) -> Tensor:
    """Variations (B, A, C, T), int32, of unrelated excerpts of one length, all windows of a kind as one batch.

    `keeps` holds keep_ACT of each excerpt, `seeds` A numbers. Each comes out as it would alone.
    """
    stages, n_frames = model.stages(sampling), codes_BCT.shape[2]
    output = OutputFormat(model.codec.sample_rate_hz, 1, n_frames * model.codec.hop)
    parts: list[list[Tensor]] = []
    runs = []
    for codes_CT, keep_ACT, own in zip(codes_BCT, keeps, seeds, strict=True):
        for keep_CT, seed in zip(keep_ACT, own, strict=True):
            parts.append([])
            tokens = tokens_of_codes(codes_CT[None].int(), output)
            runs.append(generate_codes(tokens, Plan(stages, sampling, keep_CT, seed), parts[-1].append))
    run_all(runs, model.fill, at_once=len(runs))
    made_NCT = torch.cat([torch.cat(part, dim=2) for part in parts])
    return made_NCT.unflatten(0, (len(codes_BCT), -1))


def opus_missing() -> str:
    """Why Opus cannot be run here; empty when it can."""
    if _opus_tool() is None:
        return "neither opusenc (opus-tools) nor ffmpeg is installed"
    return ""


@functools.cache
def _opus_tool() -> str | None:
    if shutil.which("opusenc") and shutil.which("opusdec"):
        return "opusenc"
    return "ffmpeg" if shutil.which("ffmpeg") else None


def through_opus(mono_S: Samples, rate_hz: int, kbps: float) -> tuple[Samples, float]:
    """Through Opus (music, variable rate): the samples again, and the bits of the stream, container included.

    Raises DependencyError without opusenc or ffmpeg.
    """
    tool = _opus_tool()
    if tool is None:
        raise DependencyError(f"Opus baselines: {opus_missing()}")
    with scratch_folder() as folder:
        source, coded, back = (folder / name for name in ("a.wav", "a.opus", "b.wav"))
        write(source, Audio(resample(mono_S[None], rate_hz, OPUS_RATE_HZ), OPUS_RATE_HZ), subtype="PCM_24")
        if tool == "opusenc":
            _run("opusenc", "--quiet", "--music", "--bitrate", f"{kbps:g}", source, coded)
            _run("opusdec", "--quiet", "--rate", str(OPUS_RATE_HZ), coded, back)
        else:
            quiet = ("ffmpeg", "-v", "error", "-y", "-i")
            _run(*quiet, source, "-c:a", "libopus", "-b:a", f"{kbps:g}k", "-application", "audio", coded)
            _run(*quiet, coded, back)
        decoded = resample(read(back).samples[:1], OPUS_RATE_HZ, rate_hz)[0][: len(mono_S)]
        return np.pad(decoded, (0, len(mono_S) - len(decoded))), 8.0 * coded.stat().st_size


def _run(*command: str | Path) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise DependencyError(f"Opus baselines: {command[0]} failed ({lines[-1]})")


def _keep(condition: Condition, model: Pipeline, n_frames: int, rhythm: Events, seed: int) -> Tensor:
    """keep_ACT: one keep mask for all variations, so that they differ by what is generated alone."""
    prompt = condition.full_prompt(model.coarse.config.n_codebooks)
    keep_CT = model.keep(prompt, n_frames, seed, rhythm.events)
    return keep_CT.expand(condition.variations, -1, -1)


def _replace_by_noise(codes_CT: Tensor, share: float, vocab_size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Codes with `share` of all tokens drawn uniformly, and keep_CT, True for the others."""
    generator = torch.Generator().manual_seed(seed)
    replaced_CT = torch.rand(codes_CT.shape, generator=generator) < share
    drawn_CT = torch.randint(vocab_size, codes_CT.shape, generator=generator, dtype=torch.int32)
    return torch.where(replaced_CT, drawn_CT, codes_CT.int()), ~replaced_CT


@torch.no_grad()
def _decode(model: Pipeline, codes_BACT: Tensor, n_samples: int) -> Samples:
    """Waveforms (B, A, S)."""
    codes_NCT = codes_BACT.flatten(0, 1).to(model.device, torch.int64)
    n_frames = codes_NCT.shape[2]  # in one block: excerpts are short, and the context of several would cost a third
    blocks = [block for codes in codes_NCT.split(8) for block in model.codec.decode_blocks(codes, n_frames)]
    audio_NS = torch.cat(blocks)
    return audio_NS[:, :n_samples].float().cpu().numpy().reshape(*codes_BACT.shape[:2], n_samples)


def _match_loudness(audio_BAS: Samples, audio_BS: Samples, model: Pipeline) -> Samples:
    """Each output at the loudness of its input, corrected as far as the pipeline does."""
    rate_hz, limit = model.codec.sample_rate_hz, 10 ** (MAX_CORRECTION_DB / 20)
    result = np.empty_like(audio_BAS)
    for made_AS, own_S, target in zip(audio_BAS, audio_BS, result, strict=True):
        lufs = measure(own_S[None], rate_hz)
        for variant, place_S in zip(made_AS, target, strict=True):
            gain = gain_to(measure(variant[None], rate_hz), lufs)
            place_S[:] = variant * np.float32(min(max(gain, 1 / limit), limit))
    return result
