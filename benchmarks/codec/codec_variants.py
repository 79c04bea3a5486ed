"""Shapes of the codec compared after equal training, in one run: parameters, speed, distances.

    python -m benchmarks.codec.codec_variants corpora/mixed --validation corpora/validation --work runs/variants \
        [--steps 400] [--excerpts 12] [-o docs/results/codec/variants.md]

Every variant is trained from nothing, on the CPU, by the recipe default-codec with its own settings in the place of
the recipe's and `--steps` steps; the learning rate falls over the last third. Same crops, same seed, same number of
steps, so a variant with more weights gets more arithmetic; seconds of training stand beside. Measured on the middle of
`--excerpts` validation files, all codebooks. Speed is that of one core, encoding and decoding 10 s: at the end, all
variants in turn, the fastest of five rounds. Finished variants are kept in `--work` and not trained again, so several
processes can share the work by `--only`, and a last one makes the table. For runs this short fewer crops than usual set
the linear path and the quantiser, and weights are averaged over fewer steps.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.codec.codec_quality import Heard, compare
from benchmarks.tables import report, table
from vampnet.audio.folders import audio_files_in
from vampnet.codec.convnext import ConvNextBlock
from vampnet.codec.magnitude import MagnitudeCodec
from vampnet.evaluation.metrics.harmony import chroma_of
from vampnet.evaluation.metrics.onsets import mel_db_of, onset_times_s
from vampnet.training import codec_objective as codec_training
from vampnet.training.codec_objective import CodecObjective
from vampnet.training.data.wave_dataset import levelled_excerpt, open_waves
from vampnet.training.export import codec_of_run
from vampnet.training.recipe import SHIPPED, CodecRecipe, read_recipe, recipe_to_dict
from vampnet.training.trainer import Trainer

RECIPE = SHIPPED / "default-codec.yaml"
SECONDS, SPEED_S, ROUNDS = 10.0, 10.0, 5
INITIAL_BATCHES, EMA_DECAY = 16, 0.98
MEASURES = ("mel", "STFT", "SI-SDR", "chroma", "onsets")
VARIANTS: dict[str, dict[str, Any]] = {
    "as embedded": {},
    "decoder narrow and deep: 256 x 11": {"decoder_width": 256, "decoder_depth": 11},
    "decoder wide and shallow: 608 x 2": {"decoder_width": 608, "decoder_depth": 2},
    "decoder small: 256 x 5": {"decoder_width": 256},
    "no fine blocks": {"fine_depth": 0},
    "high grid at 57 Hz": {"high_hop": 768, "high_fft": 1536, "high_rounds": 6},
    "high grid at 230 Hz": {"high_hop": 192},
    "high grid at 460 Hz": {"high_hop": 96},
    "low windows of 2048": {"low_fft": 2048},
    "low windows of 4096": {"low_fft": 4096},
    "hop 512": {"hop": 512, "low_hop": 512, "low_fft": 3072, "high_rounds": 6},
    "no linear path": {"linear_path": False},
    "encoder 384 x 3": {"width": 384},
    "causal": {},
}
"""What differs from the recipe's codec. Without tonal starts, which need high windows of one hop, 6 rounds instead of
3; "causal" has convolutions that look back only, in encoder and decoder."""


class CausalConv1d(nn.Conv1d):
    """A convolution over time of a block, that looks as far back as the other looks to both sides."""

    def forward(self, x_BDT: Tensor) -> Tensor:
        reach = self.kernel_size[0] - 1
        return F.conv1d(F.pad(x_BDT, (reach, 0)), self.weight, self.bias, groups=self.groups)


def arranged(codec: MagnitudeCodec, name: str) -> MagnitudeCodec:
    """The codec itself, changed where settings cannot say how."""
    if name == "causal":
        for block in codec.modules():
            if isinstance(block, ConvNextBlock):
                block.mix.__class__ = CausalConv1d
        codec.encoder_context *= 2
        codec.decoder_context *= 2
    return codec


def slug(name: str) -> str:
    """A file name."""
    return "".join(c if c.isalnum() else "-" for c in name)


def trained(name: str, recipe: CodecRecipe, data: tuple[Any, Any], folder: Path) -> tuple[MagnitudeCodec, float]:
    """A variant after its training, and the seconds that took."""
    task = CodecObjective(recipe, *data)
    arranged(task.module.codec, name)
    run = Trainer(task, recipe.loop, folder, recipe_to_dict(recipe), "cpu", resume=False, on_log=lambda line: None)
    started = time.perf_counter()
    run.train()
    return arranged(codec_of_run(folder)[0], name), time.perf_counter() - started


@torch.no_grad()
def real_time_factors(codecs: dict[str, MagnitudeCodec]) -> dict[str, float]:
    """Seconds of audio per second of one core, there and back."""
    torch.set_num_threads(1)
    spent: dict[str, list[float]] = {name: [] for name in codecs}
    for name, codec in [*codecs.items()] * ROUNDS:
        n_samples = int(SPEED_S * codec.sample_rate_hz)
        audio_1S = 0.1 * torch.randn(1, n_samples, generator=torch.Generator().manual_seed(0))
        started = time.process_time()
        codec.decode(codec.encode(audio_1S))
        spent[name].append(time.process_time() - started)
    return {name: SPEED_S / min(times) for name, times in spent.items()}


def measured(codec: MagnitudeCodec, files: list[Path]) -> dict[str, float]:
    """Means over excerpts."""
    rate_hz, rows = codec.sample_rate_hz, []
    for path in files:
        audio_S = levelled_excerpt(path, rate_hz, SECONDS)
        onsets_s = onset_times_s(mel_db_of(audio_S[None], rate_hz)).tolist()
        heard = Heard(audio_S, chroma_of(audio_S[None], rate_hz), onsets_s)
        decoded_S = codec.decode(codec.encode(torch.from_numpy(audio_S)[None]))[0, : len(audio_S)].numpy()
        rows.append(compare(decoded_S, heard, rate_hz, 0.0))
    return {name: sum(row[name] for row in rows) / len(rows) for name in MEASURES}


def figures_of(name: str, options: argparse.Namespace, recipe: CodecRecipe, data: tuple[Any, Any]) -> dict[str, Any]:
    """All about one variant, from `--work` if it is there."""
    path = options.work / f"{slug(name)}.json"
    settings = {"settings": VARIANTS[name], "steps": options.steps, "excerpts": options.excerpts}
    if path.exists() and (found := json.loads(path.read_text()))["of"] == settings:
        return found
    own_codec = dataclasses.replace(recipe.codec, **VARIANTS[name])
    n_frames = recipe.crop_frames * recipe.codec.hop // own_codec.hop  # crops of one length, whatever the hop
    own = dataclasses.replace(recipe, codec=own_codec, crop_frames=n_frames)
    codec, seconds = trained(name, own, data, options.work / path.stem)
    with torch.no_grad():
        found = {
            "of": settings,
            "parameters": sum(p.numel() for p in codec.parameters()),
            "frames_per_s": codec.frames_per_s,
            "training_s": seconds,
            **measured(codec, audio_files_in(options.validation)[: options.excerpts]),
        }
    path.write_text(json.dumps(found, indent=1) + "\n")
    return found


def shown(found: dict[str, Any]) -> dict[str, str]:
    kbps = found["frames_per_s"] * 0.14
    cells = {"parameters": f"{found['parameters'] / 1e6:.2f} M", "kbit/s": f"{kbps:.1f}"}
    cells |= {"real time": f"{found['real_time_factor']:.1f}x", "s of training": f"{found['training_s']:.0f}"}
    return cells | {name: f"{found[name]:.{1 if name == 'SI-SDR' else 3}f}" for name in MEASURES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("--validation", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--excerpts", type=int, default=12)
    parser.add_argument("--only", nargs="*", help="names of variants; all when not given")
    parser.add_argument("-o", "--output", type=Path, help="Markdown file; JSON is written beside it")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    recipe = read_recipe(RECIPE)
    assert isinstance(recipe, CodecRecipe)
    n = options.steps
    rare = {"validate_every": 10**9, "checkpoint_every": 10**9}
    loop = dataclasses.replace(recipe.loop, steps=n, decay_steps=n // 3, ema_decay=EMA_DECAY, **rare)
    codec_training.INITIAL_BATCHES = INITIAL_BATCHES
    recipe = dataclasses.replace(recipe, loop=loop)
    data = tuple(open_waves(folder, recipe.codec.sample_rate_hz) for folder in (options.train, options.validation))
    results: dict[str, dict[str, Any]] = {}
    for name in options.only or VARIANTS:
        results[name] = figures_of(name, options, recipe, (data[0], data[1]))
        print(name, {key: round(value, 3) for key, value in results[name].items() if key != "of"}, flush=True)
    codecs = {name: arranged(codec_of_run(options.work / slug(name))[0], name) for name in results}
    for name, factor in real_time_factors(codecs).items():
        results[name]["real_time_factor"] = factor
    text = "# Shapes of the codec, after equal training\n\n"
    text += f"`python -m benchmarks.codec.codec_variants {options.train} --validation {options.validation} --steps {n}"
    text += f" --excerpts {options.excerpts}`\n\n{n} steps of {loop.batch_size} crops of "
    text += f"{recipe.crop_frames * recipe.codec.hop / recipe.codec.sample_rate_hz:.2f} s each, from nothing. All "
    text += f"codebooks.\n\n{table('', {name: shown(found) for name, found in results.items()})}"
    report(text, results, options.output)


if __name__ == "__main__":
    main()
