"""Performances and cues of strangers: every value is bounded, every refusal is one line."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.looper import noise
from vampnet.apps.cli.main import main
from vampnet.apps.live import sets
from vampnet.apps.live.performance import PerformanceRecord, replay
from vampnet.audio.files import write
from vampnet.audio.samples import Audio
from vampnet.errors import SettingsError, VampnetError

LOOPER = {"sample_rate_hz": 8000, "channels": 1, "delay": 256}


def record(folder: Path, **changes: Any) -> Path:
    good = {"version": 1, "looper": LOOPER, "model": {}, "model_id": "", "n_samples": 400, "entries": []}
    (folder / "show.json").write_text(json.dumps(good | changes))
    return folder / "show.json"


@pytest.mark.parametrize(
    "changes",
    [
        *({"looper": LOOPER | wrong} for wrong in ({"sample_rate_hz": 10**9}, {"channels": 10**9}, {"n_loops": 10**9})),
        *({"looper": LOOPER | wrong} for wrong in ({"delay": 10**12}, {"max_loop_s": 1e9}, {"latency": "x"})),
        *({"n_samples": n} for n in (10**18, -1, None, "many")),
        *({"entries": entries} for entries in (5, [5], [[]], [[10**18, "ask"]], [["x", "ask"]], [[-1, "ask"]])),
    ],
    ids=str,
)
def test_a_performance_out_of_bounds_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert PerformanceRecord.load(record(tmp_path)).n_samples == 400
    with pytest.raises(SettingsError) as told:
        PerformanceRecord.load(record(tmp_path, **changes))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "entry",
    [
        *([1], [1, "do"], [1, "do", None, "gain", "x"], [1, "do", 0, "no such"], [1, "load", 1]),
        *([1, "load", 1, "/dev/zero", "", 0], [1, "recall", 5, ""], [1, "offer"], [1, "offer", 3, ""]),
    ],
    ids=str,
)
def test_damaged_entries_of_a_performance_are_one_line(tmp_path: Path, entry: list[Any]) -> None:
    found, silence = PerformanceRecord.load(record(tmp_path, entries=[entry])), np.zeros((1, 4096), np.float32)
    try:
        replay(found, lambda n: silence[:, :n], lambda request: pytest.fail(), lambda block: None)
    except VampnetError as error:
        assert "\n" not in str(error)


def test_arrays_that_unpack_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "_MOST_BYTES", 1 << 19)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("codes.npy", bytes(1 << 20))
    with pytest.raises(SettingsError, match="unpack"):
        sets._load_tokens(tmp_path / "a.npz")


def test_moments_of_cues_and_rates_are_bounded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cues = tmp_path / "cues.txt"
    write(tmp_path / "in.wav", Audio(noise(8000, 0, 1), 8000))
    line = ["live", "--simulate", "0.1", "--no-variation", "--input", str(tmp_path / "in.wav")]
    line += ["--write", str(tmp_path / "x.wav"), "--cues", str(cues)]
    for moment in ("nan", "1e400", "-1", "86401", "x"):
        cues.write_text(f"{moment} vary 1\n")
        assert main(line) == 2 and "line 1" in capsys.readouterr().err
    cues.write_bytes(b"\xff\xfe")
    assert main(line) == 2 and "not a text file" in capsys.readouterr().err
    assert main([*line[:-2], "--rate", "999999999"]) == 2 and "--rate" in capsys.readouterr().err
