"""Audio files below folders, and what a user names as inputs: files, folders and patterns.

Nothing vanishes without a word: what is left out is told with the reason.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vampnet.audio.formats import BY_ENDING, EXTRA, FORMATS, has_ffmpeg
from vampnet.errors import AudioError, CorpusError

ENDINGS = tuple(one.ending for one in FORMATS)
"""Endings of the files that folders are searched for."""
_MOST_NAMES = 5


@dataclass(frozen=True)
class LeftOut:
    """A file that is not taken, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class FileList:
    """Audio files, sorted, and what was found beside them."""

    files: tuple[Path, ...]
    left_out: tuple[LeftOut, ...] = ()

    def describe(self) -> list[str]:
        """Lines for the user: how many files, then what is left out, by reason."""
        lines = ["1 file" if len(self.files) == 1 else f"{len(self.files)} files"]
        reasons: dict[str, list[str]] = {}
        for one in self.left_out:
            reasons.setdefault(one.reason, []).append(one.path.name)
        for reason, names in reasons.items():
            more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
            lines.append(f"left out: {', '.join(names[:_MOST_NAMES])}{more} ({reason})")
        return lines


def list_audio(folder: str | Path) -> FileList:
    """The audio files below a folder. Hidden files and folders do not count. Raises CorpusError if it is no folder."""
    root = Path(folder)
    if not root.is_dir():
        raise CorpusError(f"{root}: no such folder of audio")
    files, left_out = [], []
    for path in sorted(root.rglob("*")):
        if path.is_dir() or any(part.startswith(".") for part in path.relative_to(root).parts):
            continue
        reason = _reason_against(path)
        if reason:
            left_out.append(LeftOut(path, reason))
        else:
            files.append(path)
    return FileList(tuple(files), tuple(left_out))


def audio_files_in(folder: str | Path) -> list[Path]:
    """Audio files below a folder, sorted. Raises CorpusError when there are none."""
    found = list_audio(folder)
    if not found.files:
        told = "".join(f"; {line}" for line in found.describe()[1:])
        endings = ", ".join(one.ending for one in FORMATS if has_ffmpeg() or not one.needs_ffmpeg)
        raise CorpusError(f"{folder}: holds no audio files ({endings}){told}")
    return list(found.files)


def expand_inputs(inputs: Sequence[str | os.PathLike[str]], folders: bool = True) -> FileList:
    """Files that a user's inputs name: files as they are, all audio below folders, and what patterns match.

    A name that is there is never taken for a pattern. Files count once. Raises AudioError for a pattern that matches
    nothing, and for a folder without audio; with `folders` False folders are handed on as they are.
    """
    files: dict[Path, None] = {}
    left_out: list[LeftOut] = []
    for given in inputs:
        text = os.fspath(given)
        found = [text]
        if not os.path.lexists(text) and glob.has_magic(text):
            found = sorted(glob.glob(text, recursive=True))
            if not found:
                raise AudioError(f"no file matches the pattern {text!r}")
        for name in found:
            path = Path(name)
            if not (folders and path.is_dir()):
                files[path] = None
                continue
            below = list_audio(path)
            if not below.files:
                raise AudioError("; ".join([f"{path}: holds no audio files", *below.describe()[1:]]))
            files |= dict.fromkeys(below.files)
            left_out += below.left_out
    return FileList(tuple(files), tuple(left_out))


def list_left_out(left_out: Iterable[LeftOut]) -> list[dict[str, str]]:
    """Files that are left out, for JSON."""
    return [{"file": str(one.path), "reason": one.reason} for one in left_out]


def _reason_against(path: Path) -> str:
    """Why a file below a folder is not taken; empty if it is."""
    one = BY_ENDING.get(path.suffix.lower())
    if one is None:
        return f"{path.suffix} is no ending of an audio file" if path.suffix else "no ending tells what it is"
    if one.needs_ffmpeg and not has_ffmpeg():
        return f"{one.ending} needs an extra: {EXTRA}"
    return "" if path.is_file() else "not a regular file"
