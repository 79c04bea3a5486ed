"""Token shards and wave caches: what was made from other bytes, or is damaged, is never used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.tiny import CODEC, tiny_codec, tone
from vampnet.audio.files import write
from vampnet.errors import CorpusError
from vampnet.training.data import token_shards
from vampnet.training.data.token_dataset import open_tokens
from vampnet.training.data.token_shards import tokenize_folder
from vampnet.training.data.wave_dataset import open_waves


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    (tmp_path / "audio").mkdir()
    for k in range(2):
        write(tmp_path / "audio" / f"{k}.wav", tone(0.3, seed=k))
    return tmp_path / "audio"


def codes(folder: Path) -> np.ndarray:
    return np.concatenate(open_tokens(folder).shards)


def test_a_replaced_file_is_encoded_again(audio: Path, tmp_path: Path) -> None:
    """Of the same name, length and time: its bytes count."""
    codec, tokens = tiny_codec(), tmp_path / "t"
    tokenize_folder(audio, tokens, codec)
    before, made = codes(tokens), (tokens / "shard-00000.json").stat().st_mtime_ns
    assert tokenize_folder(audio, tokens, codec).audio_s_per_s == 0
    assert (tokens / "shard-00000.json").stat().st_mtime_ns == made
    write(audio / "0.wav", tone(0.3, seed=9, level=0.3))
    assert tokenize_folder(audio, tokens, codec).audio_s_per_s > 0
    tokenize_folder(audio, tmp_path / "new", codec)
    assert np.array_equal(codes(tokens), codes(tmp_path / "new")) and not np.array_equal(codes(tokens), before)


def test_changed_beats_are_taken_over(audio: Path, tmp_path: Path) -> None:
    for beat in (0.1, 0.2):
        (audio / "index.jsonl").write_text(json.dumps({"file": "1.wav", "beats": [beat]}) + "\n")
        tokenize_folder(audio, tmp_path / "t", tiny_codec())
        assert open_tokens(tmp_path / "t").beats[1] == pytest.approx([beat * 44100 / 768], abs=0.01)


def test_a_flipped_bit_of_a_shard_is_found_and_the_shard_made_again(audio: Path, tmp_path: Path) -> None:
    codec, tokens = tiny_codec(), tmp_path / "t"
    tokenize_folder(audio, tokens, codec)
    shard, good = tokens / "shard-00000.u16", codes(tokens).copy()
    data = bytearray(shard.read_bytes())
    data[10] ^= 1
    shard.write_bytes(bytes(data))
    with pytest.raises(CorpusError, match=r"its SHA-256 is not the one in shard-00000\.json; delete it"):
        open_tokens(tokens)
    tokenize_folder(audio, tokens, codec)
    assert np.array_equal(codes(tokens), good)


def test_shards_of_files_that_are_gone_are_refused(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_shards, "FILES_PER_SHARD", 1)
    tokenize_folder(audio, tmp_path / "t", tiny_codec())
    (audio / "1.wav").unlink()
    with pytest.raises(CorpusError, match="come from other files"):
        tokenize_folder(audio, tmp_path / "t", tiny_codec())


def test_a_file_that_changes_while_it_is_read_is_an_error(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = token_shards.levelled_channel

    def change(path: Path, *more: int) -> np.ndarray:
        mono = reading(path, *more)
        write(path, tone(0.3, seed=7))
        return mono

    monkeypatch.setattr(token_shards, "levelled_channel", change)
    with pytest.raises(CorpusError, match=r"0\.wav: changed while it was read"):
        tokenize_folder(audio, tmp_path / "t", tiny_codec())
    assert not list((tmp_path / "t").iterdir())


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no codec": lambda h: h.pop("codec_id"),
    "frames a float": lambda h: h.update(n_frames=36.0),
    "frames true": lambda h: h.update(n_frames=True),
    "many frames": lambda h: h.update(n_frames=10**18),
    "no codebooks": lambda h: h.update(n_codebooks=0),
    "small book": lambda h: h.update(codebook_size=2),
    "digest": lambda h: h.update(sha256="x"),
    "names": lambda h: h.update(names=[1]),
    "entries": lambda h: h.update(entries={}),
    "entry": lambda h: h.update(entries=[3]),
    "entry ends late": lambda h: h["entries"][0].update(n_frames=10**6),
    "entry begins early": lambda h: h["entries"][0].update(start=-1),
    "beats": lambda h: h["entries"][0].update(beats=["x"]),
    "nothing": lambda h: h.update(entries=[]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_hostile_header_is_one_line(audio: Path, tmp_path: Path, name: str) -> None:
    tokenize_folder(audio, tmp_path / "t", tiny_codec())
    path = tmp_path / "t" / "shard-00000.json"
    header = json.loads(path.read_text())
    assert header["codebook_size"] == CODEC.codebook_size
    CHANGES[name](header)
    path.write_text(json.dumps(header))
    with pytest.raises(CorpusError) as caught:
        open_tokens(tmp_path / "t")
    assert "\n" not in str(caught.value) and "again" in str(caught.value)


def test_shards_without_digests_are_read_but_made_again(audio: Path, tmp_path: Path) -> None:
    """Those of version 0.1."""
    tokenize_folder(audio, tmp_path / "t", tiny_codec())
    path = tmp_path / "t" / "shard-00000.json"
    header = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in header.items() if k not in ("sha256", "codebook_size", "made_from")}))
    assert open_tokens(tmp_path / "t").names == ("0.wav", "1.wav")
    assert tokenize_folder(audio, tmp_path / "t", tiny_codec()).audio_s_per_s > 0


def test_wave_caches_follow_the_bytes_of_their_files(audio: Path) -> None:
    first = np.array(open_waves(audio, 44100).samples)
    write(audio / "0.wav", tone(0.3, seed=9))
    second = np.array(open_waves(audio, 44100).samples)
    assert first.shape == second.shape and not np.array_equal(first, second)
    cache = audio / ".waves-44100.i16"
    cache.write_bytes(b"\0\1" + cache.read_bytes()[2:])
    assert np.array_equal(open_waves(audio, 44100).samples, second)
    (audio / ".waves-44100.json").write_text("{")
    assert np.array_equal(open_waves(audio, 44100).samples, second)
