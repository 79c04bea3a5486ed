"""Windows in turn: only a window is held, finished frames come in order, and nothing depends on who fills them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from tests.support.tiny import CODEC, in_float32, shorten_windows, tiny_vampnet
from vampnet.audio.output_format import OutputFormat
from vampnet.codec.chunked import BLOCK_FRAMES
from vampnet.generation.config import SamplingConfig, variation_seed
from vampnet.generation.run import Run, WindowRequest, run_all
from vampnet.generation.tokens import TokenStream, tokens_of_codes
from vampnet.generation.windows import Plan, count_steps, generate_codes
from vampnet.seeds import stream_seed
from vampnet.tasks.model import VampNet

FAST = SamplingConfig(steps=1, c2f_steps=1)
N_FRAMES = 210


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_windows(monkeypatch)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VampNet]:
    with pytest.MonkeyPatch.context() as patch:
        in_float32(patch)
        yield tiny_vampnet(tmp_path_factory.mktemp("bundle") / "b")


@pytest.fixture(scope="module")
def codes() -> Tensor:
    return torch.randint(64, (2, CODEC.n_codebooks, N_FRAMES), dtype=torch.int32)


def keep(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(CODEC.n_codebooks, N_FRAMES, generator=generator) >= 0.8


def stream(codes_BCT: Tensor) -> TokenStream:
    return tokens_of_codes(codes_BCT, OutputFormat(44100, len(codes_BCT), codes_BCT.shape[2] * 768))


def run_of(model: VampNet, codes_BCT: Tensor, seed: int, parts: list[Tensor], sampling: SamplingConfig = FAST) -> Run:
    plan = Plan(model.stages(sampling), sampling, keep(), seed)
    return generate_codes(stream(codes_BCT), plan, parts.append)


def generated(model: VampNet, codes_BCT: Tensor, seed: int) -> Tensor:
    parts: list[Tensor] = []
    run_all([run_of(model, codes_BCT, seed, parts)], model.fill)
    return torch.cat(parts, dim=2)


def test_kept_tokens_stay_and_the_others_are_new(model: VampNet, codes: Tensor) -> None:
    whole = generated(model, codes, 3)
    assert whole.shape == codes.shape and whole.dtype == torch.int32
    kept = keep().expand_as(codes)
    assert torch.equal(whole[kept], codes[kept])
    assert (whole[~kept] != codes[~kept]).float().mean() > 0.9


def test_finished_frames_come_while_little_is_encoded(model: VampNet, codes: Tensor) -> None:
    """Windows of the two models take turns; no more than a coarse window lies between what is read and what is out."""
    n_encoded, n_out, orders, longest = 0, 0, [], 0

    def encode() -> Iterator[Tensor]:
        nonlocal n_encoded
        for start in range(0, N_FRAMES, 10):
            n_encoded += 10
            yield codes[:, :, start : start + 10]

    def emit(part_BCT: Tensor) -> None:
        nonlocal n_out
        n_out += part_BCT.shape[2]

    tokens = TokenStream(N_FRAMES, 2, encode, OutputFormat(44100, 2, N_FRAMES * 768))
    run = generate_codes(tokens, Plan(model.stages(FAST), FAST, keep(), 3), emit)
    request = next(run)
    while True:
        orders.append((request.stage.name, request.number))
        longest = max(longest, n_encoded - n_out)
        try:
            request = run.send(model.fill([request])[0])
        except StopIteration:
            break
    assert n_out == N_FRAMES
    assert orders[:3] == [("coarse", 0), ("c2f", 0), ("c2f", 1)] and ("coarse", 1) in orders
    assert longest <= 58 + 18 + 10  # a coarse window, what the second model has not reached, and a block
    coarse, c2f = model.stages(FAST)
    assert sorted(orders) == sorted(
        (stage.name, number) for stage in (coarse, c2f) for number in range(len(stage.spans(N_FRAMES)))
    )


def test_the_size_of_encoded_blocks_changes_nothing(model: VampNet, codes: Tensor) -> None:
    expected, parts = generated(model, codes, 3), list[Tensor]()
    blocks = codes.split([1, 77, 3, 129], dim=2)
    tokens = TokenStream(N_FRAMES, 2, lambda: iter(blocks), OutputFormat(44100, 2, N_FRAMES * 768))
    run_all([generate_codes(tokens, Plan(model.stages(FAST), FAST, keep(), 3), parts.append)], model.fill)
    assert torch.equal(torch.cat(parts, dim=2), expected)


def test_what_earlier_windows_made_is_kept_by_later_ones(model: VampNet, codes: Tensor) -> None:
    """A window's first frames are those that the window before it generated, and are kept, whatever the prompt."""
    requests: list[WindowRequest] = []

    def fill(given: list[WindowRequest]) -> list[Tensor]:
        requests.extend(given)
        return model.fill(given)

    parts: list[Tensor] = []
    run_all([run_of(model, codes, 3, parts)], fill)  # type: ignore[arg-type]
    whole = torch.cat(parts, dim=2)
    coarse = [request for request in requests if request.stage.name == "coarse"]
    spans = coarse[0].stage.spans(N_FRAMES)
    for request, span in zip(coarse, spans, strict=True):
        context = slice(0, span.n_context)
        assert request.keep_BCT[:, :, context].all() and not request.keep_BCT[:, :, span.n_context :].all()
        made = whole[:, : request.codes_BCT.shape[1], span.start : span.start + span.n_context]
        assert torch.equal(request.codes_BCT[:, :, context], made.long())
    assert len({request.seeds[0] for request in requests}) == len(requests)  # each window draws for itself
    assert all(len(set(request.seeds)) == 1 for request in requests)  # equal channels stay equal


