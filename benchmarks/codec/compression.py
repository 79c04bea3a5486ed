"""What .vamp files cost and how they sound, beside Opus: coding table, rate-distortion table, CSV and plot.

    python -m benchmarks.codec.compression --audio FOLDER [--audio FOLDER2] [-o docs/results/compression]
        [--excerpts 12] [--seconds 10] [--files 12] [--bundle default]

The first table: bytes of the kept tokens of whole files by each coder, block framing and tables included, as bits per
token; flat is log2(V) = 10. The second: at most `--excerpts` excerpts of each folder, mixed to mono at -24 LUFS, are
compressed to files and opened again; the rate is that of the file, all of it counted, and so is that of Opus (an Ogg
file by `opusenc`; without that tool its rows are left out). "mel" is the paper's distance to the excerpt. "FAD" is the
Fréchet distance of mel statistics between all excerpts of a set and their outputs; it is biased upwards in small sets,
so compare rows of one run only. All 25 pairs of N_k and P are run; the log on stderr says after each how long the rest
will take. A 10 s excerpt takes about 100 s of one core in all; `--steps 4 --c2f-steps 1` is a quick look.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vampnet.audio.files import Audio, read, write
from vampnet.audio.folders import audio_files_in
from vampnet.audio.mel import mel_distance
from vampnet.audio.sources import FileSource, MemorySource
from vampnet.codec.base import Codec
from vampnet.compression.adaptive import AdaptiveCoder
from vampnet.compression.config import CompressionConfig
from vampnet.compression.entropy import FlatCoder, StaticCoder, levels_of, pack_levels
from vampnet.compression.tokens import block_frames_of
from vampnet.evaluation.embeddings.builtin import MelStatistics
from vampnet.evaluation.metrics.frechet import Moments, frechet_distance
from vampnet.generation.config import SamplingConfig
from vampnet.generation.tokens import encode
from vampnet.tasks.compress import compress
from vampnet.tasks.model import VampNet, load
from vampnet.training.data.wave_dataset import levelled_excerpt

CODEBOOKS, PERIODS, OPUS_KBPS = (1, 2, 4, 8, 14), (1, 2, 4, 8, 16), (6, 8, 12, 16, 24, 32)
FRAMING = 6
"""Bytes of length and checksum around a payload."""


def coding_table(folders: list[Path], n_files: int, codec: Codec) -> None:
    """Print bits per kept token of whole files, every frame kept."""
    print("| set | N_k | flat | static (its tables) | adaptive | adaptive / flat |\n|---|---|---|---|---|---|")
    for folder in folders:
        files = audio_files_in(folder)[:n_files]
        codes = [encode(FileSource(path), codec).codes_NCT.permute(2, 0, 1).long().numpy() for path in files]
        for n_kept in CODEBOOKS:
            cost = np.sum([coding_cost(codes_TNC[:, :, :n_kept], codec) for codes_TNC in codes], axis=0)
            bits = 8 * cost / sum(codes_TNC[:, :, :n_kept].size for codes_TNC in codes)
            row = f"| {folder.name} ({len(files)}) | {n_kept} | {bits[0]:.3f} | {bits[1]:.3f} ({bits[2]:.3f}) "
            print(f"{row}| {bits[3]:.3f} | {bits[3] / bits[0]:.3f} |", flush=True)


def coding_cost(codes_FNK: np.ndarray, codec: Codec) -> list[int]:
    """Bytes of flat, static with its tables, those tables, adaptive."""
    _, channels, n_kept = codes_FNK.shape
    size = block_frames_of(codec, channels, n_kept, 1)
    blocks = [codes_FNK[start : start + size] for start in range(0, len(codes_FNK), size)]
    levels_KV = levels_of(codes_FNK, codec.codebook_size)
    coders = (
        FlatCoder(channels, n_kept, codec.codebook_size),
        StaticCoder(channels, levels_KV),
        AdaptiveCoder(codec.codebooks()[:n_kept].numpy(), channels),
    )
    flat, static, adaptive = (sum(len(coder.encode(block)) + FRAMING for block in blocks) for coder in coders)
    tables = len(pack_levels(levels_KV)) + FRAMING
    return [flat, static + tables, tables, adaptive]


def opus(excerpt: Audio, kbps: int) -> tuple[np.ndarray, int]:
    """Through Opus (music, constrained variable rate); the samples again and the bytes of the file."""
    with tempfile.TemporaryDirectory() as folder:
        source, coded, back = (Path(folder) / name for name in ("a.wav", "a.opus", "b.wav"))
        write(source, excerpt, subtype="PCM_16")
        subprocess.run(["opusenc", "--quiet", "--music", "--bitrate", str(kbps), source, coded], check=True)
        subprocess.run(["opusdec", "--quiet", "--rate", str(excerpt.sample_rate_hz), coded, back], check=True)
        decoded = read(back).samples[:, : excerpt.n_samples]
        return np.pad(decoded, ((0, 0), (0, excerpt.n_samples - decoded.shape[1]))), coded.stat().st_size


Coded = Callable[[Audio], tuple[np.ndarray, int]]
"""An excerpt through a coder: samples (1, S) and bytes."""


def measure(coded: Coded, sets: dict[str, list[Audio]], judge: MelStatistics) -> list[dict[str, Any]]:
    """Rate and distances of one condition: a row per set, and one for all together."""
    found: dict[str, list[tuple[float, float, Moments, Moments]]] = {}
    for name, excerpts in sets.items():
        for excerpt in excerpts:
            samples, n_bytes = coded(excerpt)
            made, reference = torch.from_numpy(samples), torch.from_numpy(excerpt.samples)
            distance = float(mel_distance(made, reference, excerpt.sample_rate_hz))
            moments = [Moments.of(judge.vectors(x)[0].numpy()) for x in (made, reference)]
            item = (8 * n_bytes / excerpt.duration_s, distance, moments[0], moments[1])
            found.setdefault(name, []).append(item)
            found.setdefault("all", []).append(item)
    rows = []
    for name, items in found.items():
        one, other = items[0][2:]
        for item in items[1:]:
            one, other = one.merge(item[2]), other.merge(item[3])
        row = {"set": name, "excerpts": len(items), "file_bps": round(float(np.mean([i[0] for i in items])), 1)}
        row |= {"mel": round(float(np.mean([i[1] for i in items])), 4), "vectors": one.n}
        # A covariance of fewer vectors than dimensions says nothing.
        row["fad"] = round(frechet_distance(other, one), 3) if one.n > judge.dim else ""
        rows.append(row)
    return rows


def vamp_coder(model: VampNet, n_kept: int, period: int, sampling: SamplingConfig) -> Coded:
    def coded(excerpt: Audio) -> tuple[np.ndarray, int]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "a.vamp"
            kept = CompressionConfig(n_kept, period)
            report = model.compress(excerpt, path, compression=kept, sampling=sampling)
            return model.decompress(path).audio.samples, report.n_bytes

    return coded


def rates_of(model: VampNet, n_kept: int, period: int) -> dict[str, Any]:
    """The formulas' rates for mono: of the kept tokens at 10 bits, and the paper's label."""
    silence = Audio(np.zeros((1, 4410), np.float32), 44100)
    report = compress(MemorySource(silence), io.BytesIO(), model, CompressionConfig(n_kept, period))
    label = report.paper_label_bps
    return {"kept_tokens_bps": round(report.kept_bps, 1), "paper_label_bps": "" if np.isinf(label) else round(label, 1)}


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    names = ["set", "system", "codebooks", "period", "file_bps", "kept_tokens_bps", "paper_label_bps", "mel", "fad"]
    names += ["excerpts", "vectors"]
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def plot(path: Path, rows: list[dict[str, Any]], title: str) -> None:
    """Distance against the file's rate: a line per N_k along P, and Opus."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.8), layout="constrained")
    axes: Any = figure.subplots(1, 2)
    for axis, key, label in zip(axes, ("mel", "fad"), ("mel distance (log10)", "FAD of mel statistics"), strict=True):
        for number, n_kept in enumerate(CODEBOOKS):
            line = [r for r in rows if r["set"] == "all" and r.get("codebooks") == n_kept and r[key] != ""]
            points = [(r["file_bps"] / 1000, r[key]) for r in line]
            axis.plot(*zip(*points, strict=True), "o-", color=f"C{number}", ms=4, label=f"N_k = {n_kept}")
            for row, point in zip(line, points, strict=True):
                if row["period"] in (1, 16):
                    axis.annotate(f"P={row['period']}", point, textcoords="offset points", xytext=(4, 4), fontsize=7)
        points = [(r["file_bps"] / 1000, r[key]) for r in rows if r["set"] == "all" and r["system"] == "opus"]
        if points:
            axis.plot(*zip(*points, strict=True), "ks--", ms=4, label="Opus")
        axis.set_xscale("log")
        axis.set_xticks([0.1, 0.2, 0.5, 1, 2, 4, 8, 16, 32], ["0.1", "0.2", "0.5", "1", "2", "4", "8", "16", "32"])
        axis.set_xlabel("kbit/s of the file")
        axis.set_ylabel(label)
        axis.set_ylim(0) if key == "mel" else axis.set_yscale("log")
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, action="append", required=True, help="folder of audio; repeatable")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/results/compression"))
    parser.add_argument("--excerpts", type=int, default=12, help="excerpts of each folder; 0 leaves them out")
    parser.add_argument("--files", type=int, default=12, help="whole files of each folder in the coding table")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of an excerpt")
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--steps", type=int, default=SamplingConfig().steps, help="of generation, coarse")
    parser.add_argument("--c2f-steps", type=int, default=SamplingConfig().c2f_steps)
    options = parser.parse_args()
    model, sampling = (
        load(options.bundle, device="cpu"),
        SamplingConfig(steps=options.steps, c2f_steps=options.c2f_steps),
    )
    if options.files:
        coding_table(options.audio, options.files, model.codec)
    if not options.excerpts:
        return
    rate_hz, judge = model.codec.sample_rate_hz, MelStatistics()
    sets = {
        folder.name: [
            Audio(levelled_excerpt(path, rate_hz, options.seconds)[None], rate_hz)
            for path in audio_files_in(folder)[: options.excerpts]
        ]
        for folder in options.audio
    }
    options.output.mkdir(parents=True, exist_ok=True)
    rows = []
    print("\n| system | N_k | P | bit/s of the file | kept tokens | paper's label | mel | FAD |\n" + "|---" * 8 + "|")

    def add(facts: dict[str, Any], coded: Coded) -> None:
        rows.extend({**facts, **row} for row in measure(coded, sets, judge))
        row = rows[-1] if rows[-1]["set"] == "all" else next(r for r in reversed(rows) if r["set"] == "all")
        names = ("system", "codebooks", "period", "file_bps", "kept_tokens_bps", "paper_label_bps", "mel", "fad")
        print("| " + " | ".join(str(row.get(name, "")) for name in names) + " |", flush=True)
        write_csv(options.output / "rate-distortion.csv", rows)

    if shutil.which("opusenc"):
        for kbps in OPUS_KBPS:
            add({"system": "opus"}, lambda excerpt, kbps=kbps: opus(excerpt, kbps))
    pairs, started = list(itertools.product(CODEBOOKS, PERIODS)), time.monotonic()
    for done, (n_kept, period) in enumerate(pairs, 1):
        facts = {"system": "vamp", "codebooks": n_kept, "period": period, **rates_of(model, n_kept, period)}
        add(facts, vamp_coder(model, n_kept, period, sampling))
        took_min = (time.monotonic() - started) / 60
        left_min = took_min / done * (len(pairs) - done)
        print(f"N_k {n_kept}, P {period}: {took_min:.1f} min, {left_min:.1f} left", file=sys.stderr, flush=True)
    counts = ", ".join(f"{len(items)} of {name}" for name, items in sets.items())
    plot(
        options.output / "rate-distortion.png",
        rows,
        f"{options.seconds:g} s excerpts: {counts}; bundle {options.bundle}",
    )


if __name__ == "__main__":
    main()
