"""The sound's true extent: what is in front of it, what its header says wrongly, what is joined or interleaved."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.audio_files import RATE_HZ, failure, tone
from tests.support.odd_files import encoded, id3_tag, split_pages, with_picture_stream
from vampnet.audio import files as audio
from vampnet.audio.files import Audio

N = 30000


def put(folder: Path, ending: str, data: bytes) -> Path:
    path = folder / f"odd.{ending}"
    path.write_bytes(data)
    return path


def read(folder: Path, ending: str, data: bytes) -> np.ndarray:
    path = put(folder, ending, data)
    samples = audio.read(path).samples
    assert audio.probe(path).n_samples == samples.shape[1]
    return samples


def warnings_of(path: Path) -> str:
    return "; ".join(audio.probe(path).warnings)


# Bytes in front


@pytest.mark.parametrize("ending", ["wav", "aiff", "flac", "ogg", "mp3", "au", "caf"])
def test_id3_tag_in_front(tmp_path: Path, ending: str) -> None:
    healthy = encoded(tmp_path, ending)
    plain = read(tmp_path, ending, healthy)
    for tags in (id3_tag(8000), id3_tag(300) + bytes(77) + id3_tag(20)):
        assert np.array_equal(read(tmp_path, ending, tags + healthy), plain)


def test_nothing_but_a_tag(tmp_path: Path) -> None:
    assert "nothing but a tag" in failure(put(tmp_path, "mp3", id3_tag(2000)))
    assert "nothing but a tag" in failure(put(tmp_path, "wav", id3_tag(2000)[:700]))


# WAV and its relatives


def sized(data: bytes, chunk_id: bytes, value: int, order: str = "<") -> bytes:
    """A file with another size in one of its chunks."""
    at = data.index(chunk_id) + 4
    return data[:at] + struct.pack(f"{order}I", value) + data[at + 4 :]


@pytest.mark.parametrize("placeholder", [0, 0x7FFFF000, 0xFFFFFFFF])
def test_placeholder_in_the_place_of_the_size_of_the_sound(tmp_path: Path, placeholder: int) -> None:
    wav = encoded(tmp_path, "wav")
    odd = read(tmp_path, "wav", sized(wav, b"data", placeholder))
    assert np.array_equal(odd, read(tmp_path, "wav", wav))
    assert "does not say how long" in warnings_of(put(tmp_path, "wav", sized(wav, b"data", placeholder)))
    aiff = encoded(tmp_path, "aiff")
    assert read(tmp_path, "aiff", sized(aiff, b"SSND", placeholder, ">")).shape == (1, N)
    caf = encoded(tmp_path, "caf")
    at = caf.index(b"data") + 4
    assert read(tmp_path, "caf", caf[:at] + b"\xff" * 8 + caf[at + 8 :]).shape == (1, N)
    au = encoded(tmp_path, "au")
    if placeholder != 0x7FFFF000:
        assert read(tmp_path, "au", au[:8] + struct.pack(">I", placeholder) + au[12:]).shape == (1, N)


def test_no_sound_but_a_chunk_behind_it_is_no_placeholder(tmp_path: Path) -> None:
    wav = encoded(tmp_path, "wav", 10)
    at = wav.index(b"data")
    empty = wav[:at] + b"data" + bytes(4) + b"LIST" + struct.pack("<I", 12) + b"INFOINAM\0\0\0\0"
    assert "no samples" in failure(put(tmp_path, "wav", empty))


def test_chunk_without_its_pad_byte(tmp_path: Path) -> None:
    for ending, order, sound in (("wav", "<", b"data"), ("aiff", ">", b"SSND")):
        healthy = encoded(tmp_path, ending)
        at = healthy.index(sound)
        note = b"ANNO" + struct.pack(f"{order}I", 7) + b"odd one"
        odd = read(tmp_path, ending, healthy[:at] + note + healthy[at:])
        assert np.array_equal(odd, read(tmp_path, ending, healthy))


@pytest.mark.parametrize(("offset", "value"), [(22, 33), (22, 0), (32, 7), (34, 0), (34, 200)])
def test_format_that_contradicts_itself(tmp_path: Path, offset: int, value: int) -> None:
    wav = encoded(tmp_path, "wav")
    assert "contradicts itself" in failure(
        put(tmp_path, "wav", wav[:offset] + struct.pack("<H", value) + wav[offset + 2 :])
    )


def test_rate_that_contradicts_the_bytes_per_second_is_told(tmp_path: Path) -> None:
    wav = encoded(tmp_path, "wav")
    path = put(tmp_path, "wav", wav[:24] + struct.pack("<I", 48000) + wav[28:])
    assert "48000 Hz in blocks of 3 bytes are not 132300 bytes/s" in warnings_of(path)


def test_aiff_whose_number_of_samples_is_wrong(tmp_path: Path) -> None:
    aiff = encoded(tmp_path, "aiff")
    at = aiff.index(b"COMM") + 10
    for wrong in (0, 77, 10**9):
        path = put(tmp_path, "aiff", aiff[:at] + struct.pack(">I", wrong) + aiff[at + 4 :])
        assert audio.read(path).n_samples == N
        assert f"says {wrong} samples" in warnings_of(path)


def test_bw64_and_joined_wav(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(N, 1).T, RATE_HZ, "PCM_24", format="RF64")
    rf64 = path.read_bytes()
    assert read(tmp_path, "wav", b"BW64" + rf64[4:]).shape == (1, N)
    wav = encoded(tmp_path, "wav")
    joined = read(tmp_path, "wav", wav + wav)
    assert np.array_equal(joined, np.tile(read(tmp_path, "wav", wav), 2))


def test_bytes_behind_the_sound_that_nothing_names(tmp_path: Path) -> None:
    wav = encoded(tmp_path, "wav")
    path = put(tmp_path, "wav", wav + b"\x01\x02\xf3\x80" * 500)
    assert audio.read(path).n_samples == N
    assert "2000 bytes behind its sound" in warnings_of(path)
    assert warnings_of(put(tmp_path, "wav", wav + b"TAG" + bytes(125))) == ""


@pytest.mark.parametrize("ending", ["w64", "caf", "au", "aifc", "rf64"])
def test_cuts_of_other_chunked_files(tmp_path: Path, ending: str) -> None:
    healthy = encoded(tmp_path, ending)
    for n_bytes in (len(healthy) - 1, len(healthy) // 2, 60):
        assert "truncated" in failure(put(tmp_path, ending, healthy[:n_bytes]))


# FLAC


def test_flac_length_in_the_header_is_not_believed(tmp_path: Path) -> None:
    flac = encoded(tmp_path, "flac")
    healthy = read(tmp_path, "flac", flac)
    for told, reads in ((0, True), (N - 5000, True), (17_179_878_004, False), (N + 1, False)):
        odd = flac[:21] + bytes([flac[21] & 0xF0 | told >> 32]) + struct.pack(">I", told & 0xFFFFFFFF) + flac[26:]
        if reads:
            assert np.array_equal(read(tmp_path, "flac", odd), healthy)
        else:
            assert f"says {told} samples, its last frame ends after {N}" in failure(put(tmp_path, "flac", odd))


def test_flac_header_that_its_frames_contradict(tmp_path: Path) -> None:
    flac = encoded(tmp_path, "flac")
    other_rate = flac[:18] + bytes([flac[18] ^ 0x10]) + flac[19:]
    assert "its header says" in failure(put(tmp_path, "flac", other_rate))
    two_channels = flac[:20] + bytes([flac[20] | 0x02]) + flac[21:]
    assert "2 channels, its first frame 1" in failure(put(tmp_path, "flac", two_channels))


def test_flac_cut_and_joined(tmp_path: Path) -> None:
    flac = encoded(tmp_path, "flac")
    path = put(tmp_path, "flac", flac[: len(flac) // 2])
    assert "truncated" in failure(path)
    with pytest.raises(audio.AudioError, match="truncated"):
        audio.AudioReader(path).skip(10)
    assert np.array_equal(read(tmp_path, "flac", flac + flac), np.tile(read(tmp_path, "flac", flac), 2))


# OGG


@pytest.mark.parametrize("ending", ["ogg", "opus"])
def test_chained_ogg_is_read_to_its_end(tmp_path: Path, ending: str) -> None:
    one, two = encoded(tmp_path, ending, 20000, rate_hz=48000), encoded(tmp_path, ending, 9000, rate_hz=48000)
    chained = read(tmp_path, ending, one + two)
    assert np.array_equal(chained[:, :20000], read(tmp_path, ending, one))
    assert np.array_equal(chained[:, 20000:], read(tmp_path, ending, two))
    with audio.AudioReader(put(tmp_path, ending, one + two)) as reader:
        reader.skip(25000)
        assert np.array_equal(np.concatenate(list(reader), axis=1), chained[:, 25000:])


def test_chain_of_different_rates_is_refused(tmp_path: Path) -> None:
    odd = encoded(tmp_path, "ogg") + encoded(tmp_path, "ogg", rate_hz=32000)
    assert "recordings joined" in failure(put(tmp_path, "ogg", odd))


@pytest.mark.parametrize("ending", ["ogg", "opus"])
def test_ogg_with_a_picture_between_the_sound(tmp_path: Path, ending: str) -> None:
    healthy = encoded(tmp_path, ending, 60000, rate_hz=48000)
    path = put(tmp_path, ending, with_picture_stream(healthy))
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.info(path)
    assert np.array_equal(audio.read(path).samples, read(tmp_path, ending, healthy))


def test_ogg_pages_damaged_missing_or_cut(tmp_path: Path) -> None:
    healthy = encoded(tmp_path, "ogg", 200000)
    pages = split_pages(healthy)
    assert len(pages) > 5
    assert "page 3 of its sound is missing" in failure(put(tmp_path, "ogg", b"".join(pages[:3] + pages[4:])))
    flipped = bytearray(healthy)
    flipped[len(healthy) // 2] ^= 1
    assert "checksum of a page is wrong" in failure(put(tmp_path, "ogg", bytes(flipped)))
    assert "truncated" in failure(put(tmp_path, "ogg", healthy[:-7]))
    picture = split_pages(with_picture_stream(healthy))
    assert "without Vorbis" in failure(put(tmp_path, "ogg", picture[0] + picture[-1]))


# MP3


def test_joined_mp3_is_read_to_its_end(tmp_path: Path) -> None:
    one, two = encoded(tmp_path, "mp3", 40000), encoded(tmp_path, "mp3", 25000)
    for between in (b"", id3_tag(50), b"TAG" + bytes(125)):
        joined = read(tmp_path, "mp3", one + between + two)
        assert np.array_equal(joined[:, :40000], read(tmp_path, "mp3", one))
        assert np.array_equal(joined[:, 40000:], read(tmp_path, "mp3", two))


def test_mp3_tag_without_or_with_a_wrong_number_of_frames(tmp_path: Path) -> None:
    mp3 = encoded(tmp_path, "mp3")
    at = max(mp3.find(b"Xing"), mp3.find(b"Info"))
    healthy = read(tmp_path, "mp3", mp3)
    frames = struct.unpack(">I", mp3[at + 8 : at + 12])[0]
    for told in (0, frames - 10):
        odd = read(tmp_path, "mp3", mp3[: at + 8] + struct.pack(">I", told) + mp3[at + 12 :])
        assert np.array_equal(odd, healthy)
    too_many = mp3[: at + 8] + struct.pack(">I", frames + 1) + mp3[at + 12 :]
    assert f"tells {frames + 1} frames, {frames} are there" in failure(put(tmp_path, "mp3", too_many))


@pytest.mark.parametrize("offset", [8, -1])
def test_mp3_tag_with_a_wrong_byte_in_its_head(tmp_path: Path, offset: int) -> None:
    mp3 = bytearray(encoded(tmp_path, "mp3"))
    healthy = read(tmp_path, "mp3", bytes(mp3))
    at = max(mp3.find(b"Xing"), mp3.find(b"Info"))
    mp3[8 if offset == 8 else at + 4] ^= 0x40  # in the silence that makes it a tag, or in its flags
    assert np.array_equal(read(tmp_path, "mp3", bytes(mp3)), healthy)


def test_mp3_tag_whose_checksum_is_wrong_is_told(tmp_path: Path) -> None:
    mp3 = bytearray(encoded(tmp_path, "mp3"))
    at = max(mp3.find(b"Xing"), mp3.find(b"Info"))
    assert warnings_of(put(tmp_path, "mp3", bytes(mp3))) == ""
    mp3[at + 120 + 22] ^= 0x10  # the encoder's delay and padding
    assert "checksum" in warnings_of(put(tmp_path, "mp3", bytes(mp3)))


def test_mp3_with_tags_behind_it(tmp_path: Path) -> None:
    mp3 = encoded(tmp_path, "mp3")
    healthy = read(tmp_path, "mp3", mp3)
    content = b"x" * 90
    ape_foot = b"APETAGEX" + struct.pack("<IIII", 2000, len(content) + 32, 1, 0) + bytes(8)
    for tail in (b"TAG" + bytes(125), content + ape_foot, bytes(5000), content + ape_foot + b"TAG" + bytes(125)):
        assert np.array_equal(read(tmp_path, "mp3", mp3 + tail), healthy)


# Levels


@pytest.mark.parametrize(("full", "bits"), [(127.0, 8), (32767.0, 16), (8388607.0, 24), (2147483000.0, 32)])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_floats_on_the_scale_of_whole_numbers(tmp_path: Path, full: float, bits: int, subtype: str) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, (tone(N, 1).T * full / 0.5).astype(np.float64), RATE_HZ, subtype)
    with audio.AudioReader(path) as reader:
        assert f"read as {bits}-bit numbers" in reader.info.warnings[0]
        reader.skip(100)
        rest = np.concatenate(list(reader), axis=1)
    assert rest == pytest.approx(tone(N, 1)[:, 100:] / 0.5, abs=0.01)


def test_loud_floats_are_left_alone_and_impossible_ones_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(N, 1).T * 30, RATE_HZ, "FLOAT")
    assert np.array_equal(audio.read(path).samples, tone(N, 1) * np.float32(30))
    soundfile.write(path, np.full((100, 1), 3e38), RATE_HZ, "FLOAT")
    assert "reach 3e+38" in failure(path)


def test_memory_is_not_asked_for_on_a_headers_word(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", Audio(tone(N, 1), RATE_HZ))
    data = (tmp_path / "a.wav").read_bytes()
    at = data.index(b"data") + 4
    path = put(tmp_path, "wav", data[:at] + struct.pack("<I", 0x7FFFEFFF) + data[at + 4 :])
    assert "truncated" in failure(path)
