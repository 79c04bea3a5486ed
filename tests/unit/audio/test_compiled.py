"""Where numba's cache goes when neither librosa's folder nor the home can be written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from vampnet.audio import compiled

pytestmark = pytest.mark.skipif(not hasattr(os, "getuid"), reason="folders have no owners here")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    return tmp_path


def test_cache_stays_where_it_can_be_written(temporary: Path) -> None:
    assert compiled._cache_folder() is not None and "NUMBA_CACHE_DIR" not in os.environ


def test_cache_of_a_read_only_system_is_temporary(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    can_write = compiled._can_write
    monkeypatch.setattr(compiled, "_can_write", lambda folder: temporary in folder.parents and can_write(folder))
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")  # taken back after the test
    placed = compiled._cache_folder()
    assert placed is not None and str(placed) == os.environ["NUMBA_CACHE_DIR"]
    assert placed.parent == temporary and placed.stat().st_mode & 0o077 == 0
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    assert compiled._cache_folder() == placed  # found again by the next process
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/nowhere/mine")
    assert compiled._cache_folder() is None and os.environ["NUMBA_CACHE_DIR"] == "/nowhere/mine"


def test_a_filled_cache_is_marked_and_needs_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = compiled._mark()
    assert mark is not None and mark.exists()  # this process has imported librosa
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    other = compiled._mark()
    assert other is not None and other.name == mark.name and not other.exists()


def test_a_folder_that_others_may_write_is_not_trusted(temporary: Path) -> None:
    planted = temporary / f"vampnet-numba-{os.getuid()}"
    planted.mkdir()
    planted.chmod(0o777)
    chosen = Path(compiled._temporary_cache())
    assert chosen != planted and chosen.stat().st_mode & 0o077 == 0
    planted.rmdir()
    planted.symlink_to(chosen)
    assert Path(compiled._temporary_cache()) != planted


def test_a_folder_that_cannot_be_made_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert not compiled._can_write(tmp_path / "file" / "cache") and compiled._can_write(tmp_path / "cache")
