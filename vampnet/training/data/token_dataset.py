"""Random crops of token shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vampnet.controls.signals import Controls
from vampnet.errors import CorpusError
from vampnet.training.data.shard_controls import N_ROWS, control_path, unpack_signals
from vampnet.training.data.shard_header import CONTROLS_FORMAT, check_shard_data, read_shard_header


@dataclass(frozen=True)
class TokenSet:
    """Token shards of a folder, memory-mapped."""

    codec_id: str
    n_codebooks: int
    shards: tuple[np.ndarray, ...]
    """uint16 (frames, codebooks) each."""
    pieces: np.ndarray
    """int64 (pieces, 3): shard, first frame, number of frames."""
    names: tuple[str, ...]
    """Source file of each piece."""
    beats: tuple[np.ndarray, ...] = ()
    """Beats of each piece, frames from its first, float; empty for pieces without known beats."""
    controls: tuple[np.ndarray | None, ...] = ()
    """float16 (frames, rows) of each shard, as `shard_controls.py` packs them; None where a shard has none."""
    facts: tuple[dict[str, Any], ...] = ()
    """Tempo, key, metre, style and instruments of each piece, as far as they are known."""

    @property
    def n_frames(self) -> int:
        """Number of frames of all pieces."""
        return int(self.pieces[:, 2].sum())

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum(self.pieces[:, 2])

    def places(self, seed: tuple[int, ...], batch_size: int, n_frames: int) -> np.ndarray:
        """Crops of a batch, (B, 3): piece (drawn in proportion to its length), first frame, frames."""
        rng = np.random.default_rng(np.random.SeedSequence(seed))
        return np.array([self._place(rng, n_frames) for _ in range(batch_size)])

    def _place(self, rng: np.random.Generator, n_frames: int) -> tuple[int, int, int]:
        piece = int(np.searchsorted(self._ends, rng.integers(self._ends[-1]), side="right"))
        length = int(self.pieces[piece, 2])
        first = int(rng.integers(max(length - n_frames, 0) + 1))
        return piece, first, min(length - first, n_frames)

    def batch(self, seed: tuple[int, ...], batch_size: int, n_frames: int) -> Tensor:
        """Codes (B, C, T), int64, that depend on `seed` alone; a piece shorter than T is repeated like a loop."""
        crops = []
        for piece, first, length in self.places(seed, batch_size, n_frames).tolist():
            shard, start, _ = self.pieces[piece]
            crops.append(np.resize(self.shards[shard][start + first :][:length], (n_frames, self.n_codebooks)))
        return torch.from_numpy(np.stack(crops).astype(np.int64)).transpose(1, 2).contiguous()

    def batch_beats(self, seed: tuple[int, ...], batch_size: int, n_frames: int) -> list[np.ndarray]:
        """The beats in each crop of that batch, frames from its first; of pieces that are repeated none."""
        places = self.places(seed, batch_size, n_frames).tolist()
        return [self._beats_in(piece, first) if length == n_frames else np.empty(0) for piece, first, length in places]

    def batch_controls(self, seed: tuple[int, ...], batch_size: int, n_frames: int) -> list[Controls]:
        """Controls of each crop of that batch; of shards without any, and behind the end of a piece, they are empty."""
        places = self.places(seed, batch_size, n_frames).tolist()
        return [self._controls_in(piece, first, length, n_frames) for piece, first, length in places]

    def _controls_in(self, piece: int, first: int, length: int, n_frames: int) -> Controls:
        shard, start, _ = self.pieces[piece]
        rows_NI = self.controls[shard] if self.controls else None
        if rows_NI is None:
            return Controls(n_frames)
        rows_TI = np.full((n_frames, rows_NI.shape[1]), np.nan, np.float16)
        rows_TI[:length] = rows_NI[start + first : start + first + length]
        return unpack_signals(rows_TI, self.facts[piece])

    def _beats_in(self, piece: int, first: int) -> np.ndarray:
        return self.beats[piece] - first if self.beats else np.empty(0)

    def on(self, device: torch.device) -> DeviceTokens:
        """A copy in the memory of a device."""
        joined = np.concatenate(self.shards).astype(np.int32)
        starts = np.cumsum([0, *(len(shard) for shard in self.shards)])
        return DeviceTokens(self, torch.from_numpy(joined).to(device), starts)

    def unigram(self) -> Tensor:
        """Entropy of each codebook's entries over all frames, nats (C,), float64."""
        counts = np.zeros((self.n_codebooks, 65536))
        for shard in self.shards:
            for c in range(self.n_codebooks):
                counts[c] += np.bincount(shard[:, c], minlength=65536)
        share = torch.from_numpy(counts / counts.sum(axis=1, keepdims=True))
        return -(share * share.clamp_min(1e-12).log()).sum(1)


