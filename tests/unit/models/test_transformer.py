"""The network: agreement with the authors' outputs, and the promises of its interface."""

from __future__ import annotations

import pytest
import torch

from tests.support.golden import (
    flat_from_ours,
    golden_file,
    golden_model,
    golden_tensor,
    logits_from_theirs,
    requires_golden,
)
from vampnet.device import inference_dtype, select_device
from vampnet.errors import SettingsError
from vampnet.models.config import ModelConfig
from vampnet.models.transformer import MaskedTransformer, RelativePositionBias, relative_position_bucket

TOLERANCE = 1e-4
SMALL = ModelConfig(n_codebooks=5, n_conditioning_codebooks=2, vocab_size=11, dim=16, n_heads=2, n_layers=2)


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def small_model(seed: int = 0, config: ModelConfig = SMALL) -> MaskedTransformer:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = MaskedTransformer(config)
        model.set_codebooks(torch.randn(config.n_codebooks, config.vocab_size, config.codebook_dim))
    return model.eval()


def largest_difference(ours: torch.Tensor, name: str) -> float:
    theirs = golden_tensor(name)
    assert ours.shape == theirs.shape
    return (ours - theirs).abs().max().item()


@requires_golden
def test_latents_and_embedding_equal_the_authors():
    model, codes = golden_model("coarse"), golden_tensor("coarse/in_masked")
    assert largest_difference(model.latents(codes).transpose(1, 2), "coarse/latents") <= 1e-6
    assert largest_difference(model.embed(codes).transpose(1, 2), "coarse/embedding") <= 1e-5


@requires_golden
def test_each_layer_equals_the_authors():
    model, outputs = golden_model("coarse"), []
    for layer in model.layers:
        layer.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    model(golden_tensor("coarse/in_masked"))
    assert largest_difference(torch.stack(outputs), "coarse/activations") <= TOLERANCE


@requires_golden
def test_coarse_logits_equal_the_authors_with_and_without_adapters():
    codes = golden_tensor("coarse/in_masked")
    logits = golden_model("coarse")(codes)
    assert (logits - logits_from_theirs(golden_tensor("coarse/logits"), 4)).abs().max() <= TOLERANCE
    without = flat_from_ours(golden_model("coarse", lora=False)(codes))
    assert largest_difference(without[:, :, ::5], "coarse/logits_nolora") <= TOLERANCE
    other = flat_from_ours(golden_model("coarse", extra=golden_file("lora.pth"))(codes))
    assert largest_difference(other[:, :, ::3], "coarse/logits_lora") <= TOLERANCE


@requires_golden
def test_c2f_logits_equal_the_authors():
    logits = golden_model("c2f")(golden_tensor("c2f/in_masked"))
    assert logits.shape == (1, 10, 40, 1024)
    assert largest_difference(flat_from_ours(logits)[:, :, ::3], "c2f/logits") <= TOLERANCE


@requires_golden
def test_ten_seconds_equal_the_authors():
    flat = flat_from_ours(golden_model("coarse")(golden_tensor("long/coarse_in_masked")))
    assert torch.equal(flat.argmax(1), golden_tensor("long/coarse_argmax"))
    assert largest_difference(flat.logsumexp(1), "long/coarse_logsumexp") <= TOLERANCE
    places = [0, 1, 2, 3, 4 * 287, 4 * 574 + 3]
    assert largest_difference(flat[:, :, places], "long/coarse_logits_t0_t287_t574") <= TOLERANCE


@requires_golden
def test_position_buckets_and_bias_equal_the_authors():
    bucket = relative_position_bucket(golden_tensor("relpos/rel"), n_buckets=32, max_distance=128)
    assert torch.equal(bucket, golden_tensor("relpos/bucket"))
    position_bias = golden_model("coarse").position_bias
    assert torch.equal(position_bias(5).unsqueeze(1), golden_tensor("relpos/bias_heads_q5_k5"))
    assert torch.equal(position_bias(180)[:, [0, 90, 179]], golden_tensor("relpos/bias_180_row0_row90_row179"))


@pytest.mark.parametrize("n_frames", [1, 2, 40, 300])
def test_position_bias_equals_its_definition(n_frames: int):
    position_bias = RelativePositionBias(n_heads=3, n_buckets=32, max_distance=128)
    position_bias.table_NH.copy_(torch.arange(96.0).view(32, 3))
    frame = torch.arange(n_frames)
    bucket = relative_position_bucket(frame[None, :] - frame[:, None], 32, 128)
    bias_HTT = position_bias(n_frames)
    assert torch.equal(bias_HTT, position_bias.table_NH[bucket].permute(2, 0, 1))
    assert bias_HTT.is_contiguous()  # or attention copies it in every layer


def test_position_bias_follows_its_weights():
    model, codes = small_model(), torch.randint(0, 12, (1, 5, 7))
    before = model(codes)
    model.position_bias.table_NH.add_(torch.arange(32.0)[:, None])
    assert not torch.allclose(model(codes), before)


@pytest.mark.parametrize("learned", [False, True])
def test_an_item_does_not_depend_on_its_batch(learned: bool):
    config = ModelConfig(n_codebooks=4, vocab_size=50, dim=32, n_heads=4, n_layers=2, learned_embedding=learned)
    model = small_model(config=config)
    codes = torch.randint(0, 51, (4, 4, 33), generator=torch.Generator().manual_seed(1))
    together = model(codes)
    for item in range(4):
        assert (model(codes[item : item + 1]) - together[item]).abs().max() <= 1e-5


