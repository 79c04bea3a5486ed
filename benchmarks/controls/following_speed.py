"""What does following cost? Time of a vamp with and without conditioning, and with guidance, as ratios.

    python -m benchmarks.controls.following_speed [--seconds 10] [--rounds 3] [--output docs/results/X.md]

One mono vamp of random tokens, every 13th frame kept, coarse and coarse-to-fine, without decoding. The ways take turns,
and each counts with the least processor time of its rounds, beside that of the bundle without conditioning.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.controls.following import vamp_codes
from benchmarks.tables import report, table
from vampnet.controls.signals import Controls
from vampnet.models.bundle import load_bundle
from vampnet.models.conditioning import Guidance, HeardControls
from vampnet.tasks.model import VampNet

WAYS = {"no conditioning": None, "nothing followed": None, "beats x1": "beats=1", "beats x2": "beats=2"}


def beats_of(n_frames: int) -> Controls:
    """A steady beat and bar."""
    phase_T = np.arange(n_frames, dtype=np.float32) / 29.0
    return Controls(n_frames, beat_phase=phase_T % 1.0, bar_phase=phase_T / 4.0 % 1.0, tempo_bpm=120.0, metre="4/4")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    bundle = load_bundle(options.bundle, torch.bfloat16)
    model = VampNet(bundle, "cpu")
    without = VampNet(dataclasses.replace(bundle, conditioning=None), "cpu")
    n_frames = round(options.seconds * model.codec.frames_per_s)
    generator = torch.Generator().manual_seed(0)
    codes_CT = torch.randint(0, model.codec.codebook_size, (model.codec.n_codebooks, n_frames), generator=generator)
    keep_CT = torch.zeros(codes_CT.shape, dtype=torch.bool)
    keep_CT[:, ::13] = True
    least = dict.fromkeys(WAYS, np.inf)
    codes = {}
    for _ in range(options.rounds):
        for name, guidance in WAYS.items():
            heard = None if guidance is None else HeardControls(beats_of(n_frames), Guidance.parse(guidance))
            started = time.process_time()
            codes[name] = vamp_codes(without if name == "no conditioning" else model, codes_CT, keep_CT, 0, heard)
            least[name] = min(least[name], time.process_time() - started)
    same = torch.equal(codes["no conditioning"], codes["nothing followed"])
    rows = {name: {"time": f"{least[name] / least['no conditioning']:.2f}"} for name in WAYS}
    text = f"{options.seconds:g} s, model {model.id}; tokens with nothing followed are the same: {same}\n\n"
    report(text + table("", rows), {"seconds": least, "same": same}, options.output)


if __name__ == "__main__":
    main()
