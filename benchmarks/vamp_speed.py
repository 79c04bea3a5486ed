"""Real-time factor of a vamp with default settings, the share of each stage, and peak memory, for several lengths.

    python benchmarks/vamp_speed.py examples/loop.wav --seconds 10 120

The file is repeated to each length. Memory is the process's peak so far (Linux, macOS), so lengths go upwards.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from pathlib import Path

import numpy as np

from vampnet.audio import Audio, read, write
from vampnet.pipeline import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("audio", type=Path)
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0, 120.0])
    parser.add_argument("--bundle", default="default")
    options = parser.parse_args()
    audio, model = read(options.audio), load(options.bundle)
    print("seconds  channels  real-time factor  encode  coarse  c2f  decode  peak MiB")
    for seconds in sorted(options.seconds):
        n_samples = int(seconds * audio.sample_rate_hz)
        samples = np.resize(audio.samples.T, (n_samples, audio.channels)).T.copy()
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "in.wav"
            write(source, Audio(samples, audio.sample_rate_hz))
            _, t = model.vamp_file(source, [Path(folder) / "out.wav"])
        shares = "  ".join(f"{part / t.total_s:.0%}" for part in (t.encode_s, t.coarse_s, t.c2f_s, t.decode_s))
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{seconds:7.0f}  {audio.channels:8d}  {t.real_time_factor:16.2f}  {shares}  {peak_mib:8.0f}", flush=True)


if __name__ == "__main__":
    main()
