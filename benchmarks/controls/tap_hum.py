"""Are taps and hummed lines followed? On synthesised inputs and on inputs made by a speech synthesiser's mouth.

    python -m benchmarks.controls.tap_hum FOLDER [--inputs 20] [--mouth 5] [--output docs/results/X.md]

Taps: patterns of bursts (low, noisy, bright) with errors of timing and force, over noise, at random tempi. Hums: lines
of the composer's scales sung by a few harmonics with vibrato, glides and breaks. Mouth inputs: espeak-ng's consonants
("b", "k", "t") cut to single bursts for taps, and its vowels at given pitches for hums (left out where espeak-ng is not
installed). Onset F and pitch accuracy (within a semitone of the written note, on 17 ms frames) are those of the sketch
that `sketch_drums` and `sketch_lead` made: of its notes, and of its sound as it is heard again. FOLDER keeps the audio.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import warnings
from pathlib import Path

import mir_eval
import numpy as np
import soundfile
import soxr

from benchmarks.tables import report, table
from vampnet.audio.files import Audio, write
from vampnet.controls.extraction import ExtractionConfig, extract_controls
from vampnet.controls.onsets import find_hits
from vampnet.controls.signals import Controls, Floats
from vampnet.controls.sketching import sketch_drums, sketch_lead
from vampnet.controls.timeline import paint_melody

RATE_HZ = 44100
PATTERNS = (
    "b.t.k.t.b.b.k..t",
    "b..b..k...b.k...",
    "b.ttk.t.btt.k.tt",
    "bbk.bbk.",
    "t.t.k.t.b.t.k.tb",
    "b...k...b.b.k...",
)
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10))
SYLLABLES = {"b": "b@", "k": "k@", "t": "t@"}

DRUMS = {"b": "kick", "k": "snare", "t": "hat"}
WINDOW_S = 0.05

Tapped = tuple[Audio, np.ndarray, list[str]]
Hummed = tuple[Audio, list[tuple[float, float, float]]]


def burst(kind: str, rng: np.random.Generator) -> np.ndarray:
    """A hit: "b" low, "k" noisy, "t" bright and short."""
    time_s = np.arange(int(0.12 * RATE_HZ)) / RATE_HZ
    noise = rng.standard_normal(len(time_s))
    if kind == "b":
        return np.sin(2 * np.pi * rng.uniform(60, 110) * time_s) * np.exp(-time_s / rng.uniform(0.03, 0.06))
    if kind == "t":
        return 0.4 * np.diff(noise, n=2, append=[0, 0]) * np.exp(-time_s / rng.uniform(0.006, 0.015)) / 2
    width = int(rng.integers(6, 14))
    return 2 * np.convolve(noise, np.ones(width) / width, mode="same") * np.exp(-time_s / rng.uniform(0.02, 0.05))


def tap(index: int, sounds: dict[str, np.ndarray] | None) -> Tapped:
    """A tapped rhythm, the times of its hits, and the drum of each."""
    rng = np.random.default_rng((28, index))
    pattern, step_s = PATTERNS[index % len(PATTERNS)] * 2, 15.0 / float(rng.uniform(70, 140))
    samples = 3e-4 * rng.standard_normal(int((len(pattern) * step_s + 0.6) * RATE_HZ))
    times = []
    for place, mark in enumerate(pattern):
        if mark == ".":
            continue
        time_s = 0.2 + place * step_s + float(np.clip(rng.normal(0, 0.008), -0.02, 0.02))
        hit = sounds[mark] if sounds else burst(mark, rng)
        first = int(time_s * RATE_HZ)
        hit = hit[: len(samples) - first]
        samples[first : first + len(hit)] += 0.3 * float(rng.uniform(0.5, 1.0)) * hit
        times.append(time_s)
    drums = [DRUMS[mark] for mark in pattern if mark != "."]
    return Audio(samples[None].astype(np.float32), RATE_HZ), np.array(times), drums


def hum(index: int, can_speak: bool) -> Hummed:
    """A hummed line and its notes (start_s, end_s, MIDI pitch)."""
    rng = np.random.default_rng((29, index))
    scale, degree, base = SCALES[index % 2], int(rng.integers(0, 7)), int(rng.integers(48, 62))
    parts, notes, time_s = [], [], 0.0
    for _ in range(12):
        degree = int(np.clip(degree + rng.choice((-2, -1, -1, 0, 1, 1, 2)), 0, 9))
        seconds, rest_s = float(rng.choice((0.25, 0.4, 0.4, 0.8))), float(rng.choice((0.0, 0.0, 0.05, 0.2)))
        pitch = base + scale[degree % 7] + 12 * (degree // 7)
        sound = speak_vowel(pitch, seconds) if can_speak else sing(pitch, seconds, rng)
        notes.append((time_s, time_s + seconds, float(pitch)))
        parts += [sound, np.zeros(round(rest_s * RATE_HZ))]
        time_s += (len(sound) + len(parts[-1])) / RATE_HZ
    samples = np.concatenate(parts)
    samples = 0.3 * samples / np.abs(samples).max() + 3e-4 * rng.standard_normal(len(samples))
    return Audio(samples[None].astype(np.float32), RATE_HZ), notes


def sing(pitch: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A hummed note: a glide into the pitch, vibrato, and a soft begin and end."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    bend = -0.7 * np.exp(-time_s / 0.03) + 0.25 * np.sin(2 * np.pi * 5.5 * time_s) * np.minimum(time_s / 0.3, 1)
    cycles = np.cumsum(440 * 2 ** ((pitch + bend + rng.normal(0, 0.1) - 69) / 12)) / RATE_HZ
    tone = sum(np.sin(2 * np.pi * h * cycles) / h**1.8 for h in range(1, 8))
    return tone * np.minimum(1, np.minimum(time_s / 0.03, (seconds - time_s) / 0.05))


def speak(text: str, *flags: str) -> np.ndarray:
    """espeak-ng's voice, mono at RATE_HZ."""
    done = subprocess.run(["espeak-ng", "--stdout", *flags, f"[[{text}]]"], capture_output=True, check=True)
    samples, rate_hz = soundfile.read(io.BytesIO(done.stdout))
    return soxr.resample(samples, rate_hz, RATE_HZ)


