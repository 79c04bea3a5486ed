"""A run's averaged weights -> modules, for bundles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from vampnet.codec.spectral import SpectralCodec
from vampnet.errors import BundleError
from vampnet.model import MaskedTransformer
from vampnet.training.recipe import CodecRecipe, MaskedRecipe, parse_recipe


def _read(folder: str | Path) -> tuple[CodecRecipe | MaskedRecipe, dict[str, Any], int]:
    path = Path(folder) / "last.ckpt"
    if not path.is_file():
        raise BundleError(f"{folder}: holds no training run (last.ckpt is missing)")
    state = torch.load(path, map_location="cpu", weights_only=True)
    prefix = "module."
    average = {k[len(prefix) :]: v for k, v in state["average"].items() if k.startswith(prefix)}
    return parse_recipe(state["recipe"], str(path)), average, state["step"]


def codec_of_run(folder: str | Path) -> tuple[SpectralCodec, int]:
    """The averaged codec of a training run, and its step."""
    recipe, average, step = _read(folder)
    if not isinstance(recipe, CodecRecipe):
        raise BundleError(f"{folder}: trained a masked model, not a codec")
    codec = SpectralCodec(recipe.codec)
    prefix = "codec."
    codec.load_state_dict({k[len(prefix) :]: v for k, v in average.items() if k.startswith(prefix)})
    return codec.eval(), step


def model_of_run(folder: str | Path) -> tuple[MaskedTransformer, int]:
    """The averaged masked model of a training run, and its step."""
    recipe, average, step = _read(folder)
    if not isinstance(recipe, MaskedRecipe):
        raise BundleError(f"{folder}: trained a codec, not a masked model")
    model = MaskedTransformer(recipe.model)
    model.load_state_dict(average)
    return model.eval(), step