def test_windows_of_several_inputs_in_one_batch(model: VampNet, codes: Tensor) -> None:
    """In float32, exactly what each gives alone."""
    alone = [generated(model, codes[k : k + 1], seed) for k, seed in enumerate((3, 8))]
    parts: list[list[Tensor]] = [[], []]
    sizes: list[int] = []

    def fill(requests: list[WindowRequest]) -> list[Tensor]:
        assert len({request.kind for request in requests}) == 1
        sizes.append(len(requests))
        return model.fill(requests)

    runs = [run_of(model, codes[k : k + 1], seed, parts[k]) for k, seed in enumerate((3, 8))]
    run_all(runs, fill, at_once=2)  # type: ignore[arg-type]
    assert set(sizes) == {2}
    for part, expected in zip(parts, alone, strict=True):
        assert torch.equal(torch.cat(part, dim=2), expected)


def test_counted_steps_are_those_that_are_done(model: VampNet, codes: Tensor) -> None:
    sampling, done = SamplingConfig(steps=3, c2f_steps=2), 0
    run = run_of(model, codes, 3, [], sampling)
    request = next(run)
    while True:
        done += request.stage.steps * request.codes_BCT.shape[2]
        try:
            request = run.send(request.codes_BCT)
        except StopIteration:
            break
    assert done == count_steps(model.stages(sampling), N_FRAMES)


def test_readers_of_one_stream_share_an_encoding() -> None:
    n_encoded = 0

    def encode() -> Iterator[Tensor]:
        nonlocal n_encoded
        for start in range(3):
            n_encoded += 1
            yield torch.full((1, 2, 4), start, dtype=torch.int32)

    tokens = TokenStream(12, 1, encode, OutputFormat(44100, 1, 12 * 768), n_readers=2)
    first, second = tokens.blocks(), tokens.blocks()
    for one, two in itertools.zip_longest(first, second):
        assert torch.equal(one, two)
    assert n_encoded == 3
    assert BLOCK_FRAMES > 32  # what is known is cut as what is encoded would be


def test_known_codes_are_a_stream(codes: Tensor) -> None:
    assert torch.equal(stream(codes).codes(), codes)


def test_a_reader_more_than_announced_begins_a_new_encoding(codes: Tensor) -> None:
    tokens = stream(codes)
    tokens.codes()
    assert torch.equal(tokens.codes(), codes)


def test_seeds_of_windows_are_their_own() -> None:
    seeds = {stream_seed(s, stage, n) for s in range(3) for stage in ("coarse", "c2f") for n in range(20)}
    assert len(seeds) == 120 and all(0 <= seed < 2**63 for seed in seeds)
    assert variation_seed(2**63 - 1, 1) == 0 and variation_seed(5, 3) == 8
