"""Rates that decide what many hours cost: tokenising, and training steps beside the matrix peak of the same run.

    python -m benchmarks.training.scale_rates AUDIO_FOLDER [--bundle default] [--recipe default-coarse] [--rounds 3]

One thread. Times are CPU times, so other work on the machine costs little of their truth.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from vampnet.device import inference_dtype
from vampnet.models.bundle import load_codec
from vampnet.training.data.token_dataset import TokenSet
from vampnet.training.data.token_shards import tokenize_folder
from vampnet.training.masked_objective import MaskedObjective
from vampnet.training.recipe import MaskedRecipe, find_recipe, read_recipe
from vampnet.training.share import BatchShare

PEAK_SIZE = 2048


def tokenize_rate(folder: Path, bundle: str) -> float:
    """Hours of audio tokenised per core and hour: files read, levelled, resampled, encoded and written."""
    codec = load_codec(bundle)
    with tempfile.TemporaryDirectory() as target:
        tokenize_folder(folder, Path(target) / "warm", codec)
        began = time.process_time()
        report = tokenize_folder(folder, Path(target) / "measured", codec)
        return report.audio_s / (time.process_time() - began)


def objective_of(recipe: MaskedRecipe, bundle: str) -> MaskedObjective:
    """The objective of a recipe on random tokens."""
    codec, rng = load_codec(bundle), np.random.default_rng(0)
    codes = rng.integers(0, recipe.model.vocab_size, (20 * recipe.crop_frames, codec.n_codebooks)).astype(np.uint16)
    tokens = TokenSet(codec.id, codec.n_codebooks, (codes,), np.array([[0, 0, len(codes)]]), ("random",), ())
    return MaskedObjective(recipe, tokens, tokens, codec.codebooks())


def step_cpu_s(objective: MaskedObjective, step: int, dtype: torch.dtype) -> float:
    """CPU seconds of one step, forward, back and the optimiser's."""
    optimizer = torch.optim.AdamW(objective.module.parameters(), lr=1e-4)
    began = time.process_time()
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        loss = objective.loss(objective.module, step, BatchShare())["loss"]
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return time.process_time() - began


def peak_tflops(dtype: torch.dtype) -> float:
    """10**12 operations per CPU second of a product of square matrices."""
    one, other = (torch.randn(PEAK_SIZE, PEAK_SIZE).to(dtype) for _ in range(2))
    began = time.process_time()
    torch.mm(one, other)
    return 2e-12 * PEAK_SIZE**3 / (time.process_time() - began)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--recipe", default="default-coarse")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"tokenising: {tokenize_rate(options.folder, options.bundle):.1f} h of audio per core and hour", flush=True)
    recipe = read_recipe(find_recipe(options.recipe))
    assert isinstance(recipe, MaskedRecipe)
    objective, dtype = objective_of(recipe, options.bundle), inference_dtype(torch.device("cpu"))
    step_cpu_s(objective, 0, dtype)
    peak_tflops(dtype)
    steps, peaks = zip(
        *((step_cpu_s(objective, k, dtype), peak_tflops(dtype)) for k in range(options.rounds)), strict=True
    )
    step_s, peak, work = statistics.median(steps), statistics.median(peaks), objective.work
    print(
        f"training, {options.recipe}, {dtype}: {work['tokens'] / step_s:.0f} tokens per core and second, "
        f"{1000 * work['tflop'] / step_s:.0f} GFLOP/s, {work['tflop'] / step_s / peak:.0%} of the matrix peak "
        f"({1000 * peak:.0f} GFLOP/s)"
    )


if __name__ == "__main__":
    main()
