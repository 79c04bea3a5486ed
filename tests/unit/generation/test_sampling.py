"""Parallel iterative decoding: the authors' tokens and schedules, filters, chance, and independence of the batch."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from tests.support.golden import golden_array, golden_file, golden_model, golden_names, golden_tensor, requires_golden
from vampnet.errors import BundleError, SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.generation.sampling import (
    draw,
    draw_by_inverse_cdf,
    fill,
    masked_after_each_step,
    most_confident,
    temper,
    top_p_filter,
    typical_filter,
)
from vampnet.models.config import ModelConfig
from vampnet.models.transformer import MaskedTransformer

GREEDY = SamplingConfig(temperature=0, mask_temperature=0)
CONFIG = ModelConfig(n_codebooks=4, n_conditioning_codebooks=1, vocab_size=20, dim=16, n_heads=2, n_layers=2)


@pytest.fixture(scope="module")
def model() -> MaskedTransformer:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MaskedTransformer(CONFIG)
        model.set_codebooks(torch.randn(4, 20, 8))
        torch.nn.init.normal_(model.classifier.weight, std=0.5)
    return model.eval()


class Recorder:
    """A network that remembers what it was given."""

    def __init__(self, network: MaskedTransformer) -> None:
        self.network, self.config, self.inputs = network, network.config, []

    def __call__(self, codes_BCT: torch.Tensor, chosen_BPT: torch.Tensor) -> torch.Tensor:
        self.inputs.append(codes_BCT.clone())
        return self.network(codes_BCT, chosen_BPT)


def example(batch: int = 1, n_frames: int = 12, rate: float = 0.6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, 20, (batch, 4, n_frames), generator=generator)
    return codes, torch.rand(codes.shape, generator=generator) >= rate


# The authors' results ---------------------------------------------------------------------------------------------

SINGLES = [
    *(f"coarse_{mask}_s12" for mask in ("nearfull", "periodic7", "upper3", "rand60", "tiny", "lora_rand60")),
    *("coarse_nearfull_s36", "coarse_rand60_s1", "c2f_all_fine_s12", "c2f_rand70_s12", "c2f_periodic5_s12"),
    "c2f_all_fine_s2",
]


def golden_network(tag: str) -> MaskedTransformer:
    extra = golden_file("lora.pth") if "lora" in tag else None
    return golden_model(tag.split("_")[0], extra=extra)


@requires_golden
@pytest.mark.parametrize("tag", SINGLES)
def test_greedy_tokens_equal_the_authors_in_every_step(tag: str):
    network, steps = Recorder(golden_network(tag)), golden_array(f"gen/{tag}/num_to_mask").shape[1]
    start, keep = golden_tensor(f"gen/{tag}/start"), golden_tensor(f"gen/{tag}/mask") == 0
    out = fill(network, start, keep, GREEDY, [0], steps)
    assert torch.equal(out, golden_tensor(f"gen/{tag}/tokens"))
    assert torch.equal(torch.stack(network.inputs), golden_tensor(f"gen/{tag}/z_masked_per_step"))


@requires_golden
def test_a_batch_of_two_equals_the_authors_two_single_runs():
    """Their batch of two counts masked tokens over the whole batch; ours must equal their runs of one."""
    tag = "gen/coarse_mixed_s12_b2"
    out = fill(
        golden_network("coarse"), golden_tensor(f"{tag}/start"), golden_tensor(f"{tag}/mask") == 0, GREEDY, [0, 0], 12
    )
    for item, single in enumerate(("nearfull", "rand60")):
        assert torch.equal(golden_tensor(f"{tag}/start")[item], golden_tensor(f"gen/coarse_{single}_s12/start")[0])
        assert torch.equal(out[item], golden_tensor(f"gen/coarse_{single}_s12/tokens")[0])


@requires_golden
def test_schedules_equal_the_authors():
    names = [name for name in golden_names("sched/coarse_") if name.endswith("b1/still_masked_after")]
    assert len(names) == 20
    for name in names:
        n_masked = int(golden_array(name.replace("still_masked_after", "n_masked_start"))[0])
        expected = golden_array(name)[0].tolist()
        assert masked_after_each_step(n_masked, len(expected)) == [n_masked, *expected], name


def kept_by(filtered: torch.Tensor) -> np.ndarray:
    return torch.isfinite(filtered).numpy()


@requires_golden
@pytest.mark.parametrize(("mass", "n"), [(0.15, 64), (0.2, 1), (0.95, 1), (0.5, 10), (0.99, 64), (0.0, 1)])
def test_typical_filter_keeps_what_the_authors_computed_and_dropped(mass: float, n: int):
    ours = kept_by(typical_filter(golden_tensor("sample/logits")[0], mass, n))
    theirs = np.unpackbits(golden_array(f"sample/typical_keep_m{mass}_n{n}")[0], axis=-1).astype(bool)
    assert np.array_equal(ours, theirs)


@requires_golden
@pytest.mark.parametrize("mass", [0.1, 0.5, 0.9])
def test_top_p_filter_equals_the_authors(mass: float):
    logits = golden_tensor("sample/logits")[0]
    ours = top_p_filter(logits, mass)
    theirs = np.unpackbits(golden_array(f"sample/topp{mass}_keep")[0], axis=-1).astype(bool)
    assert np.array_equal(kept_by(ours), theirs)
    _, log_p = draw(logits, torch.zeros(24), replace(GREEDY, top_p=mass))
    assert (log_p.exp() - golden_tensor(f"sample/topp{mass}_argmax_prob")[0]).abs().max() <= 1e-5


@requires_golden
@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0, 2.0])
def test_temperature_equals_the_authors(temperature: float):
    log_p = torch.log_softmax(temper(golden_tensor("sample/logits")[0], temperature), -1)
    expected = golden_tensor(f"sample/argmax_temp{temperature}_prob")[0]
    assert (log_p.amax(-1).exp() - expected).abs().max() <= 1e-5
    assert torch.equal(log_p.argmax(-1), golden_tensor("sample/argmax_tokens")[0])


@requires_golden
def test_the_order_of_committing_equals_the_authors():
    p_BN, n_left = golden_tensor("sample/mbrt_probs"), golden_tensor("sample/mbrt_num").flatten()
    commit = most_confident(p_BN.log(), (50 - n_left).tolist())
    assert torch.equal(~commit, golden_tensor("sample/mbrt_mask") == 1)


# The schedule -----------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(0, 3000), st.integers(1, 80))
def test_schedules_fall_to_nothing(n_masked: int, steps: int):
    left = masked_after_each_step(n_masked, steps)
    assert len(left) == steps + 1 and left[0] == n_masked and left[-1] == 0
    for before, after in itertools.pairwise(left[:-1]):
        assert after < before or before <= 1
        assert after >= min(before, 1)


def test_float32_decides_at_two_thirds():
    assert masked_after_each_step(240, 12)[8] == 119


# fill -------------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(1, 20), st.floats(0, 1), st.integers(1, 9), st.integers(0, 2**63 - 1))
def test_kept_tokens_never_change_and_masked_ones_are_filled(
    model: MaskedTransformer, batch: int, n_frames: int, rate: float, steps: int, seed: int
):
    codes, keep = example(batch, n_frames, rate, seed % 1000)
    before = codes.clone()
    out = fill(model, codes, keep, SamplingConfig(), [seed] * batch, steps)
    assert torch.equal(codes, before)
    assert torch.equal(out[keep], codes[keep])
    assert torch.equal(out[:, :1], codes[:, :1])  # conditioning
    assert out.dtype == torch.int64 and out.min() >= 0 and out.max() < 20


VARIANTS = [
    SamplingConfig(),
    GREEDY,
    SamplingConfig(temperature=0.7, top_p=0.8),
    SamplingConfig(typical_mass=0.5, typical_min_tokens=2, mask_temperature=1),
]


@pytest.mark.parametrize("chosen", VARIANTS)
def test_an_item_does_not_depend_on_its_batch(model: MaskedTransformer, chosen: SamplingConfig):
    codes, keep = example(batch=4, n_frames=30)
    keep[1] = False
    keep[2] |= torch.rand(keep[2].shape, generator=torch.Generator().manual_seed(1)) >= 0.05
    seeds = [3, 0, 3, 2**63 - 1]
    together = fill(model, codes, keep, chosen, seeds, 10)
    for item in range(4):
        one = slice(item, item + 1)
        assert torch.equal(fill(model, codes[one], keep[one], chosen, [seeds[item]], 10), together[one])


def test_the_seed_alone_decides(model: MaskedTransformer):
    codes, keep = example(n_frames=40)
    first, again, other = (fill(model, codes, keep, SamplingConfig(), [seed], 6) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    twins = fill(model, codes.repeat(2, 1, 1), keep.repeat(2, 1, 1), SamplingConfig(), [5, 5], 6)
    assert torch.equal(twins[0], twins[1])


def test_no_global_random_state_is_used(model: MaskedTransformer):
    codes, keep = example()
    before = torch.get_rng_state()
    fill(model, codes, keep, SamplingConfig(), [0], 4)
    assert torch.equal(torch.get_rng_state(), before)


def test_masked_codes_of_the_input_do_not_matter(model: MaskedTransformer):
    codes, keep = example()
    keep[:, 0] = True
    other = torch.where(keep, codes, 20)
    assert torch.equal(
        fill(model, codes, keep, SamplingConfig(), [0], 4), fill(model, other, keep, SamplingConfig(), [0], 4)
    )


def test_an_item_without_masked_tokens_costs_no_pass(model: MaskedTransformer):
    codes, keep = example(batch=2)
    keep[0] = True
    recorder = Recorder(model)
    out = fill(recorder, codes, keep, SamplingConfig(), [0, 1], 3)
    assert torch.equal(out[0], codes[0]) and all(len(given) == 1 for given in recorder.inputs)
    untouched = fill(Recorder(model), codes, torch.ones_like(keep), SamplingConfig(), [0, 1], 3)
    assert torch.equal(untouched, codes) and untouched is not codes


@pytest.mark.parametrize(("n_masked", "passes"), [(1, 1), (2, 2), (3, 3), (5, 5)])
def test_more_steps_than_tokens_cost_one_pass_per_token(model: MaskedTransformer, n_masked: int, passes: int):
    codes, keep = example(rate=0.0)
    keep[0, 1, :n_masked] = False
    recorder, reports = Recorder(model), []
    out = fill(recorder, codes, keep, SamplingConfig(), [0], 30, lambda done, total: reports.append((done, total)))
    assert len(recorder.inputs) == passes
    assert out.max() < 20
    assert reports == [(done, 30) for done in range(1, 31)]


def test_one_step_fills_everything_in_one_pass(model: MaskedTransformer):
    codes, keep = example()
    recorder = Recorder(model)
    out = fill(recorder, codes, torch.zeros_like(keep), SamplingConfig(), [0], 1)
    assert len(recorder.inputs) == 1 and (recorder.inputs[0][:, 1:] == 20).all() and out.max() < 20


def test_committed_tokens_stay(model: MaskedTransformer):
    codes, keep = example(n_frames=20, rate=1.0)
    recorder = Recorder(model)
    out = fill(recorder, codes, keep, SamplingConfig(), [0], 8)
    for earlier, later in zip(recorder.inputs, [*recorder.inputs[1:], out], strict=True):
        done = earlier != 20
        assert torch.equal(later[done], earlier[done])


def test_chance_follows_the_network():
    """Frequencies of one masked token over many seeds are the network's probabilities."""
    p = torch.tensor([0.5, 0.3, 0.2, 0.0])

    class Fixed:
        config = ModelConfig(n_codebooks=1, vocab_size=4, dim=8, n_heads=1, n_layers=1)

        def __call__(self, codes_BCT: torch.Tensor, chosen_BPT: torch.Tensor) -> torch.Tensor:
            return p.log().clamp(min=-1e4).expand(int(chosen_BPT.sum()), 4)

    codes = torch.zeros(20, 1, 200, dtype=torch.int64)
    out = fill(Fixed(), codes, torch.zeros_like(codes, dtype=torch.bool), SamplingConfig(), range(20), 5)
    assert (out.flatten().bincount(minlength=4) / 4000 - p).abs().max() < 0.03
    assert not (out == 3).any()


