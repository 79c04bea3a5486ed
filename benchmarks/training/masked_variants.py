"""Choices for the coarse model compared at equal compute, in one run: cross-entropy under several masks, and FAD.

    python -m benchmarks.training.masked_variants corpora/tokens/train --validation corpora/tokens/validation \
        --work runs/masked [--tflop 12] [--excerpts 24] [--table choices] [-o docs/results/masked-variants.md]

Every variant is trained from nothing, on the CPU, until it has done `--tflop` (10**12) floating point operations by
`MaskedObjective.work`, so a larger model makes fewer steps. All learn from the same shards with the same seed. What a
row names differs from the base: 4 layers of 192, 8 crops of 5 s a step, masks drawn as the paper draws them. Held-out
nats are means over codebooks on crops of 10 s; FAD is that of what P = 7 and P = 16 make of `--excerpts` excerpts of
10 s in 12 steps at temperature 0.9, against what their own coarse tokens sound like, with its 95 % interval.

`--table rates` compares learning rates at three widths instead, all with 100 steps. Finished variants are kept in
`--work` and not trained again, so that several processes can share the work by `--only`, and a last one makes the
table.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.tables import report, table
from vampnet.codec.base import Codec
from vampnet.evaluation.embeddings.builtin import MelStatistics
from vampnet.evaluation.metrics.sets import EmbeddedSet, SetBuilder, frechet_of
from vampnet.generation.config import SamplingConfig
from vampnet.generation.sampling import fill
from vampnet.models.bundle import load_codec
from vampnet.models.config import ModelConfig
from vampnet.models.transformer import MaskedTransformer
from vampnet.prompts.masks import mask_codes, periodic_keep
from vampnet.training.data.token_dataset import TokenSet, open_tokens
from vampnet.training.masked_objective import MaskedObjective, draw_fixed_rate_keep, draw_keep, masked_loss
from vampnet.training.recipe import MaskedRecipe, TrainerConfig, recipe_to_dict
from vampnet.training.share import BatchShare
from vampnet.training.trainer import Trainer

CROP_FRAMES = 576
"""Of held-out crops and excerpts: 10 s of the embedded codec."""
PERIODS = (7, 16)
RATE_STEPS = 100
MODEL = ModelConfig(n_codebooks=4, codebook_dim=64, dim=192, n_heads=6, n_layers=4, dropout=0.0, learned_embedding=True)
LOOP = TrainerConfig(
    batch_size=8, optimizer="muon", learning_rate=1.5e-3, warmup_steps=40, beta2=0.99, ema_decay=0.98,
    precision="32-true", log_every=50, validate_every=10**9, checkpoint_every=10**9,
)  # fmt: skip
BASE = MaskedRecipe("", "", "default", model=MODEL, loop=LOOP, crop_frames=CROP_FRAMES // 2, initial="neighbours")
Changes = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Variant:
    """What differs from the base."""

    model: Changes = dataclasses.field(default_factory=dict)
    loop: Changes = dataclasses.field(default_factory=dict)
    recipe: Changes = dataclasses.field(default_factory=dict)
    weights: tuple[float, ...] = ()
    """Of each codebook in the loss."""
    codec_vectors: bool = True
    """Whether the network sees the codec's vectors; without them its learned ones alone."""


