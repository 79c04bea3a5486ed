"""What batching windows of several files gains, and what it changes in the tokens.

    python -m benchmarks.generation.batch_speed AUDIO_FOLDER [--files 8] [--seconds 6] [--rounds 2] [--at-once 4]

Each file is cut to mono of the length. Speed: all files by `run_jobs`, several at work, against one after the other, in
turns in one process; the ratio of CPU times holds even where the machine is not quiet. Tokens: the same inputs
through the models as one batch and alone, in float32, where they shall be equal, and in bfloat16, where batches of
another size may round differently; from the first token that differs, later windows hear something else.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from vampnet.audio.files import Audio, probe, read, write
from vampnet.audio.folders import audio_files_in
from vampnet.audio.sources import FileSource
from vampnet.device import inference_dtype
from vampnet.generation.batches import BatchProof
from vampnet.generation.config import SamplingConfig
from vampnet.generation.run import WindowRequest, run_all
from vampnet.generation.windows import Plan, generate_codes
from vampnet.jobs.batch import run_jobs
from vampnet.jobs.request import VampRequest
from vampnet.jobs.result import JobResult
from vampnet.jobs.runner import run_job
from vampnet.prompts.grammar import parse_prompt
from vampnet.tasks.defaults import DEFAULT_PROMPT
from vampnet.tasks.model import VampNet, load


def cut(paths: Sequence[Path], folder: Path, seconds: float) -> list[Path]:
    """Mono beginnings of files that are long enough."""
    made = []
    for number, path in enumerate(paths):
        audio = read(path)
        n_samples = int(seconds * audio.sample_rate_hz)
        mono = audio.samples[:, :n_samples].mean(axis=0, keepdims=True)
        made.append(folder / f"{number}.wav")
        write(made[-1], Audio(mono, audio.sample_rate_hz))
    return made


def take_turns(model: VampNet, files: list[Path], sampling: SamplingConfig, rounds: int, at_once: int) -> None:
    """Print seconds alone and together, and their ratio, round by round."""
    with tempfile.TemporaryDirectory() as folder:
        jobs = [
            (VampRequest(input=str(path), sampling=sampling, domain_warning=False), [Path(folder) / path.name])
            for path in files
        ]
        for number in range(rounds):
            times = [_now()]
            for request, outputs in jobs:
                run_job(request, outputs, model=model)
            times.append(_now())
            with patch.object(model, "runs_at_once", at_once):
                results = list(run_jobs(jobs, model=model))
            times.append(_now())
            assert all(isinstance(result, JobResult) for result in results), results
            alone, together = times[1] - times[0], times[2] - times[1]
            print(
                f"round {number + 1}: {len(files)} files alone {alone[0]:.1f} s ({alone[1]:.1f} s of CPU), together "
                f"{together[0]:.1f} s ({together[1]:.1f}): {alone[0] / together[0]:.2f} times as fast "
                f"({alone[1] / together[1]:.2f} in CPU time)",
                flush=True,
            )


def _now() -> np.ndarray:
    """Seconds of the clock and of the CPU, all threads together."""
    return np.array([time.perf_counter(), time.process_time()])


def tokens(model: VampNet, files: Sequence[Path], sampling: SamplingConfig) -> Tensor:
    """Codes (files, C, T) of vamps whose windows are filled as one batch, whether or not that rounds alike."""
    runs, parts, prompt = [], list[list[Tensor]](), parse_prompt(DEFAULT_PROMPT)
    for path in files:
        stream = model.tokens(FileSource(path))
        keep_CT = model.keep(prompt, stream.n_frames, sampling.seed)
        parts.append([])
        plan = Plan(model.stages(sampling), sampling, keep_CT, sampling.seed)
        runs.append(generate_codes(stream, plan, parts[-1].append))

    def fill(requests: Sequence[WindowRequest]) -> list[Tensor]:
        with patch.object(BatchProof, "holds", lambda *_: True):
            return model.fill(requests)

    run_all(runs, fill, at_once=len(runs))
    return torch.cat([torch.cat(part, dim=2) for part in parts])


def compare(model: VampNet, files: Sequence[Path], sampling: SamplingConfig) -> None:
    """Print the share of regenerated tokens that differ between one batch and single runs."""
    together = tokens(model, files, sampling)
    alone = torch.cat([tokens(model, [path], sampling) for path in files])
    new_CT = ~model.keep(parse_prompt(DEFAULT_PROMPT), together.shape[2], sampling.seed)
    n_coarse = model.coarse.config.n_codebooks
    differ = (together != alone)[:, new_CT].float().mean()
    coarse = (together != alone)[:, :n_coarse][:, new_CT[:n_coarse]].float().mean()
    print(f"{model.dtype}: {differ:.3%} of the regenerated tokens differ, of the coarse ones {coarse:.3%}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--at-once", type=int, default=4, help="files at work together")
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--steps", type=int, default=SamplingConfig().steps)
    parser.add_argument("--c2f-steps", type=int, default=SamplingConfig().c2f_steps)
    options = parser.parse_args()
    sampling = SamplingConfig(steps=options.steps, c2f_steps=options.c2f_steps, seed=1)
    paths = [path for path in audio_files_in(options.folder) if probe(path).duration_s >= options.seconds]
    with tempfile.TemporaryDirectory() as folder:
        files = cut(paths[: options.files], Path(folder), options.seconds)
        model = load(options.bundle)
        print(f"{model.device}, {torch.get_num_threads()} threads, {len(files)} files of {options.seconds:g} s")
        take_turns(model, files, sampling, options.rounds, options.at_once)
        compare(model, files, sampling)
        if inference_dtype(model.device) != torch.float32:
            compare(load(options.bundle, precision="float32"), files, sampling)


if __name__ == "__main__":
    main()