def test_the_last_axis_of_the_logits_is_the_vocabulary():
    model, codes = small_model(), torch.randint(0, 12, (2, 5, 7))
    logits = model(codes)
    assert logits.shape == (2, 3, 7, 11)
    assert model.hidden(codes).shape == (2, 7, 16)
    by_hand = model.classifier(model.hidden(codes))
    assert torch.equal(logits[:, 1], by_hand[..., 11:22])


def test_the_learned_embedding_adds_a_vector_per_entry():
    config = ModelConfig(n_codebooks=2, vocab_size=5, dim=8, n_heads=2, n_layers=1, learned_embedding=True)
    model, codes = small_model(config=config), torch.tensor([[[0, 5], [3, 1]]])
    learned_CVD = model.learned_CVD
    assert learned_CVD is not None and learned_CVD.shape == (2, 6, 8)
    with_learned = model.embed(codes)
    added = torch.stack([learned_CVD[0, 0] + learned_CVD[1, 3], learned_CVD[0, 5] + learned_CVD[1, 1]])
    assert torch.allclose(with_learned - model.project(model.latents(codes)), added, atol=1e-6)


def test_gradients_reach_every_parameter_and_no_codebook():
    config = ModelConfig(n_codebooks=2, vocab_size=5, dim=8, n_heads=2, n_layers=2, learned_embedding=True)
    model = small_model(config=config).train()
    with torch.enable_grad():
        model(torch.randint(0, 6, (2, 2, 9))).logsumexp(-1).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert "codebooks_CVK" not in dict(model.named_parameters()) and "codebooks_CVK" in model.state_dict()


def test_codebooks_are_part_of_the_state_dict():
    model, other = small_model(0), small_model(1)
    other.load_state_dict(model.state_dict())
    codes = torch.randint(0, 12, (1, 5, 7))
    assert torch.equal(other(codes), model(codes))
    with pytest.raises(SettingsError, match=r"\(4, 11, 8\) do not fit this model, which needs \(5, 11, 8\)"):
        model.set_codebooks(torch.zeros(4, 11, 8))


def test_dropout_acts_in_training_only():
    model, codes = small_model(), torch.randint(0, 12, (1, 5, 7))
    assert torch.equal(model(codes), model(codes))
    with torch.random.fork_rng():
        model.train()
        assert not torch.equal(model(codes), model(codes))


def test_untrained_predictions_are_near_uniform():
    config = ModelConfig(n_layers=2)
    logits = small_model(config=config)(torch.randint(0, 1025, (1, 4, 20)))
    assert logits.std() < 0.6


@pytest.mark.parametrize("shape", [(1, 4, 7), (5, 7), (1, 5, 0)])
def test_codes_of_another_shape_are_refused(shape: tuple[int, ...]):
    with pytest.raises(SettingsError, match=r"needs \(batch, 5, frames\)"):
        small_model()(torch.zeros(shape, dtype=torch.int64))


@pytest.mark.parametrize("code", [-1, 12])
def test_codes_outside_the_vocabulary_are_refused(code: int):
    with pytest.raises(IndexError):
        small_model()(torch.full((1, 5, 3), code))


def test_devices():
    assert select_device("cpu") == torch.device("cpu")
    assert select_device().type in ("cuda", "mps", "cpu")
    assert inference_dtype(torch.device("cpu")) in (torch.bfloat16, torch.float32)
    assert inference_dtype(torch.device("mps")) == torch.float32
    for name in ("tpu", "cpu:1", "cuda:x", ""):
        with pytest.raises(SettingsError, match="device is"):
            select_device(name)
    if not torch.cuda.is_available():
        with pytest.raises(SettingsError, match="finds no CUDA device"):
            select_device("cuda:0")


def test_in_bfloat16_matrices_change_and_nothing_else():
    model = small_model()
    reduced = model.in_format(torch.bfloat16)
    assert reduced.project.weight.data_ptr() == model.project.weight.data_ptr()  # shared, not copied
    assert reduced.get_parameter("layers.0.attention.query.weight").dtype == torch.bfloat16
    assert model.dtype == torch.float32 and reduced.dtype == torch.bfloat16
    codes = torch.randint(0, 12, (3, 5, 20), generator=torch.Generator().manual_seed(0))
    expected, logits = model(codes), reduced(codes)
    assert 0 < (logits - expected).abs().max() < 0.02 * expected.abs().max()
    assert torch.allclose(reduced(codes[1:2])[0], logits[1], atol=0.01)  # its own bias, whatever the batch


def test_logits_of_chosen_tokens_are_those_of_all() -> None:
    generator = torch.Generator().manual_seed(0)
    model, codes = small_model(), torch.randint(12, (3, 5, 7), generator=generator)
    chosen = torch.rand(3, 3, 7, generator=generator) < 0.4
    logits = model(codes)
    in_order = torch.cat([logits[:, p][chosen[:, p]] for p in range(3)])
    assert torch.allclose(model(codes, chosen), in_order, atol=1e-6) and len(in_order) == chosen.sum()

    class Adapted(torch.nn.Linear):  # what an adapter does: weight and bias alone do not say what comes out
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input) + 1

    adapted = Adapted(16, 33)
    adapted.load_state_dict(model.classifier.state_dict())
    model.classifier = adapted
    assert torch.allclose(model(codes, chosen), in_order + 1, atol=1e-6)


def test_no_weights_are_drawn_for_a_model_that_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(*_: object, **__: object) -> None:
        raise AssertionError("random weights are drawn only to be replaced by those of the file")

    monkeypatch.setattr(torch.nn.init, "normal_", drawn)
    with torch.device("meta"):
        assert MaskedTransformer(SMALL).classifier.weight.is_meta
