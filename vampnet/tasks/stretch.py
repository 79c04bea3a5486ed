"""Stretch: a recording made longer, its tokens spread out and those between them generated."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from vampnet.audio.sources import Source
from vampnet.config import check
from vampnet.generation.run import Run
from vampnet.generation.tokens import TokenStream
from vampnet.tasks.defaults import MAX_STRETCH_FACTOR
from vampnet.tasks.task import Session, Variation


def stretch(session: Session, source: Source, factor: float) -> Run[Variation]:
    """Make a source `factor` times as long, 1 to 16."""
    check("factor", factor, 1.0, MAX_STRETCH_FACTOR)
    old = session.tokens(source)
    n_new, n_codebooks = math.ceil(old.n_frames * factor), session.model.codec.n_codebooks
    place_T = (torch.arange(old.n_frames, dtype=torch.float64) * factor).round().long().clamp(max=n_new - 1)

    def spread() -> Iterator[Tensor]:
        done = 0
        for codes_BCT in old.blocks():
            stop = done + codes_BCT.shape[2]
            first, last = int(place_T[done]), int(place_T[stop]) if stop < old.n_frames else n_new
            spaced_BCT = torch.zeros(old.n_items, n_codebooks, last - first, dtype=torch.int32)
            spaced_BCT[:, :, place_T[done:stop] - first] = codes_BCT
            done = stop
            yield spaced_BCT

    keep_CT = torch.zeros(n_codebooks, n_new, dtype=torch.bool)
    keep_CT[:, place_T] = True
    output = dataclasses.replace(old.output, n_samples=max(round(source.n_samples * factor), 1))
    tokens = TokenStream(n_new, old.n_items, spread, output)
    return (yield from session.generate(tokens, keep_CT, draft=lambda so_far: so_far))
