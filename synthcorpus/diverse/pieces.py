"""Pieces of diverse material: which kind, how long, made of what, through which effects, how loud.

Piece i of a split is a function of (split, seed, i) and the settings. Kinds come in turn along a sequence that keeps to
their shares in any stretch of pieces, so a small corpus has all of them too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from synthcorpus.diverse.chains import random_chain
from synthcorpus.diverse.levels import fade, level_curve
from synthcorpus.diverse.lines import solo
from synthcorpus.diverse.music import dense, music, over
from synthcorpus.diverse.palette import Palette, PaletteSound
from synthcorpus.diverse.percussion import drums
from synthcorpus.diverse.song import song
from synthcorpus.diverse.speech import installed_voices, speech
from synthcorpus.diverse.textures import texture
from synthcorpus.render.effects import high_pass, pan_matrix
from synthcorpus.render.render import to_loudness
from synthcorpus.splits import piece_seed

SHARES = {
    "music": 0.22,
    "solo": 0.18,
    "dense": 0.14,
    "drums": 0.10,
    "texture": 0.14,
    "speech": 0.09,
    "song": 0.07,
    "levels": 0.06,
}
"""Share of each kind among the pieces. Without espeak-ng speech and song are left out and the others grow."""

_SPOKEN = ("speech", "song")
_GOLDEN = (5.0**0.5 - 1.0) / 2.0
_DC_HZ = 12.0

Maker = Callable[[Palette, int, np.random.Generator], PaletteSound]


@dataclass(frozen=True)
class DiverseConfig:
    """Settings of diverse material; with split and seed they determine every piece."""

    sample_rate_hz: int = 44100
    """Sample rate, Hz."""
    soundfont: str | None = None
    """Path of a General MIDI sound font (SF2 or SF3); None synthesises every instrument."""
    espeak_ng: str | None = None
    """Version of the espeak-ng that speaks; None leaves speech and song out."""
    min_duration_s: float = 20.0
    """Shortest piece, seconds."""
    max_duration_s: float = 40.0
    """Longest piece, seconds."""
    min_loudness_lufs: float = -40.0
    """Quietest integrated loudness (BS.1770) that is aimed at, LUFS."""
    max_loudness_lufs: float = -8.0
    """Loudest one. What consists of peaks and silence stays below it, since peaks are limited."""

    @cached_property
    def shares(self) -> dict[str, float]:
        """Share of each kind, summing to 1."""
        left = {kind: share for kind, share in SHARES.items() if self.espeak_ng or kind not in _SPOKEN}
        total = sum(left.values())
        return {kind: share / total for kind, share in left.items()}

    def kind(self, split: str, seed: int, index: int) -> str:
        """Kind of a piece, by multiples of the golden ratio from a start of the split's and seed's own."""
        start = float(_generator(piece_seed(split, seed, 0), 3).random())
        place, total = (start + index * _GOLDEN) % 1.0, 0.0
        for kind, share in self.shares.items():
            total += share
            if place < total:
                return kind
        return kind

    def n_samples(self, split: str, seed: int, index: int) -> int:
        """Length of a piece, known without making it."""
        rng = _generator(piece_seed(split, seed, index), 1)
        return round(float(rng.uniform(self.min_duration_s, self.max_duration_s)) * self.sample_rate_hz)

    def make(self, split: str, seed: int, index: int) -> tuple[np.ndarray, dict[str, Any]]:
        """A piece: float32 (2, samples) with peaks below 1, and what the index says of it.

        Raises:
            CompositionError: the sound font, tinysoundfont or espeak-ng fails.
        """
        kind, n_samples = self.kind(split, seed, index), self.n_samples(split, seed, index)
        rng = _generator(piece_seed(split, seed, index), 2)
        voices = installed_voices(split) if self.espeak_ng else ((), ())
        palette = Palette(split, self.sample_rate_hz, self.soundfont, voices)
        sound = MAKERS[kind](palette, n_samples, rng)
        audio, names = random_chain(sound.audio, self.sample_rate_hz, rng)
        audio = _finish(audio, kind, self.sample_rate_hz, rng)
        target = float(rng.uniform(self.min_loudness_lufs, self.max_loudness_lufs))
        rendered = to_loudness(audio, target, self.sample_rate_hz)
        return rendered.audio, {
            "kind": kind,
            "detail": sound.detail,
            "programs": list(sound.programs),
            "voices": list(sound.voices),
            "effects": list(names),
            "loudness_lufs": round(rendered.loudness_lufs, 2) if np.isfinite(rendered.loudness_lufs) else None,
        }

    def with_soundfont(self, path: str) -> DiverseConfig:
        """The same with a sound font."""
        return dataclasses.replace(self, soundfont=path)

    def described(self) -> dict[str, Any]:
        """All settings, the sound font by its file name alone."""
        told = dataclasses.asdict(self)
        told["soundfont"] = self.soundfont and Path(self.soundfont).name
        return {"material": "diverse", **told, "shares": {kind: round(share, 4) for kind, share in self.shares.items()}}


def _generator(seed: tuple[int, int, int], purpose: int) -> np.random.Generator:
    """A generator of a piece; purposes are above 0, since numpy takes a trailing 0 for no number at all."""
    return np.random.default_rng(np.random.SeedSequence((*seed, purpose)))


def _finish(audio: np.ndarray, kind: str, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Width, direct current, and the course of the level."""
    width = float(rng.choice((0.0, 0.5, 1.0, 1.0, 1.0, 1.4)))
    if width != 1.0:
        audio = pan_matrix(0.0, width) @ audio
    audio = high_pass(audio, _DC_HZ, rate_hz)
    if kind == "levels":
        audio = audio * level_curve(audio.shape[1], rate_hz, rng)
    longest_s = 5.0 if rng.random() < 0.25 else 0.02
    return fade(audio, float(rng.uniform(0.005, longest_s)), float(rng.uniform(0.005, longest_s)), rate_hz)


def _spoken(maker: Maker) -> Maker:
    """Speech or song, four times in ten over something else."""

    def make(palette: Palette, n_samples: int, rng: np.random.Generator) -> PaletteSound:
        sound = maker(palette, n_samples, rng)
        if rng.random() < 0.6:
            return sound
        ground = (music, texture, solo, drums)[int(rng.integers(4))](palette, n_samples, rng)
        return over(ground, sound, float(rng.uniform(-3.0, 15.0)))

    return make


def _levels(palette: Palette, n_samples: int, rng: np.random.Generator) -> PaletteSound:
    """Any other kind; its level is cut up when it is finished."""
    makers = [
        maker for kind, maker in MAKERS.items() if kind != "levels" and (palette.has_speech or kind not in _SPOKEN)
    ]
    return makers[int(rng.integers(len(makers)))](palette, n_samples, rng)


MAKERS: dict[str, Maker] = {
    "music": music,
    "solo": solo,
    "dense": dense,
    "drums": drums,
    "texture": texture,
    "speech": _spoken(speech),
    "song": _spoken(song),
    "levels": _levels,
}
"""Maker function of each kind."""
