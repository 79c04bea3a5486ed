"""Windows in turn: the same codes in whatever pieces they come, in bounded memory, and from any place on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.support.tiny import CODEC, in_float32, shorten_windows, tiny_vampnet
from vampnet.generation.config import SamplingConfig
from vampnet.generation.windows import Generation
from vampnet.tasks.model import VampNet

FAST = SamplingConfig(steps=1, c2f_steps=1)
N_FRAMES = 210


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_windows(monkeypatch)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> VampNet:
    return tiny_vampnet(tmp_path_factory.mktemp("bundle") / "b")


@pytest.fixture(scope="module")
def codes() -> torch.Tensor:
    return torch.randint(64, (2, CODEC.n_codebooks, N_FRAMES), dtype=torch.int32)


def masks(n: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, CODEC.n_codebooks, N_FRAMES, generator=generator) < 0.8


def step(model: VampNet, generation: Generation, codes: torch.Tensor) -> bool:
    """Fill one window; False when all are filled."""
    if generation.known < generation.needed:
        generation.add(codes[:, :, generation.known : generation.needed])
    request = generation.request()
    if request is None:
        return False
    generation.accept(model.fill([request], FAST)[0])
    return True


def test_in_pieces_as_at_once_and_only_a_window_is_held(model: VampNet, codes: torch.Tensor) -> None:
    whole = model.generate(codes, masks(2), FAST, [3, 4])
    assert whole.shape == (2, 2, CODEC.n_codebooks, N_FRAMES) and (whole != codes).float().mean() > 0.5
    generation = model.generation(masks(2), 2, FAST, [3, 4])
    parts, longest, orders = [], 0, []
    while step(model, generation, codes):
        parts.append(generation.codes(generation.first, generation.finished))
        generation.forget(generation.finished)
        assert generation.held is not None
        longest = max(longest, generation.held.shape[2])
        orders.append(generation.n_done)
    # Frames that later windows need as context stay, so pieces overlap: each frame comes out as it first did.
    joined, start = torch.zeros_like(whole.flatten(0, 1)), 0
    for part, (first, stop) in zip(parts, _places(model, codes), strict=True):
        assert first <= start
        joined[:, :, first:stop], start = part, stop
    assert torch.equal(joined, whole.flatten(0, 1))
    assert longest <= 58 + 18 and orders[0] == (1, 0) and orders[1] == (1, 1)


def _places(model: VampNet, codes: torch.Tensor) -> list[tuple[int, int]]:
    generation, places = model.generation(masks(2), 2, FAST, [3, 4]), []
    while step(model, generation, codes):
        places.append((generation.first, generation.finished))
        generation.forget(generation.finished)
    return places


@pytest.mark.parametrize("n_windows", [1, 4, 9])
def test_going_on_from_any_window(model: VampNet, codes: torch.Tensor, n_windows: int) -> None:
    whole = model.generate(codes, masks(), FAST, [3])[0]
    generation = model.generation(masks(), 2, FAST, [3])
    for _ in range(n_windows):
        step(model, generation, codes)
        generation.forget(generation.finished)
    assert generation.held is not None
    stages = [generation._coarse.stage, generation._c2f.stage]
    again = Generation(stages, masks(), 2, [3], generation.n_done, generation.held.clone(), generation.first)
    start = again.first
    while step(model, again, codes):
        pass
    assert torch.equal(again.codes(start, N_FRAMES), whole[:, :, start:])


def test_windows_of_several_inputs_in_one_batch(
    tmp_path: Path, codes: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32, exactly what each gives alone."""
    in_float32(monkeypatch)
    model_32 = tiny_vampnet(tmp_path / "b")
    alone = [model_32.generate(codes[k : k + 1], masks(), FAST, [seed])[0] for k, seed in enumerate((3, 8))]
    jobs = [model_32.generation(masks(), 1, FAST, [seed]) for seed in (3, 8)]
    for k, job in enumerate(jobs):
        job.add(codes[k : k + 1])
    while (first := jobs[0].request()) is not None:
        second = jobs[1].request()
        assert second is not None and first.kind == second.kind
        for job, filled in zip(jobs, model_32.fill([first, second], FAST), strict=True):
            job.accept(filled)
    for job, expected in zip(jobs, alone, strict=True):
        assert torch.equal(job.codes(0, N_FRAMES), expected)
