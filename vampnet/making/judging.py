"""Quality report of a made model: cross-entropy, FAD, memorisation."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vampnet.audio.files import Audio, AudioReader, resample
from vampnet.audio.loudness import gain_to, measure
from vampnet.codec.base import Codec
from vampnet.errors import AudioError
from vampnet.evaluation.embeddings.registry import open_embedding
from vampnet.evaluation.metrics.frechet import frechet_distance
from vampnet.evaluation.metrics.sets import EmbeddedSet, SetBuilder
from vampnet.generation.config import SamplingConfig
from vampnet.making.memorisation import NearestPassage, find_nearest
from vampnet.making.scan import ScannedFile
from vampnet.making.training import TrainedPart, compare_nats, spread
from vampnet.models.format import Bundle
from vampnet.tasks.model import VampNet
from vampnet.training.data.token_dataset import TokenSet

EXCERPT_S = 8.0
MEMORY_S = 8.0
"""Music from nothing that is compared with the training music, seconds per piece."""
QUIETEST_LUFS = -60.0


def judge_nats(
    part: str, trained: TrainedPart, before: Bundle | None, held_out: TokenSet, crop_frames: int
) -> dict[str, Any]:
    """Cross-entropy of a network on held-out files, beside another model's and beside unigrams, nats."""
    old = getattr(before, part) if before is not None else None
    change, new = compare_nats(old, trained.model, held_out, crop_frames)
    config = trained.model.config
    unigram = held_out.unigram()[config.n_conditioning_codebooks : config.n_codebooks]
    found: dict[str, Any] = {
        "new": float(np.mean(new)),
        "new_standard_error": float(np.std(new, ddof=1) / math.sqrt(len(new))) if len(new) > 1 else None,
        "unigram": float(unigram.mean()),
        "chance": math.log(config.vocab_size),
        "train": trained.train_nats,
        "files": len(new),
        "steps": trained.steps,
        "best_step": trained.best_step,
        "curve": [list(point) for point in trained.curve],
    }
    if change is not None:
        found |= {"before": change.means[0], "change": change.mean}
        found["change_standard_error"] = None if math.isnan(change.standard_error) else change.standard_error
    return found


