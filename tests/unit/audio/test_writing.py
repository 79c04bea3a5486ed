"""Writing audio: outputs must not appear half-written, and bad arrays are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.audio_files import ENDINGS, RATE_HZ, made, no_leftovers, rate_for, tone
from vampnet.audio import files as audio, formats, writing
from vampnet.audio.files import Audio, AudioWriter
from vampnet.errors import AudioError, DependencyError


@pytest.mark.parametrize("name", ["out.xyz", "out", "out.wav.tmp"])
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
    monkeypatch.setattr(writing, "_MAX_WAV_BYTES", 100000)
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


# Other rates and formats


@pytest.mark.parametrize("rate_hz", [44100, 11025, 96000])
def test_opus_is_resampled_to_a_rate_that_it_has(tmp_path: Path, rate_hz: int) -> None:
    sound = tone(rate_hz + 77, 2, rate_hz)
    warnings = audio.write(tmp_path / "a.opus", Audio(sound, rate_hz))
    assert warnings == [f"Opus has no {rate_hz} Hz; the output is resampled to 48000 Hz"]
    back = audio.read(tmp_path / "a.opus")
    expected = audio.resample(sound, rate_hz, 48000)
    assert back.sample_rate_hz == 48000
    assert back.samples.shape == expected.shape
    assert np.abs(back.samples - expected)[:, 3000:-3000].mean() < 0.02
    no_leftovers(tmp_path, "a.opus")


@pytest.mark.parametrize(("subtype", "error"), [("AAC", 0.02), ("ALAC", 2**-23)])
@pytest.mark.parametrize("n_samples", [1, 5, 1024, 1025, 30001])
def test_m4a(tmp_path: Path, subtype: str, error: float, n_samples: int) -> None:
    pytest.importorskip("av")
    audio.write(tmp_path / "a.m4a", Audio(tone(n_samples), RATE_HZ), subtype)
    back = audio.read(tmp_path / "a.m4a")
    assert back.samples.shape == (2, n_samples)
    assert np.abs(back.samples - tone(n_samples))[:, 2000:-2000].mean() < error if n_samples > 4000 else True
    again = tmp_path / "b.m4a"
    audio.write(again, back, like=audio.probe(tmp_path / "a.m4a"))
    assert audio.probe(again).subtype == subtype
    no_leftovers(tmp_path, "a.m4a", "b.m4a")


def test_m4a_without_the_extra_and_with_what_it_cannot_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    with pytest.raises(AudioError, match="one to eight channels"):
        audio.write(tmp_path / "a.m4a", Audio(tone(100, 12), RATE_HZ))
    with pytest.raises(AudioError, match="rates of 8000 to 96000"):
        audio.write(tmp_path / "a.m4a", Audio(tone(100, 2), 192000))
    monkeypatch.setattr(formats, "has_ffmpeg", lambda: False)
    with pytest.raises(DependencyError, match=r"pip install 'vampnet\[formats\]'"):
        audio.write(tmp_path / "a.m4a", Audio(tone(100), RATE_HZ))
    assert formats.output_ending("x.m4a") == ".wav"
    no_leftovers(tmp_path)


@pytest.mark.parametrize("ending", [one.ending for one in formats.FORMATS if one.subtype and not one.needs_ffmpeg])
def test_every_ending_that_is_written_is_read(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    audio.write(path, Audio(tone(9000), 48000))
    assert audio.read(path).samples.shape == (2, 9000)
    assert formats.output_ending(path) == ending
