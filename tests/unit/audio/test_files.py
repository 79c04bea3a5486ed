"""Reading audio: round trips, every coding, damaged files."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.audio_files import ENDINGS, LOSSLESS, RATE_HZ, failure, made, no_leftovers, rate_for, tone
from vampnet.audio import files as audio
from vampnet.audio.files import Audio, AudioInfo, AudioReader, AudioWriter
from vampnet.audio.sources import FileSource
from vampnet.errors import AudioError, VampnetError

# Round trips


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("n_samples", [1, 777, 30000])
def test_round_trip_keeps_rate_channels_and_length(tmp_path: Path, ending: str, channels: int, n_samples: int) -> None:
    path = made(tmp_path, ending, n_samples, channels)
    back = audio.read(path)
    assert back.samples.shape == (channels, n_samples)
    assert back.sample_rate_hz == rate_for(ending)
    assert back.samples.dtype == np.float32
    if ending in LOSSLESS:
        assert np.abs(back.samples - tone(n_samples, channels)).max() < 2**-23
    no_leftovers(tmp_path, path.name)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_wav_coding_survives_like(tmp_path: Path, subtype: str) -> None:
    path, again = tmp_path / "a.wav", tmp_path / "b.wav"
    audio.write(path, Audio(tone(), RATE_HZ), subtype)
    info = audio.probe(path)
    assert info == AudioInfo(RATE_HZ, 2, 30000, "WAV", subtype)
    audio.write(again, audio.read(path), like=info)
    assert audio.probe(again) == info
    assert np.array_equal(audio.read(again).samples, audio.read(path).samples)


def test_coding_of_the_output() -> None:
    float_wav = AudioInfo(RATE_HZ, 2, 10, "WAV", "FLOAT")
    assert audio.output_coding("x.wav") == ("WAV", "PCM_24")
    assert audio.output_coding("x.WAV", like=float_wav) == ("WAV", "FLOAT")
    assert audio.output_coding("x.flac", like=float_wav) == ("FLAC", "PCM_24")
    assert audio.output_coding("x.wav", like=AudioInfo(RATE_HZ, 2, 10, "WAV", "IMA_ADPCM")) == ("WAV", "PCM_24")
    assert audio.output_coding("x.wav", "PCM_16", like=float_wav) == ("WAV", "PCM_16")
    assert audio.output_coding("x.opus", like=AudioInfo(48000, 2, 10, "OGG", "VORBIS")) == ("OGG", "OPUS")


@pytest.mark.parametrize(("rate_hz", "channels"), [(8000, 1), (11025, 2), (96000, 6), (192000, 3), (37800, 12)])
def test_odd_rates_and_many_channels(tmp_path: Path, rate_hz: int, channels: int) -> None:
    samples = tone(500, channels, rate_hz)
    audio.write(tmp_path / "a.wav", Audio(samples, rate_hz), "FLOAT")
    back = audio.read(tmp_path / "a.wav")
    assert back.sample_rate_hz == rate_hz
    assert np.array_equal(back.samples, samples)


def test_integer_codings_clamp_and_float_ones_do_not(tmp_path: Path) -> None:
    loud = Audio(np.array([[0.0, 3.0, -3.0, 0.5]], np.float32), RATE_HZ)
    audio.write(tmp_path / "i.wav", loud)
    assert audio.read(tmp_path / "i.wav").samples[0] == pytest.approx([0, 1, -1, 0.5], abs=1e-6)
    audio.write(tmp_path / "f.wav", loud, "FLOAT")
    assert np.array_equal(audio.read(tmp_path / "f.wav").samples, loud.samples)


@pytest.mark.parametrize("ending", ENDINGS)
def test_reader_gives_the_same_in_blocks(tmp_path: Path, ending: str) -> None:
    path = made(tmp_path, ending)
    with AudioReader(path, block_samples=777) as reader:
        blocks = list(reader)
        assert list(reader) == []
    assert max(block.shape[1] for block in blocks) == 777
    assert all(block.dtype == np.float32 and block.flags.c_contiguous for block in blocks)
    assert np.array_equal(np.concatenate(blocks, axis=1), audio.read(path).samples)


# MP3 files without a length header: libsndfile alone guesses their length and loses the end of some


def mp3_without_header(folder: Path, rate_hz: int = RATE_HZ, channels: int = 1) -> tuple[Path, int]:
    """An MP3 file, loud and then quiet, so that a guess from its first frames is much too short; its true length."""
    n = rate_hz * 4
    samples = tone(n, channels, rate_hz) * np.where(np.arange(n) < n // 4, 1.0, 1e-4).astype(np.float32)
    path = folder / "headed.mp3"
    audio.write(path, Audio(samples, rate_hz))
    data = path.read_bytes()
    second_frame = data.index(data[:2], 100)
    bare = folder / "bare.mp3"
    bare.write_bytes(b"ID3\x03\x00\x00\x00\x00\x00\x05abcde" + b"\0" * 3 + data[second_frame:] + b"TAG" + bytes(125))
    return bare, n


@pytest.mark.parametrize(("rate_hz", "channels"), [(44100, 1), (48000, 2), (22050, 1), (11025, 2)])
def test_mp3_without_a_length_header_is_read_to_its_end(tmp_path: Path, rate_hz: int, channels: int) -> None:
    path, n = mp3_without_header(tmp_path, rate_hz, channels)
    back = audio.read(path)
    assert n <= back.n_samples < n + 4000
    headed = audio.read(tmp_path / "headed.mp3").samples
    lags = range(back.n_samples - n + 1)
    best = min(float(np.abs(back.samples[:, lag : lag + n] - headed)[:, 5000:].max()) for lag in lags[:3000])
    assert best < 0.02


def test_mp3_without_a_length_header_but_damaged(tmp_path: Path) -> None:
    path, _ = mp3_without_header(tmp_path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = b"\x55" * 2000
    path.write_bytes(data)
    assert "damaged at byte" in failure(path)
    path.write_bytes(data[: len(data) // 4])
    assert "truncated" in failure(path)


# Bad files


def test_missing_folder_empty_and_not_audio(tmp_path: Path) -> None:
    assert "no such file" in failure(tmp_path / "none.wav")
    assert "folder" in failure(tmp_path)
    for name in ("a.wav", "a.mp3", "a.flac"):
        (tmp_path / name).write_bytes(b"")
        assert "empty" in failure(tmp_path / name)
    for name in ("a.wav", "a.mp3", "a.txt", "a.raw", "a.gsm", "two\nlines.wav"):
        (tmp_path / name).write_bytes(b"The quick brown fox jumps over the lazy dog. " * 40)
        assert "not an audio file" in failure(tmp_path / name)
    (tmp_path / "zeros.mp3").write_bytes(bytes(10000))
    assert "not an audio file" in failure(tmp_path / "zeros.mp3")
    assert issubclass(AudioError, VampnetError)


def test_pipes_and_impossible_names(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    assert "pipe" in failure(tmp_path / "pipe.wav")
    with pytest.raises(AudioError, match="null"):
        audio.read("a\0b.wav")
    with pytest.raises(AudioError, match="too long"):
        audio.read(tmp_path / ("x" * 300 + ".wav"))


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("part", [0.02, 0.3, 0.75, -1])
def test_truncated_files_are_refused(tmp_path: Path, ending: str, part: float) -> None:
    path = made(tmp_path, ending)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)] if part > 0 else data[:-1])
    message = failure(path)
    assert "truncated" in message or "damaged" in message


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("n_bytes", [3, 11, 15, 30, 43, 60])
def test_beginnings_of_files_are_refused(tmp_path: Path, ending: str, n_bytes: int) -> None:
    path = made(tmp_path, ending)
    path.write_bytes(path.read_bytes()[:n_bytes])
    failure(path)


def test_damage_inside_flac_and_opus_is_found(tmp_path: Path) -> None:
    for ending in ("flac", "opus"):
        path = made(tmp_path, ending)
        data = bytearray(path.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 300] = bytes(300)
        path.write_bytes(data)
        assert "damaged" in failure(path)


def test_wav_whose_writer_did_not_know_the_length(tmp_path: Path) -> None:
    path = made(tmp_path, "wav")
    data = bytearray(path.read_bytes())
    at = data.index(b"data")
    data[at + 4 : at + 8] = data[4:8] = b"\xff" * 4
    path.write_bytes(data)
    assert audio.read(path).n_samples == 30000


def test_wav_with_chunks_around_the_sound(tmp_path: Path) -> None:
    path = made(tmp_path, "wav")
    data = path.read_bytes()
    at = data.index(b"data")
    note = b"LIST" + struct.pack("<I", 5) + b"hello\0"
    path.write_bytes(data[:at] + note + data[at:] + note)
    assert np.array_equal(audio.read(path).samples, audio.read(made(tmp_path, "wav")).samples)


def test_rf64(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone().T, RATE_HZ, "PCM_16", format="RF64")
    assert audio.read(path).n_samples == 30000
    path.write_bytes(path.read_bytes()[:-1000])
    assert "truncated" in failure(path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_samples(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    soundfile.write(path, np.zeros((0, 2)), rate_for(ending), format=audio.ENDINGS[f".{ending}"][0])
    failure(path)
    path.unlink()
    with pytest.raises(AudioError, match="no samples"), AudioWriter(path, rate_for(ending), 2):
        pass
    no_leftovers(tmp_path)


def test_flac_without_length(tmp_path: Path) -> None:
    path = made(tmp_path, "flac")
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    back = audio.read(path)
    assert np.abs(back.samples - tone()).max() < 2**-23
    assert audio.probe(path).n_samples == 30000


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_is_refused_with_its_place(tmp_path: Path, bad: float) -> None:
    path = tmp_path / "a.wav"
    samples = tone(90000)
    samples[1, 70000] = bad
    soundfile.write(path, samples.T, RATE_HZ, "FLOAT")
    assert "NaN or infinite sample at 1.587 s in channel 2" in failure(path)
    assert audio.probe(path).n_samples == 90000


def test_rates_out_of_range_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone().T, 100)
    assert "4000 to 768000" in failure(tmp_path / "a.wav")


@pytest.fixture
def ordinary_user() -> Iterator[None]:
    """The superuser may read everything, so become nobody for the test."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


def test_permissions(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path = made(tmp_path, "wav")
    path.chmod(0)
    tmp_path.chmod(0o555)
    request.getfixturevalue("ordinary_user")
    assert "permission denied" in failure(path)
    with pytest.raises(AudioError, match="permission denied"):
        audio.write(tmp_path / "b.wav", Audio(tone(), RATE_HZ))


@pytest.mark.parametrize("how", ["written to", "replaced"])
def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path: Path, how: str) -> None:
    audio.write(tmp_path / "a.wav", Audio(tone(150000), RATE_HZ))
    source = FileSource(tmp_path / "a.wav")
    blocks = source.blocks()
    next(blocks)
    audio.write(tmp_path / "b.wav", Audio(np.float32(0.5) * tone(150000), RATE_HZ))
    if how == "replaced":
        (tmp_path / "b.wav").replace(tmp_path / "a.wav")
        list(blocks)  # of the file that was opened: whole, as it was
        blocks = source.blocks()
    else:
        time.sleep(0.02)  # times of files go in steps
        (tmp_path / "a.wav").write_bytes((tmp_path / "b.wav").read_bytes())
    with pytest.raises(AudioError, match=r"a\.wav.: changed while it was read"):
        list(blocks)
