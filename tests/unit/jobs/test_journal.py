"""The journal of windows: what comes back, cut tails, flipped bits, other jobs, other shapes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from vampnet.errors import AudioError, SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.generation.run import Stage, WindowRequest
from vampnet.jobs.journal import FACTS, WINDOWS, WindowJournal, journal_folder, part_path

NETWORK: Any = SimpleNamespace(config=SimpleNamespace(n_codebooks=2))
JOB = {"input": "a" * 64, "steps": 4, "prompt": "periodic(7)", "beats": {"bpm": 90.0}}
SHAPE = (2, 3, 5)


def window(shape: tuple[int, int, int] = SHAPE) -> WindowRequest:
    codes_BCT = torch.zeros(shape, dtype=torch.int64)
    keep_BCT = torch.zeros(shape, dtype=torch.bool)
    return WindowRequest(Stage("coarse", NETWORK, 2, 5, 0), 0, codes_BCT, keep_BCT, (0,) * shape[0], SamplingConfig())


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Closes the journals of a test at its end."""
    made, init = list[WindowJournal](), WindowJournal.__init__

    def note(journal: WindowJournal, *arguments: Any, **options: Any) -> None:
        init(journal, *arguments, **options)
        made.append(journal)

    monkeypatch.setattr(WindowJournal, "__init__", note)
    yield
    for journal in made:
        journal.close()


def codes(k: int) -> Tensor:
    return torch.randint(0, 65536, SHAPE, generator=torch.Generator().manual_seed(k))


