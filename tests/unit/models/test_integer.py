"""Networks in 8-bit integers: exact products, results that do not depend on the batch, and clear refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.support.tiny import tiny_codec, tiny_models, tone, write_tiny_bundle
from vampnet.errors import SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.models.choice import ModelChoice
from vampnet.models.integer import IntegerLinear, check_integers, in_integers, to_integers
from vampnet.models.openvino import check_backend
from vampnet.models.transformer import MaskedTransformer
from vampnet.prompts.parts import Periodic
from vampnet.tasks.model import load


def test_rows_are_rounded_to_the_nearest_integer_and_zeros_stay() -> None:
    x_NI = torch.tensor([[254.0, -127.0, 1.0, 3.0], [0.0, 0.0, 0.0, 0.0], [-1e-3, 5e-4, 0.0, 0.0]])
    integers_NI, scale_N1 = to_integers(x_NI)
    assert integers_NI.tolist() == [[127, -64, 0, 2], [0, 0, 0, 0], [-127, 64, 0, 0]]  # halves go to even: 63.5, 1.5
    assert ((integers_NI * scale_N1 - x_NI).abs() <= scale_N1 / 2 * 1.001).all()


def test_a_map_is_the_product_of_its_integers() -> None:
    torch.manual_seed(0)
    maps = [nn.Linear(70, 33, bias=False), nn.Linear(70, 5, bias=False)]
    x_BTI = torch.randn(2, 9, 70) * torch.logspace(-3, 3, 18).view(2, 9, 1)
    made_BTO = IntegerLinear(maps)(x_BTI)
    weight_OI, scale_O1 = to_integers(torch.cat([own.weight.detach() for own in maps]))
    rows_BTI, scale_N1 = to_integers(x_BTI.flatten(0, 1))
    expected_NO = (rows_BTI.double() @ weight_OI.double().T) * scale_O1.double().T * scale_N1.double()
    assert torch.allclose(made_BTO.flatten(0, 1).double(), expected_NO, rtol=1e-6, atol=0)
    exact_BTO = torch.cat([own(x_BTI) for own in maps], dim=-1)
    assert (made_BTO - exact_BTO).norm() < 0.02 * exact_BTO.norm()


@pytest.mark.parametrize("part", [0, 1], ids=["coarse", "c2f"])
def test_logits_are_near_and_those_of_an_item_do_not_depend_on_the_others(part: int) -> None:
    model = tiny_models(tiny_codec())[part]
    with torch.no_grad():
        for parameter in model.layers.parameters():
            parameter.mul_(3)  # so that the layers say something
        network = in_integers(model, torch.float32)
        generator = torch.Generator().manual_seed(0)
        shape = (3, model.config.n_codebooks, 33)
        codes_BCT = torch.randint(0, model.config.vocab_size + 1, shape, generator=generator)
        expected, made = model(codes_BCT), network(codes_BCT)
        wrong = (made - expected).norm() / (expected - expected.mean(-1, keepdim=True)).norm()
        assert 1e-5 < wrong < 0.05
        for item in range(3):
            hidden_BTD = network.hidden(codes_BCT[item : item + 1])
            assert torch.allclose(network.hidden(codes_BCT)[item], hidden_BTD[0], rtol=0, atol=1e-6)
        assert torch.isfinite(network(codes_BCT[:1, :, :1])).all()


def test_what_it_holds() -> None:
    """Nothing of the float matrices of the layers stays, and nothing is the model's own, whose file can be let go."""
    model = tiny_models(tiny_codec())[0]
    network = in_integers(model, torch.bfloat16)
    state = network.state_dict()
    assert not [name for name, tensor in state.items() if tensor.is_meta]
    matrices = {tensor.dtype for name, tensor in state.items() if name.startswith("layers.") and tensor.ndim == 2}
    assert matrices == {torch.int8}
    assert network.dtype == torch.bfloat16 and not network.training
    places = {tensor.data_ptr() for tensor in model.state_dict().values()}
    assert not places & {tensor.data_ptr() for tensor in state.values()}
    assert torch.equal(state["project.weight"], model.project.weight)
    assert isinstance(network, MaskedTransformer)


def test_a_vamp_says_so_and_comes_out_the_same_again(tmp_path: Path) -> None:
    folder, audio = write_tiny_bundle(tmp_path / "b"), tone(0.5)
    settings = SamplingConfig(steps=3, c2f_steps=2, seed=1)
    models = [load(folder, device="cpu", precision=name) for name in ("int8", "int8", "float32")]
    assert [model.precision for model in models] == ["int8", "int8", "float32"]
    codes = [model.vamp(audio, prompt=Periodic(5), sampling=settings).codes for model in models]
    assert codes[0] is not None and codes[1] is not None and torch.equal(codes[0], codes[1])
    assert models[0].id == models[1].id != models[2].id


def test_a_cpu_whose_products_overflow_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on CPUs without VNNI: sums of two products with unsigned rows are cut off at 16 bits."""

    def cut_off(rows_NI: torch.Tensor, weight_OI: torch.Tensor) -> torch.Tensor:
        products_NOI = (rows_NI.int() + 128)[:, None] * weight_OI.int()
        pairs_NOI = products_NOI.unflatten(-1, (-1, 2)).sum(-1).clamp(-(2**15), 2**15 - 1)
        return (pairs_NOI.sum(-1) - 128 * weight_OI.int().sum(-1)).int()

    check_integers()
    monkeypatch.setattr("vampnet.models.integer._multiply", cut_off)
    with pytest.raises(SettingsError, match=r"no exact product of 8-bit integers \(VNNI\)"):
        load(device="cpu", precision="int8")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with pytest.raises(SettingsError, match="no fast product of 8-bit integers"):
        load(device="cpu", precision="int8")


def test_refusals() -> None:
    with pytest.raises(SettingsError, match=r"'int8' is PyTorch's, not openvino's; leave one of the two out"):
        ModelChoice(precision="int8", backend="openvino")
    with pytest.raises(SettingsError, match="'int8' does not go with compat 'reference'"):
        load(device="cpu", precision="int8", compat="reference")
    with pytest.raises(SettingsError, match="'int8' runs on the CPU, not on mps; choose precision 'auto'"):
        from vampnet.device import select_precision

        select_precision("int8", torch.device("mps"))
    pytest.importorskip("openvino")
    with pytest.raises(SettingsError, match="'int8' does not go with backend 'openvino'"):
        check_backend("openvino", torch.device("cpu"), precision="int8")
