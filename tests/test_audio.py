"""Reading, writing and resampling: round trips, damaged files, and outputs that must not appear half-written."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from vampnet import audio
from vampnet.audio import Audio, AudioInfo, AudioReader, AudioWriter
from vampnet.errors import AudioError, VampnetError
from vampnet.frames import resampled_length

RATE_HZ = 44100
ENDINGS = ["wav", "flac", "aiff", "ogg", "opus", "mp3"]
LOSSLESS = ["wav", "flac", "aiff"]


def tone(n_samples: int = 30000, channels: int = 2, rate_hz: int = RATE_HZ) -> np.ndarray:
    t = np.arange(n_samples) / rate_hz
    noise = 0.02 * np.random.default_rng(0).standard_normal((channels, n_samples))
    return (0.3 * np.sin(2 * np.pi * 440 * t) + noise).astype(np.float32)


def rate_for(ending: str) -> int:
    return 48000 if ending == "opus" else RATE_HZ


def made(folder: Path, ending: str, n_samples: int = 30000, channels: int = 2) -> Path:
    path = folder / f"made.{ending}"
    audio.write(path, Audio(tone(n_samples, channels), rate_for(ending)))
    return path


def failure(path: Path) -> str:
    """The message of reading a bad file: one line that names the file."""
    with pytest.raises(AudioError) as caught:
        audio.read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert repr(str(path)) in message
    return message


def no_leftovers(folder: Path, *expected: str) -> None:
    assert sorted(entry.name for entry in folder.iterdir()) == sorted(expected)


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
    assert "how long" in failure(path)


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


# Writing


@pytest.mark.parametrize("name", ["out.xyz", "out", "out.m4a", "out.wav.tmp"])
def test_endings_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(AudioError, match=r"\.wav, \.flac") as caught:
        audio.write(tmp_path / name, Audio(tone(), RATE_HZ))
    assert name in str(caught.value)
    no_leftovers(tmp_path)


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    sound = Audio(tone(), RATE_HZ)
    with pytest.raises(AudioError, match="no folder"):
        audio.write(tmp_path / "none" / "a.wav", sound)
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(AudioError, match="folder"):
        audio.write(tmp_path / "folder.wav", sound)
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(AudioError, match="not a directory"):
        audio.write(tmp_path / "file" / "a.wav", sound)
    no_leftovers(tmp_path, "folder.wav", "file")


@pytest.mark.parametrize(
    ("name", "rate_hz", "channels", "subtype", "cause"),
    [
        ("a.opus", 44100, 2, None, "Opus takes"),
        ("a.mp3", 96000, 2, None, "MP3 takes"),
        ("a.mp3", 44100, 6, None, "MP3 takes"),
        ("a.flac", 44100, 12, None, "12 channels"),
        ("a.flac", 44100, 2, "FLOAT", "only PCM_S8"),
        ("a.wav", 44100, 2, "pcm24", "only PCM_16"),
    ],
)
def test_codings_that_do_not_exist(
    tmp_path: Path, name: str, rate_hz: int, channels: int, subtype: str | None, cause: str
) -> None:
    with pytest.raises(AudioError, match=cause) as caught:
        audio.write(tmp_path / name, Audio(tone(100, channels), rate_hz), subtype)
    assert "\n" not in str(caught.value)
    no_leftovers(tmp_path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_exception_leaves_nothing_and_spares_the_old_file(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_bytes(b"old")
    with (
        pytest.raises(KeyboardInterrupt),
        AudioWriter(path, rate_for(ending), 2) as writer,
    ):
        writer.write(tone())
        assert path.read_bytes() == b"old"
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    no_leftovers(tmp_path, path.name)


def test_bad_blocks_leave_nothing(tmp_path: Path) -> None:
    bad = tone()
    bad[0, 12] = np.nan
    for block, cause in ((bad, "NaN"), (tone(10, 1), "shape"), (tone()[0], "shape")):
        with pytest.raises(AudioError, match=cause), AudioWriter(tmp_path / "a.wav", RATE_HZ, 2) as writer:
            writer.write(tone())
            writer.write(block)
    no_leftovers(tmp_path)


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_full_disk(tmp_path: Path, ending: str) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, limits[1]))
        with pytest.raises(AudioError, match="cannot write"):
            audio.write(tmp_path / f"a.{ending}", Audio(tone(), RATE_HZ))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    no_leftovers(tmp_path)


def test_wav_longer_than_it_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "_MAX_WAV_BYTES", 100000)
    with pytest.raises(AudioError, match=r"use the ending \.flac"):
        audio.write(tmp_path / "a.wav", Audio(tone(), RATE_HZ))
    no_leftovers(tmp_path)


def test_new_files_have_ordinary_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    assert made(tmp_path, "wav").stat().st_mode == (tmp_path / "plain").stat().st_mode


# Audio in memory


@pytest.mark.parametrize(
    ("samples", "rate_hz", "cause"),
    [
        (np.zeros(10, np.float32), 44100, r"mono is \(1, samples\)"),
        (np.zeros((44100, 2), np.float32), 44100, r"\(channels, samples\)"),
        (np.zeros((2, 10), np.int16), 44100, "int16"),
        ([[0.0]], 44100, "list"),
        (np.zeros((2, 0), np.float32), 44100, "no samples"),
        (np.full((2, 5), np.nan, np.float32), 44100, "NaN"),
        (np.zeros((2, 5), np.float32), 0, "sample rate"),
    ],
)
def test_bad_arrays_are_refused(samples: np.ndarray, rate_hz: int, cause: str) -> None:
    with pytest.raises(AudioError, match=cause):
        Audio(samples, rate_hz)


def test_audio_knows_its_size() -> None:
    sound = Audio(np.zeros((2, 22050)), 44100)  # type: ignore[arg-type]  # float64 is converted
    assert (sound.channels, sound.n_samples, sound.duration_s) == (2, 22050, 0.5)
    assert sound.samples.dtype == np.float32


# Resampling


def blocks_of(samples: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, samples.shape[1], size):
        yield samples[:, start : start + size]


@pytest.mark.parametrize("n_samples", [1, 5, 1000, 50001])
@pytest.mark.parametrize(
    ("from_hz", "to_hz"),
    [(48000, 44100), (44100, 48000), (8000, 44100), (192000, 44100), (44100, 11025), (37800, 44100)],
)
def test_resampling_in_blocks_equals_one_shot(from_hz: int, to_hz: int, n_samples: int) -> None:
    samples = tone(n_samples, 2, from_hz)
    n_out = resampled_length(n_samples, from_hz, to_hz)
    whole = audio.resample(samples, from_hz, to_hz)
    assert whole.shape == (2, n_out)
    assert whole.dtype == np.float32
    parts = list(audio.resample_blocks(blocks_of(samples, 777), from_hz, to_hz, n_out))
    assert np.abs(np.concatenate(parts, axis=1) - whole).max() < 1e-6


def test_equal_rates_pass_untouched() -> None:
    samples = tone()
    assert audio.resample(samples, RATE_HZ, RATE_HZ) is samples
    parts = list(audio.resample_blocks(blocks_of(samples, 777), RATE_HZ, RATE_HZ, 30000))
    assert np.array_equal(np.concatenate(parts, axis=1), samples)


@pytest.mark.parametrize("to_hz", [44100, 48000])
@pytest.mark.parametrize("n_out", [0, 1, 10000, 200000])
def test_resampling_gives_the_length_asked_for(to_hz: int, n_out: int) -> None:
    parts = list(audio.resample_blocks(blocks_of(tone(), 777), RATE_HZ, to_hz, n_out))
    assert sum(part.shape[1] for part in parts) == n_out


def test_resampling_keeps_a_tone() -> None:
    t = np.arange(48000) / 48000
    samples = np.sin(2 * np.pi * 1000 * t)[None].astype(np.float32)
    there = audio.resample(samples, 48000, 44100)
    expected = np.sin(2 * np.pi * 1000 * np.arange(44100) / 44100)
    assert np.abs(there[0, 2000:-2000] - expected[2000:-2000]).max() < 1e-5
    back = audio.resample(there, 44100, 48000)
    assert back.shape == samples.shape
    assert np.abs(back - samples)[:, 2000:-2000].max() < 1e-5
