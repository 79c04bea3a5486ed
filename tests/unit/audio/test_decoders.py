"""Formats of the extra: exact lengths, cuts, what is refused, and what is said where the extra is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.audio_files import RATE_HZ, failure, tone
from tests.support.odd_files import encoded, write_with_ffmpeg
from vampnet.audio import decoders, files as audio, formats
from vampnet.audio.sources import FileSource

pytest.importorskip("av")

N = 2 * RATE_HZ + 123
LOSSLESS = [
    ("a.m4a", "ipod", "alac", "s16p"),
    ("a.mov", "mov", "pcm_s16le", "s16"),
    ("a.mkv", "matroska", "flac", "s16"),
    ("a.mka", "matroska", "pcm_s16le", "s16"),
    ("a.wv", "wv", "wavpack", "s16p"),
]
LOSSY = [
    ("a.m4a", "ipod", "aac", "fltp", RATE_HZ),
    ("a.mp4", "mp4", "aac", "fltp", RATE_HZ),
    ("a.webm", "webm", "libopus", "flt", 48000),
    ("a.mp4", "mp4", "libopus", "flt", 48000),
]


@pytest.mark.parametrize(("name", "container", "codec", "sample_format"), LOSSLESS)
def test_lossless_sound_comes_out_as_it_went_in(
    tmp_path: Path, name: str, container: str, codec: str, sample_format: str
) -> None:
    path = write_with_ffmpeg(tmp_path / name, tone(N), container, codec, sample_format)
    back = audio.read(path)
    assert back.samples.shape == (2, N)
    assert np.abs(back.samples - tone(N)).max() < 2**-15
    assert audio.probe(path).n_samples == N


@pytest.mark.parametrize(("name", "container", "codec", "sample_format", "rate_hz"), LOSSY)
def test_delay_and_padding_of_the_encoder_are_left_out(
    tmp_path: Path, name: str, container: str, codec: str, sample_format: str, rate_hz: int
) -> None:
    path = write_with_ffmpeg(tmp_path / name, tone(N, 2, rate_hz), container, codec, sample_format, rate_hz)
    back = audio.read(path)
    assert back.samples.shape == (2, N)
    inner = slice(5000, N - 5000)
    errors = [
        float(np.abs(np.roll(back.samples, lag, axis=1) - tone(N, 2, rate_hz))[:, inner].mean()) for lag in range(-3, 4)
    ]
    assert int(np.argmin(errors)) == 3  # nothing is shifted


@pytest.mark.parametrize(("name", "container", "codec", "sample_format", "rate_hz"), [*LOSSY[:1], *LOSSY[2:3]])
def test_reading_in_blocks_and_from_a_place_is_the_same(
    tmp_path: Path, name: str, container: str, codec: str, sample_format: str, rate_hz: int
) -> None:
    path = write_with_ffmpeg(tmp_path / name, tone(N, 2, rate_hz), container, codec, sample_format, rate_hz)
    whole = audio.read(path).samples
    source = FileSource(path)
    assert np.array_equal(np.concatenate(list(source.blocks(70001)), axis=1), whole[:, 70001:])
    assert np.array_equal(np.concatenate(list(source.blocks()), axis=1), whole)


@pytest.mark.parametrize(("name", "container", "codec", "sample_format", "rate_hz"), LOSSY)
@pytest.mark.parametrize("part", [0.03, 0.5, 0.999])
def test_cuts_are_refused(
    tmp_path: Path, name: str, container: str, codec: str, sample_format: str, rate_hz: int, part: float
) -> None:
    path = write_with_ffmpeg(tmp_path / name, tone(N, 2, rate_hz), container, codec, sample_format, rate_hz)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    assert "truncated" in failure(path)


def test_damaged_packets_are_refused(tmp_path: Path) -> None:
    path = write_with_ffmpeg(tmp_path / "a.mkv", tone(N), "matroska", "flac", "s16")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
    path.write_bytes(data)
    failure(path)


def test_without_the_extra_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_with_ffmpeg(tmp_path / "a.m4a", tone(N), "ipod", "aac", "fltp")
    monkeypatch.setattr(decoders, "has_ffmpeg", lambda: False)
    assert formats.EXTRA in failure(path)
    (tmp_path / "text.wav").write_text("no audio at all")
    assert "not an audio file" in failure(tmp_path / "text.wav")


def test_playlists_do_not_make_other_files_be_read(tmp_path: Path) -> None:
    (tmp_path / "secret.mp3").write_bytes(encoded(tmp_path, "mp3"))
    (tmp_path / "a.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nfile://{tmp_path}/secret.mp3\n#EXT-X-ENDLIST\n"
    )
    assert "not an audio file" in failure(tmp_path / "a.m3u8")
    (tmp_path / "a.txt").write_text(f"ffconcat version 1.0\nfile {tmp_path}/secret.mp3\n")
    assert "not an audio file" in failure(tmp_path / "a.txt")


def test_video_without_sound(tmp_path: Path) -> None:
    import av

    path = tmp_path / "silent.mkv"
    with av.open(str(path), "w", format="matroska") as output:
        stream = output.add_stream("rawvideo", rate=5)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        output.mux(stream.encode(av.VideoFrame(16, 16, "yuv420p")))
    assert "no sound" in failure(path)
