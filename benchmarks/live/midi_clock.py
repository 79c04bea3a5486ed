"""MIDI clock: tempo read from a clock that jitters, and the phase of a loop behind a clock that drifts.

python -m benchmarks.live.midi_clock --minutes 10
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from vampnet.apps.live.commands import make_command
from vampnet.apps.live.looper import Looper, LooperConfig
from vampnet.apps.live.midi_clock import ClockReader

RATE_HZ = 44100
BPM = 120.0


def late(rng: np.random.Generator, n: int, jitter_s: float) -> np.ndarray:
    """How late ticks come: by chance, and every fiftieth by 15 ms more."""
    return np.abs(rng.normal(0, jitter_s, n)) + np.where(rng.random(n) < 0.02, 0.015, 0.0)


def tempo_error(bpm: float, jitter_s: float, beats: int = 256) -> float:
    """Largest relative error of the tempo, after two beats."""
    rng, reader, worst = np.random.default_rng(0), ClockReader(), 0.0
    moments = np.arange(24 * beats) * 60 / bpm / 24
    for k, time_s in enumerate(moments + late(rng, len(moments), jitter_s)):
        reader.tick(time_s)
        read = reader.read(time_s)
        if k >= 48 and read is not None:
            worst = max(worst, abs(read[0] / bpm - 1))
    return worst


def drift_error(minutes: float, drift: float, kind: str, jitter_s: float) -> float:
    """Largest difference in phase between a loop at 120 bpm and a clock that drifts, ms, after 10 s."""
    looper = Looper(LooperConfig(sample_rate_hz=RATE_HZ, channels=1))
    looper.load(1, np.zeros((1, 4 * RATE_HZ), np.float32), bars=2)
    looper.grid.beat, looper.grid.zero = RATE_HZ * 60 / BPM, 0.0
    rng, reader, step_s = np.random.default_rng(1), ClockReader(), 0.001
    time_s = np.arange(0, 60 * minutes, step_s)
    off = np.full(len(time_s), drift) if kind == "constant" else drift * np.sin(2 * np.pi * time_s / 60)
    beats = np.cumsum(BPM / 60 * (1 + off)) * step_s
    ticks_s = np.interp(np.arange(0, beats[-1] * 24) / 24, beats, time_s)
    ahead, worst = round(0.35 * RATE_HZ), 0.0
    for tick_s in ticks_s + late(rng, len(ticks_s), jitter_s):
        n = round(tick_s * RATE_HZ) + ahead - looper.now
        if n > 0:
            looper.render(np.zeros((1, n), np.float32))
        reader.tick(tick_s)
        read = reader.read(tick_s)
        if read is not None and reader.is_sixteenth:
            looper.do(make_command("clock", read), heard=round(tick_s * RATE_HZ))
        if tick_s > 10:
            error = looper.transport.song_at(tick_s * RATE_HZ) / looper.grid.beat - np.interp(tick_s, time_s, beats)
            worst = max(worst, abs(error - round(error)))
    return worst * 60 / BPM * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    for jitter_ms in (0.5, 1.0, 2.0, 5.0):
        worst = {bpm: round(100 * tempo_error(bpm, jitter_ms / 1000), 2) for bpm in (60, 120, 174)}
        print(json.dumps({"jitter_ms": jitter_ms, "largest_tempo_error_percent": worst}))
    for kind in ("constant", "swaying"):
        for jitter_ms in (0.0, 1.0, 2.0):
            worst_ms = drift_error(options.minutes, 0.005, kind, jitter_ms / 1000)
            print(json.dumps({"drift": f"0.5 % {kind}", "minutes": options.minutes, "jitter_ms": jitter_ms,
                              "largest_phase_error_ms": round(worst_ms, 1)}), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
