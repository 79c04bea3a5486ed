"""How fast the codec is: real-time factors of encoding and decoding on one and two cores, cold and warm, in one run.

    python -m benchmarks.codec.codec_speed examples/loop.wav -o docs/results/codec/speed.md
        [--rounds 3] [--bundle default]

Seconds of audio per second of work; above 1 is faster than real time. Cold: a new process, its start, its imports and
the loading of the codec counted from the moment when it was asked for; then its first encoding and first decoding.
Warm: later ones of the same process. One and two cores take turns; each process is kept to its cores where the system
can do that. Other work on the machine slows all of this: figures per second of CPU, and Opus, stand beside. `-o` writes
Markdown, and JSON beside it. A minute on an idle machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

SECONDS, REPEATS = 10.0, 3
CORES = (1, 2)
ROWS = {
    "cold: first encoding": "encode_cold",
    "cold: first decoding": "decode_cold",
    "cold: all of it, start included": "cold",
    "warm: encoding": "encode_warm",
    "warm: decoding": "decode_warm",
    "warm: both": "both_warm",
    "warm: both, the fastest": "both_fastest",
    "warm: both, per second of CPU": "cpu",
}


def child(bundle: str, path: Path, n_cores: int, asked: float) -> None:
    """One process's figures, as a line of JSON."""
    if hasattr(os, "sched_setaffinity"):
        mine = sorted(os.sched_getaffinity(0))
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, mine[-n_cores:])
    import torch

    from vampnet.models.bundle import load_codec
    from vampnet.training.data.wave_dataset import levelled_excerpt

    torch.set_num_threads(n_cores)
    torch.set_grad_enabled(False)
    codec = load_codec(bundle)
    loaded = time.time()
    mono_S = levelled_excerpt(path, codec.sample_rate_hz, SECONDS)
    n_repeats = -(-int(SECONDS * codec.sample_rate_hz) // len(mono_S))
    audio_1S = torch.from_numpy(np.tile(mono_S, n_repeats)[: int(SECONDS * codec.sample_rate_hz)])[None]
    encode_s, decode_s, cpu_s = [], [], []
    for _ in range(1 + REPEATS):
        started, started_cpu = time.perf_counter(), time.process_time()
        codes_1CT = codec.encode(audio_1S)
        encoded = time.perf_counter()
        codec.decode(codes_1CT)
        decode_s.append(time.perf_counter() - encoded)
        encode_s.append(encoded - started)
        cpu_s.append(time.process_time() - started_cpu)
    print(json.dumps({"load_s": loaded - asked, "encode_s": encode_s, "decode_s": decode_s, "cpu_s": cpu_s}))


def ask(bundle: str, path: Path, n_cores: int) -> dict[str, Any]:
    """The figures of a new process."""
    command = [sys.executable, __file__, str(path), "--bundle", bundle, "--child", str(n_cores), repr(time.time())]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(n_cores))
    threads["OMP_WAIT_POLICY"] = "PASSIVE"  # as the command line does
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **threads})
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def opus_s(path: Path) -> float | None:
    """Seconds that Opus takes for the same there and back, files and resampling included; None without it."""
    from vampnet.evaluation.experiments.conditions import opus_missing, through_opus
    from vampnet.training.data.wave_dataset import levelled_excerpt

    if opus_missing():
        return None
    mono_S = levelled_excerpt(path, 44100, SECONDS)
    mono_S = np.tile(mono_S, -(-int(SECONDS * 44100) // len(mono_S)))[: int(SECONDS * 44100)]
    spent = []
    for _ in range(3):
        started = time.perf_counter()
        through_opus(mono_S, 44100, 12)
        spent.append(time.perf_counter() - started)
    return min(spent)


def summarise(runs: dict[int, list[dict[str, Any]]], opus: float | None) -> dict[str, Any]:
    """Medians over processes; warm: also the fastest of all."""
    figures: dict[str, Any] = {"opus_12_there_and_back": None if opus is None else SECONDS / opus}
    for n_cores, found in runs.items():
        row: dict[str, float] = {"start_s": statistics.median(run["load_s"] for run in found)}
        for name in ("encode", "decode"):
            row[f"{name}_cold"] = SECONDS / statistics.median(run[f"{name}_s"][0] for run in found)
            warm = [s for run in found for s in run[f"{name}_s"][1:]]
            row[f"{name}_warm"], row[f"{name}_fastest"] = SECONDS / statistics.median(warm), SECONDS / min(warm)
        both = [sum(s) for run in found for s in zip(run["encode_s"][1:], run["decode_s"][1:], strict=True)]
        row["both_warm"], row["both_fastest"] = SECONDS / statistics.median(both), SECONDS / min(both)
        totals = [run["load_s"] + run["encode_s"][0] + run["decode_s"][0] for run in found]
        row["cold_s"], row["cold"] = statistics.median(totals), SECONDS / statistics.median(totals)
        row["cpu"] = SECONDS / statistics.median(s for run in found for s in run["cpu_s"][1:])
        figures[str(n_cores)] = row
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("audio", type=Path)
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path, help="Markdown file; JSON is written beside it")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.bundle, options.audio, int(options.child[0]), float(options.child[1]))
        return
    from benchmarks.tables import report, table
    from vampnet.models.bundle import load_codec

    runs: dict[int, list[dict[str, Any]]] = {n: [] for n in CORES}
    for _ in range(options.rounds):
        for n_cores in CORES:
            runs[n_cores].append(ask(options.bundle, options.audio, n_cores))
    figures, codec = summarise(runs, opus_s(options.audio)), load_codec(options.bundle)
    load = f" Load average afterwards: {os.getloadavg()[0]:.1f}." if hasattr(os, "getloadavg") else ""
    command = f"python -m benchmarks.codec.codec_speed {options.audio} --rounds {options.rounds}"
    text = f"# Speed of the codec\n\n`{command}`\n\nCodec {codec.id}, {codec.frames_per_s:.2f} frames per second."
    text += f" {SECONDS:g} s of audio, {os.cpu_count()} cores. Seconds of audio per second, medians of {options.rounds}"
    text += f" processes.{load}\n\n{table('', shown(figures))}"
    if opus := figures["opus_12_there_and_back"]:
        text += f"\nOpus at 12 kbit/s there and back, files and resampling included: {opus:.1f}x.\n"
    report(text, figures, options.output)


def shown(figures: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Rows of the table."""
    one, two = (figures[str(n)] for n in CORES)
    rows = {"cold: start, imports, loading": [f"{r['start_s']:.1f} s" for r in (one, two)] + [""]}
    for label, key in ROWS.items():
        rows[label] = [f"{one[key]:.1f}x", f"{two[key]:.1f}x", f"{two[key] / one[key]:.2f}"]
    return {label: dict(zip(("1 core", "2 cores", "2 over 1"), row, strict=True)) for label, row in rows.items()}


if __name__ == "__main__":
    main()
