"""A run's averaged weights -> modules, for bundles."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vampnet.codec.magnitude import MagnitudeCodec
from vampnet.errors import BundleError
from vampnet.models.bundle import find_bundle, load_bundle, load_codec, save_bundle
from vampnet.models.conditioning import Conditioning
from vampnet.models.config import ConditioningConfig
from vampnet.models.transformer import MaskedTransformer
from vampnet.storage import read_json, read_text
from vampnet.torch_files import read_checkpoint
from vampnet.training.recipe import CodecRecipe, ConditioningRecipe, MaskedRecipe, Recipe, parse_recipe


def read_run(folder: str | Path) -> tuple[Recipe, dict[str, Tensor], dict[str, Any]]:
    """Recipe, averaged weights and whole checkpoint of a run. Raises BundleError if there is none."""
    path = Path(folder) / "last.ckpt"
    if not path.is_file():
        raise BundleError(f"{folder}: holds no training run (last.ckpt is missing)")
    state = read_checkpoint(path)
    average, step = state.get("average"), state.get("step")
    if not isinstance(average, dict) or type(step) is not int:
        raise BundleError(f"{path}: is no checkpoint of a training run, it lacks 'average' or 'step'")
    prefix = "module."
    average = {k[len(prefix) :]: v for k, v in average.items() if k.startswith(prefix)}
    return parse_recipe(state.get("recipe"), str(path)), average, state


def codec_of_run(folder: str | Path) -> tuple[MagnitudeCodec, int, CodecRecipe]:
    """The averaged codec of a training run, its step, and its recipe."""
    recipe, average, state = read_run(folder)
    if not isinstance(recipe, CodecRecipe):
        raise BundleError(f"{folder}: trained a masked model, not a codec")
    codec = MagnitudeCodec(recipe.codec)
    prefix = "codec."
    codec.load_state_dict({k[len(prefix) :]: v for k, v in average.items() if k.startswith(prefix)})
    return codec.eval(), state["step"], recipe


def model_of_run(folder: str | Path) -> tuple[MaskedTransformer, int]:
    """The averaged masked model of a training run, and its step, with those of the model that it began as."""
    recipe, average, state = read_run(folder)
    if not isinstance(recipe, MaskedRecipe):
        raise BundleError(f"{folder}: trained a codec, not a masked model")
    model = MaskedTransformer(recipe.model)
    model.load_state_dict(average)
    return model.eval(), state["step"] + state["task"].get("steps_before", 0)


def conditioning_of(source: str | Path) -> tuple[Conditioning, dict[str, Any]]:
    """The averaged conditioning of a run, or that of a bundle, and what is known of its training."""
    if not (Path(source) / "last.ckpt").exists():
        bundle = load_bundle(source)
        if bundle.conditioning is None:
            raise BundleError(f"{source}: holds neither a training run nor a bundle with conditioning")
        steps = bundle.config.get("about", {}).get("conditioning_steps")
        return bundle.conditioning, {} if steps is None else {"conditioning_steps": steps}
    recipe, average, state = read_run(source)
    if not isinstance(recipe, ConditioningRecipe):
        raise BundleError(f"{source}: did not train conditioning")
    prefix = "conditioning."
    weights = {k[len(prefix) :]: v for k, v in average.items() if k.startswith(prefix)}
    n_layers, dim, width = weights["add_NDO"].shape
    config = ConditioningConfig(dim, n_layers - 1, width, recipe.kernel, recipe.styles, recipe.instruments)
    conditioning = Conditioning(config)
    conditioning.load_state_dict(weights)
    return conditioning.eval(), {"conditioning_steps": state["step"]}


def model_of(source: str | Path, part: str) -> tuple[MaskedTransformer, int | None]:
    """A masked model of a run or of a bundle, and the steps that it was trained for, if known."""
    if (Path(source) / "last.ckpt").exists():
        return model_of_run(source)
    bundle = load_bundle(source)
    model = getattr(bundle, part)
    if model is None:
        raise BundleError(f"{source}: holds neither a training run nor a bundle with a {part} model")
    return model, bundle.config.get("about", {}).get(f"{part}_steps")


def _codec_of(source: str | Path) -> tuple[MagnitudeCodec, dict[str, Any]]:
    """A codec of a run or of a bundle, and what is known of its training."""
    if (Path(source) / "last.ckpt").exists():
        codec, steps, recipe = codec_of_run(source)
        return codec, {"decoder_steps" if recipe.learn == "decoder" else "codec_steps": steps}
    loaded = load_codec(source)
    assert isinstance(loaded, MagnitudeCodec)
    config = read_json(find_bundle(source) / "config.json", BundleError)
    known = {name: n for name, n in config.get("about", {}).items() if name in ("codec_steps", "decoder_steps")}
    return loaded, known


def write_bundle(
    folder: str | Path,
    codec: str | Path,
    coarse: str | Path | None = None,
    c2f: str | Path | None = None,
    storage: str = "int8",
    card: str | Path | None = None,
    overwrite: bool = False,
    surprise_limit: float | None = None,
    conditioning: str | Path | None = None,
    groups: Sequence[str] = (),
    guidance: str = "",
) -> None:
    """Pack runs into a bundle. Each part is a run or a bundle; masked models must have been trained on that codec, or
    on one whose codebooks, those that the model reads, are the same. `surprise_limit`: see
    `vampnet.tasks.out_of_domain`. `groups`: those that the conditioning follows well enough; `guidance`: where a
    request says none.

    Raises BundleError when a model's codebooks are not the codec's.
    """
    codec_module, about = _codec_of(codec)
    models: dict[str, MaskedTransformer | None] = {"coarse": None, "c2f": None}
    for part, run in (("coarse", coarse), ("c2f", c2f)):
        if run is None:
            continue
        model, about[f"{part}_steps"] = model_of(run, part)
        expected = codec_module.codebooks()[: model.config.n_codebooks]
        if not torch.equal(model.codebooks_CVK, expected):
            raise BundleError(f"{run}: was trained on tokens of another codec than {codec}")
        models[part] = model
    heard = None
    if conditioning is not None:
        heard, facts = conditioning_of(conditioning)
        about |= facts
        heard.config = dataclasses.replace(
            heard.config, groups=tuple(groups) or heard.config.groups, guidance=guidance or heard.config.guidance
        )
    if surprise_limit is not None:
        about["surprise_limit"] = surprise_limit
    text = read_text(card, BundleError) if card is not None else ""
    save_bundle(folder, codec_module, models["coarse"], models["c2f"], storage, text, about, overwrite, heard)