# Drawing and filters ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("uniform", [0.0, 2.0**-25, 0.3, 1 - 2.0**-24, 1.0])
def test_a_draw_never_has_probability_zero(uniform: float):
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(200, 1024, generator=generator) * (torch.rand(200, 1024, generator=generator) < 0.01)
    p[:, 0] = p[:, -1] = 0
    p = p / p.sum(-1, keepdim=True)
    tokens = draw_by_inverse_cdf(p, torch.full((200,), uniform))
    assert (p.gather(-1, tokens[:, None]) > 0).all()


def test_draws_equal_the_definition():
    p = torch.tensor([[0.25, 0.0, 0.5, 0.25]]).repeat(5, 1)
    assert draw_by_inverse_cdf(p, torch.tensor([0.0, 0.2499, 0.25, 0.7499, 0.75])).tolist() == [0, 0, 2, 2, 3]


def test_equal_confidence_goes_by_position():
    confidence = torch.tensor([[-1.0, -1.0, -math.inf, -1.0], [-2.0, -1.0, -2.0, -math.inf]])
    expected = torch.tensor([[True, True, False, False], [True, True, False, False]])
    assert torch.equal(most_confident(confidence, [2, 2]), expected)


def test_filters_are_off_at_mass_1_and_leave_their_input_alone():
    logits = torch.randn(5, 30, generator=torch.Generator().manual_seed(0))
    before = logits.clone()
    assert torch.equal(top_p_filter(logits, 1.0), logits) and torch.equal(typical_filter(logits, 1.0, 4), logits)
    for changed in (top_p_filter(logits, 0.3), typical_filter(logits, 0.3, 4), temper(logits, 0.5)):
        assert not torch.equal(changed, before)
    assert torch.equal(logits, before)


