"""The embedded codec beside Opus on the same files: mean log10-mel distance (the paper's), per file and on average.

    python benchmarks/codec_quality.py --audio FOLDER [--rendered FOLDER --excerpts 100] [--bundle default]

The Opus columns need the tools `opusenc` and `opusdec` (opus-tools); without them they are left out. Files are mixed to
mono at 44.1 kHz and levelled to -24 LUFS, as the codec sees them.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch

from vampnet.audio import Audio, read, write
from vampnet.checkpoint import load_codec
from vampnet.codec.base import Codec
from vampnet.codec.usage import codebook_perplexity
from vampnet.data.waves import audio_files_in, levelled_excerpt
from vampnet.spectra import mel_distance

RATES_KBPS = (8, 12, 16)
GROUPS = (1, 4, 8, 14)


def opus(samples: np.ndarray, rate_hz: int, kbps: int) -> tuple[np.ndarray, float]:
    """Through Opus (music, constrained variable rate); the samples again and the true kbit/s of the stream."""
    with tempfile.TemporaryDirectory() as folder:
        source, coded, back = (Path(folder) / n for n in ("a.wav", "a.opus", "b.wav"))
        write(source, Audio(samples[None], rate_hz), subtype="PCM_16")
        subprocess.run(["opusenc", "--quiet", "--music", "--bitrate", str(kbps), source, coded], check=True)
        subprocess.run(["opusdec", "--quiet", "--rate", str(rate_hz), coded, back], check=True)
        decoded = read(back).samples[0][: len(samples)]
        return np.pad(decoded, (0, len(samples) - len(decoded))), 8e-3 * coded.stat().st_size * rate_hz / len(samples)


def distances(samples: np.ndarray, codec: Codec) -> dict[str, float]:
    """Distance of each condition for one excerpt."""
    rate_hz, reference = codec.sample_rate_hz, torch.from_numpy(samples)[None]
    codes = codec.encode(reference)
    found = {}
    for n in GROUPS:
        decoded = codec.decode(codes[:, :n])[:, : len(samples)]
        found[f"ours {n}"] = float(mel_distance(decoded, reference, rate_hz))
    if shutil.which("opusenc"):
        for kbps in RATES_KBPS:
            decoded, _ = opus(samples, rate_hz, kbps)
            found[f"opus {kbps}"] = float(mel_distance(torch.from_numpy(decoded)[None], reference, rate_hz))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audio", type=Path, help="real recordings, one row each")
    parser.add_argument("--rendered", type=Path, help="held-out rendered music, one averaged row")
    parser.add_argument("--excerpts", type=int, default=48)
    parser.add_argument("--bundle", default="default")
    options = parser.parse_args()
    codec, rows = load_codec(options.bundle), {}
    if options.rendered:
        files = audio_files_in(options.rendered)[: options.excerpts]
        each = [distances(levelled_excerpt(path, codec.sample_rate_hz, 10.0), codec) for path in files]
        rows[f"rendered ({len(each)})"] = {name: float(np.mean([d[name] for d in each])) for name in each[0]}
        perplexities(files, codec)
    for path in audio_files_in(options.audio) if options.audio else []:
        rows[path.name] = distances(levelled_excerpt(path, codec.sample_rate_hz, 60.0), codec)
    names = list(next(iter(rows.values())))
    print("| file | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    for label, row in rows.items():
        print(f"| {label} | " + " | ".join(f"{row[n]:.3f}" for n in names) + " |")
    real = [row for label, row in rows.items() if not label.startswith("rendered")]
    if real:
        print("| mean of real | " + " | ".join(f"{np.mean([r[n] for r in real]):.3f}" for n in names) + " |")


def perplexities(files: list[Path], codec: Codec) -> None:
    """Print the perplexity of each codebook over 10 s of each file."""
    codes = [
        codec.encode(torch.from_numpy(levelled_excerpt(path, codec.sample_rate_hz, 10.0))[None])[0] for path in files
    ]
    joined = torch.cat(codes, dim=1)
    found = codebook_perplexity(joined[None], codec.codebook_size)
    print("codebook perplexities:", " ".join(f"{p:.0f}" for p in found), f"({joined.shape[1]} frames)")


if __name__ == "__main__":
    main()
