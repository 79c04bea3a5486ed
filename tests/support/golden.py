"""The authors' outputs for small random weights, and their weights under our names.

The folder is $VAMPNET_GOLDEN or `<repository>/../shared/golden`; its README.md says how each array was made. Tests that
need it carry `requires_golden` and are skipped where it is absent.
"""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vampnet.models.config import ModelConfig
from vampnet.models.transformer import MaskedTransformer

GOLDEN = Path(os.environ.get("VAMPNET_GOLDEN") or Path(__file__).resolve().parents[2].parent / "shared" / "golden")

requires_golden = pytest.mark.skipif(
    not (GOLDEN / "golden.npz").is_file(), reason=f"no golden data in {GOLDEN}; set VAMPNET_GOLDEN to its folder"
)

LORA_RANK = 8


@functools.lru_cache(maxsize=1)
def _archive() -> Any:
    return np.load(GOLDEN / "golden.npz", allow_pickle=False)


def golden_names(prefix: str = "") -> list[str]:
    """Names of the arrays that start with `prefix`."""
    return [name for name in _archive().files if name.startswith(prefix)]


def golden_array(name: str) -> np.ndarray:
    return _archive()[name]


def golden_tensor(name: str) -> Tensor:
    """The array as a tensor; integers as int64 (tokens, counts)."""
    tensor = torch.from_numpy(np.array(golden_array(name)))
    return tensor if tensor.is_floating_point() else tensor.long()


def golden_mask(name: str) -> Tensor:
    """The array as a bool tensor, True where it is 1 (generate)."""
    return golden_tensor(name) == 1


def golden_keep(name: str) -> Tensor:
    """The array as a keep mask, True where it is 0: the authors' masks say what to generate."""
    return golden_tensor(name) == 0


def golden_info() -> dict[str, Any]:
    return json.loads((GOLDEN / "info.json").read_text())


def golden_file(name: str) -> dict[str, Any]:
    """A .pth file of the folder, read without running code."""
    return torch.load(GOLDEN / name, weights_only=True)


def merge_weight_norm(weight_g: Tensor, weight_v: Tensor) -> Tensor:
    """Effective weight g * v / ||v||, the norm over all axes but the first."""
    return weight_g * weight_v / weight_v.flatten(1).norm(dim=1).view(-1, *[1] * (weight_v.ndim - 1))


def codec_state() -> dict[str, Tensor]:
    """The authors' codec under their names, with every weight_g and weight_v merged into one `weight`."""
    source: dict[str, Tensor] = golden_file("codec.pth")["state_dict"]
    state = {key: value for key, value in source.items() if not key.endswith(("weight_g", "weight_v"))}
    for key, value in source.items():
        if key.endswith("weight_v"):
            stem = key.removesuffix("_v")
            state[stem] = merge_weight_norm(source[stem + "_g"], value)
    return state


def codec_codebooks() -> Tensor:
    """Codebook vectors (14, 1024, 8) of the authors' codec."""
    source = golden_file("codec.pth")["state_dict"]
    return torch.stack([source[f"quantizer.quantizers.{c}.codebook.weight"] for c in range(14)])


_LAYER_NAMES = {
    "norm_1": "attention_norm",
    "self_attn.w_qs": "attention.query",
    "self_attn.w_ks": "attention.key",
    "self_attn.w_vs": "attention.value",
    "self_attn.fc": "attention.out",
    "norm_3": "feed_forward_norm",
    "feed_forward.w_1": "feed_forward.up",
    "feed_forward.w_2": "feed_forward.down",
}


def _effective(source: dict[str, Tensor], name: str, lora: bool) -> Tensor:
    weight = source[f"{name}.weight"]
    if lora and f"{name}.lora_A" in source:
        weight = weight + source[f"{name}.lora_B"] @ source[f"{name}.lora_A"] / LORA_RANK
    return weight


def network_state(source: dict[str, Tensor], config: ModelConfig, lora: bool = True) -> dict[str, Tensor]:
    """The authors' network tensors under our names, LoRA (unless `lora` is False) and weight norm merged."""
    state = {
        "codebooks_CVK": codec_codebooks()[: config.n_codebooks],
        "mask_vectors_CK": source["embedding.special.MASK"],
        "project.weight": source["embedding.out_proj.weight"].squeeze(-1),
        "project.bias": source["embedding.out_proj.bias"],
        "position_bias.table_NH": source["transformer.layers.0.self_attn.relative_attention_bias.weight"],
        "norm.weight": source["transformer.norm.weight"],
    }
    for n in range(config.n_layers):
        for theirs, ours in _LAYER_NAMES.items():
            state[f"layers.{n}.{ours}.weight"] = _effective(source, f"transformer.layers.{n}.{theirs}", lora)
    weight = merge_weight_norm(source["classifier.layers.0.weight_g"], source["classifier.layers.0.weight_v"])
    # Their channel index is v * P + c, ours c * V + v.
    order = torch.arange(config.vocab_size * config.n_predicted).view(config.vocab_size, -1).T.flatten()
    state["classifier.weight"] = weight.squeeze(-1)[order]
    state["classifier.bias"] = source["classifier.layers.0.bias"][order]
    return state


def golden_model(name: str, lora: bool = True, extra: dict[str, Tensor] | None = None) -> MaskedTransformer:
    """The network `name` (coarse or c2f) with the authors' weights, for evaluation; tensors in `extra` win."""
    file = golden_file(f"{name}.pth")
    kwargs = file["metadata"]["kwargs"]
    config = ModelConfig(
        n_codebooks=kwargs["n_codebooks"],
        n_conditioning_codebooks=kwargs["n_conditioning_codebooks"],
        vocab_size=kwargs["vocab_size"],
        codebook_dim=kwargs["latent_dim"],
        dim=kwargs["embedding_dim"],
        n_heads=kwargs["n_heads"],
        n_layers=kwargs["n_layers"],
        dropout=kwargs["dropout"],
    )
    model = MaskedTransformer(config)
    model.load_state_dict(network_state({**file["state_dict"], **(extra or {})}, config, lora))
    return model.eval()


def logits_from_theirs(logits_1VN: Tensor, n_predicted: int) -> Tensor:
    """Their (1, V, T * P) logits, all positions, as our (1, P, T, V)."""
    return logits_1VN.unflatten(-1, (-1, n_predicted)).permute(0, 3, 2, 1)


def flat_from_ours(logits_BCTV: Tensor) -> Tensor:
    """Our (B, P, T, V) logits in their (B, V, T * P) order."""
    return logits_BCTV.permute(0, 3, 2, 1).flatten(2)
