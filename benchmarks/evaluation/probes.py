"""What do the layers of the coarse model know? Linear probes on held-out composed music, beside three baselines.

    python -m benchmarks.evaluation.probes FOLDER [--pieces 200] [--soundfont FILE] [--output docs/results/X.md]

FOLDER keeps the pieces of `benchmarks.controls.extraction` (test split, 20 to 30 s) and features of each, so that a
second run goes on. Ten seconds from 5 s on are read, nothing masked; 70 % of the pieces train the probes, the others
are judged. Probes are logistic regressions on standardised features: key (24 major and minor), style, instruments from
mean and deviation over the excerpt, tempo by ridge regression of its logarithm (right within 8 %), chords (root with
major or minor third) from the mean over each beat, beats from single frames (balanced: half of them on a beat).
Baselines: log-mels of each frame, the codec's latents, and a network of the same shape with random weights (seed 0) on
the same tokens. Intervals are bootstraps over pieces, 95 %.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.controls.extraction import piece_audio
from benchmarks.tables import report, table
from synthcorpus.truth import PieceTruth, piece_truth
from vampnet.audio.files import Audio, resample
from vampnet.audio.loudness import gain_to, measure
from vampnet.audio.mel import log_mel
from vampnet.codec.base import Codec
from vampnet.controls.names import parse_key, third_of_mode
from vampnet.evaluation.metrics.statistics import bootstrap_mean
from vampnet.models.bundle import load_bundle
from vampnet.models.transformer import MaskedTransformer

START_S, EXCERPT_S = 5.0, 10.0
TASKS = ("key", "tempo", "style", "instruments", "chord", "beat")
N_MELS = 80

Floats = NDArray[np.float32]
Features = dict[str, Floats]


class Reader:
    """Codec, coarse model and its random twin."""

    def __init__(self) -> None:
        bundle = load_bundle("default")
        assert bundle.coarse is not None
        self.codec: Codec = bundle.codec
        self.model = bundle.coarse.eval()
        torch.manual_seed(0)
        self.random = MaskedTransformer(bundle.coarse.config).eval()
        self.n_layers = bundle.coarse.config.n_layers

    @torch.no_grad()
    def read(self, audio: Audio) -> Features:
        """Features (T, D) of each frame of an excerpt, by name."""
        rate_hz, hop = self.codec.sample_rate_hz, self.codec.hop
        mono = resample(audio.samples.mean(axis=0, keepdims=True), audio.sample_rate_hz, rate_hz)
        start = round(START_S * rate_hz)
        mono = mono[:, start : start + round(EXCERPT_S * rate_hz) // hop * hop]
        mono = mono * np.float32(gain_to(measure(mono, rate_hz)))
        samples_BS = torch.from_numpy(np.ascontiguousarray(mono))
        codes_BCT = self.codec.encode(samples_BS)
        n_frames = codes_BCT.shape[2]
        mel_UM = log_mel(samples_BS, rate_hz, 2048, N_MELS)[0].numpy()
        places = np.clip(np.round(np.arange(n_frames) * hop / (2048 // 4)).astype(int), 0, len(mel_UM) - 1)
        found = {"mel": mel_UM[places], "codec latents": self.codec.encoder(samples_BS)[0].float().numpy()[:n_frames]}
        for name, model in (("layer", self.model), ("random", self.random)):
            for number, hidden in enumerate(hidden_layers(model, codes_BCT)):
                found[f"{name} {number}"] = hidden
        return found


def hidden_layers(model: MaskedTransformer, codes_BCT: torch.Tensor) -> list[Floats]:
    """Hidden states (T, D) of the embedding and of each layer."""
    x_BTD = model.embed(codes_BCT[:, : model.config.n_codebooks])
    bias_HTT, found = model.position_bias(x_BTD.shape[1]), [x_BTD[0].float().numpy()]
    for layer in model.layers:
        x_BTD = layer(x_BTD, bias_HTT)
        found.append(x_BTD[0].float().numpy())
    return found


def examples_of(features: Features, truth: PieceTruth, seed: int, frames_per_s: float) -> dict[str, Any]:
    """What the probes need of a piece, small: pooled features, means over beats, frames on and off the beat."""
    n_frames = len(features["mel"])
    beats = [int((time_s - START_S) * frames_per_s) for time_s in truth.beats_s]
    beats = [beat for beat in beats if 2 <= beat < n_frames - 2]
    spans, chords = [], []
    for first, stop in pairwise(beats):
        middle_s = START_S + (first + stop) / 2 / frames_per_s
        chord = next((c for c in truth.chords if c[0] <= middle_s < c[1]), None)
        if chord is not None and {3, 4} & set(chord[3]):
            spans.append((first, stop))
            chords.append(2 * chord[2] + int(3 in chord[3]))
    near = {beat + step for beat in beats for step in (-2, -1, 0, 1, 2)}
    free = [frame for frame in range(2, n_frames - 2) if frame not in near]
    rng = np.random.default_rng((33, seed))
    off = sorted(rng.choice(free, min(len(beats), len(free)), replace=False).tolist()) if free else []
    on = beats[: len(off)]
    tonic, mode = parse_key(truth.key.replace("_", " ").replace("pelog", "minor"))
    labels = {
        "key": 2 * tonic + int(third_of_mode(mode) == "minor"), "tempo": truth.tempo_bpm, "style": truth.style,
        "instruments": list(truth.instruments), "chord": chords, "beat": [1] * len(on) + [0] * len(off),
    }  # fmt: skip
    arrays: dict[str, Floats] = {}
    for name, frames_TD in features.items():
        arrays[f"{name}|whole"] = np.concatenate([frames_TD.mean(axis=0), frames_TD.std(axis=0)])
        means = [frames_TD[first:stop].mean(axis=0) for first, stop in spans]
        arrays[f"{name}|beats"] = np.array(means, np.float32).reshape(len(means), frames_TD.shape[1])
        arrays[f"{name}|frames"] = frames_TD[on + off]
    return {"labels": labels, "arrays": arrays}


def load_piece(folder: Path, index: int, soundfont: str | None, reader: list[Reader]) -> dict[str, Any]:
    """Examples of a piece, made once."""
    kept = folder / f"{index:04d}.probes.npz"
    if not kept.exists():
        if not reader:
            reader.append(Reader())
        piece, audio = piece_audio(folder, index, soundfont)
        made = examples_of(reader[0].read(audio), piece_truth(piece), index, reader[0].codec.frames_per_s)
        arrays = {name: values.astype(np.float16) for name, values in made["arrays"].items()}
        with open(kept.with_suffix(".partial"), "wb") as file:
            np.savez(file, labels=json.dumps(made["labels"]), **arrays)
        kept.with_suffix(".partial").rename(kept)
    with np.load(kept) as data:
        arrays = {name: data[name].astype(np.float32) for name in data.files if name != "labels"}
        return {"labels": json.loads(str(data["labels"])), "arrays": arrays}


def probe(pieces: list[dict[str, Any]], n_train: int, feature: str, task: str) -> list[float]:
    """The score of each judged piece: share right, or for instruments the balanced share over those that vary."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    kind = {"chord": "beats", "beat": "frames"}.get(task, "whole")
    arrays = [np.atleast_2d(piece["arrays"][f"{feature}|{kind}"]) for piece in pieces]
    labels = [piece["labels"][task] for piece in pieces]
    train_X = np.concatenate(arrays[:n_train])

    def fit(targets: Any, model: Any) -> Callable[[Floats], Any]:
        return make_pipeline(StandardScaler(), model).fit(train_X, targets).predict

    if task == "tempo":
        predict = fit(np.log2(labels[:n_train]), Ridge(alpha=100.0))
        return [
            float(abs(2 ** float(predict(x)[0]) / bpm - 1) <= 0.08)
            for x, bpm in zip(arrays[n_train:], labels[n_train:], strict=True)
        ]
    penalty = 0.01 if kind == "whole" else 0.03
    if task == "instruments":
        return probe_instruments(arrays, labels, n_train, fit, penalty)
    targets = np.concatenate([np.atleast_1d(label) for label in labels[:n_train]])
    predict = fit(targets, LogisticRegression(C=penalty, max_iter=150))
    found = []
    for x, label in zip(arrays[n_train:], labels[n_train:], strict=True):
        wanted = np.atleast_1d(label)
        if len(wanted):
            found.append(float((predict(x) == wanted).mean()))
    return found


