"""Settings of a session of `vampnet live`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vampnet.config import check_settings, setting
from vampnet.tasks.defaults import DEFAULT_PROMPT


@dataclass(frozen=True)
class LiveConfig:
    """Settings of a session."""

    loops: int = setting(4, low=1, high=16)
    """Number of loops, 1 to 16."""
    channels: int = setting(2, low=1, high=2)
    """1 or 2 channels."""
    max_loop: float = setting(60.0, low=1.0, high=120.0)
    """Longest loop, 1 to 120 s."""
    prompt: str = DEFAULT_PROMPT
    """Prompt of variations."""
    bars: int = setting(0, low=0, high=256)
    """Bars that `record` takes, 0 to 256; 0: until it is pressed again."""
    tempo: float = setting(0.0, low=0.0, high=400.0)
    """Tempo at the start, bpm; 0: that of the first loop, of taps or of the clock."""
    ahead: float = setting(0.35, low=0.02, high=5.0)
    """Audio rendered ahead, 0.02 to 5 s: more is safer, less reacts sooner."""
    latency_ms: float = setting(0.0, low=-500.0, high=2000.0)
    """Way of a sound from output to input beyond what the device knows of (--calibrate measures it), ms."""
    hang: float = setting(120.0, low=1.0, high=3600.0)
    """A model that shows no sign of life for so long is replaced, seconds."""

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class SessionFiles:
    """Files and ports of a session; empty or 0 where it has none."""

    loops: tuple[Path, ...] = ()
    """Files that are in the loops at the start."""
    write: Path | None = None
    """The output is recorded here."""
    record: Path | None = None
    """The performance is recorded here, its input beside it."""
    sets: Path = Path("sets")
    """Folder of sets and takes."""
    midi_in: str = ""
    midi_out: str = ""
    midi_map: Path | None = None
    follow: bool = False
    osc_port: int = 0
    osc_reply: int = 8013
    osc_host: str = "127.0.0.1"