def filled(output: Path, n: int = 3, facts: dict[str, Any] = JOB) -> WindowJournal:
    journal = WindowJournal(output, facts)
    for k in range(n):
        journal.record(k % 2, k // 2, codes(k))
    journal.close()
    return journal


def held(journal: WindowJournal) -> list[bool]:
    return [journal.recall(k % 2, k // 2, window()) is not None for k in range(3)]


def test_what_was_recorded_comes_back(tmp_path: Path) -> None:
    output = tmp_path / "o.wav"
    journal = WindowJournal(output, JOB)
    assert [p.name for p in journal.path.iterdir()] == [".lock"]  # nothing else before there is work to keep
    for k in range(3):
        assert journal.recall(k % 2, k // 2, window()) is None
        journal.record(k % 2, k // 2, codes(k))
    journal.close()
    again = WindowJournal(output, JOB, resume=True)
    assert again.n_records == 3 and again.recall(7, 0, window()) is None and again.recall(0, 9, window()) is None
    for k in (2, 0, 1):
        assert torch.equal(again.recall(k % 2, k // 2, window()), codes(k))  # type: ignore[arg-type]
    again.record(5, 5, codes(9))  # and it goes on after reading from the middle
    again.close()
    assert torch.equal(WindowJournal(output, JOB, resume=True).recall(5, 5, window()), codes(9))  # type: ignore[arg-type]
    assert sorted(p.name for p in journal.path.iterdir()) == [".lock", FACTS, WINDOWS]


@pytest.mark.parametrize("missing", [1, 30, 87])
def test_a_cut_tail_is_filled_again(tmp_path: Path, missing: int) -> None:
    """A process that ends while it writes leaves a part of the last record."""
    output = tmp_path / "o.wav"
    place = filled(output).path / WINDOWS
    whole = place.read_bytes()
    place.write_bytes(whole[:-missing])
    journal = WindowJournal(output, JOB, resume=True)
    assert journal.n_records == 2 and held(journal) == [True, True, False]
    journal.record(0, 1, codes(2))
    journal.close()
    assert place.read_bytes() == whole


@pytest.mark.parametrize("record", [0, 1, 2])
@pytest.mark.parametrize("byte", [0, 6, 10, 18, 22, 25, 28, 60])
def test_a_flipped_bit_is_noticed(tmp_path: Path, record: int, byte: int) -> None:
    """In the magic, the numbers, the shape, the checksum or the codes: that record and those after it are lost."""
    output = tmp_path / "o.wav"
    place = filled(output).path / WINDOWS
    data = bytearray(place.read_bytes())
    data[record * len(data) // 3 + byte] ^= 0x10
    place.write_bytes(data)
    journal = WindowJournal(output, JOB, resume=True)
    assert held(journal) == [k < record for k in range(3)] and journal.n_records == record


def test_bytes_that_are_no_journal_are_no_work(tmp_path: Path) -> None:
    output = tmp_path / "o.wav"
    (filled(output).path / WINDOWS).write_bytes(b"\xff" * 1000)
    assert WindowJournal(output, JOB, resume=True).n_records == 0


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"steps": 5}, "its steps is 5 now and was 4"),
        ({"input": "b" * 64}, "its input is another now"),
        ({"prompt": "nothing"}, r"its prompt is nothing now and was periodic\(7\)"),
        ({"seed": 3}, "its seed is 3 now and was the default"),
    ],
)
def test_work_of_another_job_is_refused(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    output = tmp_path / "o.wav"
    before = filled(output)
    with pytest.raises(SettingsError, match=rf"o\.wav: cannot be resumed, {words}.*--resume"):
        WindowJournal(output, {**JOB, **changed}, resume=True)
    assert WindowJournal(output, JOB, resume=True).n_records == 3  # a refusal costs nothing
    assert before.path.exists()


def test_facts_that_were_left_out_since_are_a_difference(tmp_path: Path) -> None:
    output = tmp_path / "o.wav"
    filled(output, facts={**JOB, "bars": 2})
    with pytest.raises(SettingsError, match="its bars is the default now and was 2"):
        WindowJournal(output, JOB, resume=True)


def test_facts_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    output = tmp_path / "o.wav"
    facts = filled(output).path / FACTS
    for text in ("[]", "{", ""):
        facts.write_text(text)
        with pytest.raises(SettingsError, match=r"job\.json"):
            WindowJournal(output, JOB, resume=True)


def test_windows_of_another_shape_are_refused(tmp_path: Path) -> None:
    output = tmp_path / "o.wav"
    filled(output)
    with pytest.raises(SettingsError, match=r"o\.wav: what was kept does not fit.*--resume"):
        WindowJournal(output, JOB, resume=True).recall(0, 0, window((1, 3, 5)))


def test_without_resume_old_work_goes(tmp_path: Path) -> None:
    output = tmp_path / "o.wav"
    filled(output)
    journal = WindowJournal(output, {**JOB, "steps": 9})
    assert journal.n_records == 0 and [p.name for p in journal.path.iterdir()] == [".lock"]
    journal.close()
    assert not list(tmp_path.iterdir())
    assert WindowJournal(output, JOB, resume=True).n_records == 0  # and nothing to go on with is no error


def test_a_journal_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    journal_folder(tmp_path / "o.wav").write_text("a file in the folder's place")
    with pytest.raises(AudioError, match=r"o\.wav\.vampnet"):
        WindowJournal(tmp_path / "o.wav", JOB)


def test_two_jobs_on_one_output_do_not_meet(tmp_path: Path) -> None:
    first = WindowJournal(tmp_path / "o.wav", JOB)
    first.record(0, 0, codes(0))
    for resume in (False, True):
        with pytest.raises(AudioError, match=r"o\.wav: another process works on this output; wait for it, or choose"):
            WindowJournal(tmp_path / "o.wav", JOB, resume=resume)
    assert WindowJournal(tmp_path / "p.wav", JOB).n_records == 0
    first.close()
    assert WindowJournal(tmp_path / "o.wav", JOB, resume=True).n_records == 1


def test_names_beside_the_output() -> None:
    assert journal_folder(Path("x/song.wav")) == Path("x/.song.wav.vampnet")
    assert part_path(Path("x/song.wav")) == Path("x/song.part.wav")
    assert len(journal_folder(Path("n" * 251 + ".wav")).name.encode()) < 255


def test_facts_are_plain_data_on_disk(tmp_path: Path) -> None:
    journal = filled(tmp_path / "o.wav", facts={**JOB, "lora": ("a.safetensors:0.5",)})
    assert json.loads((journal.path / FACTS).read_text())["lora"] == ["a.safetensors:0.5"]
    WindowJournal(tmp_path / "o.wav", {**JOB, "lora": ["a.safetensors:0.5"]}, resume=True)
