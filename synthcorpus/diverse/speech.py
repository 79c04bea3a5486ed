"""Speech by espeak-ng, a program that is used where it is found: random words and numbers in many languages and voices.

Words are made of random syllables and read by the rules of each language; numbers come in its own words. What a voice
says is a function of the text, the settings and the version of espeak-ng, which corpus.json notes.
"""

from __future__ import annotations

import shutil
import subprocess
from functools import lru_cache

import numpy as np
import soxr
from scipy.ndimage import uniform_filter1d

from synthcorpus.diverse.effects import log_uniform
from synthcorpus.diverse.palette import LANGUAGES, VARIANTS, Palette, PaletteSound
from synthcorpus.errors import CompositionError
from synthcorpus.render.effects import db, high_pass, low_pass, pan_matrix

PROGRAM = "espeak-ng"
_CONSONANTS = "b d f g h j k l m n p r s t v z br dr fl gr kl kr pl pr sk sl st str tr sh ch"
_VOWELS = "a a e e i i o o u ai au ei ou"
_CODAS = "n m s r l t k p nd st rt"


def version() -> str | None:
    """Version of the espeak-ng on PATH, such as "1.51"; None without it."""
    if shutil.which(PROGRAM) is None:
        return None
    words = _run("--version").decode(errors="replace").split()
    return next((word for word in words if word[0].isdigit()), "unknown")


@lru_cache(maxsize=8)
def installed_voices(split: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Languages and variants of a split that espeak-ng has here, in the order of palette.py."""
    languages = {line.split()[1] for line in _run("--voices").decode().splitlines()[1:]}
    variants = {line.split("!v/")[-1].strip() for line in _run("--voices=variant").decode().splitlines()[1:]}
    return (
        tuple(name for name in LANGUAGES[split] if name in languages),
        tuple(name for name in VARIANTS[split] if name in variants),
    )


def _run(*arguments: str, text: str = "") -> bytes:
    try:
        done = subprocess.run([PROGRAM, *arguments], input=text.encode(), capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise CompositionError(f"{PROGRAM} {' '.join(arguments)} failed ({error}); repair or remove it") from error
    return done.stdout


def speak(voice: str, text: str, pitch: int, words_per_minute: int) -> tuple[np.ndarray, int]:
    """A text spoken: mono float32 (samples,), and its sample rate in Hz.

    Args:
        voice: language and variant, such as `de+f2`.
        text: words, digits and punctuation.
        pitch: 0 (low) to 99 (high).
        words_per_minute: 80 to 450.

    Raises:
        CompositionError: espeak-ng fails.
    """
    wav = _run("-v", voice, "-p", str(pitch), "-s", str(words_per_minute), "--stdout", text=text)
    start = wav.find(b"data") + 8  # a stream's header does not know its length, so nothing else there is of use
    if start < 44:
        raise CompositionError(f"{PROGRAM} -v {voice} gave no audio; repair it, or take it off PATH")
    samples = np.frombuffer(wav[start : start + (len(wav) - start) // 2 * 2], dtype="<i2")
    return samples.astype(np.float32) / 32768.0, int.from_bytes(wav[24:28], "little")


def draw_text(n_words: int, rng: np.random.Generator) -> str:
    """Invented words, numbers and punctuation."""
    words = []
    for _ in range(n_words):
        if rng.random() < 0.15:
            word = str(int(np.exp(rng.uniform(0.0, 9.0))))
        else:
            count = int(rng.integers(1, 4))
            word = "".join(_pick(_CONSONANTS, rng) + _pick(_VOWELS, rng) for _ in range(count))
            word += _pick(_CODAS, rng) if rng.random() < 0.4 else ""
        words.append(word + (",.?!"[int(rng.integers(4))] if rng.random() < 0.4 else ""))
    return " ".join(words)


def _pick(names: str, rng: np.random.Generator) -> str:
    listed = names.split()
    return listed[int(rng.integers(len(listed)))]


def to_rate(samples: np.ndarray, from_hz: float, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Mono at a higher rate (samples,), two times in three with noise in the band that the lower rate could not hold.

    espeak-ng has nothing above 11 kHz, where the hiss of real speech goes on. The noise follows the level of the band
    above 4 kHz, so it comes with hissed sounds and, fainter, with each pulse of the voice.
    """
    plain = soxr.resample(samples, from_hz, rate_hz, "HQ")
    level_db = float(rng.uniform(-14.0, 0.0))
    if rng.random() < 1.0 / 3.0:
        return plain
    hiss = high_pass(high_pass(plain[None], 4000.0, rate_hz), 4000.0, rate_hz)[0]
    envelope = np.sqrt(np.maximum(uniform_filter1d(np.square(hiss), int(0.002 * rate_hz)), 0.0))
    noise = rng.standard_normal((1, len(plain)), dtype=np.float32) * envelope
    upper = low_pass(high_pass(high_pass(noise, 0.42 * from_hz, rate_hz), 0.42 * from_hz, rate_hz), 14000.0, rate_hz, 1)
    return plain + upper[0] * np.float32(db(level_db))


def speaker(palette: Palette, n_samples: int, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """One voice that speaks with pauses, mono (n_samples,), and its name. Throat size varies by resampling."""
    voice = palette.voice(rng)
    pitch, speed = int(rng.integers(0, 100)), int(np.clip(rng.normal(165.0, 40.0), 80, 330))
    factor = log_uniform(rng, 0.82, 1.25)
    out, start = np.zeros(n_samples, dtype=np.float32), int(rng.uniform(0.0, 0.5) * palette.rate_hz)
    while start < n_samples - palette.rate_hz // 2:
        samples, from_hz = speak(voice, draw_text(int(rng.integers(2, 30)), rng), pitch, speed)
        speech = to_rate(samples, from_hz * factor, palette.rate_hz, rng)[: n_samples - start]
        out[start : start + len(speech)] = speech
        start += len(speech) + int(log_uniform(rng, 0.05, 1.5) * palette.rate_hz)
    return out, voice


def speech(palette: Palette, n_samples: int, rng: np.random.Generator) -> PaletteSound:
    """A speaker, two in turns, or several at once."""
    kind = ("one voice", "two voices", "crowd")[int(rng.choice(3, p=(0.65, 0.2, 0.15)))]
    count = {"one voice": 1, "two voices": 2, "crowd": int(rng.integers(3, 6))}[kind]
    out, voices = np.zeros((2, n_samples), dtype=np.float32), []
    for number in range(count):
        mono, voice = speaker(palette, n_samples, rng)
        if kind == "two voices":  # in turns of some seconds, with now and then both at once
            turn = (np.arange(n_samples) / palette.rate_hz / 4.0 + number) % 2.0
            mono = mono * np.clip((1.1 - turn) * 20.0, 0.0, 1.0).astype(np.float32)
        position = 0.0 if count == 1 else float(rng.uniform(-0.8, 0.8))
        out += pan_matrix(position, 1.0) @ np.stack([mono, mono])
        voices.append(voice)
    return PaletteSound(out, voices=tuple(voices), detail=kind)