@dataclass(frozen=True)
class DeviceTokens:
    """Tokens that lie where they are trained on, so that an accelerator does not wait for them."""

    source: TokenSet
    codes_TC: Tensor
    """int32 (frames, codebooks) of all shards, end to end."""
    starts: np.ndarray
    """Frame at which each shard begins."""

    def batch(self, seed: tuple[int, ...], batch_size: int, n_frames: int) -> Tensor:
        """The codes (B, C, T), int64, that the token set's own `batch` returns, on the device."""
        piece_B, offset_B, length_B = self.source.places(seed, batch_size, n_frames).T
        shard_B, start_B, _ = self.source.pieces[piece_B].T
        first_B = self.starts[shard_B] + start_B + offset_B
        frame_BT = first_B[:, None] + np.arange(n_frames) % length_B[:, None]
        return self.codes_TC[torch.from_numpy(frame_BT).to(self.codes_TC.device)].long().transpose(1, 2).contiguous()

    def batch_beats(self, seed: tuple[int, ...], batch_size: int, n_frames: int) -> list[np.ndarray]:
        """As the token set's own."""
        return self.source.batch_beats(seed, batch_size, n_frames)

    def batch_controls(self, seed: tuple[int, ...], batch_size: int, n_frames: int) -> list[Controls]:
        """As the token set's own."""
        return self.source.batch_controls(seed, batch_size, n_frames)


def join(sets: Sequence[TokenSet]) -> TokenSet:
    """Several sets of one codec as one."""
    pieces, n_shards = [], 0
    for part in sets:
        pieces.append(part.pieces + np.array([n_shards, 0, 0]))
        n_shards += len(part.shards)
    return TokenSet(
        sets[0].codec_id,
        sets[0].n_codebooks,
        tuple(shard for part in sets for shard in part.shards),
        np.concatenate(pieces),
        tuple(name for part in sets for name in part.names),
        tuple(beats for part in sets for beats in part.beats or [np.empty(0)] * len(part.pieces)),
        tuple(rows for part in sets for rows in part.controls or [None] * len(part.shards)),
        tuple(facts for part in sets for facts in part.facts or [{}] * len(part.pieces)),
    )


def open_tokens(folder: str | Path) -> TokenSet:
    """Open the shards that `tokenize_folder` wrote. Raises CorpusError for none, damaged ones or mixed codecs."""
    root = Path(folder)
    headers = sorted(root.glob("shard-*.json"))
    if not headers:
        raise CorpusError(f"{root}: holds no token shards; make them with `vampnet tokenize AUDIO_FOLDER -o {root}`")
    shards, pieces, names, beats, controls, facts, ids = [], [], [], [], [], [], set()
    for number, path in enumerate(headers):
        header, data = read_shard_header(path), path.with_suffix(".u16")
        check_shard_data(header, data)
        expected = 2 * header["n_frames"] * header["n_codebooks"]
        ids.add((header["codec_id"], header["n_codebooks"]))
        shape = (header["n_frames"], header["n_codebooks"])
        shards.append(np.memmap(data, dtype="<u2", mode="r", shape=shape) if expected else np.zeros(shape, "<u2"))
        pieces += [(number, e["start"], e["n_frames"]) for e in header["entries"]]
        names += [e["name"] for e in header["entries"]]
        beats += [np.asarray(e.get("beats", ()), dtype=np.float64) for e in header["entries"]]
        controls.append(_open_controls(header, control_path(data)))
        facts += [e.get("facts", {}) for e in header["entries"]]
    if len(ids) > 1:
        raise CorpusError(f"{root}: its shards come from several codecs: {', '.join(sorted(i for i, _ in ids))}")
    if not any(length for _, _, length in pieces):
        raise CorpusError(f"{root}: its token shards are empty; tokenize again")
    (codec_id, n_codebooks), pieces_array = ids.pop(), np.asarray(pieces, dtype=np.int64).reshape(-1, 3)
    return TokenSet(
        codec_id, n_codebooks, tuple(shards), pieces_array, tuple(names), tuple(beats), tuple(controls), tuple(facts)
    )


def _open_controls(header: dict[str, Any], path: Path) -> np.ndarray | None:
    """The rows (frames, I) of a shard's controls, memory-mapped; None for shards without."""
    if header.get("format", 1) != CONTROLS_FORMAT:
        return None
    shape = (header["n_frames"], N_ROWS)
    return np.memmap(path, dtype="<f2", mode="r", shape=shape) if header["n_frames"] else np.zeros(shape, "<f2")
