"""Real-time factor of a vamp with default settings, the share of each stage, and peak memory, for several lengths.

    python -m benchmarks.generation.vamp_speed examples/loop.wav --seconds 10 120

The file is repeated to each length. Memory is the process's peak so far (Linux, macOS), so lengths go upwards.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from pathlib import Path

from vampnet.audio.files import Audio, AudioWriter, read
from vampnet.generation.config import SamplingConfig
from vampnet.jobs.request import VampRequest
from vampnet.jobs.runner import run_job
from vampnet.tasks.model import load


def write_repeated(path: Path, audio: Audio, n_samples: int) -> None:
    """The audio over and over up to a length, without ever holding all of it."""
    with AudioWriter(path, audio.sample_rate_hz, audio.channels) as writer:
        for start in range(0, n_samples, audio.n_samples):
            writer.write(audio.samples[:, : n_samples - start])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("audio", type=Path)
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0, 120.0])
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--steps", type=int, default=SamplingConfig().steps, help="fewer for a quick look at memory")
    parser.add_argument("--c2f-steps", type=int, default=SamplingConfig().c2f_steps)
    options = parser.parse_args()
    audio, model = read(options.audio), load(options.bundle)
    sampling = SamplingConfig(steps=options.steps, c2f_steps=options.c2f_steps)
    print("seconds  channels  real-time factor  encode  coarse  c2f  decode  peak MiB")
    for seconds in sorted(options.seconds):
        n_samples = int(seconds * audio.sample_rate_hz)
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "in.wav"
            write_repeated(source, audio, n_samples)
            request = VampRequest(input=str(source), sampling=sampling, domain_warning=False)
            t = run_job(request, [Path(folder) / "out.wav"], model=model).timings
        assert t is not None
        shares = "  ".join(f"{part / t.total_s:.0%}" for part in (t.encode_s, t.coarse_s, t.c2f_s, t.decode_s))
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{seconds:7.0f}  {audio.channels:8d}  {t.real_time_factor:16.2f}  {shares}  {peak_mib:8.0f}", flush=True)


if __name__ == "__main__":
    main()
