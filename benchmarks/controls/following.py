"""Does the network follow controls? Vamps at equal kept share, with and without what they follow.

    python -m benchmarks.controls.following FOLDER AUDIO --bundle BUNDLE [--excerpts 26] [--output docs/results/X.md]

Excerpts of 10 s, one of each file first, all keeping every 13th frame's coarse tokens. The controls are what
`extract_controls` hears in the excerpt itself, as `--follow` does. Measured beside the input: F-measure of the beats
(70 ms), chroma correlation, onsets in proportion, correlation of onset strengths, mel distance, and, of --variations
2, diversity: the mel distance between the two; 95 % intervals by bootstrap over excerpts, of differences to the plain
vamp too. FAD is that of all outputs to their inputs (mel statistics, resampled in pairs). FOLDER keeps the figures of
each excerpt, so that a second run goes on, also with more conditions; one takes 5 to 10 s of one core.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.tables import report, table
from vampnet.audio.files import Audio, Samples
from vampnet.audio.loudness import gain_to, measure
from vampnet.audio.mel import mel_distance
from vampnet.audio.output_format import OutputFormat
from vampnet.controls.extraction import ExtractionConfig, extract_controls
from vampnet.controls.ranking import compare_controls, keep_followed
from vampnet.controls.signals import Controls
from vampnet.evaluation.embeddings.base import Embedding
from vampnet.evaluation.embeddings.registry import open_embedding
from vampnet.evaluation.experiments.excerpts import EvaluationExcerpt, choose_excerpts, read_excerpt
from vampnet.evaluation.metrics.harmony import chroma_of, chroma_similarity
from vampnet.evaluation.metrics.rhythm import beat_f_measure, onset_ratio, rhythm_of
from vampnet.evaluation.metrics.sets import SetBuilder, frechet_of
from vampnet.evaluation.metrics.statistics import bootstrap_mean
from vampnet.generation.config import SamplingConfig
from vampnet.generation.run import run_all
from vampnet.generation.tokens import tokens_of_codes
from vampnet.generation.windows import Plan, generate_codes
from vampnet.models.conditioning import Guidance, HeardControls
from vampnet.prompts.grammar import parse_prompt
from vampnet.tasks.model import VampNet, load

EXTRACT_ONSETS = ExtractionConfig(("onset_low", "onset_high"))
PROMPT = "periodic(13)"
EXCERPT_S = 10.0
CONDITIONS = {
    "plain": ("", ""),
    "beats x1": ("beats", "1"),
    "beats x1.5": ("beats", "1.5"),
    "beats x2": ("beats", "2"),
    "beats x3": ("beats", "3"),
    "rhythm x3": ("rhythm", "3"),
    "beats+rhythm x3": ("beats,rhythm", "3"),
    "chords x2": ("chords", "2"),
    "beats+chords x2": ("beats,chords", "2"),
    "all x2": ("beats,rhythm,chords,melody", "2"),
}
"""What is followed, and the guidance."""
MEASURES = {
    "beat_f": "beat F",
    "chroma": "chroma",
    "rhythm": "onset strength",
    "onsets": "onset ratio",
    "mel": "mel distance",
    "diversity": "diversity",
}
Figures = dict[str, dict[str, float]]
Vectors = dict[str, np.ndarray]


def vamp_codes(model: VampNet, codes_CT: Tensor, keep_CT: Tensor, seed: int, heard: HeardControls | None) -> Tensor:
    """Codes (C, T) of one variation."""
    parts: list[Tensor] = []
    sampling = SamplingConfig()
    output = OutputFormat(model.codec.sample_rate_hz, 1, codes_CT.shape[1] * model.codec.hop)
    plan = Plan(model.stages(sampling), sampling, keep_CT, seed, None, heard)
    run_all([generate_codes(tokens_of_codes(codes_CT[None].int(), output), plan, parts.append)], model.fill)
    return torch.cat(parts, dim=2)[0]


def measure_excerpt(
    model: VampNet, mono: Samples, seed: int, names: list[str], n_variations: int, embedding: Embedding
) -> tuple[Figures, Vectors]:
    """Figures and embeddings of an excerpt (1, S) at the codec's rate and level by condition, "codec" among them."""
    rate_hz = model.codec.sample_rate_hz
    codes_CT = model.codec.encode(torch.from_numpy(mono))[0]
    events = rhythm_of(mono, rate_hz)
    wanted = extract_controls(Audio(mono, rate_hz), events=events)
    wanted = wanted.slice(0, codes_CT.shape[1])
    keep_CT = model.keep(parse_prompt(PROMPT), codes_CT.shape[1], seed)
    chroma = chroma_of(mono, rate_hz)
    found: Figures = {}
    vectors: Vectors = {"input": embed([mono], rate_hz, embedding)}
    for name in names:
        made = [codes_CT]
        if name != "codec":
            follow, guidance = CONDITIONS[name]
            followed = keep_followed(wanted, follow.split(",")) if follow else None
            heard = None if followed is None else HeardControls(followed, Guidance.parse(guidance))
            made = [vamp_codes(model, codes_CT, keep_CT, seed + 1000 * k, heard) for k in range(n_variations)]
        sounds = [decode(model, made_CT, mono.shape[1]) for made_CT in made]
        rows = [compare(sound, mono, rate_hz, wanted, events.beats_s, chroma) for sound in sounds]
        found[name] = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
        found[name]["diversity"] = math.nan if len(sounds) < 2 else mel_between(sounds[0], sounds[1], rate_hz)
        found[name]["kept"] = float(keep_CT.float().mean()) if name != "codec" else 1.0
        vectors[name] = embed(sounds, rate_hz, embedding)
    return found, vectors


