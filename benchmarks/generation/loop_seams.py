"""Do loops loop? The change across the joins of `vampnet loop`, against the changes elsewhere.

    python -m benchmarks.generation.loop_seams CORPUS [--loops 20] [--variations 3]

CORPUS is a folder that `vampnet corpus` wrote: its exact downbeats give loops of two bars. The change is the mean
absolute difference of log10 spectra (256 samples) of neighbouring frames; at a join it is the largest of the three that
touch it, for every variation followed by every other and by itself. All figures are shares of the median change.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from vampnet.audio.files import Audio, read
from vampnet.beats.events import Events
from vampnet.generation.config import SamplingConfig
from vampnet.tasks.loop import cut_bars
from vampnet.tasks.model import load

FRAME = 256


def changes(samples: np.ndarray) -> np.ndarray:
    """Change from each frame to the next; samples (channels, n)."""
    mono = samples.mean(axis=0)
    frames = mono[: len(mono) // FRAME * FRAME].reshape(-1, FRAME)
    spectra = np.log10(np.abs(np.fft.rfft(frames * np.hanning(FRAME))) + 1e-3)
    return np.abs(np.diff(spectra, axis=0)).mean(axis=1)


def at_join(before: Audio, after: Audio) -> tuple[float, float]:
    """Largest change at the join and the 90th percentile elsewhere, both over the median."""
    half = before.n_samples // 2 // FRAME * FRAME
    change = changes(np.concatenate([before.samples[:, -half:], after.samples[:, :half]], axis=1))
    place = half // FRAME - 1
    return float(change[place - 1 : place + 2].max() / np.median(change)), float(
        np.quantile(change, 0.9) / np.median(change)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--loops", type=int, default=20)
    parser.add_argument("--variations", type=int, default=3)
    parser.add_argument("--bundle", default="default")
    options = parser.parse_args()
    model, sampling = load(options.bundle, device="cpu"), SamplingConfig(steps=12, c2f_steps=4)
    rows: dict[str, list[tuple[float, float]]] = {"input": [], "self": [], "cross": []}
    lines = (options.corpus / "index.jsonl").read_text().splitlines()[: options.loops]
    for line in map(json.loads, lines):
        rhythm = Events(tuple(line["beats"]), tuple(line["downbeats"]))
        cut = cut_bars(read(options.corpus / line["file"]), rhythm, 2)
        found = model.loop(cut, n=options.variations, sampling=sampling)
        made = [m.audio for m in (found if isinstance(found, list) else [found])]
        rows["input"].append(at_join(cut, cut))
        for i, one in enumerate(made):
            for j, other in enumerate(made):
                rows["self" if i == j else "cross"].append(at_join(one, other))
    print(f"{len(lines)} loops of two bars")
    print("| join | median | worst | 90th percentile elsewhere (median) |")
    print("|---|---|---|---|")
    for name, pairs in rows.items():
        seam, elsewhere = np.array(pairs).T
        print(f"| {name} | {np.median(seam):.2f} | {seam.max():.2f} | {np.median(elsewhere):.2f} |")


if __name__ == "__main__":
    main()
