"""Tags, channel mask, cue points and loops from input to output, and what is said of those that are lost."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import soundfile

from tests.support.audio_files import RATE_HZ, tone
from tests.support.odd_files import encoded, id3_tag
from vampnet.audio import files as audio
from vampnet.audio.files import Audio, AudioInfo, AudioWriter
from vampnet.audio.metadata import CuePoint, Loop, Metadata, append_metadata

TAGS = {"title": "Étude", "artist": "A. Nyman", "date": "1999", "comment": "take 3"}
FULL = Metadata(
    tags=TAGS,
    channel_mask=0x603,
    cue_points=(CuePoint(0, "start"), CuePoint(12345, "verse"), CuePoint(29999)),
    loops=(Loop(100, 20000, 1),),
    unity_note=57,
    chunks=((b"bext", b"made by hand" * 60), (b"iXML", b"<odd/>")),
)


def like(metadata: Metadata, channels: int = 4) -> AudioInfo:
    return AudioInfo(RATE_HZ, channels, 30000, "WAV", "PCM_24", metadata)


def write(path: Path, metadata: Metadata, channels: int = 4, n_samples: int = 30000) -> list[str]:
    return audio.write(path, Audio(tone(n_samples, channels), RATE_HZ), like=like(metadata, channels))


def test_wav_keeps_all_of_it(tmp_path: Path) -> None:
    assert write(tmp_path / "a.wav", FULL) == []
    info = audio.probe(tmp_path / "a.wav")
    assert info.metadata == FULL
    # and once more, from the file itself, as the output of an edit takes after its input
    audio.write(tmp_path / "b.wav", audio.read(tmp_path / "a.wav"), like=info)
    assert audio.probe(tmp_path / "b.wav").metadata == FULL
    assert soundfile.info(tmp_path / "b.wav").frames == 30000


@pytest.mark.parametrize("ending", ["flac", "ogg", "mp3", "aiff", "caf", "opus"])
def test_tags_survive_in_every_format_that_holds_them(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    lost = write(path, FULL, channels=2)
    kept = audio.probe(path).metadata.tags
    missing = {"aiff": ["date"]}.get(ending, [])
    assert kept == {name: text for name, text in TAGS.items() if name not in missing}
    told = [f"{ending.upper()} does not hold these tags: {', '.join(missing)}"] if missing else []
    assert [line for line in lost if "tags" in line] == told
    assert any("loop points" in line for line in lost)
    assert any("bext, iXML" in line for line in lost)


def test_aiff_keeps_cue_points(tmp_path: Path) -> None:
    lost = write(tmp_path / "a.aiff", FULL)
    assert audio.probe(tmp_path / "a.aiff").metadata.cue_points == FULL.cue_points
    assert audio.read(tmp_path / "a.aiff").n_samples == 30000
    assert not any("cue" in line for line in lost)
    assert any("loudspeaker" in line for line in lost)


def test_points_behind_the_end_of_a_shorter_output_are_left_out_and_told(tmp_path: Path) -> None:
    lost = write(tmp_path / "a.wav", FULL, n_samples=15000)
    metadata = audio.probe(tmp_path / "a.wav").metadata
    assert metadata.cue_points == FULL.cue_points[:2]
    assert metadata.loops == ()
    assert lost == ["2 cue or loop points lie behind the output's end and are left out"]


def test_a_channel_mask_counts_for_as_many_channels_alone(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", Audio(tone(100, 2), RATE_HZ), like=like(FULL, channels=4))
    assert audio.probe(tmp_path / "a.wav").metadata.channel_mask == 0


def test_formats_without_tags_say_so(tmp_path: Path) -> None:
    lost = write(tmp_path / "a.au", Metadata(tags=TAGS), 1)
    assert lost == ["AU does not hold these tags: title, artist, date, comment"]


def test_a_picture_is_seen_and_told(tmp_path: Path) -> None:
    tag = bytearray(id3_tag(2000))
    tag[10:20] = b"APIC\0\0\0\x20\0\0"
    (tmp_path / "a.mp3").write_bytes(bytes(tag) + encoded(tmp_path, "mp3"))
    info = audio.probe(tmp_path / "a.mp3")
    assert info.metadata.has_picture
    assert write(tmp_path / "b.wav", info.metadata, 1) == ["the picture in the input is left out"]


def test_m4a_keeps_tags(tmp_path: Path) -> None:
    pytest.importorskip("av")
    write(tmp_path / "a.m4a", Metadata(tags=TAGS), 2)
    assert audio.probe(tmp_path / "a.m4a").metadata.tags.items() >= TAGS.items()


@pytest.mark.parametrize("seed", range(8))
def test_damaged_metadata_does_not_keep_the_sound_from_being_read(tmp_path: Path, seed: int) -> None:
    write(tmp_path / "a.wav", FULL)
    data = (tmp_path / "a.wav").read_bytes()
    at = data.index(b"cue ") + 4
    huge = struct.pack("<I", 0xFFFFFFF0 >> seed)
    (tmp_path / "a.wav").write_bytes(data[: at + 4] + huge + data[at + 8 :])
    assert audio.read(tmp_path / "a.wav").n_samples == 30000
    assert len(audio.probe(tmp_path / "a.wav").metadata.cue_points) <= 3


def test_metadata_is_added_to_riff_and_form_files_alone(tmp_path: Path) -> None:
    flac = encoded(tmp_path, "flac")
    (tmp_path / "a.flac").write_bytes(flac)
    append_metadata(tmp_path / "a.flac", FULL, 30000, RATE_HZ)
    assert (tmp_path / "a.flac").read_bytes() == flac


def test_an_aborted_output_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), AudioWriter(tmp_path / "a.m4a", RATE_HZ, 2) as writer:
        writer.write(tone())
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
