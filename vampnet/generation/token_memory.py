"""Memory of a server's worker: tokens that were made last, so that each take need not make them anew."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator

import torch
from torch import Tensor

from vampnet.audio.sources import FileSource, Source
from vampnet.codec.chunked import BLOCK_FRAMES

MAX_BYTES = 64 << 20
"""Bytes of all tokens that are held; those used last stay."""


class TokenMemory:
    """Tokens of whole files by path and stamp, and others by keys that say all that they depend on."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._held: OrderedDict[Hashable, Tensor] = OrderedDict()

    def blocks(self, source: Source, n_frames: int, encode: Callable[[], Iterator[Tensor]]) -> Iterator[Tensor]:
        """The codes of a source, int32 (B, C, t): those held, or the `n_frames` of `encode`, held from then on."""
        if not isinstance(source, FileSource):
            yield from encode()
            return
        key = ("file", str(source.path), source.stamp)
        if (known := self.recall(key)) is not None:
            yield from known.split(BLOCK_FRAMES, dim=2)
            return
        parts, n_bytes, left = list[Tensor](), 0, n_frames
        for part in encode():
            n_bytes, left = n_bytes + part.nbytes, left - part.shape[2]
            parts.append(part)
            if n_bytes > self._max_bytes:
                parts.clear()
            elif not left:  # now, for a reader need not ask whether there is more
                self.hold(key, torch.cat(parts, dim=2))
            yield part

    def recall(self, key: Hashable) -> Tensor | None:
        """Codes that are held under a key; None where there are none."""
        if key in self._held:
            self._held.move_to_end(key)
        return self._held.get(key)

    def hold(self, key: Hashable, codes: Tensor) -> None:
        """Hold codes, which must not be changed afterwards; those that were not used for longest go."""
        self._held[key] = codes
        while sum(held.nbytes for held in self._held.values()) > self._max_bytes:
            self._held.popitem(last=False)
