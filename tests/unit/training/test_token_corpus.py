"""Corpora as tokens: the pieces that a corpus of audio would hold, resumed to the byte, in versions that differ."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthcorpus.corpus import write_corpus
from synthcorpus.errors import CompositionError
from tests.support.tiny import CODEC, tiny_codec
from tests.support.trials import trial
from vampnet.apps.cli.main import main
from vampnet.errors import CorpusError
from vampnet.models.bundle import load_codec, save_bundle
from vampnet.training.data import token_corpus
from vampnet.training.data.token_corpus import TokenCorpus, speed_of, write_token_corpus
from vampnet.training.data.token_dataset import open_tokens
from vampnet.training.data.token_shards import tokenize_folder

HOURS = 14.0 / 3600


@dataclasses.dataclass(frozen=True)
class Tones:
    """Pieces of a second, a tone of two channels each, with a beat in the middle."""

    sample_rate_hz: int = CODEC.sample_rate_hz
    soundfont: str | None = None

    def n_samples(self, split: str, seed: int, index: int) -> int:
        return self.sample_rate_hz

    def make(self, split: str, seed: int, index: int) -> tuple[np.ndarray, dict[str, Any]]:
        time_s = np.arange(self.sample_rate_hz) / self.sample_rate_hz
        tone = np.stack([np.sin(2 * np.pi * hz * time_s) for hz in (220 + 40 * index, 300 + 40 * index)])
        return (0.3 * tone).astype(np.float32), {"beats": [0.5], "loudness_lufs": -20.0}

    def with_soundfont(self, path: str) -> Tones:
        return dataclasses.replace(self, soundfont=path)

    def described(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("codec") / "codec"
    save_bundle(folder, tiny_codec())
    return folder


def write(folder: Path, bundle: Path, hours: float = HOURS, workers: int = 1, **more: Any):
    return write_token_corpus(folder, hours, str(bundle), workers=workers, settings=Tones(), **more)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_tokens_are_those_of_the_audio(tmp_path: Path, bundle: Path) -> None:
    """But for FLAC's 16 bits, which may tip a token."""
    write(tmp_path / "direct", bundle)
    write_corpus(tmp_path / "audio", HOURS, workers=1, settings=Tones())
    tokenize_folder(tmp_path / "audio", tmp_path / "later", load_codec(bundle))
    direct, later = open_tokens(tmp_path / "direct"), open_tokens(tmp_path / "later")
    assert len(direct.pieces) == 14 and direct.n_frames == later.n_frames
    alike = np.concatenate(direct.shards) == np.concatenate(later.shards)
    assert alike.mean() > 0.97
    assert all(np.array_equal(one, other) for one, other in zip(direct.beats, later.beats, strict=True))


def test_a_run_goes_on_to_the_same_bytes(tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_corpus, "PIECES_PER_SHARD", 4)
    whole = write(tmp_path / "whole", bundle, versions=2)
    assert whole.hours == whole.made_hours > 0.9 * HOURS
    expected = contents(tmp_path / "whole")
    assert len(expected) == 2 * 2 + 1  # seven pieces twice, in two shards, and corpus.json
    (tmp_path / "whole" / "shard-00001.json").unlink()
    resumed = write(tmp_path / "whole", bundle, versions=2)
    assert 0 < resumed.made_hours < resumed.hours == whole.hours
    assert contents(tmp_path / "whole") == expected


def test_more_hours_keep_the_first_pieces(tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last shard, which has room, is made anew; fewer hours change nothing."""
    monkeypatch.setattr(token_corpus, "PIECES_PER_SHARD", 4)
    write(tmp_path / "whole", bundle)
    write(tmp_path / "grown", bundle, 6 / 3600)
    first = (tmp_path / "grown" / "shard-00000.u16").stat().st_mtime_ns
    write(tmp_path / "grown", bundle)
    assert (tmp_path / "grown" / "shard-00000.u16").stat().st_mtime_ns == first
    assert contents(tmp_path / "grown") == contents(tmp_path / "whole")
    assert write(tmp_path / "grown", bundle, 6 / 3600).made_hours == 0
    assert contents(tmp_path / "grown") == contents(tmp_path / "whole")


@pytest.mark.filterwarnings("error")
def test_the_bar_goes_along_beyond_the_hours(tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, bundle, hours=0.0149)  # said as 0.01
    assert "100%" in capsys.readouterr().err


@trial
def test_two_workers_make_what_one_makes(tmp_path: Path, bundle: Path) -> None:
    for workers in (1, 2):
        write(tmp_path / str(workers), bundle, workers=workers)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_versions_have_other_speeds_and_channels(bundle: Path) -> None:
    corpus, codec = TokenCorpus(str(bundle), Tones(), "train", 0, 3), load_codec(bundle)
    speeds = [speed_of(corpus, 5, version) for version in range(3)]
    assert speeds[0] == 1.0 and len(set(speeds)) == 3
    assert all(2 ** (-4 / 12) <= speed <= 2 ** (4 / 12) for speed in speeds)
    made = token_corpus.encoded(corpus, codec, token_corpus._Job(0, 5))
    n_frames = CODEC.sample_rate_hz / CODEC.hop
    for codes_TC, beats, speed in zip(made.codes_TC, made.beats, speeds, strict=True):
        assert len(codes_TC) == pytest.approx(n_frames / speed, abs=1)
        assert beats == [pytest.approx(0.5 * n_frames / speed, abs=0.01)]


def test_what_is_refused(tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CorpusError, match="versions"):
        write(tmp_path / "a", bundle, versions=0)
    write(tmp_path / "b", bundle, 2 / 3600)
    with pytest.raises(CompositionError, match="other settings"):
        write(tmp_path / "b", bundle, 2 / 3600, seed=1)
    assert main(["corpus", str(tmp_path / "c"), "--versions", "3"]) == 2
    assert "--tokens" in capsys.readouterr().err
