"""How many sampling steps are worth their time: mel and Fréchet distance of vamps to their inputs, and seconds.

    python benchmarks/sampling_steps.py --audio FOLDER [--excerpts 4] [--period 7] [--coarse 4 12 24 36] [--c2f 1 4 8]

First the coarse steps vary (with the default c2f steps), then the c2f steps (with the default coarse steps). The
seconds are those of one run on a machine that may be doing other things: read them as ratios.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from prompt_distances import decode, frechet, latents

from vampnet.config import Sampling
from vampnet.data.waves import audio_files_in, levelled_excerpt
from vampnet.pipeline import load
from vampnet.prompts import Periodic
from vampnet.spectra import mel_distance

SECONDS = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audio", type=Path, required=True)
    parser.add_argument("--excerpts", type=int, default=4)
    parser.add_argument("--period", type=int, default=7)
    parser.add_argument("--coarse", type=int, nargs="+", default=[1, 4, 12, 24, 36])
    parser.add_argument("--c2f", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--bundle", default="default")
    options = parser.parse_args()
    vampnet, default = load(options.bundle, "cpu"), Sampling()
    rate_hz, hop = vampnet.codec.sample_rate_hz, vampnet.codec.hop
    n_samples = int(SECONDS * rate_hz) // hop * hop
    files = audio_files_in(options.audio)[: options.excerpts]
    audio_BS = torch.from_numpy(np.stack([levelled_excerpt(path, rate_hz, SECONDS)[:n_samples] for path in files]))
    codes_BCT = torch.cat([vampnet.codec.encode(row[None]) for row in audio_BS])
    own = latents(vampnet, audio_BS)
    mask_CT = vampnet.mask(Periodic(options.period), codes_BCT.shape[2], 0)
    pairs = [(steps, default.c2f_steps) for steps in options.coarse] + [(default.steps, steps) for steps in options.c2f]
    print(f"{len(files)} excerpts of {SECONDS:g} s, P = {options.period}")
    print("| coarse steps | c2f steps | mel | Fréchet | seconds |\n|---|---|---|---|---|")
    for steps, c2f_steps in dict.fromkeys(pairs):
        sampling, started = Sampling(steps=steps, c2f_steps=c2f_steps), time.perf_counter()
        made = [
            vampnet.generate(codes_CT[None].int(), mask_CT[None], sampling, [seed])[0]
            for seed, codes_CT in enumerate(codes_BCT)
        ]
        seconds = time.perf_counter() - started
        output_BS = decode(vampnet, torch.cat(made), n_samples)
        mel = float(mel_distance(output_BS, audio_BS, rate_hz).mean())
        distance = frechet(latents(vampnet, output_BS), own)
        print(f"| {steps} | {c2f_steps} | {mel:.3f} | {distance:.1f} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
