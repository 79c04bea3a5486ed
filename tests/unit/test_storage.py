"""Files read with a limit and written whole: errors of one line, left-over files, locks."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from vampnet.errors import BundleError, StorageError
from vampnet.storage import (
    cause,
    guarded,
    locked,
    make_folder,
    open_regular,
    parse_json,
    read_bytes,
    read_json,
    sha256_of_file,
    table_cell,
    whole_file,
    write_whole,
)
from vampnet.work_folders import scratch_folder, whole_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_whole_with_the_permissions_of_a_new_file(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.txt", "one")
    write_whole(tmp_path / "a.txt", b"two")
    (tmp_path / "plain").touch()
    assert (tmp_path / "a.txt").read_text() == "two" and names(tmp_path) == ["a.txt", "plain"]
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_failure_inside_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.txt", "old")
    with pytest.raises(RuntimeError), whole_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert (tmp_path / "a.txt").read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_a_full_disk_is_one_line_with_the_hint_and_other_errors_have_none(tmp_path: Path) -> None:
    said = r"cannot write '.*a\.txt': no space left on device; free some disk space$"
    with pytest.raises(BundleError, match=said), whole_file(tmp_path / "a.txt", BundleError):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "free" not in cause(OSError(errno.EACCES, "Permission denied")) and names(tmp_path) == []
    assert cause(ValueError("two\nlines")) == "two lines"


@pytest.mark.parametrize("place", ["missing/a.txt", ".", "a\0b"])
def test_places_that_cannot_be_written_are_one_line(tmp_path: Path, place: str) -> None:
    with pytest.raises(StorageError) as caught:
        write_whole(tmp_path / place, "x")
    assert "\n" not in str(caught.value) and str(caught.value).startswith("cannot write ")


def test_a_failed_replace_removes_the_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StorageError, match=r"operation not permitted$"):
        write_whole(tmp_path / "a.txt", "x")
    assert names(tmp_path) == []


def test_what_a_killed_writer_left_is_removed_by_the_next_and_a_living_ones_is_not(tmp_path: Path) -> None:
    script = (
        "import os, sys; from vampnet.storage import whole_file\n"
        "with whole_file(sys.argv[1]) as temporary: temporary.write_text('half'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.txt")], check=False)
    assert len(names(tmp_path)) == 1
    with whole_file(tmp_path / "a.txt") as first:
        assert names(tmp_path) == [first.name]
        write_whole(tmp_path / "a.txt", "second")
        assert first.exists()
        first.write_text("first")
    assert (tmp_path / "a.txt").read_text() == "first" and names(tmp_path) == ["a.txt"]


def test_a_folder_is_held_by_one_process(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "run"),
        pytest.raises(StorageError, match="another process works on this run folder"),
        locked(tmp_path / "run", what="run folder"),
    ):
        pass
    with locked(tmp_path / "run"):
        pass


def test_a_folder_is_replaced_whole_and_left_over_work_is_removed(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "b") as scratch:
        (scratch / "one").write_text("1")
    assert names(tmp_path) == ["b"] and names(tmp_path / "b") == ["one"]
    with pytest.raises(StorageError, match="cannot write"), whole_folder(tmp_path / "b") as scratch:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert names(tmp_path) == ["b"] and names(tmp_path / "b") == ["one"]
    script = (
        "import os, sys; from vampnet.work_folders import whole_folder\n"
        "with whole_folder(sys.argv[1]) as scratch: (scratch / 'x').touch(); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "b")], check=False)
    assert len(names(tmp_path)) == 2
    with whole_folder(tmp_path / "b") as scratch:
        (scratch / "two").write_text("2")
    assert names(tmp_path) == ["b"] and names(tmp_path / "b") == ["two"]


def test_a_folder_that_a_killed_writer_moved_away_is_put_back(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "b") as scratch:
        (scratch / "one").write_text("1")
    script = (
        "import os, sys; from vampnet import work_folders\n"
        "work_folders.sync_folder = lambda folder: None; replace, n = os.replace, []\n"
        "def once(*names):\n    n.append(1); len(n) > 1 and os._exit(9); replace(*names)\n"
        "os.replace = once\n"
        "with work_folders.whole_folder(sys.argv[1]) as scratch: (scratch / 'two').touch()"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "b")], check=False)
    assert not (tmp_path / "b").exists() and len(names(tmp_path)) == 2
    with pytest.raises(KeyError), whole_folder(tmp_path / "b"):
        assert names(tmp_path / "b") == ["one"]
        raise KeyError
    assert names(tmp_path) == ["b"] and names(tmp_path / "b") == ["one"]


def test_temporary_folders_of_killed_processes_are_removed_and_those_of_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    script = (
        "import os, sys, tempfile; tempfile.tempdir = sys.argv[1]; from vampnet.work_folders import scratch_folder\n"
        "with scratch_folder() as folder: (folder / 'x').touch(); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    other = tmp_path / "other"
    other.mkdir()
    (other / ".lock").touch()
    (tmp_path / f".vampnet.{'0' * 12}.work").symlink_to(other)
    with scratch_folder() as first, scratch_folder() as second:
        assert first.is_dir() and second.is_dir() and len(names(tmp_path)) == 4
    assert len(names(tmp_path)) == 2 and names(other) == [".lock"]


def test_too_many_open_files_say_what_to_do() -> None:
    assert cause(OSError(errno.EMFILE, "Too many open files")).endswith(
        "allow more open files (ulimit -n), or do less at once"
    )


def test_pipes_and_folders_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "missing"):
        with pytest.raises(StorageError, match="cannot read"):
            open_regular(tmp_path / name)


def test_a_file_with_too_many_bytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(11))
    assert len(read_bytes(tmp_path / "a", most=11)) == 11
    with pytest.raises(StorageError, match="more than 10 bytes"):
        read_bytes(tmp_path / "a", most=10)
    assert sha256_of_file(tmp_path / "a").startswith("71b6c1d5")


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 2}', "NaN", "-Infinity", "[" * 100_000, "1" * 5000, '{"a": 1', "\xff"], ids=repr
)
def test_json_is_strict(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(StorageError, match="damaged, not valid JSON"):
        read_json(tmp_path / "a.json")
    assert parse_json('{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match="cannot make folder"):
        make_folder(tmp_path / "file" / "below", BundleError)
    with pytest.raises(KeyError), guarded(tmp_path):
        raise KeyError


def test_cells_that_begin_a_formula_are_text() -> None:
    assert [table_cell(text) for text in ("=1+1", "@x", "-a")] == ["'=1+1", "'@x", "'-a"]
    assert [table_cell(value) for value in ("a=1", -1.5, "")] == ["a=1", -1.5, ""]
