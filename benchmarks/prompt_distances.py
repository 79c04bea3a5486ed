"""What periodic prompts do: mel and Fréchet distance of vamps to their inputs, beside tokens replaced by noise.

    python benchmarks/prompt_distances.py --audio FOLDER [--excerpts 12] [--seconds 10] [--bundle default]

For each period P every excerpt is vamped with Periodic(P). "mel" is the paper's distance of each output to its input,
averaged. "Fréchet" compares the distributions (mean and covariance) of the codec's latents over all frames of all
outputs with those of all inputs. The noise rows keep the same tokens and draw the others evenly: the paper's
noisy-token baseline. P = 1 keeps everything, so it is the codec alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from vampnet.config import Sampling
from vampnet.data.waves import audio_files_in, levelled_excerpt
from vampnet.pipeline import Vampnet, load
from vampnet.prompts import Everything, Periodic
from vampnet.spectra import mel_distance

PERIODS = (1, 3, 7, 13, 32)


def frechet(one_NL: np.ndarray, other_NL: np.ndarray) -> float:
    """Fréchet distance of two Gaussians fitted to rows."""
    mean = one_NL.mean(0) - other_NL.mean(0)
    one_cov, other_cov = np.cov(one_NL.T), np.cov(other_NL.T)
    root = sqrtm(one_cov @ other_cov)
    return float(mean @ mean + np.trace(one_cov + other_cov - 2 * root.real))


@torch.no_grad()
def latents(vampnet: Vampnet, audio_BS: Tensor) -> np.ndarray:
    """Unquantised encoder output of all frames, (B * T, L)."""
    parts = [vampnet.codec.encoder(row[None])[0] for row in audio_BS]  # type: ignore[operator]
    return torch.cat(parts).double().numpy()


@torch.no_grad()
def decode(vampnet: Vampnet, codes_BCT: Tensor, n_samples: int) -> Tensor:
    return torch.cat([vampnet.codec.decode(row[None].long()) for row in codes_BCT])[:, :n_samples]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audio", type=Path, required=True)
    parser.add_argument("--excerpts", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--steps", type=int, default=Sampling().steps)
    parser.add_argument("--c2f-steps", type=int, default=Sampling().c2f_steps)
    parser.add_argument("--bundle", default="default")
    options = parser.parse_args()
    vampnet = load(options.bundle, "cpu")
    rate_hz, sampling = vampnet.codec.sample_rate_hz, Sampling(steps=options.steps, c2f_steps=options.c2f_steps)
    files = audio_files_in(options.audio)[: options.excerpts]
    wanted = int(options.seconds * rate_hz) // vampnet.codec.hop * vampnet.codec.hop
    excerpts = [levelled_excerpt(path, rate_hz, options.seconds)[:wanted] for path in files]
    audio_BS = torch.from_numpy(np.stack([np.pad(x, (0, wanted - len(x))) for x in excerpts]))
    codes_BCT = torch.cat([vampnet.codec.encode(row[None]) for row in audio_BS])
    own = latents(vampnet, audio_BS)
    print(f"{len(files)} excerpts of {options.seconds:g} s, {sampling.steps} coarse and {sampling.c2f_steps} c2f steps")
    print("| P | mel | Fréchet | noise: mel | noise: Fréchet |\n|---|---|---|---|---|")
    generator = torch.Generator().manual_seed(0)
    for period in PERIODS:
        prompt = Everything() if period == 1 else Periodic(period)
        mask_CT = vampnet.mask(prompt, codes_BCT.shape[2], 0)
        made_BCT = torch.cat(
            [
                vampnet.generate(codes_CT[None].int(), mask_CT[None], sampling, [seed])[0]
                for seed, codes_CT in enumerate(codes_BCT)
            ]
        )
        random_BCT = torch.randint(vampnet.codec.codebook_size, codes_BCT.shape, generator=generator)
        cells = []
        for codes in (made_BCT, torch.where(mask_CT, random_BCT, codes_BCT)):
            output_BS = decode(vampnet, codes, wanted)
            cells.append(f"{float(mel_distance(output_BS, audio_BS, rate_hz).mean()):.3f}")
            cells.append(f"{frechet(latents(vampnet, output_BS), own):.2f}")
        print(f"| {period} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
