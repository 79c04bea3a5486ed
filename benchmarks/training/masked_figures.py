"""Held-out cross-entropy (nats) and top-1 accuracy per codebook at several mask rates, beside the unigram entropy.

    python -m benchmarks.training.masked_figures TOKENS [--bundle default]

TOKENS is a folder of shards that `vampnet tokenize` made of held-out audio with the bundle's codec.
"""

from __future__ import annotations

import argparse

from vampnet.models.bundle import load_bundle
from vampnet.training.data.token_dataset import open_tokens
from vampnet.training.masked_objective import VALIDATION_RATES, masked_figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tokens")
    parser.add_argument("--bundle", default="default")
    options = parser.parse_args()
    bundle, data = load_bundle(options.bundle), open_tokens(options.tokens)
    assert data.codec_id == bundle.codec.id, "these tokens come from another codec than the bundle's"
    unigram = data.unigram()
    print("| codebook | unigram | " + " | ".join(f"nats, top-1 at {rate}" for rate in VALIDATION_RATES) + " |")
    print("|---|---|" + "---|" * len(VALIDATION_RATES))
    for model, crop_frames in ((bundle.coarse, 230), (bundle.c2f, 115)):
        assert model is not None
        figures = masked_figures(model, data, crop_frames, n_batches=3)
        for c in range(model.config.n_conditioning_codebooks, model.config.n_codebooks):
            cells = [f"{figures[f'nats_r{r}_c{c}']:.2f}, {figures[f'top1_r{r}_c{c}']:.1%}" for r in VALIDATION_RATES]
            print(f"| {c + 1} | {unigram[c]:.2f} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