def foresee(found: dict[str, Any]) -> str:
    """Forecast of the gain from more steps and more music, from the learning curve, in a sentence."""
    curve = [(step, nats) for step, nats in found["curve"] if step > 0]
    gap = found["new"] - found["train"]
    if len(curve) < 4:
        return "the training was too short to say what more of it would bring"
    if found["best_step"] < curve[-1][0] * 0.6:
        where = f"the held-out figure was lowest at step {found['best_step']} of {curve[-1][0]}"
        if curve[-1][1] < curve[len(curve) // 2][1]:
            return f"{where}, but was falling again at the end: a longer training may still get below it"
        return f"{where} and was rising at the end: more steps would not help, more music may"
    (step_1, nats_1), (step_2, nats_2) = curve[len(curve) // 2 - 1], curve[-1]
    slope = (nats_1 - nats_2) / math.log2(step_2 / step_1)
    words = f"its last doubling of steps brought {slope:.3f} nats, and the next may bring about half to all of that"
    if gap > 0.1:
        return f"{words}; held-out music is {gap:.2f} nats harder than the training music, so more music may help too"
    easier = f"held-out music is no harder than the training music ({gap:+.2f} nats)"
    return f"{words}; {easier}, so by this figure steps are what lacks"


@dataclass(frozen=True)
class Outputs:
    """Outputs of a bundle for held-out excerpts, and from nothing."""

    vamps: list[Audio]
    """A vamp of each excerpt at the defaults, seed 0."""
    from_nothing: list[Audio]
    nearest: list[NearestPassage]
    """The nearest training passage of each two seconds made from nothing."""


def make_outputs(model: VampNet, excerpts: Sequence[Audio], n_from_nothing: int, train: TokenSet) -> Outputs:
    """Vamp the excerpts, make `n_from_nothing` pieces from nothing, and look for the latter in the training music."""
    vamps = [model.vamp(one, sampling=SamplingConfig(seed=0)).audio for one in excerpts]
    pieces, nearest = [], []
    for seed in range(n_from_nothing):
        made = model.generate(seconds=MEMORY_S, sampling=SamplingConfig(seed=seed))
        pieces.append(made.audio)
        codes = made.codes
        if codes is not None:
            nearest += find_nearest(np.asarray(codes)[0], train, model.codec.frames_per_s)
    return Outputs(vamps, pieces, nearest)


def nearest_of_held_out(held_out: TokenSet, train: TokenSet, frames_per_s: float, most: int) -> list[NearestPassage]:
    """The nearest training passage of some passages of held-out recordings: the scale of the check."""
    found: list[NearestPassage] = []
    length = int(MEMORY_S * frames_per_s)
    pieces = spread(held_out, most)
    for shard, start, n_frames in pieces.pieces.tolist():
        first = start + max((n_frames - length) // 2, 0)
        codes_TC = np.asarray(pieces.shards[shard][first : min(first + length, start + n_frames)])
        found += find_nearest(codes_TC.T, train, frames_per_s)
    return found


def through_codec(model: VampNet, excerpt: Audio) -> Audio:
    """An excerpt encoded and decoded, mono: what no network is better than."""
    rate_hz = model.codec.sample_rate_hz
    mono = resample(excerpt.samples.mean(axis=0, keepdims=True), excerpt.sample_rate_hz, rate_hz)
    gain = gain_to(measure(mono, rate_hz))
    with torch.no_grad():
        codes = model.codec.encode(torch.from_numpy((mono * gain).astype(np.float32)).to(model.device))
        decoded = model.codec.decode(codes)
    samples = decoded.cpu().numpy()[:, : mono.shape[1]] / gain
    return Audio(samples.astype(np.float32), rate_hz)


def take_excerpts(root: Path, files: Sequence[ScannedFile], most: int) -> list[tuple[str, Audio]]:
    """The middle of at most `most` files that are not silent there."""
    places = sorted({int(k) for k in np.linspace(0, len(files) - 1, most)}) if files else []
    found = []
    for k in places:
        one = files[k]
        try:
            with AudioReader(root / one.name) as reader:
                rate_hz = reader.info.sample_rate_hz
                reader.skip(max(int((one.seconds - EXCERPT_S) / 2 * rate_hz), 0))
                blocks, n_read = [], 0
                for block in reader:
                    blocks.append(block)
                    n_read += block.shape[1]
                    if n_read >= EXCERPT_S * rate_hz:
                        break
        except AudioError:
            continue
        samples = np.concatenate(blocks, axis=1)[:2, : int(EXCERPT_S * rate_hz)]
        if measure(samples, rate_hz) > QUIETEST_LUFS:
            found.append((one.name, Audio(samples, rate_hz)))
    return found


def fad_of(reference: Sequence[Audio], made: Sequence[Audio], bundle: str) -> float | None:
    """Fréchet audio distance of mel statistics; None for fewer than two excerpts, which have no spread."""
    if len(reference) < 2 or len(made) < 2:
        return None
    sets = [_set_of(name, audios, bundle) for name, audios in (("held out", reference), ("made", made))]
    return frechet_distance(sets[0].moments.total(), sets[1].moments.total())


def _set_of(name: str, audios: Sequence[Audio], bundle: str) -> EmbeddedSet:
    builder = SetBuilder(open_embedding("mel", bundle), name)
    for audio in audios:
        builder.add(audio.samples, audio.sample_rate_hz)
    return builder.finish()


def encoding_speed(codec: Codec) -> float:
    """Seconds of music that this machine encodes per second, measured on noise."""
    noise_1S = torch.randn(1, int(8 * codec.sample_rate_hz), generator=torch.Generator().manual_seed(0)) * 0.1
    codec.encode(noise_1S[:, : codec.sample_rate_hz])
    started = time.monotonic()
    codec.encode(noise_1S)
    return 8 / max(time.monotonic() - started, 1e-6)