CHOICES: dict[str, Variant] = {
    "base": Variant(),
    "wide and shallow: 2 layers of 272": Variant(model={"dim": 272, "n_heads": 8, "n_layers": 2}),
    "narrow and deep: 8 layers of 136": Variant(model={"dim": 136, "n_heads": 4, "n_layers": 8}),
    "crops of 2.5 s, 16 a step": Variant(recipe={"crop_frames": CROP_FRAMES // 4}, loop={"batch_size": 16}),
    "crops of 10 s, 4 a step": Variant(recipe={"crop_frames": CROP_FRAMES}, loop={"batch_size": 4}),
    "crops of 10 s, every distance up to 5 s": Variant(
        recipe={"crop_frames": CROP_FRAMES}, loop={"batch_size": 4}, model={"n_buckets": 1152, "max_distance": 1152}
    ),
    "mask schedule 1 - r": Variant(recipe={"mask_schedule": "uniform"}),
    "codebooks weighted 1.6 1.2 0.8 0.4": Variant(weights=(1.6, 1.2, 0.8, 0.4)),
    "label smoothing 0.1": Variant(recipe={"label_smoothing": 0.1}),
    "dropout 0.1": Variant(model={"dropout": 0.1}),
    "codec vectors alone": Variant(model={"learned_embedding": False}),
    "random, codec vectors alone": Variant(model={"learned_embedding": False}, recipe={"initial": "random"}),
    "random, learned vectors alone": Variant(recipe={"initial": "random"}, codec_vectors=False),
    "Noam": Variant(loop={"schedule": "noam"}),
}
RATES: dict[str, Variant] = {
    f"{dim} wide, rate {rate:g}": Variant(model={"dim": dim, "n_heads": dim // 32}, loop={"learning_rate": rate})
    for dim in (64, 128, 256)
    for rate in (1.5e-3, 3e-3, 6e-3)
}


class WeightedTask(MaskedObjective):
    """A task whose codebooks have weights in the loss; it is looked at when it is over, not before."""

    weights: tuple[float, ...] = ()

    def validate(self, module: nn.Module) -> dict[str, float]:
        return {}

    def loss(self, module: nn.Module, step: int, share: BatchShare) -> dict[str, Tensor]:
        if not self.weights:
            return super().loss(module, step, share)
        loop, config = self.recipe.loop, self.recipe.model
        codes_BCT = self._codes(self.train, (loop.seed, step, 0), loop.batch_size)
        generator = torch.Generator().manual_seed(hash((loop.seed, step, 0, 1)) % 2**63)
        keep_BCT = draw_keep(codes_BCT.shape, 0, generator)
        logits_NV = module(mask_codes(codes_BCT, keep_BCT, config.mask_token), ~keep_BCT)
        mask_CBT = ~keep_BCT.transpose(0, 1)
        nats_N = F.cross_entropy(logits_NV, codes_BCT.transpose(0, 1)[mask_CBT], reduction="none")
        weight_N = torch.tensor(self.weights)[mask_CBT.nonzero()[:, 0]]
        return {"loss": (weight_N * nats_N).sum() / weight_N.sum()}


def task_of(variant: Variant, train: TokenSet, validation: TokenSet, codec: Codec) -> WeightedTask:
    changed = {"model": dataclasses.replace(MODEL, **variant.model), "loop": dataclasses.replace(LOOP, **variant.loop)}
    recipe = dataclasses.replace(BASE, **changed, **variant.recipe)
    books_CVK = codec.codebooks()
    task = WeightedTask(recipe, train, validation, books_CVK if variant.codec_vectors else 0 * books_CVK)
    task.weights = variant.weights
    return task


def trained(task: WeightedTask, steps: int, folder: Path) -> tuple[MaskedTransformer, Trainer, float]:
    """The averaged network, its run, and the seconds of processor time that training took."""
    loop = dataclasses.replace(task.recipe.loop, steps=steps, decay_steps=int(0.4 * steps))
    task.recipe = dataclasses.replace(task.recipe, loop=loop)
    run = Trainer(task, loop, folder, recipe_to_dict(task.recipe), "cpu", resume=False, on_log=lambda line: None)
    started = time.process_time()
    run.train()
    network = run.average.module
    assert isinstance(network, MaskedTransformer)
    return network.eval(), run, time.process_time() - started


@torch.no_grad()
def nats_of(model: MaskedTransformer, codes_BCT: Tensor, keep_of: Callable[[Tensor, torch.Generator], Tensor]) -> float:
    """Mean over codebooks of the held-out cross-entropy, crop by crop under the same masks for every model."""
    sums_C, counts_C = torch.zeros(model.config.n_codebooks), torch.zeros(model.config.n_codebooks)
    for k, codes_1CT in enumerate(codes_BCT[:, None]):
        keep_1CT = keep_of(codes_1CT, torch.Generator().manual_seed(k))
        _, nats_N, _ = masked_loss(model, codes_1CT, keep_1CT, 0, model.config.mask_token)
        codebook_N = (~keep_1CT).transpose(0, 1).nonzero()[:, 0]
        sums_C.index_add_(0, codebook_N, nats_N)
        counts_C += codebook_N.bincount(minlength=len(counts_C))
    return float((sums_C / counts_C).mean())


def periodic(codes_BCT: Tensor, generator: torch.Generator, period: int) -> Tensor:
    return periodic_keep(codes_BCT.shape[2], period).expand(codes_BCT.shape).clone()


def share(codes_BCT: Tensor, generator: torch.Generator, rate: float) -> Tensor:
    return draw_fixed_rate_keep(codes_BCT, 0, rate, generator)


MASKS = {f"{rate:.0%} masked": partial(share, rate=rate) for rate in (0.2, 0.5, 0.8)}
MASKS |= {f"P = {period}": partial(periodic, period=period) for period in PERIODS}


def excerpts_of(tokens: TokenSet, n_excerpts: int) -> Tensor:
    """The first 10 s of whole pieces, (B, C, T), coarse codebooks."""
    found = []
    for shard, start, length in tokens.pieces.tolist():
        if length >= CROP_FRAMES and len(found) < n_excerpts:
            found.append(torch.from_numpy(tokens.shards[shard][start : start + CROP_FRAMES].astype("int64")).T)
    return torch.stack(found)[:, : MODEL.n_codebooks].contiguous()


@torch.no_grad()
def heard(codes_BCT: Tensor, codec: Codec, name: str) -> EmbeddedSet:
    builder = SetBuilder(MelStatistics(), name)
    for codes_CT in codes_BCT:
        builder.add(codec.decode(codes_CT[None])[0].numpy()[None], codec.sample_rate_hz)
    return builder.finish()


def fad_of(model: MaskedTransformer, codes_BCT: Tensor, codec: Codec, real: EmbeddedSet, period: int) -> list[float]:
    """FAD of what the model makes of excerpts, with the ends of its interval."""
    filled = [
        fill(
            model,
            codes_1CT,
            ~periodic(codes_1CT, torch.Generator(), period),
            SamplingConfig(),
            [k],
            SamplingConfig().steps,
        )
        for k, codes_1CT in enumerate(codes_BCT[:, None])
    ]
    found = frechet_of(real, heard(torch.cat(filled), codec, f"P = {period}"), paired=True)
    return [found.value, found.interval.low, found.interval.high]


@dataclasses.dataclass(frozen=True)
class Bench:
    """What all variants are trained and measured with."""

    train: TokenSet
    validation: TokenSet
    codec: Codec
    codes_BCT: Tensor
    work: Path
    tflop: float

    def figures(self, name: str, variant: Variant, steps: int, real: EmbeddedSet | None) -> dict[str, Any]:
        """All about a variant, from the work folder if it is there; with `steps` 0 as many as the compute allows."""
        path = self.work / f"{''.join(c if c.isalnum() else '-' for c in name)}.json"
        settings = {"tflop": self.tflop, "steps": steps, "excerpts": len(self.codes_BCT)}
        if path.exists() and (found := json.loads(path.read_text()))["of"] == settings:
            return found
        task = task_of(variant, self.train, self.validation, self.codec)
        n_steps = steps or round(self.tflop / task.work["tflop"])
        network, run, seconds = trained(task, n_steps, path.with_suffix(""))
        found = {"of": settings, "parameters": sum(p.numel() for p in network.parameters()), "steps": run.step}
        found |= {"training_s": seconds, "nats": {key: nats_of(network, self.codes_BCT, m) for key, m in MASKS.items()}}
        if real is not None:
            found["fad"] = {str(p): fad_of(network, self.codes_BCT, self.codec, real, p) for p in PERIODS}
        last = task.module.eval()
        found["last_nats"] = {key: nats_of(last, self.codes_BCT, m) for key, m in MASKS.items()}
        path.write_text(json.dumps(found, indent=1) + "\n")
        return found


def shown(found: dict[str, Any], key: str = "nats") -> dict[str, str]:
    cells = {"parameters": f"{found['parameters'] / 1e6:.1f} M", "steps": str(found["steps"])}
    cells |= {"s of training": f"{found['training_s']:.0f}"} | {k: f"{v:.3f}" for k, v in found[key].items()}
    for period, (value, low, high) in found.get("fad", {}).items() if key == "nats" else ():
        cells[f"FAD, P = {period}"] = f"{value:.2f} ({low:.2f} to {high:.2f})"
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("--validation", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--table", choices=("choices", "rates"), default="choices")
    parser.add_argument("--tflop", type=float, default=12.0)
    parser.add_argument("--excerpts", type=int, default=24)
    parser.add_argument("--only", nargs="*", help="names of variants; all when not given")
    parser.add_argument("-o", "--output", type=Path, help="Markdown file; JSON is written beside it")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    codec, sets = load_codec("default"), [open_tokens(folder) for folder in (options.train, options.validation)]
    codes_BCT = excerpts_of(sets[1], options.excerpts)
    bench = Bench(sets[0], sets[1], codec, codes_BCT, options.work, options.tflop)
    rates = options.table == "rates"
    variants, real = RATES if rates else CHOICES, None if rates else heard(codes_BCT, codec, "real")
    results = {}
    for name in options.only or variants:
        results[name] = bench.figures(name, variants[name], RATE_STEPS if rates else 0, real)
        print(name, json.dumps(shown(results[name])), flush=True)
    rows = {name: shown(found) for name, found in results.items()}
    if not rates and "base" in results:
        rows["base, its last weights instead of their average"] = shown(results["base"], "last_nats")
    what = f"{RATE_STEPS} steps each" if rates else f"{options.tflop:g} TFLOP each"
    text = f"# Choices for the coarse model, {what}\n\n`python -m benchmarks.training.masked_variants {options.train} "
    text += f"--validation {options.validation} --table {options.table} --tflop {options.tflop:g} --excerpts "
    text += f"{len(codes_BCT)}`; {sets[0].n_frames / codec.frames_per_s / 3600:.1f} h of tokens to train on.\n\n"
    report(text + table("", rows), results, options.output)


if __name__ == "__main__":
    main()
