"""Damaged audio files: one line, or the sound; what has a checksum or a second length is never silently wrong."""

from __future__ import annotations

import functools
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.fuzz.mutate import mutated_bytes
from tests.support.audio_files import tone
from tests.support.odd_files import encoded, id3_tag, with_picture_stream, write_with_ffmpeg
from vampnet.audio.files import Audio, AudioReader, read
from vampnet.audio.formats import has_ffmpeg
from vampnet.errors import AudioError

N, RATE_HZ = 9000, 48000
CHECKED = ("ogg", "opus")
"""Formats in which every byte of the sound lies under a checksum."""
SIZED = ("wav", "aiff", "flac", "mp3", "w64", "caf", "au", "rf64")
"""Formats that state the length and show it too."""
FFMPEG = {
    "m4a": ("ipod", "aac", "fltp"),
    "webm": ("webm", "libopus", "flt"),
    "mka": ("matroska", "flac", "s16"),
    "mov": ("mov", "pcm_s16le", "s16"),
    "wma": ("asf", "wmav2", "fltp"),
}


@functools.cache
def healthy_file(ending: str) -> tuple[bytes, Audio]:
    """A healthy file and its sound."""
    with tempfile.TemporaryDirectory(prefix="vampnet-fuzz-") as name:
        path = Path(name) / f"a.{ending}"
        if ending in FFMPEG:
            write_with_ffmpeg(path, tone(N, 2, RATE_HZ), *FFMPEG[ending], RATE_HZ)
        else:
            path.write_bytes(encoded(Path(name), ending, N, 2, RATE_HZ))
        return path.read_bytes(), read(path)


def sound_of(folder: Path, ending: str, data: bytes) -> tuple[Audio | None, bool]:
    """The sound of a file, None where it is refused, and whether something odd was told."""
    path = folder / f"a.{ending}"
    path.write_bytes(data)
    try:
        with AudioReader(path) as reader:
            told = bool(reader.info.warnings)
            blocks = list(reader)
            assert sum(block.shape[1] for block in blocks) == reader.info.n_samples
            return Audio(np.concatenate(blocks, axis=1), reader.info.sample_rate_hz), told
    except AudioError as error:
        assert "\n" not in str(error) and repr(str(path)) in str(error), str(error)
        return None, True


def _damaged(ending: str) -> Callable[[random.Random, Path], None]:
    def target(rng: random.Random, folder: Path) -> None:
        data, healthy = healthy_file(ending)
        changed = mutated_bytes(data, rng)
        found, told = sound_of(folder, ending, changed)
        if found is None or told:
            return
        if ending in CHECKED:
            assert np.array_equal(found.samples, healthy.samples), "a damaged page was read"
        has_length = (
            ending != "mp3" or b"Info" in changed[:64] or b"Xing" in changed[:64]
        )  # else it was in the tag alone
        if ending in SIZED and has_length:
            assert found.n_samples == N, f"{found.n_samples} of {N} samples were read without a word"

    return target


def _cut(ending: str) -> Callable[[random.Random, Path], None]:
    def target(rng: random.Random, folder: Path) -> None:
        data, healthy = healthy_file(ending)
        found, told = sound_of(folder, ending, data[: rng.randrange(len(data))])
        if found is not None and not told:
            assert found.n_samples >= healthy.n_samples, "a cut file was read without a word"

    return target


def _spliced(rng: random.Random, folder: Path) -> None:
    """The head of one file on the body of another, tags in front, files joined, headers repeated."""
    endings = (*CHECKED, *SIZED)
    one, two = rng.choice(endings), rng.choice(endings)
    first, second = healthy_file(one)[0], healthy_file(two)[0]
    how = rng.randrange(4)
    if how == 0:
        data = first[: rng.choice((4, 12, 36, 44, 60, 200))] + second[rng.choice((0, 12, 44, 200)) :]
    elif how == 1:
        data = id3_tag(rng.randrange(300)) + mutated_bytes(first, rng)
    elif how == 2:
        data = first + second
    else:
        head = first[: rng.randrange(1, 100)]
        data = head * rng.randrange(2, 9) + first
    sound_of(folder, one, data)


def _tagged(rng: random.Random, folder: Path) -> None:
    """Tags in front of a healthy file change nothing."""
    ending = rng.choice((*CHECKED, *SIZED))
    data, healthy = healthy_file(ending)
    tags = b"".join(id3_tag(rng.randrange(3000)) + bytes(rng.randrange(40)) for _ in range(rng.randrange(1, 4)))
    found, _ = sound_of(folder, ending, tags + data)
    assert found is not None and np.array_equal(found.samples, healthy.samples), "a tag changed the sound"


def _pictured(rng: random.Random, folder: Path) -> None:
    """Damage in OGG files with the pages of a picture between those of the sound."""
    data, healthy = healthy_file(rng.choice(CHECKED))
    found, told = sound_of(folder, "ogg", mutated_bytes(with_picture_stream(data), rng))
    if found is not None and not told:
        assert np.array_equal(found.samples, healthy.samples), "a damaged page was read"


_ENDINGS = (*CHECKED, *SIZED, *(FFMPEG if has_ffmpeg() else ()))
TARGETS = {
    **{f"{ending} damaged": _damaged(ending) for ending in _ENDINGS},
    **{f"{ending} cut": _cut(ending) for ending in _ENDINGS},
    "audio spliced": _spliced,
    "audio behind tags": _tagged,
    "ogg with a picture, damaged": _pictured,
}