def test_filters_keep_the_smallest_set_that_reaches_the_mass():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    assert kept_by(top_p_filter(logits, 0.4)).tolist() == [[True, False, False, False]]
    assert kept_by(top_p_filter(logits, 0.79)).tolist() == [[True, True, False, False]]
    # Entropy 1.142: surprises 0.693, 1.204, 1.897, 2.996, so the second token is the most typical.
    assert kept_by(typical_filter(logits, 0.2)).tolist() == [[False, True, False, False]]
    assert kept_by(typical_filter(logits, 0.2, min_tokens=2)).tolist() == [[True, True, False, False]]
    assert kept_by(typical_filter(logits, 0.9, min_tokens=100)).all()


def test_filtered_tokens_are_never_drawn(model: MaskedTransformer):
    codes, keep = example(n_frames=30)
    narrow = fill(model, codes, keep, SamplingConfig(top_p=1e-6), [9], 1)
    assert torch.equal(narrow, fill(model, codes, keep, GREEDY, [0], 1))


def test_a_tiny_temperature_takes_the_most_likely_token():
    logits = torch.randn(50, 30, generator=torch.Generator().manual_seed(0)) * 20
    tokens, log_p = draw(
        logits, torch.rand(50, generator=torch.Generator().manual_seed(1)), SamplingConfig(temperature=1e-30)
    )
    assert torch.equal(tokens, logits.argmax(-1)) and torch.isfinite(log_p).all()


