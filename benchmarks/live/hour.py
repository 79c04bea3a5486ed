"""An hour of `vampnet live` on the virtual clock, with a slow model and random controls.

    python -m benchmarks.live.hour --seconds 3600 --input examples/loop.wav

Prints: swaps and how many were off their place, the largest step between samples at swaps and elsewhere, and memory
early and late. The model is simulated: it gives the loop's spectrum other phases, and takes 0.1 to 3 turns, by chance.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import time
from pathlib import Path

import numpy as np

from vampnet.apps.live.commands import parse_command
from vampnet.apps.live.looper import Looper, LooperConfig, MadeVariation, VariationRequest
from vampnet.apps.live.making import SimulatedMaker
from vampnet.apps.live.performance import Performance
from vampnet.apps.live.simulation import Cue, simulate

BY_HAND = ("undo", "redo")
TEXTS = ("vary 1", "vary 1", "vary 1", "next", "undo", "redo", "keep", "back", "prompt periodic(5)", "prompt nothing",
         "seed 7", "gain -3", "gain 0", "swap loop", "swap loop", "swap bar", "vary 0", "set steps 8")  # fmt: skip


def make(request: VariationRequest) -> MadeVariation:
    """Another sound of the loop's length that goes round without a step: its spectrum with other phases."""
    samples = request.source.samples
    rng = np.random.default_rng(request.recipe.sampling.seed)
    spectrum = np.fft.rfft(samples, axis=1)
    turned = np.fft.irfft(np.abs(spectrum) * np.exp(2j * np.pi * rng.random(spectrum.shape)), samples.shape[1], axis=1)
    new = (turned * (np.abs(samples).max() / np.abs(turned).max())).astype(np.float32)
    return MadeVariation(request.number, new, np.zeros((len(new), 2, 3), np.int32), None)


def memory_mb() -> float:
    """Memory of this process now."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--input", default="examples/loop.wav")
    parser.add_argument("--bars", type=int, default=8)
    parser.add_argument("--controls", type=int, default=2000)
    options = parser.parse_args()
    rng = random.Random(0)
    from vampnet.audio.files import read

    audio = read(options.input)
    config = LooperConfig(sample_rate_hz=audio.sample_rate_hz, channels=audio.channels)
    looper, n_turn = Looper(config), audio.n_samples
    maker = SimulatedMaker(make, lambda request: int(rng.uniform(0.1, 3.0) * n_turn))
    show = Performance(looper, maker)
    show.load(1, Path(options.input), bars=options.bars)
    cues = [Cue(0.0, parse_command("vary 1"))]
    cues += [Cue(rng.uniform(0, options.seconds), parse_command(rng.choice(TEXTS))) for _ in range(options.controls)]
    hands = np.array(sorted(c.seconds * audio.sample_rate_hz for c in cues if c.command.name in BY_HAND))
    found = {"at": 0.0, "else": 0.0}
    n_fade, done, off, n_swaps, last = (
        looper.tracks[0].n_fade,
        [0],
        [0],
        [0],
        [np.zeros((audio.channels, 1), np.float32)],
    )
    lines = {round(k * n_turn / options.bars) for k in range(options.bars)}
    memory = []

    def write(block: np.ndarray) -> None:
        whole = np.concatenate([last[0], block], axis=1)
        steps = np.abs(np.diff(whole)).max(axis=0)
        at = np.zeros(len(steps), bool)
        while looper.swaps:
            output, _, _ = looper.swaps.popleft()
            n_swaps[0] += 1
            by_hand = len(hands) and np.abs(hands - output).min() < n_fade + 600
            off[0] += int(output % n_turn not in lines and not by_hand)
            fades.append(output)
        for output in fades[-4:]:
            at[max(output - done[0] - 1, 0) : max(output - done[0] + n_fade + 1, 0)] = True
        found["at"] = max(found["at"], float(steps[at].max(initial=0)))
        found["else"] = max(found["else"], float(steps[~at].max(initial=0)))
        last[0] = block[:, -1:].copy()
        done[0] += block.shape[1]
        del fades[:-8]
        if done[0] % (1 << 22) < block.shape[1]:
            memory.append(memory_mb())

    fades: list[int] = []
    began = time.monotonic()
    simulate(show, int(options.seconds * audio.sample_rate_hz), write, cues=cues)
    quarter = max(len(memory) // 4, 1)
    print(json.dumps({
        "seconds": options.seconds, "took_s": round(time.monotonic() - began, 1), "controls": len(cues),
        "swaps": n_swaps[0], "off_their_place": off[0], "repeated_turns": show.n_repeats,
        "largest_step_at_swaps": round(found["at"], 4), "largest_step_elsewhere": round(found["else"], 4),
        "memory_mb_second_quarter": round(float(np.mean(memory[quarter : 2 * quarter] or memory)), 1),
        "memory_mb_last_quarter": round(float(np.mean(memory[-quarter:])), 1),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
