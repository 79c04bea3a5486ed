"""How much recordings surprise the coarse model: nats per token, half of them masked, as the warning measures them.

    python -m benchmarks.generation.surprise HELDOUT [OTHER ...] [--bundle default] [--files 200]

Folders of audio. Of each the quantiles over its files, and how many a limit at the 99 % quantile of the first folder
would call foreign: give that figure to `vampnet bundle --surprise-limit`. Folders of at most 12 files are listed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from vampnet.audio.folders import audio_files_in
from vampnet.audio.sources import FileSource
from vampnet.tasks.model import load
from vampnet.tasks.out_of_domain import surprise

QUANTILES = (0.0, 0.05, 0.5, 0.95, 0.99, 1.0)
LISTED = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="the first one is held-out music of the model's kind")
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--files", type=int, default=200, help="of each folder, evenly spread")
    options = parser.parse_args()
    model, limit = load(options.bundle), None
    print("| folder | files | " + " | ".join(f"{q:.0%}" for q in QUANTILES) + " | above the limit |")
    print("|---" * (len(QUANTILES) + 3) + "|")
    listed = []
    for folder in options.folders:
        files = audio_files_in(folder)
        files = files[:: max(len(files) // options.files, 1)][: options.files]
        values = np.array([surprise(model, FileSource(path)) for path in files])
        heard = values[~np.isnan(values)]
        limit = float(np.quantile(heard, 0.99)) if limit is None else limit
        shown = " | ".join(f"{value:.2f}" for value in np.quantile(heard, QUANTILES))
        print(f"| {folder.name} | {len(heard)} | {shown} | {(heard > limit).mean():.0%} |", flush=True)
        if len(files) <= LISTED:
            listed += [f"{path.name}: {value:.2f}" for path, value in zip(files, values, strict=True)]
    print(f"\nlimit {limit:.2f}", *listed, sep="\n")


if __name__ == "__main__":
    main()
