"""What fine-tuning gains: music in a style that no shipped model was trained on, before and after.

    python -m benchmarks.training.finetune_gain [--style console] [--bundle default] [--minutes 10] [--work \
        out/finetune-gain]

Composes and renders three sets: `minutes` of the style to fine-tune on, pieces of the same style that fine-tuning
never sees (the test), and pieces of the ordinary styles (what must not be lost). Runs `vampnet finetune` with its
defaults, or with `--set NAME=VALUE`, on the first, and prints the cross-entropy of the others without the adapter, with
half of it and with all of it: mean change and its standard error over files. All of it repeats from the seeds.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from pathlib import Path

import torch

from synthcorpus.compose.piece import ComposeConfig
from synthcorpus.corpus import CorpusConfig, write_corpus
from synthcorpus.render.render import RenderConfig
from vampnet.models.bundle import load_bundle
from vampnet.models.lora import apply_adapter, read_adapter
from vampnet.training.data.token_dataset import TokenSet, open_tokens
from vampnet.training.data.token_shards import tokenize_folder
from vampnet.training.finetune import CROP_S, finetune
from vampnet.training.finetune_config import FinetuneConfig
from vampnet.training.validation import Change, file_nats

STRENGTHS = (0.5, 1.0)
TEST_MINUTES = 6.0
ORDINARY_MINUTES = 6.0


def rendered(folder: Path, minutes: float, split: str, styles: tuple[str, ...], soundfont: str | None) -> Path:
    """A corpus of these styles (all but the held-out ones when empty); made once."""
    sound = RenderConfig(effects=0.0) if styles else RenderConfig()  # one maker's mixes are alike
    settings = CorpusConfig(compose=ComposeConfig(styles_only=styles), render=sound)
    write_corpus(folder, minutes / 60.0, split=split, workers=1, soundfont=soundfont, settings=settings)
    return folder


def nats(
    bundle_name: str, sets: dict[str, TokenSet], adapter: Path | None, strength: float
) -> dict[tuple, list[float]]:
    """(model, set) -> cross-entropy per file, with an adapter added at a strength."""
    bundle = load_bundle(bundle_name)
    if adapter is not None:
        apply_adapter(bundle, read_adapter(adapter), strength)
    found = {}
    for part, model in (("coarse", bundle.coarse), ("c2f", bundle.c2f)):
        assert model is not None
        crop_frames = round(CROP_S[part] * bundle.codec.frames_per_s)
        for name, tokens in sets.items():
            found[part, name] = file_nats(model, tokens, crop_frames)
    return found


def settings_from(changes: list[str]) -> FinetuneConfig:
    """The defaults with NAME=VALUE changes."""
    kinds = {f.name: type(f.default) for f in dataclasses.fields(FinetuneConfig)}
    pairs = [change.split("=", 1) for change in changes]
    return dataclasses.replace(FinetuneConfig(), **{name: kinds[name](value) for name, value in pairs})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--style", default="console", help="a held-out style: console, drone, gamelan")
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--minutes", type=float, default=10.0, help="music to fine-tune on")
    parser.add_argument("--work", type=Path, default=Path("out/finetune-gain"), help="corpora, tokens and the run")
    parser.add_argument("--run", default="", help="name of the run; one per settings and bundle")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a field of FinetuneConfig")
    parser.add_argument("--soundfont", default=None, help="for the ordinary styles")
    given = parser.parse_args()
    settings, work, codec = settings_from(given.set), given.work, load_bundle(given.bundle).codec
    mine = rendered(work / given.style, given.minutes, "train", (given.style,), None)
    unseen = rendered(work / f"{given.style}-test", TEST_MINUTES, "test", (given.style,), None)
    ordinary = rendered(work / "ordinary", ORDINARY_MINUTES, "validation", (), given.soundfont)
    sets = {}
    for name, folder in ((given.style, unseen), ("ordinary", ordinary)):
        tokenize_folder(folder, work / f"tokens-{codec.id[:8]}-{folder.name}", codec)
        sets[name] = open_tokens(work / f"tokens-{codec.id[:8]}-{folder.name}")
    output = work / f"{given.run or given.style}-{codec.id[:8]}.safetensors"
    started, cpu_started = time.monotonic(), time.process_time()
    report = finetune(mine, output, given.bundle, settings, say=lambda line: print(line, file=sys.stderr, flush=True))
    wall_s, cpu_s = time.monotonic() - started, time.process_time() - cpu_started
    before = nats(given.bundle, sets, None, 0.0)
    print(f"{given.style}, {given.minutes:g} minutes: {wall_s:.0f} s, {cpu_s:.0f} s of CPU, ", end="")
    print(f"{torch.get_num_threads()} threads, steps kept {report.steps}; {settings}")
    print(f"the run's own held-out files: {'; '.join(f'{k}: {c}' for k, c in report.changes.items())}")
    for strength in STRENGTHS:
        after = nats(given.bundle, sets, output, strength)
        for (part, name), values in after.items():
            change = Change(sets[name].names, tuple(before[part, name]), tuple(values))
            print(f"{part:<6} {name:<9} strength {strength:g}: {change}", flush=True)


if __name__ == "__main__":
    main()
