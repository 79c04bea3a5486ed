"""Notes from a sound font through tinysoundfont (MIT), an optional dependency."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from synthcorpus.errors import CompositionError

DEBIAN_SOUNDFONT = "/usr/share/sounds/sf2/FluidR3_GM.sf2"
"""Path of the General MIDI sound font of Debian's package fluid-soundfont-gm (MIT licence)."""

_DRUM_BANK = 128
_CHANNEL = 0
_DRAIN_SAMPLES = 2048
"""Rendered and thrown away after each note: a voice that is switched off fades for some milliseconds."""


class SoundFont:
    """A loaded sound font. Loading takes about a second and 0.3 GiB, so one is kept per process (`load`)."""

    def __init__(self, path: str, sample_rate_hz: int) -> None:
        try:
            import tinysoundfont
        except ImportError as error:
            raise CompositionError(
                "playing a sound font needs tinysoundfont: pip install --no-deps tinysoundfont "
                "(or leave the sound font out, then all instruments are synthesised)"
            ) from error
        if not Path(path).is_file():
            raise CompositionError(
                f"no sound font at {path}; Debian and Ubuntu have one in the package fluid-soundfont-gm "
                f"(apt install fluid-soundfont-gm, then {DEBIAN_SOUNDFONT}), or leave the sound font out"
            )
        self._synth = tinysoundfont.Synth(samplerate=sample_rate_hz)
        try:
            self._id = self._synth.sfload(str(path))
        except RuntimeError as error:
            raise CompositionError(f"{path} cannot be read as a sound font (SF2 or SF3): {error}") from error

    def note(self, program: int, is_drums: bool, pitch: int, velocity: int, n_samples: int) -> np.ndarray:
        """One held note, float32 (2, n_samples); silence where the font has nothing for the pitch."""
        synth = self._synth
        bank = _DRUM_BANK if is_drums else 0
        try:
            synth.program_select(_CHANNEL, self._id, bank, program, is_drums)
        except RuntimeError:  # a font without this kit or program: its first one
            synth.program_select(_CHANNEL, self._id, bank, 0, is_drums)
        synth.noteon(_CHANNEL, int(pitch), int(velocity))
        audio = np.frombuffer(synth.generate(n_samples), dtype=np.float32).reshape(-1, 2).T
        synth.sounds_off()
        synth.generate(_DRAIN_SAMPLES)
        return np.ascontiguousarray(audio)


@lru_cache(maxsize=1)
def load(path: str, sample_rate_hz: int) -> SoundFont:
    """The sound font of this process."""
    return SoundFont(path, sample_rate_hz)


class SoundFontVoice:
    """One program or kit of a sound font as a voice."""

    def __init__(self, font: SoundFont, program: int, is_drums: bool, release_s: float) -> None:
        self._font = font
        self._program = program
        self._is_drums = is_drums
        self.release_s = 0.05 if is_drums else release_s
        self.one_shot_s = 1.4 if is_drums else 0.0
        self.layers = (40, 75, 105) if is_drums else (60, 100)

    def note(self, pitch: int, velocity: int, n_samples: int) -> np.ndarray:
        """One held note, float32 (2, n_samples)."""
        return self._font.note(self._program, self._is_drums, pitch, velocity, n_samples)