def decode(model: VampNet, codes_CT: Tensor, n_samples: int) -> Samples:
    """The sound (1, S) of codes, as loud as the input."""
    sound = model.codec.decode(codes_CT[None].long()).detach().numpy()[:, :n_samples]
    return sound * np.float32(gain_to(measure(sound, model.codec.sample_rate_hz)))


def embed(sounds: list[Samples], rate_hz: int, embedding: Embedding) -> np.ndarray:
    """Embeddings (N, D) of sounds."""
    builder = SetBuilder(embedding, "excerpt", excerpt_s=EXCERPT_S)
    for sound in sounds:
        builder.add(sound, rate_hz)
    return np.concatenate(builder.finish().vectors).astype(np.float32)


def mel_between(one: Samples, other: Samples, rate_hz: int) -> float:
    """Mel distance of two sounds (1, S)."""
    n = min(one.shape[1], other.shape[1])
    return float(mel_distance(torch.from_numpy(one[:, :n]), torch.from_numpy(other[:, :n]), rate_hz).mean())


def compare(
    sound: Samples, mono: Samples, rate_hz: int, wanted: Controls, beats_s: Any, chroma: Any
) -> dict[str, float]:
    """Figures of one output beside its input."""
    onsets = extract_controls(Audio(sound, rate_hz), EXTRACT_ONSETS).slice(0, wanted.n_frames)
    agreement = compare_controls(onsets, wanted.keep_only("onset_low", "onset_high"))
    return {
        "beat_f": beat_f_measure(rhythm_of(sound, rate_hz).beats_s, beats_s),
        "chroma": chroma_similarity(chroma_of(sound, rate_hz), chroma),
        "rhythm": math.nan if agreement.rhythm is None else agreement.rhythm,
        "onsets": onset_ratio(sound, mono, rate_hz),
        "mel": mel_between(sound, mono, rate_hz),
    }


def rows_of(figures: list[Figures], vectors: list[Vectors], embedding: Embedding) -> dict[str, dict[str, str]]:
    """A table's rows: mean, the difference to the plain vamp with its interval, and FAD."""
    rows: dict[str, dict[str, str]] = {}
    for name in figures[0]:
        row = {}
        for key, label in MEASURES.items():
            own = np.array([f[name].get(key, math.nan) for f in figures])
            known = own[np.isfinite(own)]
            row[label] = f"{known.mean():.3f}" if len(known) else ""
            if name not in ("codec", "plain") and len(known):
                plain = np.array([f["plain"][key] for f in figures])
                change = bootstrap_mean((own - plain)[np.isfinite(own - plain)])
                row[label] += f" ({change.value:+.3f} [{change.low:+.3f}, {change.high:+.3f}])"
        fad = frechet_of(*(set_of(vectors, kind, embedding) for kind in ("input", name)), paired=True)
        row["FAD"] = f"{fad.value:.2f} [{fad.interval.low:.2f}, {fad.interval.high:.2f}]"
        rows[name] = {**row, "kept": f"{np.mean([f[name]['kept'] for f in figures]):.3f}"}
    return rows


def set_of(vectors: list[Vectors], name: str, embedding: Embedding) -> Any:
    """The embeddings of one condition as a set, one group an excerpt."""
    builder = SetBuilder(embedding, name)
    for own in vectors:
        builder.add_vectors(own[name], EXCERPT_S)
    return builder.finish()


def measured(
    folder: Path, number: int, excerpt: EvaluationExcerpt, model: VampNet, options: argparse.Namespace
) -> tuple[Figures, Vectors]:
    """Figures and embeddings of an excerpt: what is there, and what is missing of the conditions asked for."""
    path, embedding = folder / f"{number:03d}.json", open_embedding("mel")
    found, vectors = Figures(), Vectors()
    if path.exists():
        found = json.loads(path.read_text())["figures"]
        with np.load(path.with_suffix(".npz")) as stored:
            vectors = dict(stored)
    wanted = ["codec", *options.conditions.split(",")]
    if missing := [name for name in wanted if name not in found]:
        rate_hz = model.codec.sample_rate_hz
        mono, _ = read_excerpt(excerpt, rate_hz)
        mono = (mono * gain_to(measure(mono, rate_hz))).astype(np.float32)
        more, more_vectors = measure_excerpt(model, mono, number, missing, options.variations, embedding)
        found, vectors = {**found, **more}, {**vectors, **more_vectors}
        np.savez(path.with_suffix(".npz"), **vectors)  # type: ignore[arg-type]
        path.write_text(json.dumps({"name": excerpt.name, "model": model.id, "figures": found}))
    return {name: found[name] for name in wanted}, vectors


def main() -> None:
    """Measure, or go on, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("audio", type=str)
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--excerpts", type=int, default=26)
    parser.add_argument("--conditions", default=",".join(CONDITIONS))
    parser.add_argument("--variations", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    model = load(options.bundle, device="cpu")
    options.folder.mkdir(parents=True, exist_ok=True)
    figures, vectors = [], []
    for number, excerpt in enumerate(choose_excerpts(options.audio, options.excerpts, EXCERPT_S, options.seed, True)):
        found, embedded = measured(options.folder, number, excerpt, model, options)
        figures.append(found)
        vectors.append(embedded)
        print(number, excerpt.name, {k: (round(v["beat_f"], 2), round(v["chroma"], 2)) for k, v in found.items()},
              flush=True)  # fmt: skip
    text = f"{len(figures)} excerpts of {EXCERPT_S:g} s, {PROMPT}, model {model.id}\n\n" + table(
        "", rows_of(figures, vectors, open_embedding("mel"))
    )
    report(text, {"figures": figures}, options.output)


if __name__ == "__main__":
    main()
