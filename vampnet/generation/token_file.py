"""Tokens of an output, kept beside it, so that the next job goes on from them and not from its sound.

The file is safetensors with one tensor, `codes` (channels, codebooks, frames), and what its sound was made with in the
metadata. Nothing here imports torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from vampnet.config import check
from vampnet.errors import SettingsError, VampFileError
from vampnet.storage import write_whole

FORMAT = "1"
MAX_TOKENS = 1 << 31


@dataclass(frozen=True)
class TokenFacts:
    """Facts that a token file states of its tokens."""

    codec_id: str
    """Id of the codec whose tokens they are."""
    sample_rate_hz: int
    """Rate of the sound that they belong to."""
    n_samples: int
    """Samples per channel of that sound."""
    gain: float
    """The sound, times this, is what the codec decodes from the tokens."""
    is_loop: bool
    """Whether the frames divide a loop evenly, so that they follow each other in a circle."""

    def __post_init__(self) -> None:
        """Check rate, length and gain."""
        check("sample rate in Hz", self.sample_rate_hz, 1, 10**7)
        check("number of samples", self.n_samples, 1, 10**13)
        check("gain", self.gain, 1e-30, 1e30)


def write_tokens(path: Path, codes_NCT: NDArray[Any], facts: TokenFacts) -> None:
    """Write a token file, whole or not at all."""
    metadata = {
        "format": FORMAT,
        "codec_id": facts.codec_id,
        "sample_rate_hz": str(facts.sample_rate_hz),
        "n_samples": str(facts.n_samples),
        "gain": repr(facts.gain),
        "is_loop": str(int(facts.is_loop)),
    }
    codes = np.ascontiguousarray(codes_NCT, np.uint16 if codes_NCT.max(initial=0) < 65536 else np.int32)
    write_whole(path, save({"codes": codes}, metadata), VampFileError)


def read_token_facts(path: str | Path) -> TokenFacts:
    """Facts that a token file states of its tokens. Raises VampFileError."""
    return _read(path, with_codes=False)[0]


def read_tokens(path: str | Path) -> tuple[TokenFacts, NDArray[np.int32]]:
    """Facts and codes (channels, codebooks, frames) of a token file. Raises VampFileError."""
    facts, codes = _read(path, with_codes=True)
    assert codes is not None
    return facts, codes


def _read(path: str | Path, with_codes: bool) -> tuple[TokenFacts, NDArray[np.int32] | None]:
    name = Path(path).name
    if not Path(path).is_file():
        raise VampFileError(f"cannot read the tokens in {name!r}: no such file")
    try:
        with safe_open(str(path), framework="numpy") as file:
            found = file.metadata() or {}
            if found.get("format") != FORMAT or list(file.keys()) != ["codes"]:
                raise VampFileError(f"cannot read the tokens in {name!r}: it is no token file of this version")
            shape = file.get_slice("codes").get_shape()
            if len(shape) != 3 or not 0 < math.prod(shape) <= MAX_TOKENS:
                raise VampFileError(f"cannot read the tokens in {name!r}: damaged, its tokens have shape {shape}")
            facts = TokenFacts(
                found["codec_id"], int(found["sample_rate_hz"]), int(found["n_samples"]), float(found["gain"]),
                found["is_loop"] == "1",
            )  # fmt: skip
            return facts, file.get_tensor("codes").astype(np.int32) if with_codes else None
    except (SafetensorError, OSError, KeyError, ValueError, SettingsError) as error:
        text = " ".join(str(error).split())[:200]
        raise VampFileError(f"cannot read the tokens in {name!r}: damaged ({text})") from None
