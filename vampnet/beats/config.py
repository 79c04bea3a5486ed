"""Settings of beat tracking, and beats that are given."""

from __future__ import annotations

from dataclasses import dataclass

from vampnet.config import check, check_settings, setting
from vampnet.errors import SettingsError

MAX_BEATS = 50_000
"""Most times of beats in a request."""


@dataclass(frozen=True)
class BeatsConfig:
    """Beats for prompts and bars that follow them: tracked, given, read from a file, or even ones at a tempo."""

    tracker: str = setting("", flag="beat-tracker")
    """Beat tracker: learned (default), librosa, or a Beat This checkpoint (.ckpt)."""
    file: str = setting("", flag="beats")
    """File of beat times: JSON, or lines of TIME [NUMBER IN THE BAR]."""
    bpm: float | None = setting(None, low=10.0, high=1000.0)
    """Even beats at this tempo, 10 to 1000, instead of tracked ones."""
    downbeat_s: float = setting(0.0, low=-3600.0, high=1e6, flag="downbeat")
    """With a tempo: where a bar begins, seconds."""
    beats_per_bar: int = setting(4, low=1, high=64)
    """With a tempo: beats in a bar, 1 to 64."""
    beats_s: tuple[float, ...] = setting((), flag="beat")
    """Times of the beats themselves, seconds, in any order."""
    downbeats_s: tuple[float, ...] = setting((), flag="bar-start")
    """Given beats that begin a bar, seconds; without any, bars are looked for in the audio."""

    def __post_init__(self) -> None:
        check_settings(self, "beats.")
        given = [name for name in ("tracker", "file", "beats_s", "bpm") if getattr(self, name) not in ("", None, ())]
        if len(given) > 1:
            raise SettingsError(f"beats.{given[0]} and beats.{given[1]} both say where beats are; give one of them")
        self._check_times()
        if self.bpm is None and (self.downbeat_s != 0 or self.beats_per_bar != 4):
            raise SettingsError(
                "beats.downbeat_s and beats.beats_per_bar say where the beats of a tempo lie; give `bpm` too"
            )

    def _check_times(self) -> None:
        if len(self.beats_s) > MAX_BEATS:
            raise SettingsError(f"beats.beats_s has {len(self.beats_s)} times, but at most {MAX_BEATS} can be given")
        for time_s in self.beats_s:
            check("beats.beats_s", time_s, 0.0, 1e6)
        if stray := sorted(set(self.downbeats_s) - set(self.beats_s)):
            raise SettingsError(f"beats.downbeats_s has {stray[0]:g}, which is none of the beats; add it to `beats_s`")
