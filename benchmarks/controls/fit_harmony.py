"""Fit the weights of vampnet/controls/harmony.py to pieces of the composer's train split.

    python -m benchmarks.controls.fit_harmony FOLDER [--pieces 300] [--soundfont FILE]

FOLDER keeps the spectra, so that a second run goes on. Every other piece is played with the sound font, if one is
given. Both classifiers are multinomial logistic regressions with shared weights for all roots, fitted by L-BFGS; the
last fifth of the pieces is held out to print accuracies, then all are used. benchmarks/controls/extraction.py measures
the result on the test split.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import soxr
import torch

from synthcorpus.compose.piece import ComposeConfig, compose
from synthcorpus.render.render import RenderConfig, render
from synthcorpus.splits import piece_seed
from synthcorpus.truth import PieceTruth, piece_truth
from vampnet.controls import harmony
from vampnet.controls.charts import ChordSpan
from vampnet.controls.names import chord_of_tones, parse_key, third_of_mode
from vampnet.controls.spectra import RATE_HZ, SemitoneSpectra, semitone_spectra

SETTINGS = ComposeConfig(min_duration_s=20.0, max_duration_s=30.0)
SEED = 77
PENALTY = {"chords": 2e-3, "keys": 2e-3}


def spectra_of_piece(folder: Path, index: int, soundfont: str | None) -> tuple[SemitoneSpectra, PieceTruth]:
    """Spectra of a piece of the train split, made once."""
    seed = piece_seed("train", SEED, index)
    piece = compose(seed, SETTINGS)
    path = folder / f"{index:04d}.npz"
    if not path.exists():
        settings = RenderConfig(soundfont=soundfont if index % 2 else None)
        audio = render(piece, settings, np.random.default_rng(np.random.SeedSequence((*seed, 1)))).audio
        spectra = semitone_spectra(soxr.resample(audio.mean(axis=0), settings.sample_rate_hz, RATE_HZ))
        np.savez(path, strength=spectra.strength_NU.astype(np.float16), level=spectra.level_db_U)
    data = np.load(path)
    return SemitoneSpectra(data["strength"].astype(np.float32), data["level"]), piece_truth(piece)


def kind_of(tones: tuple[int, ...]) -> int | None:
    """Number of the kind of chord that some tones are told as; None for chords that are none of them."""
    if tones in harmony.CHORD_KINDS:
        return harmony.CHORD_KINDS.index(tones)
    within = {tone % 12 for tone in tones}
    if 5 in within and not within & {3, 4}:
        return harmony.CHORD_KINDS.index((0, 5, 7))
    for kind in sorted(harmony.CHORD_KINDS, key=len, reverse=True):
        if set(kind) <= within:
            return harmony.CHORD_KINDS.index(kind)
    return None


def chord_examples(spectra: SemitoneSpectra, truth: PieceTruth) -> tuple[list[np.ndarray], list[int]]:
    """Features and classes of the segments of a piece."""
    edges_s = harmony.segment_edges(truth.beats_s, truth.duration_s)
    chroma_KRP, level_K = harmony.segment_chroma(spectra, edges_s)
    features, classes = [], []
    for number, middle_s in enumerate((edges_s[1:] + edges_s[:-1]) / 2):
        chord = next((c for c in truth.chords if c[0] <= middle_s < c[1]), None)
        kind = kind_of(chord[3]) if chord is not None else None
        if chord is not None and kind is not None and level_K[number] > level_K.max() - 40.0:
            features.append(chroma_KRP[number])
            classes.append(kind * 12 + chord[2])
    return features, classes


def key_example(spectra: SemitoneSpectra, truth: PieceTruth) -> tuple[np.ndarray, int]:
    """Features and class of a piece's key, with its true chords heard as the kinds there are."""
    spans = [
        ChordSpan(start, end, chord_of_tones(root, harmony.CHORD_KINDS[kind_of(tones) or 0]))
        for start, end, root, tones, _ in truth.chords
    ]
    heard = harmony.find_chords(spectra, truth.beats_s, truth.duration_s) if harmony.WEIGHTS.exists() else spans
    tonic, mode = parse_key(truth.key.replace("pelog", "minor"))
    return harmony.key_features(spectra, heard), tonic + 12 * (third_of_mode(mode) == "minor")


def fit(features: np.ndarray, classes: np.ndarray, n_kinds: int, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights (kinds, rows, 12) and biases of the classifier."""
    turned = torch.tensor(features[:, :, harmony._FROM_ROOT], dtype=torch.float32)
    target = torch.tensor(classes)
    weight = torch.zeros(n_kinds, features.shape[1], 12, requires_grad=True)
    bias = torch.zeros(n_kinds, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        logits = (torch.einsum("krpi,cri->kcp", turned, weight) + bias[None, :, None]).flatten(1)
        loss = torch.nn.functional.cross_entropy(logits, target) + penalty * weight.square().sum()
        loss.backward()
        return float(loss.detach())

    optimizer.step(closure)
    return weight.detach().numpy(), bias.detach().numpy()


def accuracy(features: np.ndarray, classes: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> float:
    logits = np.einsum("krpi,cri->kcp", features[:, :, harmony._FROM_ROOT], weight) + bias[None, :, None]
    return float((logits.reshape(len(features), -1).argmax(axis=1) == classes).mean())


def fit_task(task: str, per_piece: list[tuple[list[np.ndarray], list[int]]], n_kinds: int) -> dict[str, object]:
    """Fit on four fifths and print both accuracies, then fit on all."""
    cut = len(per_piece) * 4 // 5

    def gather(part: list[tuple[list[np.ndarray], list[int]]]) -> tuple[np.ndarray, np.ndarray]:
        return np.array([f for fs, _ in part for f in fs], np.float32), np.array([c for _, cs in part for c in cs])

    fitted = fit(*gather(per_piece[:cut]), n_kinds, PENALTY[task])
    seen, unseen = (accuracy(*gather(part), *fitted) for part in (per_piece[:cut], per_piece[cut:]))
    print(f"{task}: {len(per_piece)} pieces, accuracy {seen:.3f} on those fitted, {unseen:.3f} on others", flush=True)
    weight, bias = fit(*gather(per_piece), n_kinds, PENALTY[task])
    return {"weight": np.round(weight, 3).tolist(), "bias": np.round(bias, 3).tolist()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pieces", type=int, default=300)
    parser.add_argument("--soundfont", default=None)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    pieces = [spectra_of_piece(options.folder, index, options.soundfont) for index in range(options.pieces)]
    harmonic = [(s, t) for s, t in pieces if t.chords and set(t.instruments) - {"drums", "percussion"}]
    examples = [chord_examples(s, t) for s, t in harmonic if len(t.instruments) > 1]
    fitted: dict[str, object] = {"chords": fit_task("chords", examples, len(harmony.CHORD_KINDS))}
    write(fitted | {"keys": {"weight": [], "bias": []}})
    keys = [([features], [key]) for features, key in (key_example(s, t) for s, t in harmonic)]
    write(fitted | {"keys": fit_task("keys", keys, len(harmony.KEY_MODES))})


def write(fitted: dict[str, object]) -> None:
    harmony.WEIGHTS.write_text(json.dumps(fitted, separators=(",", ":")) + "\n", encoding="utf-8")
    harmony.load_weights.cache_clear()


if __name__ == "__main__":
    main()
