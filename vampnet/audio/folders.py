"""Audio files below a folder."""

from __future__ import annotations

from pathlib import Path

from vampnet.errors import CorpusError

ENDINGS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif")


def audio_files_in(folder: str | Path) -> list[Path]:
    """Audio files below a folder, sorted. Raises CorpusError when there are none."""
    root = Path(folder)
    if not root.is_dir():
        raise CorpusError(f"{root}: no such folder of audio")
    files = sorted(p for p in root.rglob("*") if p.suffix.lower() in ENDINGS and not p.name.startswith("."))
    if not files:
        raise CorpusError(f"{root}: holds no audio files ({', '.join(ENDINGS)})")
    return files
