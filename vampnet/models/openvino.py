"""OpenVINO as the runtime of the networks (the extra `openvino`), faster than PyTorch on many CPUs.

OpenVINO compiles the layers of a network once, when it is first called, for any number of frames and items; what the
first layer reads (codes to vectors) stays with PyTorch in float32. The logits are those of PyTorch up to rounding, in
float32 or, where the CPU computes bfloat16, in that: then near ties are drawn otherwise, as between any two programs.
"""

from __future__ import annotations

import sys
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from vampnet.errors import DependencyError, SettingsError
from vampnet.models.config import ModelConfig
from vampnet.models.integer import check_integers
from vampnet.models.transformer import MaskedTransformer, logits_of

BACKENDS = ("torch", "openvino")


def check_backend(name: str, device: torch.device, compat: str = "", precision: str = "auto") -> str:
    """The name itself. Raises SettingsError for one that is unknown or does not run on `device`, with `compat` or in
    `precision`, and DependencyError where its package is missing."""
    if name not in BACKENDS:
        raise SettingsError(f"backend is {name!r}, but must be one of {', '.join(BACKENDS)}")
    if name == "openvino":
        if device.type != "cpu":
            raise SettingsError(f"backend 'openvino' runs on the CPU, not on {device}; choose device 'cpu'")
        if compat:
            raise SettingsError(
                f"compat {compat!r} is there to repeat numbers, which backend 'openvino' rounds otherwise"
            )
        _openvino()
    if precision == "int8":
        check_integers()
        if compat or name != "torch":
            what = f"compat {compat!r}" if compat else f"backend {name!r}"
            raise SettingsError(f"precision 'int8' does not go with {what}; leave one of the two out")
    return name


class OpenVinoNetwork:
    """A masked network whose layers OpenVINO runs, on as many threads as PyTorch; a `sampling.TokenNetwork`.

    `dtype`: bfloat16 or float32, what the layers compute in. The network's own matrices are to be float32; those of the
    layers are not used any more once it is compiled, and where they are mapped from a file they take no memory that is
    not given back. The classifier stays with PyTorch, which applies it to the tokens that are wanted and no others.
    """

    training = False

    def __init__(self, model: MaskedTransformer, dtype: torch.dtype) -> None:
        self.config: ModelConfig = model.config
        self.dtype = dtype
        self._model = model
        self._classifier = model.classifier if dtype == torch.float32 else deepcopy(model.classifier).to(dtype)
        self._compiled: Any = None

    def __call__(self, codes_BCT: Tensor, chosen_BPT: Tensor | None = None) -> Tensor:
        """As `MaskedTransformer.forward`, for inference."""
        with torch.no_grad():
            x_BTD = self._model.embed(codes_BCT)
            bias_HTT = self._model.position_bias(x_BTD.shape[1]).contiguous()
            if self._compiled is None:
                self._compiled = _compile(self._model, x_BTD, bias_HTT, self.dtype)
            hidden_BTD = torch.from_numpy(self._compiled([x_BTD.numpy(), bias_HTT.numpy()])[0])
            return logits_of(self._classifier, hidden_BTD, self.config.n_predicted, chosen_BPT)


class _Layers(nn.Module):
    """The part of a network that is compiled: from what the first layer reads to what the classifier reads."""

    def __init__(self, model: MaskedTransformer) -> None:
        super().__init__()
        self.layers, self.norm = model.layers, model.norm

    def forward(self, x_BTD: Tensor, bias_HTT: Tensor) -> Tensor:
        for layer in self.layers:
            x_BTD = layer(x_BTD, bias_HTT)
        return self.norm(x_BTD)


def _compile(model: MaskedTransformer, x_BTD: Tensor, bias_HTT: Tensor, dtype: torch.dtype) -> Any:
    openvino = _openvino()
    n_heads, width = model.config.n_heads, model.config.dim
    graph = openvino.convert_model(
        _Layers(model),
        example_input=(x_BTD, bias_HTT),
        input=[openvino.PartialShape([-1, -1, width]), openvino.PartialShape([n_heads, -1, -1])],
    )
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if dtype == torch.bfloat16 else "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    return openvino.Core().compile_model(graph, "CPU", settings)


def _openvino() -> Any:
    """OpenVINO, loaded without its telemetry, which else reports every import to an analytics service.

    It uses a stub of its own where that package is missing, so for the time of the import it is.
    """
    hidden = sys.modules.get("openvino_telemetry")
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        import openvino
        import openvino.tools.ovc.convert_impl
    except ImportError:
        raise DependencyError(
            "backend 'openvino' needs the extra `openvino`: pip install 'vampnet[openvino]'"
        ) from None
    finally:
        del sys.modules["openvino_telemetry"]
        if hidden is not None:
            sys.modules["openvino_telemetry"] = hidden
    return openvino
