"""The tokens of a scanned folder: every file encoded once per version and kept by its digest.

A file that is added or replaced is encoded; the others are not encoded again. What one budget has no time for is left
for a run with a larger one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vampnet.audio import files as audio_files
from vampnet.audio.files import AudioReader
from vampnet.audio.loudness import gain_to, measure
from vampnet.codec.base import Codec
from vampnet.errors import CorpusError
from vampnet.making.scan import ScannedFile
from vampnet.storage import make_folder, sha256_of_file, whole_file
from vampnet.training.data.token_dataset import TokenSet, open_tokens
from vampnet.training.data.token_shards import N_TURNS, shard_header, write_shard
from vampnet.training.data.wave_dataset import one_channel

PASSAGE_S = 300.0
"""Long files are encoded in passages of about this length, so that memory does not grow with them."""


@dataclass(frozen=True)
class EncodedFile:
    """The tokens of a file in one version."""

    name: str
    codes_TC: np.ndarray
    """uint16 (frames, codebooks)."""


class TokenStore:
    """Tokens of files by digest, below a folder."""

    def __init__(self, folder: Path, codec: Codec) -> None:
        self.codec = codec
        self.folder = make_folder(folder / codec.id, CorpusError)

    def has(self, one: ScannedFile, turn: int) -> bool:
        """Whether a file was encoded in a version."""
        return self._path(one, turn).exists()

    def read(self, one: ScannedFile, turn: int) -> EncodedFile:
        """The tokens of a file that was encoded; of damaged ones CorpusError, and the next run encodes them again."""
        path = self._path(one, turn)
        try:
            with np.load(path, allow_pickle=False) as stored:
                codes_TC, digest = stored["codes_TC"], str(stored["digest"])
        except (OSError, ValueError, KeyError, EOFError) as error:
            path.unlink(missing_ok=True)
            raise CorpusError(f"{path}: damaged ({error}); the same command makes it again") from None
        if digest != _digest(codes_TC):
            path.unlink(missing_ok=True)
            raise CorpusError(f"{path}: damaged; the same command makes it again")
        return EncodedFile(one.name, codes_TC)

    def encode(self, root: Path, one: ScannedFile, turn: int) -> int:
        """Encode a file in a version; number of its frames. Raises CorpusError for a file that changed meanwhile."""
        path = root / one.name
        number = int(one.digest[:8], 16) + turn
        parts = [self._encode_passage(mono, turn) for mono in _passages(path, number, self.codec)]
        if sha256_of_file(path, CorpusError) != one.digest:
            raise CorpusError(f"{path}: changed while it was read; run the same command again when it is finished")
        codes_TC = np.concatenate(parts)
        target = self._path(one, turn)
        make_folder(target.parent, CorpusError)
        with whole_file(target, CorpusError) as temporary, open(temporary, "wb") as file:
            np.savez(file, codes_TC=codes_TC, digest=np.array(_digest(codes_TC)))
        return len(codes_TC)

    def write_set(self, folder: Path, files: Sequence[ScannedFile], turns: int) -> TokenSet:
        """Token shards of some files in all versions that were encoded, opened."""
        made = [(one, turn) for turn in range(turns) for one in files if self.has(one, turn)]
        if not made:
            raise CorpusError(f"{folder}: no file was encoded within the budget; give --budget more time")
        entries, codes, n_frames = [], [], 0
        for one, turn in made:
            codes.append(self.read(one, turn).codes_TC)
            entries.append({"name": one.name, "start": n_frames, "n_frames": len(codes[-1])})
            n_frames += len(codes[-1])
        make_folder(folder, CorpusError)
        write_shard(folder, 0, shard_header(self.codec, [one.name for one, _ in made], entries, ()), codes)
        return open_tokens(folder)

    def _encode_passage(self, mono: np.ndarray, turn: int) -> np.ndarray:
        late = turn * self.codec.hop // N_TURNS if len(mono) > 2 * self.codec.hop else 0
        codes_CT = self.codec.encode(torch.from_numpy(mono[late:])[None])[0]
        return codes_CT.T.cpu().numpy().astype(np.uint16)

    def _path(self, one: ScannedFile, turn: int) -> Path:
        return self.folder / one.digest[:2] / f"{one.digest}-{turn}.npz"


def _digest(codes_TC: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(codes_TC).tobytes()).hexdigest()


def _passages(path: Path, number: int, codec: Codec) -> Iterator[np.ndarray]:
    """One channel of a file at the codec's rate and INPUT_LUFS, in passages: float32 (samples,) each.

    Left, right and mid by turns of `number`.
    """
    with AudioReader(path) as reader:
        rate_hz = reader.info.sample_rate_hz
        for samples in _joined(iter(reader), int(PASSAGE_S * rate_hz)):
            gain = gain_to(measure(samples, rate_hz))
            mono = audio_files.resample(one_channel(samples, number), rate_hz, codec.sample_rate_hz)
            yield (mono[0] * np.float32(gain)).astype(np.float32)


def _joined(blocks: Iterator[np.ndarray], n_samples: int) -> Iterator[np.ndarray]:
    """Blocks (channels, n) as passages of `n_samples` at least, the last one longer rather than short."""
    waiting: list[np.ndarray] = []
    ready: np.ndarray | None = None
    for block in blocks:
        waiting.append(block)
        if sum(part.shape[1] for part in waiting) >= n_samples:
            if ready is not None:
                yield ready
            ready, waiting = np.concatenate(waiting, axis=1), []
    rest = np.concatenate(waiting, axis=1) if waiting else None
    if ready is None or (rest is not None and rest.shape[1] >= n_samples // 2):
        if ready is not None:
            yield ready
        if rest is not None:
            yield rest
        return
    yield ready if rest is None else np.concatenate([ready, rest], axis=1)


def encode_all(
    store: TokenStore,
    root: Path,
    files: Sequence[ScannedFile],
    turns: int,
    may_go_on: Callable[[], bool],
    say: Callable[[int, int], None],
) -> int:
    """Encode what is not encoded yet, version by version, while there is time. Returns the number left for later."""
    wanted = [(one, turn) for turn in range(turns) for one in files]
    left = 0
    for number, (one, turn) in enumerate(wanted):
        say(number, len(wanted))
        if store.has(one, turn):
            continue
        if not may_go_on():
            left += 1
            continue
        store.encode(root, one, turn)
    say(len(wanted), len(wanted))
    return left
