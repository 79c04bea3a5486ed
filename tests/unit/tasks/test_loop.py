"""Loops: exact lengths, a circle in tokens and in decoding, a seam that all variations share, bars, loop points."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from tests.support.tiny import tiny_vampnet, tone, write_tiny_bundle
from vampnet.apps.cli.main import main
from vampnet.audio.files import Audio, probe, read, write
from vampnet.audio.loop_points import mark_loop
from vampnet.beats.events import Events, steady_events
from vampnet.errors import AudioError, SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.tasks.loop import _decode_turn, _encode_turn, _resample_turn, cut_bars
from vampnet.tasks.model import VampNet

FAST = SamplingConfig(steps=2, c2f_steps=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> VampNet:
    return tiny_vampnet(tmp_path_factory.mktemp("loops"))


def cycle(n_samples: int, turns: int = 7, channels: int = 1) -> np.ndarray:
    """A tone of a whole number of periods, and its second harmonic: one turn of a signal without a seam."""
    phase = 2 * np.pi * turns * np.arange(n_samples) / n_samples
    return np.repeat((0.2 * np.sin(phase) + 0.1 * np.cos(2 * phase))[None].astype(np.float32), channels, axis=0)


@pytest.mark.parametrize(("n_old", "n_new"), [(44100, 43776), (22051, 44544), (5000, 4999), (300, 768)])
def test_resampling_goes_round(n_old: int, n_new: int) -> None:
    turned = _resample_turn(cycle(n_old), n_new)
    assert turned.shape == (1, n_new)
    assert np.abs(turned - cycle(n_new)).max() < 2e-3


def test_encoding_and_decoding_go_round(model: VampNet) -> None:
    rng = np.random.default_rng(0)
    turn = (0.1 * rng.standard_normal((1, 40 * 768))).astype(np.float32)
    codes = _encode_turn(model, turn, 40)
    rolled = _encode_turn(model, np.roll(turn, 13 * 768, axis=1), 40)
    assert (codes.roll(13, dims=2) == rolled).float().mean() > 0.99  # rounding may tip a near tie
    audio = _decode_turn(model, codes)
    again = _decode_turn(model, codes.roll(13, dims=2))
    assert np.abs(np.roll(audio, 13 * 768, axis=1) - again).max() < 1e-4


def test_variations_share_the_seam_and_nothing_else(model: VampNet) -> None:
    made = model.loop(tone(2.1, channels=2), n=3, prompt="nothing", sampling=FAST)
    first = made[0].codes
    assert first is not None and first.shape == (2, 6, 121)
    for variation in made[1:]:
        assert variation.codes is not None
        same = (first == variation.codes).all(dim=(0, 1))
        assert same[:17].all() and same[-17:].all() and same[18:-18].float().mean() < 0.2


def test_the_seam_is_generated_with_music_on_both_sides(model: VampNet) -> None:
    """The seam of variation 1 is drawn anew, half a turn round: it is not what the first pass gave."""
    audio = tone(2.1)
    alone = model.loop(audio, prompt="nothing", sampling=FAST)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vampnet.tasks.loop.SEAM_S", 0.0)
        without = model.loop(audio, prompt="nothing", sampling=FAST)
    assert alone.codes is not None and without.codes is not None
    same = (alone.codes == without.codes).all(dim=(0, 1))
    assert same[18:-18].all() and not same[:17].any() and not same[-17:].any()


@pytest.mark.parametrize(("rate_hz", "channels", "seconds"), [(44100, 2, 2.0), (48000, 1, 1.2345), (22050, 1, 0.3)])
def test_loops_have_their_length(model: VampNet, rate_hz: int, channels: int, seconds: float) -> None:
    audio = tone(seconds, rate_hz, channels)
    made = model.loop(audio, n=2, sampling=FAST)
    assert all(m.audio.samples.shape == audio.samples.shape and m.audio.sample_rate_hz == rate_hz for m in made)
    assert not np.array_equal(made[0].audio.samples, made[1].audio.samples)
    again = model.loop(audio, n=2, sampling=FAST)
    assert np.array_equal(made[1].audio.samples, again[1].audio.samples)
    assert [m.seed for m in made] == [0, 1]


def test_silence_and_bad_lengths(model: VampNet) -> None:
    made = model.loop(Audio(np.zeros((1, 44100), np.float32), 44100), sampling=FAST)
    assert np.isfinite(made.audio.samples).all()
    with pytest.raises(SettingsError, match="length of the loop"):
        model.loop(tone(0.1), sampling=FAST)


def test_bars_are_cut_at_downbeats() -> None:
    audio = tone(10.0)
    cut = cut_bars(audio, steady_events(120.0, 10.0, downbeat_s=0.25), 2)
    assert cut.n_samples == 4 * 44100 and np.array_equal(cut.samples, audio.samples[:, 11025:187425])
    last = cut_bars(audio, Events((0.0, 2.5, 5.0, 7.5), (0.0, 5.0)), 2)
    assert last.n_samples == audio.n_samples
    with pytest.raises(AudioError, match="fewer than 9 bars"):
        cut_bars(audio, steady_events(120.0, 10.0), 9)
    with pytest.raises(AudioError, match="--bpm"):
        cut_bars(audio, Events((1.0,), (1.0,)), 1)


def test_loop_points_are_where_samplers_look(tmp_path: Path) -> None:
    path = tmp_path / "l.wav"
    write(path, tone(0.5), "PCM_24")
    before = read(path).samples
    mark_loop(path, 22050, 44100)
    data = path.read_bytes()
    assert struct.unpack("<I", data[4:8])[0] == len(data) - 8
    chunk = data[data.rindex(b"smpl") :]
    assert struct.unpack("<I", chunk[4:8])[0] == 60 == len(chunk) - 8
    assert struct.unpack("<9I", chunk[8:44])[2:4] == (22676, 60)
    assert struct.unpack("<6I", chunk[44:])[2:4] == (0, 22049)
    assert np.array_equal(read(path).samples, before)
    write(tmp_path / "l.flac", tone(0.5))
    with pytest.raises(SettingsError, match="WAV"):
        mark_loop(tmp_path / "l.flac", 22050, 44100)


def test_loop_command(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle")
    write(tmp_path / "in.wav", tone(5.0, channels=2))
    common = ["--bundle", str(bundle), "--steps", "1", "--c2f-steps", "1", "--variations", "2"]
    cut = ["--bars", "1", "--bpm", "120", "--downbeat", "0.5"]
    arguments = ["loop", str(tmp_path / "in.wav"), "-o", str(tmp_path / "o.wav"), *common, *cut]
    assert main([*arguments, "--loop-points"]) == 0
    assert probe(tmp_path / "o-1.wav").n_samples == 88200 and b"smpl" in (tmp_path / "o-2.wav").read_bytes()
    assert main([*arguments, "--join"]) == 0
    assert probe(tmp_path / "o.wav").n_samples == 2 * 88200
    parts = [read(tmp_path / f"o-{k}.wav").samples for k in (1, 2)]
    assert np.array_equal(read(tmp_path / "o.wav").samples, np.concatenate(parts, axis=1))
    flac = ["loop", str(tmp_path / "in.wav"), "-o", str(tmp_path / "o.flac"), *common, "--loop-points"]
    assert main(flac) == 2