def mouth_sounds() -> dict[str, np.ndarray]:
    """Single consonants, cut to 80 ms from where they begin."""
    sounds = {}
    for mark, text in SYLLABLES.items():
        samples = speak(text, "-p", "20", "-s", "120")
        first = int(np.flatnonzero(np.abs(samples) > 0.05 * np.abs(samples).max())[0])
        cut = samples[first : first + int(0.08 * RATE_HZ)]
        sounds[mark] = cut / np.abs(cut).max() * np.linspace(1, 0, len(cut)) ** 0.5
    return sounds


def speak_vowel(pitch: float, seconds: float) -> np.ndarray:
    """A long vowel, brought to a pitch by the speed of reading, cut to a length."""
    samples = speak("A:::::", "-p", "0", "-s", "80")
    steady = samples[len(samples) // 4 : len(samples) * 3 // 4]
    period = int(np.argmax(np.correlate(steady[:4096], steady[:4096], "full")[4096 + 150 : 4096 + 900])) + 151
    wave = steady[: period * (len(steady) // period)]
    speed = 440 * 2 ** ((pitch - 69) / 12) * period / RATE_HZ
    place = np.arange(round(seconds * RATE_HZ)) * speed
    time_s = np.arange(len(place)) / RATE_HZ
    tone = np.interp(place % period, np.arange(period), wave[:period])
    return tone * np.minimum(1, np.minimum(time_s / 0.03, (seconds - time_s) / 0.05))


def onset_f(times_s: np.ndarray, found_s: np.ndarray) -> float:
    return float(mir_eval.onset.f_measure(times_s, np.sort(found_s))[0])


def pitch_accuracy(wanted: Floats, found: Floats) -> float:
    sounding = wanted > 0
    return float((np.abs(found[sounding] - wanted[sounding]) <= 0.5).mean())


def measure_tap(tapped: Tapped, folder: Path, name: str) -> dict[str, float]:
    audio, times_s, drums = tapped
    made = sketch_drums(audio)
    write(folder / f"{name}.wav", audio)
    write(folder / f"{name}-drums.wav", made.audio)
    written = np.flatnonzero(made.controls.signal("onset_low") + made.controls.signal("onset_high"))
    notes_s = (written + 0.5) / made.controls.frames_per_s
    heard_s = np.array([hit.time_s for hit in find_hits(made.audio, rise=2.0)])
    hits = {hit.time_s: hit.drum for hit in find_hits(audio)}
    nearest = [min(hits, key=lambda found, at=at: abs(found - at)) for at in times_s]  # type: ignore[misc]
    right = [abs(t - at) < WINDOW_S and hits[t] == drum for t, at, drum in zip(nearest, times_s, drums, strict=True)]
    return {"notes": onset_f(times_s, notes_s), "heard again": onset_f(times_s, heard_s), "drum": float(np.mean(right)),
            "length": float(made.audio.n_samples == audio.n_samples)}  # fmt: skip


def measure_hum(hummed: Hummed, folder: Path, name: str) -> dict[str, float]:
    audio, notes = hummed
    made = sketch_lead(audio)
    write(folder / f"{name}.wav", audio)
    write(folder / f"{name}-lead.wav", made.audio)
    wanted = paint_melody(notes, Controls(made.controls.n_frames).times_s)
    again = extract_controls(made.audio, ExtractionConfig(("melody",), is_voice=True)).signal("melody")
    return {"notes": pitch_accuracy(wanted, made.controls.signal("melody")),
            "heard again": pitch_accuracy(wanted, again),
            "length": float(made.audio.n_samples == audio.n_samples)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--inputs", type=int, default=20)
    parser.add_argument("--mouth", type=int, default=5)
    parser.add_argument("--output", type=Path, default=None)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    options.folder.mkdir(parents=True, exist_ok=True)
    mouth = options.mouth if shutil.which("espeak-ng") else 0
    sounds = mouth_sounds() if mouth else None
    folder = options.folder
    groups = {
        "tap, synthesised": [measure_tap(tap(k, None), folder, f"tap-{k:02d}") for k in range(options.inputs)],
        "tap, mouth": [measure_tap(tap(k, sounds), folder, f"tap-mouth-{k}") for k in range(mouth)],
        "hum, synthesised": [measure_hum(hum(k, False), folder, f"hum-{k:02d}") for k in range(options.inputs)],
        "hum, mouth": [measure_hum(hum(k, True), folder, f"hum-mouth-{k}") for k in range(mouth)],
    }
    lines = {
        f"{group} ({len(rows)})": {
            "of the notes": f"{np.mean([row['notes'] for row in rows]):.3f}",
            "worst": f"{min(row['notes'] for row in rows):.3f}",
            "heard again": f"{np.mean([row['heard again'] for row in rows]):.3f}",
            "right drum": f"{np.mean([row['drum'] for row in rows]):.3f}" if "drum" in rows[0] else "-",
            "length exact": f"{np.mean([row['length'] for row in rows]):.0%}",
        }
        for group, rows in groups.items()
        if rows
    }
    report(table("onset F (tap), pitch accuracy (hum)", lines), groups, options.output)


if __name__ == "__main__":
    main()
