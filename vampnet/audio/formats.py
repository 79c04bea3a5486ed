"""Audio formats by file ending: the one list for reading, writing and folders."""

from __future__ import annotations

import functools
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from vampnet.errors import DependencyError

EXTRA = "pip install 'vampnet[formats]'"
"""Command that installs support for formats that libsndfile does not know."""


@dataclass(frozen=True)
class AudioFormat:
    """A file ending and what can be done with it."""

    ending: str
    container: str
    """libsndfile's name of the container, or FFmpeg's in capitals."""
    subtype: str = ""
    """Coding of the samples when written, the default; empty: it cannot be written."""
    needs_ffmpeg: bool = False
    """It takes the extra "formats" (PyAV)."""


FORMATS = (
    AudioFormat(".wav", "WAV", "PCM_24"),
    AudioFormat(".flac", "FLAC", "PCM_24"),
    AudioFormat(".aif", "AIFF", "PCM_24"),
    AudioFormat(".aiff", "AIFF", "PCM_24"),
    AudioFormat(".aifc", "AIFF", "PCM_24"),
    AudioFormat(".ogg", "OGG", "VORBIS"),
    AudioFormat(".oga", "OGG", "VORBIS"),
    AudioFormat(".opus", "OGG", "OPUS"),
    AudioFormat(".mp3", "MP3", "MPEG_LAYER_III"),
    AudioFormat(".caf", "CAF", "PCM_24"),
    AudioFormat(".au", "AU", "PCM_24"),
    AudioFormat(".snd", "AU", "PCM_24"),
    AudioFormat(".w64", "W64", "PCM_24"),
    AudioFormat(".rf64", "RF64", "PCM_24"),
    AudioFormat(".wave", "WAV", "PCM_24"),
    AudioFormat(".bwf", "WAV", "PCM_24"),
    AudioFormat(".bw64", "BW64"),
    AudioFormat(".m4a", "M4A", "AAC", needs_ffmpeg=True),
    *(
        AudioFormat(ending, ending[1:].upper(), needs_ffmpeg=True)
        for ending in (".mp4", ".m4b", ".m4v", ".mov", ".webm", ".mkv", ".mka", ".wma", ".aac", ".3gp", ".ac3", ".avi")
    ),
    *(
        AudioFormat(ending, ending[1:].upper(), needs_ffmpeg=True)
        for ending in (".ape", ".wv", ".tta", ".amr", ".weba")
    ),
)
"""Every ending that is taken for audio."""

BY_ENDING = {one.ending: one for one in FORMATS}
ENDINGS = {one.ending: (one.container, one.subtype) for one in FORMATS if one.subtype and not one.needs_ffmpeg}
"""File endings that can be written without an extra: libsndfile's format and the default subtype."""
M4A_SUBTYPES = ("AAC", "ALAC")


@functools.lru_cache(maxsize=1)
def has_ffmpeg() -> bool:
    """Whether the extra "formats" is installed."""
    return importlib.util.find_spec("av") is not None


def require_ffmpeg(what: str) -> None:
    """DependencyError saying that `what` needs the extra "formats", unless it is there."""
    if not has_ffmpeg():
        raise DependencyError(f"{what} needs the extra 'formats' ({EXTRA})")


def output_ending(path: str | os.PathLike[str]) -> str:
    """Ending of an output that takes after an input: the same if it can be written here, else .wav."""
    ending = Path(path).suffix
    one = BY_ENDING.get(ending.lower())
    return ending if one is not None and one.subtype and (has_ffmpeg() or not one.needs_ffmpeg) else ".wav"
