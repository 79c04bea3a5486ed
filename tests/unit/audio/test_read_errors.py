"""Errors of the disk while a recording is read: the cause in one line, never a shorter recording."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.tiny import tone
from vampnet.audio import integrity
from vampnet.audio.files import AudioReader, read, write
from vampnet.audio.formats import has_ffmpeg
from vampnet.errors import AudioError


class _BadSector(io.FileIO):
    """A file that cannot be read from some byte on, once `armed`."""

    armed = False
    first_bad = 0

    def readinto(self, buffer: Any) -> int:
        if _BadSector.armed and self.tell() + len(buffer) > _BadSector.first_bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().readinto(buffer)


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3", pytest.param("m4a", marks=pytest.mark.skipif(
    not has_ffmpeg(), reason="needs the extra `formats`"))])  # fmt: skip
def test_a_disk_that_cannot_be_read_is_no_short_recording(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"a.{ending}"
    write(path, tone(8.0))
    whole = read(path).samples

    def open_bad(name: Any, *_: Any) -> Any:
        return io.BufferedReader(_BadSector(name), 4096)

    monkeypatch.setattr(integrity, "open", open_bad, raising=False)
    monkeypatch.setattr(_BadSector, "armed", False)
    monkeypatch.setattr(_BadSector, "first_bad", int(0.6 * path.stat().st_size))
    assert read(path).samples.shape == whole.shape
    with AudioReader(path, 4096) as reader, pytest.raises(AudioError, match="input/output error") as told:
        blocks = iter(reader)
        next(blocks)
        monkeypatch.setattr(_BadSector, "armed", True)
        list(blocks)
    assert "\n" not in str(told.value)
    with pytest.raises(AudioError, match="input/output error"):
        read(path)
    assert "Traceback" not in capfd.readouterr().err
