"""What vamps of real recordings keep: every file of a folder at P = 3, 7 and 13, beside what bounds them.

    python -m benchmarks.evaluation.real_recordings FOLDER [--seconds 20] [-o docs/results/real-recordings.md]

Mono, the middle `--seconds` of each file, at -24 LUFS. Mel distance, chroma correlation, F-measure of beats and onset
ratio against the input, as in `vampnet evaluate`. "codec": all tokens kept. "c2f": coarse tokens kept. "p3": each third
frame kept, as `vampnet vamp` does. "noise": such a share of all tokens replaced by chance. Models that know such music
lie between codec and noise, and a vamp no better than chance says that the recording is foreign to them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks.tables import report, table
from vampnet.audio.files import Samples
from vampnet.audio.folders import audio_files_in
from vampnet.evaluation.experiments.conditions import run_condition
from vampnet.evaluation.experiments.experiment import Condition
from vampnet.evaluation.experiments.measures import analyse_excerpts, measure_outputs
from vampnet.generation.config import SamplingConfig
from vampnet.tasks.model import VampNet, load
from vampnet.training.data.wave_dataset import levelled_excerpt

MEASURES = {"mel": "mel", "chroma": "chroma", "beat_f": "beat F", "onsets": "onset ratio"}


def conditions(sampling: SamplingConfig) -> list[Condition]:
    periodic = [
        Condition(f"p{period}", prompt=f"periodic({period})", n_kept=64, sampling=sampling) for period in (3, 7, 13)
    ]
    noise = [Condition(f"noise-{share:g}", kind="noise", noise_share=share) for share in (0.2, 0.5, 0.9)]
    return [
        Condition("codec", kind="codec"),
        Condition("c2f", prompt="everything", sampling=sampling),
        *periodic,
        *noise,
    ]


@torch.no_grad()
def figures_of(model: VampNet, audio_S: Samples, asked: list[Condition]) -> dict[str, dict[str, float]]:
    """Condition -> measure -> value."""
    rate_hz, audio_BS = model.codec.sample_rate_hz, audio_S[None]
    codes_BCT = model.codec.encode(torch.from_numpy(audio_BS).to(model.device)).int().cpu()
    heard = analyse_excerpts(audio_BS, codes_BCT, rate_hz)
    found = {}
    for condition in asked:
        made = run_condition(condition, model, audio_BS, codes_BCT, heard.rhythms, [0])
        values = measure_outputs(made, heard, rate_hz, model.coarse.config.n_codebooks)
        found[condition.name] = {label: float(values[name][0]) for name, label in MEASURES.items()}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of recordings")
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("-o", "--output", type=Path, default=None, help="Markdown to write, JSON beside it")
    options = parser.parse_args()
    model, asked = load(options.bundle, backend=options.backend), conditions(SamplingConfig())
    figures = {}
    for path in audio_files_in(options.folder):
        audio_S = levelled_excerpt(path, model.codec.sample_rate_hz, options.seconds)
        figures[path.name] = figures_of(model, audio_S, asked)
    parts = [__doc__ or ""]
    for name, found in figures.items():
        rows = {condition: {m: f"{v:.3f}" for m, v in values.items()} for condition, values in found.items()}
        parts.append(f"## {name}\n\n{table('condition', rows)}")
    report("\n".join(parts), figures, options.output)


if __name__ == "__main__":
    main()