# Errors -----------------------------------------------------------------------------------------------------------


def test_arguments_that_do_not_fit_are_named(model: MaskedTransformer):
    codes, keep = example(batch=2)
    ok = SamplingConfig()
    with pytest.raises(SettingsError, match="1 seeds were given for a batch of 2"):
        fill(model, codes, keep, ok, [0], 4)
    with pytest.raises(SettingsError, match="seed is -1"):
        fill(model, codes, keep, ok, [0, -1], 4)
    with pytest.raises(SettingsError, match="steps is 0, but must lie in 1 to 1000"):
        fill(model, codes, keep, ok, [0, 1], 0)
    with pytest.raises(SettingsError, match=r"the keep mask is torch\.int64"):
        fill(model, codes, keep.long(), ok, [0, 1], 4)
    with pytest.raises(SettingsError, match=r"must be int64 of shape \(batch, 4, frames\)"):
        fill(model, codes[:, :3], keep[:, :3], ok, [0, 1], 4)
    codes[keep] = 20
    with pytest.raises(SettingsError, match="a kept code is 20, but must lie in 0 to 19"):
        fill(model, codes, keep, ok, [0, 1], 4)


def test_training_mode_and_broken_weights_are_refused(model: MaskedTransformer):
    codes, keep = example()
    broken = MaskedTransformer(CONFIG)
    with pytest.raises(SettingsError, match="training mode"):
        fill(broken, codes, keep, SamplingConfig(), [0], 4)
    torch.nn.init.constant_(broken.classifier.weight, math.nan)
    with pytest.raises(BundleError, match="not finite"):
        fill(broken.eval(), codes, keep, SamplingConfig(), [0], 4)


def test_what_progress_raises_ends_the_sampling(model: MaskedTransformer):
    def cancel(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    recorder = Recorder(model)
    with pytest.raises(KeyboardInterrupt):
        fill(recorder, *example(), SamplingConfig(), [0], 6, cancel)
    assert len(recorder.inputs) == 2
