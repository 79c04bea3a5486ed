"""Recipes in layers: the size's, a file over it, flags over both."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.tiny import tiny_codec
from vampnet.errors import SettingsError
from vampnet.making.config import SIZES
from vampnet.making.recipes import PARTS, layered_recipe, part_recipe
from vampnet.training.recipe import parse_changes


def test_layers_lie_over_each_other(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("coarse: {loop: {batch_size: 3, steps: 7}}")
    changes = parse_changes({"loop.steps": "9", "c2f.loop.learning_rate": "2e-4", "c2f.crop_s": "1.5"})
    recipe = layered_recipe("small", str(file), changes)
    coarse = part_recipe("coarse", recipe["coarse"], tiny_codec(), None)
    c2f = part_recipe("c2f", recipe["c2f"], tiny_codec(), None)
    assert (coarse.loop.steps, coarse.loop.batch_size, coarse.loop.optimizer) == (9, 3, "muon")
    assert (c2f.loop.steps, c2f.loop.batch_size, c2f.loop.learning_rate) == (9, 8, 2e-4)
    assert c2f.crop_frames == round(1.5 * tiny_codec().frames_per_s)


@pytest.mark.parametrize("size", SIZES[1:])
def test_sizes_fit_any_codec(size: str) -> None:
    codec, recipe = tiny_codec(), layered_recipe(size, "", {})
    shapes = [part_recipe(part, recipe[part], codec, None).model for part in PARTS]
    assert shapes[1].n_codebooks == codec.n_codebooks and shapes[1].n_conditioning_codebooks == shapes[0].n_codebooks
    assert {shape.vocab_size for shape in shapes} == {codec.codebook_size}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loop.stepz": 3}, "stepz"),
        ({"coarse.train_tokens": "x"}, "cannot be set: make-model knows"),
        ({"model.vocab_size": 5}, "the codec decides it"),
        ({"crop_s": 0.01}, "crop_s"),
        ({"loop.optimizer": "sgd"}, "known: adamw, muon"),
        ({"loop.steps": "many"}, "steps"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        part_recipe("coarse", layered_recipe("small", "", changes)["coarse"], tiny_codec(), None)


def test_wrong_files_are_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    for text, words in (
        ("fine: {}", "unknown section fine"),
        ("- 1", "needs sections"),
        ("coarse: 3", "needs sections"),
    ):
        file.write_text(text)
        with pytest.raises(SettingsError, match=words):
            layered_recipe("tiny", str(file), {})
