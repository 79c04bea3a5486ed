"""Sets: saved whole or not at all, and refused with the cause where they are damaged or of another version."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.looper import do, looper, noise
from vampnet.apps.live import sets
from vampnet.apps.live.looper import MadeVariation
from vampnet.apps.live.sets import SET_FILE, capture_set, load_set, restore_set, save_set
from vampnet.audio.files import write
from vampnet.audio.samples import Audio
from vampnet.errors import StorageError, VampnetError


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A set of one loop with a variation."""
    core = looper()
    core.load(1, noise(4000), bars=2)
    core.grid.beat = 500.0
    do(core, "next")
    asked = core.ask()
    assert asked is not None
    core.offer(MadeVariation(asked.number, noise(4000, 5), np.ones((1, 6, 10), np.int32), np.ones((6, 10), bool)))
    core.render(np.zeros((1, 8000), np.float32))
    save_set(capture_set(core), tmp_path / "set")
    return tmp_path / "set"


def change(**changes) -> Callable[[Path], object]:
    def act(folder: Path) -> None:
        data = json.loads((folder / SET_FILE).read_text())
        (folder / SET_FILE).write_text(json.dumps(data | changes))

    return act


def change_loop(**changes) -> Callable[[Path], object]:
    def act(folder: Path) -> None:
        data = json.loads((folder / SET_FILE).read_text())
        data["loops"][0] |= changes
        (folder / SET_FILE).write_text(json.dumps(data))

    return act


OWN = {"selected": 1, "swap_unit": "loop", "record_bars": 0, "countin": 1, "click_mode": 1}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / SET_FILE).write_text("["), "not valid JSON"),
        (lambda folder: (folder / SET_FILE).write_text("[1]"), "damaged"),
        (lambda folder: (folder / SET_FILE).unlink(), "no such file"),
        (change(version=2), "version 2, but this program reads version 1"),
        (change(sample_rate_hz=0), "sample_rate_hz"),
        (change(sample_rate_hz="fast"), "sample_rate_hz"),
        (change(beat=-1), "beat"),
        (change(beats_per_bar=0), "beats"),
        (change(own=OWN | {"swap_unit": "soon"}), "unit"),
        (change(own=OWN | {"click_mode": 9}), "mode"),
        (change(own={}), "damaged"),
        (change(loops={}), ""),
        (change_loop(number=9), "start with --loops 9"),
        (change_loop(gain_db=99), "db"),
        (change_loop(takes=[]), "takes"),
        (change_loop(recipe={"prompt": "periodic(7)", "sampling": {"older": 1}}), "older"),
        (change_loop(recipe={"prompt": "periodic(", "sampling": {}}), "prompt"),
        (lambda folder: (folder / "loop-1-0.wav").write_bytes(b"RIFF"), "loop-1-0.wav"),
        (lambda folder: (folder / "loop-1-1.wav").unlink(), "loop-1-1.wav"),
        (lambda folder: write(folder / "loop-1-1.wav", Audio(noise(3000), 8000)), "different lengths"),
        (lambda folder: write(folder / "loop-1-0.wav", Audio(noise(800), 8000)), "0.10 s"),
        (lambda folder: (folder / "loop-1-1.npz").write_bytes(b"PK\x03\x04 not at all"), "loop-1-1.npz is damaged"),
        (lambda folder: (folder / "loop-1-1.npz").write_bytes(b""), "loop-1-1.npz is damaged"),
        (lambda folder: np.savez(folder / "loop-1-1.npz", codes=np.ones(3)), "codes has 1 axes"),
        (lambda folder: np.savez(folder / "loop-1-1.npz", codes=np.array([object()])), "loop-1-1.npz is damaged"),
    ],
)
def test_damaged_sets_are_refused_with_the_cause(damage, said: str, saved: Path) -> None:
    damage(saved)
    core = looper()
    if said:
        with pytest.raises(VampnetError, match=said) as caught:
            load_set(saved, core.config)
        assert "\n" not in str(caught.value)
    else:
        restore_set(core, load_set(saved, core.config))


def test_saving_leaves_a_whole_set_and_no_other_files_go(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sets.digest_of_set(saved)
    core = looper()
    core.load(1, noise(8000, 3))
    core.load(2, noise(8000, 4))

    def fail(path, *_) -> None:
        if "loop-2" in str(path):
            raise StorageError("the disk is full")
        write(path, *_)

    monkeypatch.setattr(sets, "write", fail)
    with pytest.raises(StorageError):
        save_set(capture_set(core), saved)
    assert sets.digest_of_set(saved) == before and len(list(saved.parent.iterdir())) == 1
    monkeypatch.undo()
    save_set(capture_set(core), saved)
    assert sorted(p.name for p in saved.glob("*.wav")) == ["loop-1-0.wav", "loop-2-0.wav"]
    (saved.parent / "mine").mkdir()
    (saved.parent / "mine" / "song.wav").write_bytes(b"mine")
    with pytest.raises(StorageError, match="choose another name"):
        save_set(capture_set(core), saved.parent / "mine")
    assert (saved.parent / "mine" / "song.wav").read_bytes() == b"mine"


def test_a_set_of_a_looper_with_more_loops_selects_one_that_is_there(saved: Path) -> None:
    change(own=OWN | {"selected": 4})(saved)
    small = looper(n_loops=2)
    restore_set(small, load_set(saved, small.config))
    assert small.selected == 2 and small.track(0).number == 2
