"""What a corpus sounds like in figures: per kind of piece its loudness, crest, brightness, width and silence.

    python -m benchmarks.training.corpus_figures corpora/diverse [--pieces 200]

Kinds are those of `vampnet corpus --material diverse`; in other corpora all pieces are one kind. Triples are the 5th,
50th and 95th percentile over pieces. Centroid and band are those of the mean spectrum of the frames within 30 dB of the
loudest; 99 % of the energy lies below the band's edge. Side / mid is the ratio of RMS of left minus right to left plus
right (median); silent is the share of frames 60 dB below the loudest (mean).
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import stft

HEADER = "| kind | pieces | minutes | LUFS | crest, dB | centroid, Hz | 99 % below, Hz | side / mid | silent |"


def figures_of(path: Path) -> dict[str, float]:
    """Crest, centroid, band, width, silence, peak and offset of a file."""
    samples_NC, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    mid, sides = samples_NC.mean(axis=1), samples_NC[:, [0, -1]]
    hertz, _, spectrum_FT = stft(mid, rate_hz, nperseg=2048, noverlap=0)
    power_FT = np.abs(spectrum_FT) ** 2
    power_T = power_FT.sum(axis=0)
    mean_F = power_FT[:, power_T >= 1e-3 * power_T.max()].mean(axis=1) + 1e-30
    grown_F = np.cumsum(mean_F) / mean_F.sum()
    apart, together = (float(np.sqrt(np.mean(np.square(x)))) for x in (sides[:, 0] - sides[:, 1], sides.sum(axis=1)))
    peak = float(np.abs(samples_NC).max())
    return {
        "crest": 20.0 * np.log10(max(peak, 1e-9) / (float(np.sqrt(np.mean(np.square(samples_NC)))) + 1e-9)),
        "centroid": float((mean_F * hertz).sum() / mean_F.sum()),
        "band": float(hertz[int(np.searchsorted(grown_F, 0.99))]),
        "width": apart / (together + 1e-9),
        "silent": float((power_T < 1e-6 * power_T.max()).mean()),
        "peak": peak,
        "offset": float(np.abs(samples_NC.mean(axis=0)).max()),
    }


def triple(values: list[float]) -> str:
    return " / ".join(f"{value:.0f}" for value in np.percentile(values, (5, 50, 95)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="corpus: FLAC files and index.jsonl")
    parser.add_argument("--pieces", type=int, default=None, help="only the first so many")
    options = parser.parse_args()
    lines = [json.loads(line) for line in (options.folder / "index.jsonl").read_text().splitlines()]
    lines = sorted(lines, key=lambda line: line["index"])[: options.pieces]
    kinds: dict[str, list[dict[str, float]]] = defaultdict(list)
    for line in lines:
        loudness = line["loudness_lufs"]
        told = {"lufs": -70.0 if loudness is None else loudness, "minutes": line["duration_s"] / 60.0}
        kinds[line.get("kind", "music")].append(figures_of(options.folder / line["file"]) | told)
    print(HEADER + "\n|" + "---|" * 9)
    for kind, rows in kinds.items():
        of = {name: [row[name] for row in rows] for name in rows[0]}
        triples = " | ".join(triple(of[name]) for name in ("lufs", "crest", "centroid", "band"))
        means = f"{np.median(of['width']):.2f} | {np.mean(of['silent']):.2f}"
        print(f"| {kind} | {len(rows)} | {sum(of['minutes']):.0f} | {triples} | {means} |")
    everything = [row for rows in kinds.values() for row in rows]
    print(f"\nhighest peak {max(row['peak'] for row in everything):.3f}, ", end="")
    print(f"largest mean of a channel {max(row['offset'] for row in everything):.1e}")
    programs = {program for line in lines for program in line["programs"]}
    print(
        f"{len([p for p in programs if 0 <= p < 128])} programs, {len([p for p in programs if p >= 1000])} kits, ",
        end="",
    )
    print(f"{len({voice for line in lines for voice in line.get('voices', ())})} voices")
    effects = Counter(name for line in lines for name in line.get("effects", ()))
    print(", ".join(f"{name} {count}" for name, count in effects.most_common()))


if __name__ == "__main__":
    main()
