"""Two listening tests ready to send, from a folder of music: the codec beside Opus, and prompts and controls.

    python -m benchmarks.evaluation.listening_test FOLDER [-o out/listening] [--items 12] [--seconds 10]

`mushra/index.html` has the reference, the codec with all and with its coarse codebooks, Opus nominally at 8, 12 and 16
kbit/s, and the two anchors; `preference/index.html` the default prompt, beats kept by the prompt, few tokens kept, and
the same few with the network following the beats. What lies in `conditions/` is not made again. Printed at the end: how
many listeners the tests need.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

import vampnet
from benchmarks.tables import table
from vampnet.audio.files import Audio, read, resample, write
from vampnet.audio.folders import expand_inputs
from vampnet.audio.loudness import gain_to, measure
from vampnet.codec.base import Codec
from vampnet.evaluation.experiments.conditions import through_opus
from vampnet.evaluation.listening.create import create_test
from vampnet.evaluation.listening.design import ListeningConfig
from vampnet.evaluation.listening.power import ListenerModel, listeners_for_preference, listeners_for_ratings

OPUS_KBPS = (8, 12, 16)
PREFERENCES = {
    "default": {"prompt": "periodic(7)"},
    "beats kept": {"prompt": "beats(after=75ms) | keep(0, 2)"},
    "few kept": {"prompt": "periodic(13)"},
    "few kept, beats followed": {"prompt": "periodic(13)", "follow": "beats"},
}


def choose(folder: Path, n_items: int, seconds: float, rate_hz: int) -> dict[str, Audio]:
    """Excerpts from a third of each file on, mono, one per file, the first of the sorted names that are long enough."""
    found: dict[str, Audio] = {}
    for path in expand_inputs([str(folder)]).files:
        audio = read(path)
        length = round(seconds * audio.sample_rate_hz)
        if audio.n_samples < length:
            continue
        start = min(audio.n_samples // 3, audio.n_samples - length)
        mono = audio.samples[:, start : start + length].mean(axis=0, keepdims=True)
        if measure(mono, audio.sample_rate_hz) < -50:
            continue
        mono = resample(mono, audio.sample_rate_hz, rate_hz)
        found[f"{len(found) + 1:02d}"] = Audio(mono * np.float32(gain_to(measure(mono, rate_hz))), rate_hz)
        if len(found) == n_items:
            break
    if not found:
        raise SystemExit(f"{folder} holds no recording of {seconds:g} s or more")
    return found


def through_codec(codec: Codec, audio: Audio, n_codebooks: int) -> Audio:
    """An excerpt through the codec."""
    with torch.no_grad():
        codes_BCT = codec.encode(torch.from_numpy(np.ascontiguousarray(audio.samples)))[:, :n_codebooks]
        made = torch.cat([block.float().cpu() for block in codec.decode_blocks(codes_BCT)], dim=1).numpy()
    return Audio(made[:, : audio.n_samples], audio.sample_rate_hz)


def make(folder: Path, items: dict[str, Audio], conditions: dict[str, Callable[[Audio], Audio]]) -> None:
    """Write each condition of each item, unless it is there."""
    for name, of in conditions.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for item, audio in items.items():
            path = folder / name / f"{item}.flac"
            if not path.exists():
                made = of(audio)
                write(path, made)
                print(path, flush=True)


def power_table(n_items: int, n_mushra: int, n_preference: int) -> str:
    """Numbers of listeners by size of the difference, for all pairs of conditions."""
    ratings = ListenerModel(items=n_items, comparisons=n_mushra * (n_mushra - 1) // 2)
    choices = ListenerModel(items=n_items, comparisons=n_preference * (n_preference - 1) // 2)
    rows = {}
    for difference, share in ((3.0, 0.55), (5.0, 0.6), (8.0, 0.65), (12.0, 0.7)):
        needed = listeners_for_ratings(difference, ratings), listeners_for_preference(share, choices)
        many, few = ("over 500" if n is None else str(n) for n in needed)
        rows[f"{difference:g} points of 100; {share:.0%} for one side"] = {"MUSHRA": many, "preference": few}
    return table("true difference", rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the conditions, the two tests and the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("out/listening"))
    parser.add_argument("--items", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--bundle", default="default")
    options = parser.parse_args(arguments)

    model = vampnet.load(options.bundle)
    codec, rate_hz = model.codec, model.codec.sample_rate_hz
    items = choose(options.folder, options.items, options.seconds, rate_hz)
    mushra: dict[str, Callable[[Audio], Audio]] = {"reference": lambda audio: audio}
    for n in (codec.n_codebooks, model.coarse.config.n_codebooks):
        mushra[f"codec, {n} codebooks"] = lambda audio, n=n: through_codec(codec, audio, n)
    for kbps in OPUS_KBPS:
        mushra[f"Opus {kbps}"] = lambda audio, kbps=kbps: Audio(
            through_opus(audio.samples[0], rate_hz, kbps)[0][None], rate_hz
        )
    vamps = {
        name: lambda audio, settings=settings: (
            model.vamp(audio, sampling=vampnet.SamplingConfig(seed=1), **settings).audio
        )
        for name, settings in PREFERENCES.items()
    }
    for kind, conditions, question in (
        ("mushra", mushra, ""),
        ("preference", vamps, "Which would you rather use as a variation of the loop?"),
    ):
        make(options.output / "conditions" / kind, items, conditions)
        target = options.output / kind
        if not (target / "index.html").exists():
            create_test(
                options.output / "conditions" / kind,
                target,
                ListeningConfig(kind=kind, title="vampnet", question=question),
            )
        print(f"{target}/index.html")
    print(power_table(len(items), len(mushra), len(vamps)))


if __name__ == "__main__":
    main()
