"""Are the metrics right, and what do they cost: closed-form cases with errors, and seconds per 1000 excerpts.

    python -m benchmarks.evaluation.metrics                     # the closed forms, a few seconds
    python -m benchmarks.evaluation.metrics --audio FOLDER [--excerpts 8] [--bundle default] [--threads 1]

Each case of the first table has a value that theory gives; "error" is what was found minus that. Cases of samples also
say their standard error. The times are those of 10 s excerpts, one after the other; a first excerpt, in which filters
are made and functions compiled, does not count.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from vampnet.audio.mel import mel_distance
from vampnet.codec.perplexity import perplexity
from vampnet.evaluation.embeddings.registry import open_embedding
from vampnet.evaluation.folders import audio_files_of, read_mono
from vampnet.evaluation.metrics import distances
from vampnet.evaluation.metrics.clips import clip_statistics
from vampnet.evaluation.metrics.frechet import Floats, GroupedMoments, Moments, frechet_distance, frechet_infinite
from vampnet.evaluation.metrics.kernel import kernel_distance
from vampnet.evaluation.metrics.paired import METRICS, Pair
from vampnet.evaluation.metrics.sets import SetBuilder, frechet_of, kernel_of
from vampnet.evaluation.metrics.statistics import bootstrap_mean
from vampnet.models.bundle import load_codec

RATE_HZ = 44100
EMBEDDINGS = ("mel", "codec", "hidden")
Case = tuple[str, float, float, str]
"""Name, expected, found, note."""


def exact(mean: Floats, covariance: Floats) -> Moments:
    """Moments as if of very many vectors."""
    return Moments(10**6, mean, (10**6 - 1) * covariance)


def rotation(dim: int) -> Floats:
    return np.linalg.qr(np.random.default_rng(0).normal(size=(dim, dim)))[0]


def frechet_cases() -> Iterator[Case]:
    for dim in (2, 128, 512):
        turn, a, b = rotation(dim), np.linspace(0.01, 4, dim), np.linspace(3, 0.5, dim)
        shift = np.full(dim, 0.1)
        one, other = exact(np.zeros(dim), turn @ np.diag(a) @ turn.T), exact(shift, turn @ np.diag(b) @ turn.T)
        expected = float(shift @ shift + np.square(np.sqrt(a) - np.sqrt(b)).sum())
        yield f"FAD, two Gaussians, D = {dim}", expected, frechet_distance(one, other), "commuting covariances"
    p, q = np.eye(64)[0], math.cos(0.7) * np.eye(64)[0] + math.sin(0.7) * np.eye(64)[1]
    one, other = exact(np.zeros(64), np.outer(p, p)), exact(np.zeros(64), np.outer(q, q))
    yield "FAD, rank 1, D = 64", 2 - 2 * math.cos(0.7), frechet_distance(one, other), "two lines at 0.7 rad"
    x = np.random.default_rng(1).normal(size=(40, 128)).astype(np.float32)
    yield "FAD, identical, 40 vectors, D = 128", 0.0, frechet_distance(Moments.of(x), Moments.of(x)), "rank 39"
    y = x[::-1].astype(np.float64) * 1.5 + 0.2
    value, turn = frechet_distance(Moments.of(x), Moments.of(y)), rotation(128)
    turned = frechet_distance(Moments.of(x @ turn), Moments.of(y[::-1] @ turn))
    yield "FAD, permuted and rotated", value, turned, "against the same sets as they were"


def sampled_cases() -> Iterator[Case]:
    rng, dim = np.random.default_rng(2), 32
    groups = [rng.normal(size=(20, dim)) for _ in range(100)]
    standard = GroupedMoments.of([exact(np.zeros(dim), np.eye(dim))])
    evaluated = GroupedMoments.of([Moments.of(v) for v in groups])
    biased = frechet_distance(standard.total(), evaluated.total())
    yield "FAD, 2000 vectors of the reference itself", 0.0, biased, "the bias of a finite N, D = 32"
    fitted = frechet_infinite(standard, evaluated)
    assert fitted is not None
    yield "FAD, the same at infinite N", 0.0, fitted.value, f"standard error {fitted.standard_error:.1g}"
    shift, width = 0.3, 2.0
    other = [rng.normal(size=(20, 4)) + shift for _ in range(100)]
    found = kernel_distance([v[:, :4] for v in groups], other, bandwidth=width)
    same = (width**2 / (width**2 + 2)) ** 2
    expected = 200 * same * (1 - math.exp(-4 * shift**2 / (2 * (width**2 + 2))))
    yield "KAD, two Gaussians, D = 4", expected, found.value, f"standard error {found.standard_error:.1g}"
    again = kernel_distance(groups[:50], groups[50:])
    yield "KAD, two halves of one set", 0.0, again.value, f"standard error {again.standard_error:.1g}"


def signal_cases() -> Iterator[Case]:
    noise = 0.1 * torch.randn(1, RATE_HZ, generator=torch.Generator().manual_seed(0))
    seconds = torch.arange(RATE_HZ) / RATE_HZ
    tone, other = (torch.sin(2 * math.pi * hz * seconds)[None] for hz in (100, 333))
    yield "mel, tenfold gain", 1.0, float(mel_distance(10 * noise, noise, RATE_HZ)), ""
    halved = float(distances.stft_distance(0.5 * noise, noise))
    yield "STFT, half the amplitude", 0.5 + math.log(2), halved, "1/2 + ln 2"
    yield "SI-SDR, orthogonal tone at -20 dB", 20.0, float(distances.si_sdr(tone + 0.1 * other, tone)), "dB"
    louder = float(distances.loudness_difference(10**0.3 * noise, noise, RATE_HZ))
    yield "loudness, +6 dB", 6.0, louder, "LU"
    codes = torch.arange(1024).repeat(4)
    yield "perplexity, even use of 1024", 1024.0, perplexity(codes, 1024), ""
    values = np.random.default_rng(3).normal(size=400)
    interval = bootstrap_mean(values, n_resamples=20000)
    width = 2 * 1.95996 * values.std(ddof=1) / 20
    yield "width of a bootstrap interval, N = 400", width, interval.high - interval.low, "normal theory"


def print_cases() -> None:
    print("| case | expected | found | error | note |\n|---|---|---|---|---|")
    for cases in (frechet_cases(), sampled_cases(), signal_cases()):
        for name, expected, found, note in cases:
            print(f"| {name} | {expected:.6g} | {found:.6g} | {found - expected:.1e} | {note} |", flush=True)


def seconds_per_1000(run: Callable[[int], object], n: int) -> float:
    """Seconds for 1000 calls, from n calls after one that does not count."""
    run(0)
    started = time.perf_counter()
    for k in range(n):
        run(k)
    return 1000 * (time.perf_counter() - started) / n


def print_times(folder: Path, n: int, bundle: str) -> None:
    paths = list(audio_files_of(folder).values())[:n]
    excerpts = [np.resize(read_mono(path, RATE_HZ), 10 * RATE_HZ) for path in paths]
    n, codec = len(excerpts), load_codec(bundle)
    print(f"\n{n} excerpts of 10 s, {torch.get_num_threads()} thread(s)\n")
    print("| metric | seconds per 1000 excerpts |\n|---|---|")

    def row(name: str, run: Callable[[int], object]) -> None:
        print(f"| {name} | {seconds_per_1000(run, n):.0f} |", flush=True)

    for metric in METRICS.values():
        row(metric.name, lambda k, m=metric: m.of(Pair(excerpts[k], excerpts[k - 1], RATE_HZ, codec)))
    row("clip statistics", lambda k: clip_statistics(excerpts[k][None], RATE_HZ))
    for spec in EMBEDDINGS:
        embedding = open_embedding(spec, bundle, "cpu")
        row(f"embedding {spec}", lambda k, e=embedding: SetBuilder(e, "one").add(excerpts[k], RATE_HZ))
    for spec, vectors, dim in (("mel", 19, 96), ("codec", 574, 128)):
        rng, builders = np.random.default_rng(0), []
        for name in "ab":
            builders.append(SetBuilder(open_embedding("mel"), name))
            for _ in range(1000):
                builders[-1].add_vectors(rng.normal(size=(vectors, dim)), 10.0)
        one, other = (builder.finish() for builder in builders)
        for name, run in (("fad", frechet_of), ("kad", kernel_of)):
            started = time.perf_counter()
            run(one, other)
            about = f"{name} of 1000 against 1000, {vectors} vectors x {dim} each (as {spec})"
            print(f"| {about} | {time.perf_counter() - started:.1f} in all |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audio", type=Path, help="also time the metrics, on excerpts of this folder")
    parser.add_argument("--excerpts", type=int, default=8)
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print_cases()
    if options.audio:
        print_times(options.audio, options.excerpts, options.bundle)


if __name__ == "__main__":
    main()