def probe_instruments(
    arrays: list[Floats], labels: list[list[str]], n_train: int, fit: Callable[..., Any], penalty: float
) -> list[float]:
    """Balanced accuracy over the instruments that play in a fifth to four fifths of the pieces, piece by piece."""
    from sklearn.linear_model import LogisticRegression

    names = sorted({name for label in labels for name in label})
    shares = {name: np.mean([name in label for label in labels[:n_train]]) for name in names}
    columns = []
    for name in [name for name in names if 0.2 <= shares[name] <= 0.8]:
        targets = np.array([name in label for label in labels[:n_train]])
        predict = fit(targets, LogisticRegression(C=penalty, max_iter=150, class_weight="balanced"))
        wanted = np.array([name in label for label in labels[n_train:]])
        right = np.array([predict(x)[0] for x in arrays[n_train:]]) == wanted
        columns.append(np.where(wanted, right / max(wanted.mean(), 1e-9), right / max((~wanted).mean(), 1e-9)) / 2)
    return np.mean(columns, axis=0).tolist()


def chance(pieces: list[dict[str, Any]], n_train: int, task: str) -> float:
    """What always naming the commonest class scores."""
    if task in ("beat", "instruments"):
        return 0.5
    labels = [piece["labels"][task] for piece in pieces]
    if task == "tempo":
        middle = 2 ** float(np.mean(np.log2(labels[:n_train])))
        return float(np.mean([abs(middle / bpm - 1) <= 0.08 for bpm in labels[n_train:]]))
    values, counts = np.unique(np.concatenate([np.atleast_1d(x) for x in labels[:n_train]]), return_counts=True)
    common = values[counts.argmax()]
    return float(np.mean([np.mean(np.atleast_1d(x) == common) for x in labels[n_train:] if len(np.atleast_1d(x))]))


