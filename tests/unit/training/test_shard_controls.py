"""Controls beside the codes of token shards: exact for composed pieces, heard for others, old shards as before."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from synthcorpus.corpus import CorpusConfig
from tests.support.tiny import tiny_codec, tone
from vampnet.apps.cli.main import main
from vampnet.audio.files import write
from vampnet.controls.signals import SIGNALS, Controls
from vampnet.controls.timeline import read_beats
from vampnet.errors import CorpusError
from vampnet.models.bundle import save_bundle
from vampnet.training.data.shard_controls import N_ROWS, pack_signals, play_faster, unpack_signals, version_controls
from vampnet.training.data.token_corpus import write_token_corpus
from vampnet.training.data.token_dataset import join, open_tokens
from vampnet.training.data.token_shards import tokenize_folder

LINE = {
    "tempo_bpm": 120.0, "metre": "4/4", "key": "D minor", "style": "funk", "instruments": ["drums"],
    "beats": [0.0, 0.5, 1.0, 1.5], "downbeats": [0.0, 2.0],
    "chords": [[0.0, 1.0, 2, [0, 3, 7], 2], [1.0, 2.0, 7, [0, 4, 7], 7]], "melody": [[0.0, 0.5, 62], [1.0, 1.5, 67]],
}  # fmt: skip


def test_signals_are_packed_and_read_back() -> None:
    rng = np.random.default_rng(0)
    own = Controls(30, loudness_db=rng.uniform(-40, 0, 30).astype(np.float32), key="D minor", tempo_bpm=99.5,
                   chroma=rng.uniform(0, 1, (12, 30)).astype(np.float32), instruments=("piano", "drums"))  # fmt: skip
    own.chroma[:, 5] = np.nan  # type: ignore[index]
    rows_TI = pack_signals(own)
    assert rows_TI.shape == (30, N_ROWS) and rows_TI.dtype == np.float16
    facts = {"key": "D minor", "tempo_bpm": 99.5, "instruments": ["piano", "drums"]}
    again = unpack_signals(rows_TI, facts)
    assert again.names == own.names and again.instruments == own.instruments
    assert again.chroma is not None and own.chroma is not None
    assert again.loudness_db is not None and own.loudness_db is not None
    np.testing.assert_allclose(again.chroma, own.chroma, atol=1e-3)
    np.testing.assert_allclose(again.loudness_db, own.loudness_db, atol=0.05)


def test_a_faster_version_has_its_music_earlier_and_higher() -> None:
    speed, rate_hz, hop = 2 ** (3 / 12), 44100, 768
    mono = tone(2.0).samples[0]
    n_frames = int(2.0 / speed * rate_hz / hop)
    plain = version_controls(LINE, mono, rate_hz, hop, 115, 1.0, 0)
    fast = version_controls(LINE, mono[: n_frames * hop], rate_hz, hop, n_frames, speed, 0)
    assert fast.key == "F minor" and fast.tempo_bpm == pytest.approx(120 * speed) and fast.n_frames == n_frames
    for made, factor in ((plain, 1.0), (fast, speed)):
        assert made.beat_phase is not None and made.chroma is not None and made.melody is not None
        beats = read_beats(made.beat_phase, made.times_s)[:3]
        np.testing.assert_allclose(beats, np.array(LINE["beats"])[:3] / factor, atol=0.01)
        assert made.loudness_db is not None and made.onset_low is not None
    assert plain.chroma is not None and np.flatnonzero(plain.chroma[:, 20]).tolist() == [2, 5, 9]
    assert fast.chroma is not None and np.flatnonzero(fast.chroma[:, 20]).tolist() == [0, 5, 8]  # F minor
    assert fast.melody is not None and fast.melody[20] == pytest.approx(65.0, abs=1e-3)
    heard = version_controls(LINE, mono, rate_hz, hop, 115, 1.0, 1)  # the others have the chroma of the sound
    assert heard.chroma is not None and not np.array_equal(heard.chroma, plain.chroma)


def test_a_piece_without_a_score_has_what_is_heard() -> None:
    own = version_controls({"beats": [0.5]}, tone(1.0).samples[0], 44100, 768, 57, 1.0, 0)
    assert own.names == ("loudness_db", "onset_low", "onset_high", "chroma", "bass_chroma")
    assert play_faster(own, 1.0, 60).n_frames == 60


def test_shards_carry_controls(tmp_path: Path) -> None:
    bundle = tmp_path / "codec"
    save_bundle(bundle, tiny_codec())
    settings = CorpusConfig(compose=dataclasses.replace(CorpusConfig().compose, min_duration_s=6.0, max_duration_s=8.0))
    made = {"bundle": str(bundle), "versions": 2, "workers": 1, "settings": settings}
    for name, controls in (("with", True), ("without", False)):
        write_token_corpus(tmp_path / name, 14 / 3600, controls=controls, **made)
    data, plain = open_tokens(tmp_path / "with"), open_tokens(tmp_path / "without")
    assert (tmp_path / "with" / "shard-00000.u16").read_bytes() == (
        tmp_path / "without" / "shard-00000.u16"
    ).read_bytes()
    assert "format" not in json.loads((tmp_path / "without" / "shard-00000.json").read_text())
    seed, size, n_frames = (1, 2), 4, 100
    crops, beats = data.batch_controls(seed, size, n_frames), data.batch_beats(seed, size, n_frames)
    assert all(crop.names == () for crop in plain.batch_controls(seed, size, n_frames))
    for crop, frames in zip(crops, beats, strict=True):
        assert crop.n_frames == n_frames and crop.loudness_db is not None and crop.style is not None
        inside = frames[(frames > 1) & (frames < n_frames - 1)]
        if crop.beat_phase is not None and len(inside):
            own = np.array(read_beats(crop.beat_phase, crop.times_s)) * crop.frames_per_s
            assert np.abs(own[:, None] - inside[None, :]).min(axis=0).max() < 0.5
    both = join([plain, data])
    assert len(both.facts) == len(both.pieces) and both.controls[0] is None and both.controls[-1] is not None
    assert any(crop.names for crop in both.batch_controls(seed, 8, n_frames))


def test_files_are_heard_and_short_ones_end(tmp_path: Path) -> None:
    bundle = tmp_path / "codec"
    save_bundle(bundle, tiny_codec())
    (tmp_path / "audio").mkdir()
    write(tmp_path / "audio" / "a.wav", tone(1.5))
    assert (
        main(["tokenize", str(tmp_path / "audio"), "-o", str(tmp_path / "t"), "--bundle", str(bundle), "--controls"])
        == 0
    )
    crop = open_tokens(tmp_path / "t").batch_controls((0,), 1, 150)[0]
    assert crop.loudness_db is not None and crop.chroma is not None
    assert np.isfinite(crop.loudness_db[:80]).all() and np.isnan(crop.loudness_db[100:]).all()


def test_damaged_controls_are_found(tmp_path: Path) -> None:
    codec = tiny_codec()
    (tmp_path / "audio").mkdir()
    write(tmp_path / "audio" / "a.wav", tone(1.0))
    tokenize_folder(tmp_path / "audio", tmp_path / "t", codec, controls=True)
    path, header = tmp_path / "t" / "shard-00000.f16", tmp_path / "t" / "shard-00000.json"
    whole, told = path.read_bytes(), json.loads(header.read_text())
    for bad, words in ((whole[:-2], "expected"), (whole[:-2] + b"ab", "SHA-256")):
        path.write_bytes(bad)
        with pytest.raises(CorpusError, match=words):
            open_tokens(tmp_path / "t")
    tokenize_folder(tmp_path / "audio", tmp_path / "t", codec, controls=True)  # made again
    assert path.read_bytes() == whole
    for change, words in (({"format": 3}, "update vampnet"), ({"controls_sha256": 4}, "controls_sha256")):
        header.write_text(json.dumps({**told, **change}))
        with pytest.raises(CorpusError, match=words):
            open_tokens(tmp_path / "t")
    assert sum(kind.rows for kind in SIGNALS.values()) == N_ROWS


def test_controls_are_for_tokens(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["corpus", "unused", "--controls"]) == 2
    assert "--tokens" in capsys.readouterr().err
