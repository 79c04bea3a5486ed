"""Which batches are made in bfloat16: those whose logits were seen to equal the items' own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.tiny import COARSE, tiny_codec, tiny_models, tiny_vampnet
from vampnet.generation.batches import BatchProof
from vampnet.generation.config import SamplingConfig
from vampnet.generation.run import Stage, WindowRequest

CPU = torch.device("cpu")


class Rounding:
    """A network that rounds otherwise in batches of `wrong` items."""

    config = COARSE

    def __init__(self, wrong: int) -> None:
        self.network, self.wrong, self.sizes = tiny_models(tiny_codec())[0], wrong, list[int]()

    def __call__(self, codes_BCT: Tensor, chosen_BPT: Tensor) -> Tensor:
        self.sizes.append(len(codes_BCT))
        return self.network(codes_BCT, chosen_BPT) + (1e-3 if len(codes_BCT) == self.wrong else 0)


def requests(network: Any, n: int, items: int = 1, n_frames: int = 8) -> list[WindowRequest]:
    stage = Stage("coarse", network, 2, n_frames, 0)
    codes_BCT = torch.zeros(items, COARSE.n_codebooks, n_frames, dtype=torch.int64)
    keep_BCT = torch.zeros_like(codes_BCT, dtype=torch.bool)
    return [WindowRequest(stage, 0, codes_BCT, keep_BCT, (k,) * items, SamplingConfig()) for k in range(n)]


def test_a_batch_that_rounds_otherwise_is_not_made() -> None:
    network = Rounding(wrong=3)
    proof = BatchProof(CPU, exact=False)
    assert not proof.holds(requests(network, 3)) and proof.holds(requests(network, 2))


def test_the_proof_is_made_once_for_each_shape() -> None:
    network, proof = Rounding(wrong=0), BatchProof(CPU, exact=False)
    for _ in range(3):
        assert proof.holds(requests(network, 2))
    assert network.sizes == [2, 1, 1]
    assert proof.holds(requests(network, 2, n_frames=9)) and proof.holds(requests(network, 1, items=2))
    assert network.sizes == [2, 1, 1, 2, 1, 1, 2, 2]


def test_float32_needs_no_proof() -> None:
    network = Rounding(wrong=2)
    assert BatchProof(CPU, exact=True).holds(requests(network, 2)) and not network.sizes


@pytest.mark.parametrize("holds", [True, False])
def test_the_pipeline_fills_one_by_one_what_is_not_proven(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, holds: bool
) -> None:
    model, sizes = tiny_vampnet(tmp_path_factory.mktemp("b") / "b"), []
    monkeypatch.setattr(BatchProof, "holds", lambda self, given: holds)
    filled = model._filled
    monkeypatch.setattr(model, "_filled", lambda given: sizes.append(len(given)) or filled(given))
    given = requests(model.coarse, 3, items=2)
    made = model.fill(given)
    assert sizes == ([3] if holds else [1, 1, 1])
    assert [part.shape for part in made] == [(2, COARSE.n_codebooks, 8)] * 3 and made[0].device.type == "cpu"
    assert len({part.numpy().tobytes() for part in made}) == 3  # each with its own seed