def plot(scores: dict[str, dict[str, Any]], n_layers: int, path: Path) -> None:
    """Score by layer, with the baselines as lines."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6), layout="constrained")
    axes: Any = figure.subplots(2, 3, sharex=True)
    layers = [int(name.split()[1]) for name in scores if name.startswith("layer")]
    for axis, task in zip(axes.flat, TASKS, strict=True):
        for name, colour in (("layer", "tab:blue"), ("random", "0.5")):
            found = [scores[f"{name} {number}"][task] for number in layers]
            axis.plot(
                layers, [x.value for x in found], "o-", color=colour, ms=3, label={"layer": "trained"}.get(name, name)
            )
            axis.fill_between(layers, [x.low for x in found], [x.high for x in found], color=colour, alpha=0.15)
        for name, style in (("mel", "--"), ("codec latents", ":")):
            axis.axhline(scores[name][task].value, ls=style, color="tab:orange", lw=1.2, label=name)
        axis.axhline(scores["chance"][task], color="0.8", lw=1, label="chance")
        axis.set_title(task, fontsize=10)
        axis.set_ylim(0, 1)
    axes[0, 0].legend(fontsize=7)
    for axis in axes[1]:
        axis.set_xlabel("layer (0: embedding)")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pieces", type=int, default=200)
    parser.add_argument("--soundfont", default=None)
    parser.add_argument("--every", type=int, default=1, help="probe every so many layers")
    parser.add_argument("--output", type=Path, default=None)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    options.folder.mkdir(parents=True, exist_ok=True)
    reader: list[Reader] = []
    pieces = [load_piece(options.folder, index, options.soundfont, reader) for index in range(options.pieces)]
    every = options.every
    n_train = round(0.7 * len(pieces))
    names = list(dict.fromkeys(name.split("|")[0] for name in pieces[0]["arrays"]))
    names = [name for name in names if not name[-1].isdigit() or int(name.split()[1]) % every == 0]
    n_layers = max(int(name.split()[1]) for name in names if name.startswith("layer"))
    scores: dict[str, dict[str, Any]] = {}
    for name in names:
        scores[name] = {task: bootstrap_mean(np.array(probe(pieces, n_train, name, task))) for task in TASKS}
        print(name, {task: round(scores[name][task].value, 3) for task in TASKS}, flush=True)
    lines = {
        name: {task: f"{x.value:.2f} [{x.low:.2f}, {x.high:.2f}]" for task, x in row.items()}
        for name, row in scores.items()
    }
    scores["chance"] = {task: chance(pieces, n_train, task) for task in TASKS}
    lines["chance"] = {task: f"{value:.2f}" for task, value in scores["chance"].items()}
    text = table(f"features ({n_train} pieces to fit, {len(pieces) - n_train} judged)", lines)
    figures = {name: {task: row[task].value for task in TASKS} for name, row in scores.items() if name != "chance"}
    report(text, {"scores": figures, "chance": scores["chance"]}, options.output)
    if options.output is not None:
        plot(scores, n_layers, options.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
