"""Batch invariance: batches whose items come out exactly as each would alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from vampnet.generation.run import WindowRequest


class BatchProof:
    """Record of kinds and sizes of batches that were verified to equal their items alone.

    Products in bfloat16 may be rounded otherwise in a batch of another size. That depends on shapes, not on values: so
    the logits of one pass over a batch are compared with those of its parts, once for each shape.
    """

    def __init__(self, device: torch.device, exact: bool) -> None:
        """`exact`: the number format needs no proof (float32, whose batches the tests compare)."""
        self._device, self._exact = device, exact
        self._known: dict[tuple[Any, ...], bool] = {}

    def holds(self, requests: Sequence[WindowRequest]) -> bool:
        """True if these windows, of one kind, can be filled as one batch."""
        if self._exact:
            return True
        if any(request.heard is not None for request in requests):  # not proven: each alone
            return False
        sizes = tuple(len(request.codes_BCT) for request in requests)
        key = (*requests[0].kind, sizes)
        if key not in self._known:
            self._known[key] = self._compare(requests)
        return self._known[key]

    @torch.no_grad()
    def _compare(self, requests: Sequence[WindowRequest]) -> bool:
        stage = requests[0].stage
        network, n_given = stage.model, stage.model.config.n_conditioning_codebooks
        parts = []
        for request in requests:
            codes_BCT = request.codes_BCT.to(self._device)
            chosen_BPT = torch.ones_like(codes_BCT[:, n_given:], dtype=torch.bool)
            parts.append((codes_BCT, chosen_BPT))
        whole_NV = network(torch.cat([codes for codes, _ in parts]), torch.cat([chosen for _, chosen in parts]))
        n_codebooks, n_frames = parts[0][1].shape[1:]
        whole_PBTV = whole_NV.view(n_codebooks, -1, n_frames, whole_NV.shape[-1])
        first = 0
        for codes_BCT, chosen_BPT in parts:
            own_PBTV = network(codes_BCT, chosen_BPT).view(n_codebooks, len(codes_BCT), n_frames, -1)
            if not torch.equal(whole_PBTV[:, first : first + len(codes_BCT)], own_PBTV):
                return False
            first += len(codes_BCT)
        return True
