"""The bytes of .vamp files: strict reading of everything that can be wrong with them."""

from __future__ import annotations

import dataclasses
import io
import math
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from tests.support.tiny import CODEC as CONFIG, tiny_codec
from vampnet.codec.base import Codec
from vampnet.compression.adaptive import MAX_VOCAB
from vampnet.compression.container import (
    _GENERATION,
    _HEAD,
    _SAMPLING,
    ENTROPIES,
    Generation,
    Header,
    VampReader,
    VampWriter,
    open_vamp,
    pack_header,
)
from vampnet.compression.tokens import block_frames_of, choose_entropy, n_frames_of, read_tokens, write_tokens
from vampnet.errors import SettingsError, VampFileError
from vampnet.generation.config import SamplingConfig

CODEC = tiny_codec()
HEADER = Header(
    "adaptive", 2, 3, 44100, 60 * 768 - 5, 1, -18.5, 0.5, 8, CODEC.id,
    Generation("0123456789abcdef", SamplingConfig(seed=2**62 + 1, temperature=0.9)),
)  # fmt: skip
"""60 frames, of which 20 are kept, in blocks of 8."""


def codes_of(header: Header, codec: Codec = CODEC, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    shape = (header.channels, codec.n_codebooks, n_frames_of(header, codec))
    return torch.randint(0, codec.codebook_size, shape, generator=rng, dtype=torch.int32) // 3


def packed(header: Header = HEADER, codec: Codec = CODEC) -> bytes:
    file = io.BytesIO()
    write_tokens(file, header, codes_of(header, codec), codec)
    return file.getvalue()


def unpacked(data: bytes, codec: Codec = CODEC) -> tuple[Header, Tensor]:
    reader = VampReader(io.BytesIO(data), "'f.vamp'")
    return reader.header, read_tokens(reader, codec)


@pytest.mark.parametrize("entropy", ENTROPIES)
@pytest.mark.parametrize(
    "generation",
    [HEADER.generation, None],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_goes_in_comes_out(entropy: str, generation: Generation | None, channels: int) -> None:
    header = dataclasses.replace(
        HEADER, entropy=entropy, generation=generation, channels=channels, lufs=-math.inf, period=1, codebooks=6
    )
    read, kept_NKF = unpacked(packed(header))
    assert read == header
    assert torch.equal(kept_NKF, codes_of(header))
    sparse = dataclasses.replace(header, period=7, codebooks=2)
    assert torch.equal(unpacked(packed(sparse))[1], codes_of(sparse)[:, :2, ::7])


def test_new_files_are_coded_adaptively_where_the_codebooks_allow() -> None:
    assert choose_entropy(CODEC) == "adaptive"
    large = dataclasses.replace(CONFIG, codebook_size=2 * MAX_VOCAB)
    assert choose_entropy(tiny_codec(config=large)) == "flat"


def test_all_of_sampling_is_stored() -> None:
    """A field added to SamplingConfig changes what is generated: it has to be in the file, of a new version."""
    assert set(_SAMPLING) == {field.name for field in dataclasses.fields(SamplingConfig)}


@pytest.mark.parametrize(("order", "remask", "named"), [(2, 0.0, "halton"), (1, 0.0, "levels"), (0, 0.1, "0.1")])
def test_files_of_another_unmasking_order_are_refused_by_name(order: int, remask: float, named: str) -> None:
    first = pack_header(HEADER)[:-4]
    second = first[:4] + b"\x02" + first[5:] + struct.pack("<Bd", order, remask)
    with pytest.raises(VampFileError, match=named):
        VampReader(io.BytesIO(second + struct.pack("<I", zlib.crc32(second))), "'old.vamp'")


def test_a_file_of_version_2_in_the_order_of_today_is_read() -> None:
    first = pack_header(HEADER)[:-4]
    second = first[:4] + b"\x02" + first[5:] + struct.pack("<Bd", 0, 0.0)
    reader = VampReader(io.BytesIO(second + struct.pack("<I", zlib.crc32(second))), "'old.vamp'")
    assert reader.header == HEADER


def test_channels_times_duration_are_bounded() -> None:
    """149 bytes that asked for 142 GB: 48 hours of 256 channels, of which hardly a frame is kept."""
    head = bytearray(pack_header(dataclasses.replace(HEADER, period=65535))[:-4])
    day = dataclasses.replace(HEADER, channels=256, n_samples=96 * 3600 * 44100 // 256, period=65535)
    with pytest.raises(SettingsError, match=r"with 256 channels is .*, but must lie in 1 to .*split the recording"):
        dataclasses.replace(day, n_samples=day.n_samples + 1)
    two_days = struct.pack("<QH", 48 * 3600 * 44100, 256)
    start = head.index(struct.pack("<QH", HEADER.n_samples, HEADER.channels))
    head[start : start + len(two_days)] = two_days
    with pytest.raises(VampFileError, match="damaged: number of samples with 256 channels"):
        VampReader(io.BytesIO(bytes(head) + struct.pack("<I", zlib.crc32(head)) + bytes(80)), "'bomb.vamp'")


@pytest.mark.parametrize("entropy", ENTROPIES)
def test_every_cut_is_noticed(entropy: str) -> None:
    data = packed(dataclasses.replace(HEADER, entropy=entropy))
    for length in range(len(data)):
        with pytest.raises(VampFileError, match=r"cannot read 'f\.vamp': (it is cut short|not a \.vamp file)"):
            unpacked(data[:length])
    with pytest.raises(VampFileError, match="3 bytes follow its end"):
        unpacked(data + b"abc")


@pytest.mark.parametrize("entropy", ENTROPIES)
def test_every_changed_byte_is_noticed(entropy: str) -> None:
    data = packed(dataclasses.replace(HEADER, entropy=entropy))
    for place in range(len(data)):
        for change in (0x01, 0x80, 0xFF, data[place] or 0x55):  # the last one makes it zero
            wrong = data[:place] + bytes([data[place] ^ change]) + data[place + 1 :]
            with pytest.raises(VampFileError, match="cannot read") as caught:
                unpacked(wrong)
            assert "\n" not in str(caught.value)


def test_blocks_cannot_be_lost_repeated_or_swapped() -> None:
    header = dataclasses.replace(HEADER, entropy="flat")
    data, start = packed(header), len(pack_header(header))
    size = 1 + data[start] + 4
    one, two, rest = data[start : start + size], data[start + size : start + 2 * size], data[start + 2 * size :]
    assert data[start + size] == data[start]  # blocks of one length
    for blocks in (two + one + rest, one + one + rest, two + two + rest, one + rest, one + two + two + rest):
        with pytest.raises(VampFileError):
            unpacked(data[:start] + blocks)


@given(data=st.binary(max_size=300), start=st.sampled_from((b"", b"VAMP", b"VAMP\x01", packed()[:60], packed()[:120])))
@settings(max_examples=300, deadline=None)
def test_garbage_is_refused(data: bytes, start: bytes) -> None:
    with pytest.raises(VampFileError):
        unpacked(start + data)


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_headers_of_any_content_are_bounded(data: st.DataObject) -> None:
    """Fields at random under a checksum that fits: an error or a header, in little memory and time."""
    head = bytearray(pack_header(HEADER)[:-4])
    for place, value in data.draw(st.lists(st.tuples(st.integers(4, len(head) - 1), st.integers(0, 255)), max_size=6)):
        head[place] = value
    length = data.draw(st.sampled_from((_HEAD.size, _HEAD.size + _GENERATION.size)))
    wrong = bytes(head[:length])
    wrong += zlib.crc32(wrong).to_bytes(4, "little") + data.draw(st.binary(max_size=80))
    tracemalloc.start()
    started = time.monotonic()
    with pytest.raises(VampFileError):
        unpacked(wrong)
    assert time.monotonic() - started < 2
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


@pytest.mark.parametrize("entropy", ENTROPIES)
@given(payloads=st.lists(st.binary(min_size=1, max_size=20), min_size=4, max_size=4), crc=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_foreign_payloads_under_checksums_that_fit(entropy: str, payloads: list[bytes], crc: int) -> None:
    """Even those give an error: the checksum of the tokens is not theirs."""
    header, file = dataclasses.replace(HEADER, entropy=entropy), io.BytesIO()
    writer = VampWriter(file, header)
    for payload in payloads[: 4 if entropy == "static" else 3]:
        writer.block(payload)
    writer.end(crc)
    with pytest.raises(VampFileError):
        unpacked(file.getvalue())


@pytest.mark.parametrize("block_frames", [1, 8000])
def test_a_long_claim_on_few_bytes_is_refused_at_once(block_frames: int) -> None:
    header = dataclasses.replace(HEADER, n_samples=47 * 3600 * 44100, channels=2, block_frames=block_frames)
    tracemalloc.start()
    with pytest.raises(VampFileError, match="cut short, at least"):
        unpacked(pack_header(header) + bytes(1000))
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("codebooks", 0), ("codebooks", 65), ("period", 0), ("period", 65536), ("sample_rate_hz", 3999),
        ("n_samples", 0), ("n_samples", 49 * 3600 * 44100), ("channels", 0), ("channels", 257), ("lufs", math.nan),
        ("lufs", math.inf), ("gain", 0.0), ("gain", math.nan), ("block_frames", 0), ("block_frames", 1 << 20),
        ("entropy", "magic"),
    ],
)  # fmt: skip
def test_header_fields_have_ranges(field: str, value: object) -> None:
    with pytest.raises(SettingsError):
        dataclasses.replace(HEADER, **{field: value})


def test_other_versions_codecs_and_files(tmp_path: Path) -> None:
    data = packed()
    with pytest.raises(VampFileError, match="format version 3 is not 1 or 2"):
        unpacked(data[:4] + b"\x03" + data[5:])
    other = tiny_codec(seed=1)
    with pytest.raises(VampFileError, match=f"{CODEC.id}.*{other.id}"):
        unpacked(data, other)
    for path, words in ((tmp_path, "not a file"), (tmp_path / "none.vamp", "no such file")):
        with pytest.raises(VampFileError, match=words):
            open_vamp(path)


@pytest.mark.parametrize(
    ("channels", "codebooks", "period"), [(1, 4, 1), (2, 14, 1), (1, 1, 16), (256, 64, 1), (1, 1, 65535)]
)
def test_blocks_last_ten_seconds_or_longer_where_tokens_are_few(channels: int, codebooks: int, period: int) -> None:
    frames = block_frames_of(CODEC, channels, codebooks, period)
    length_s = frames * period / CODEC.frames_per_s
    assert frames == 1 or length_s >= 9.9 or frames * channels * codebooks > 2**20 - 2**14
    assert frames == 1 or length_s <= 62
    dataclasses.replace(HEADER, channels=channels, codebooks=codebooks, period=period, block_frames=frames)
    assert np.isfinite(length_s)
