"""Recipes of the networks: the size's, a file of the user's over it, flags over both."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vampnet.codec.base import Codec
from vampnet.config import check
from vampnet.errors import SettingsError
from vampnet.models.config import ModelConfig
from vampnet.training.recipe import SHIPPED, MaskedRecipe, load_yaml, merge_settings, nest_setting, parse_recipe

PARTS = ("coarse", "c2f")
N_COARSE = 4
"""Codebooks of the coarse model, as in the paper; of a codec with fewer, all."""
_PATHS = ("train_tokens", "validation_tokens", "bundle")


def layered_recipe(size: str, file: str, changes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Sections "coarse" and "c2f" as plain data: the size's recipe, then a file, then single settings over it.

    file: YAML file with the sections that it changes; empty: none.
    changes: "loop.steps" -> 2000 for both networks, "coarse.loop.steps" -> 2000 for one.

    Raises SettingsError for what is no recipe.
    """
    recipe = _read(SHIPPED / "making" / f"{size}.yaml")
    if file:
        given = _read(Path(file))
        unknown = sorted(set(given) - set(PARTS))
        if unknown:
            raise SettingsError(f"{file}: unknown section {unknown[0]}; known: {', '.join(PARTS)}")
        recipe = {part: merge_settings(recipe[part], given.get(part, {})) for part in PARTS}
    for name, value in changes.items():
        part, _, rest = name.partition(".")
        for one in PARTS if part not in PARTS else (part,):
            recipe[one] = merge_settings(recipe[one], nest_setting(rest if part in PARTS else name, value))
    return recipe


def _read(path: Path) -> dict[str, dict[str, Any]]:
    data = load_yaml(path)
    if not isinstance(data, dict) or not all(isinstance(section, dict) for section in data.values()):
        raise SettingsError(f"{path}: needs sections `coarse:` and `c2f:`")
    return data


def part_recipe(part: str, section: Mapping[str, Any], codec: Codec, model: ModelConfig | None) -> MaskedRecipe:
    """The recipe of one network for a codec; `model` is the shape of a network that is trained on, if it is one.

    Steps that the section does not state are 0 here: they follow from the budget. Raises SettingsError.
    """
    data = {name: value for name, value in section.items() if name not in ("crop_s", "loop", "model")}
    for name in _PATHS:
        if name in data:
            raise SettingsError(f"recipe: {part}.{name} cannot be set: make-model knows where its files are")
    crop_s = section.get("crop_s", 5.0)
    check(f"recipe: {part}.crop_s", crop_s, 0.5, 60.0)
    loop = {"steps": 1, "log_every": 10, **section.get("loop", {})}
    data |= {"task": "masked", "train_tokens": "", "validation_tokens": "", "bundle": "", "loop": loop}
    data["model"] = dataclasses.asdict(model) if model else _shape(part, section.get("model", {}), codec)
    if model is not None and section.get("model"):
        raise SettingsError(f"recipe: {part}.model cannot be set: the network that is trained on has a shape already")
    data.setdefault("crop_frames", max(round(crop_s * codec.frames_per_s), 8))
    recipe = parse_recipe(data, f"recipe: {part}")
    assert isinstance(recipe, MaskedRecipe)
    return recipe


def _shape(part: str, section: Any, codec: Codec) -> Any:
    """The network's settings, with what the codec decides filled in."""
    if not isinstance(section, dict):
        return section
    n_coarse = min(N_COARSE, codec.n_codebooks)
    codebooks = {"n_codebooks": n_coarse, "n_conditioning_codebooks": 0}
    if part == "c2f":
        codebooks = {"n_codebooks": codec.n_codebooks, "n_conditioning_codebooks": n_coarse}
    decided = {**codebooks, "vocab_size": codec.codebook_size, "codebook_dim": int(codec.codebooks().shape[2])}
    for name in section:
        if name in decided:
            raise SettingsError(f"recipe: {part}.model.{name} cannot be set: the codec decides it")
    return {**section, **decided}
