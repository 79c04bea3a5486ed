"""Training of conditioning: it learns alone, resumes to the same steps, and becomes part of a bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.tiny import tiny_codec, write_tiny_bundle
from vampnet.apps.cli.main import main
from vampnet.controls.config import GROUPS
from vampnet.controls.signals import Controls
from vampnet.errors import CorpusError
from vampnet.models.bundle import load_bundle
from vampnet.models.config import ConditioningConfig
from vampnet.models.control_features import columns, n_features
from vampnet.training.control_dropout import drop_controls
from vampnet.training.data.token_shards import shard_header, write_shard
from vampnet.training.recipe import ConditioningRecipe, find_recipe, read_recipe
from vampnet.training.train import train

RECIPE = """
task: conditioning
train_tokens: {folder}
validation_tokens: {folder}
more_tokens: {folder}
more_share: 0.3
bundle: {bundle}
crop_frames: 24
width: 8
loop: {{steps: 30, batch_size: 4, learning_rate: 0.02, warmup_steps: 1, decay_steps: 1, ema_decay: 0.5, log_every: 10,
  validate_every: 1000, checkpoint_every: 10, precision: 32-true}}
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Codes that say the loudness: something to learn."""
    folder = tmp_path_factory.mktemp("conditioning")
    bundle, codec, rng = write_tiny_bundle(folder / "bundle"), tiny_codec(), np.random.default_rng(0)
    (folder / "tokens").mkdir()
    level = rng.integers(0, 2, 400)
    codes_TC = np.tile(level[:, None] * 40 + 3, (1, 6)).astype(np.uint16)
    controls = Controls(400, loudness_db=np.where(level, -10.0, -50.0).astype(np.float32), tempo_bpm=100.0)
    header = shard_header(codec, ["a"], [{"name": "a", "start": 0, "n_frames": 400}], [])
    write_shard(folder / "tokens", 0, header, [codes_TC], [controls])
    (folder / "recipe.yaml").write_text(RECIPE.format(folder=folder / "tokens", bundle=bundle))
    return folder / "recipe.yaml"


def test_it_learns_alone_and_goes_into_a_bundle(recipe: Path, tmp_path: Path) -> None:
    figures = train(recipe, tmp_path / "run", device="cpu")
    assert figures["validation/nats_p13_all"] < figures["validation/nats_p13_nothing"] - 0.3
    base = str(recipe.parent / "bundle")
    told = ["bundle", "-o", str(tmp_path / "b"), "--codec", base, "--coarse", base, "--c2f", base]
    assert main([*told, "--conditioning", str(tmp_path / "run")]) == 0
    before, after = load_bundle(base), load_bundle(tmp_path / "b")
    assert after.conditioning is not None and after.config["about"]["conditioning_steps"] == 30
    assert before.coarse is not None and after.coarse is not None
    for name, tensor in before.coarse.state_dict().items():
        assert torch.equal(tensor, after.coarse.state_dict()[name]), name
    again = [*told[:2], str(tmp_path / "c"), *told[3:], "--conditioning", str(tmp_path / "b")]
    assert main(again) == 0 and load_bundle(tmp_path / "c").config["about"]["conditioning_steps"] == 30


def test_a_run_goes_on_with_the_same_steps(recipe: Path, tmp_path: Path) -> None:
    train(recipe, tmp_path / "whole", steps=4, device="cpu")
    train(recipe, tmp_path / "parts", steps=4, device="cpu", stop_after_s=0.0)
    train(recipe, tmp_path / "parts", steps=4, device="cpu")
    states = [torch.load(tmp_path / name / "last.ckpt", weights_only=True)["model"] for name in ("whole", "parts")]
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def test_tokens_without_controls_are_refused(recipe: Path, tmp_path: Path) -> None:
    header = shard_header(tiny_codec(), ["a"], [{"name": "a", "start": 0, "n_frames": 50}], [])
    write_shard(tmp_path, 0, header, [np.zeros((50, 6), np.uint16)])
    text = recipe.read_text().replace(f"train_tokens: {recipe.parent / 'tokens'}", f"train_tokens: {tmp_path}")
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(CorpusError, match="--controls"):
        train(tmp_path / "recipe.yaml", tmp_path / "run")


def test_every_item_hears_some_groups_and_seldom_all() -> None:
    config = ConditioningConfig(styles=("funk",), instruments=("piano",))
    features_BTI = torch.ones(200, 30, n_features(config))
    kept_BTI = drop_controls(features_BTI, config, torch.Generator().manual_seed(0))
    places = columns(config)
    heard = {
        group: kept_BTI[:, :, [places[name].start for name in names]].amax((1, 2)) for group, names in GROUPS.items()
    }
    n_heard = torch.stack(list(heard.values())).sum(0)
    assert n_heard.min() >= 0 and (n_heard >= 1).float().mean() > 0.95 and (n_heard == len(GROUPS)).float().mean() < 0.1
    assert 0.5 < heard["beats"].mean() < 0.75 and 0.25 < heard["melody"].mean() < 0.5
    parts = kept_BTI[:, :, places["loudness_db"].start].mean(1)
    assert ((parts > 0) & (parts < 1)).float().mean() > 0.02  # silent over a stretch


def test_the_shipped_recipe_knows_the_composers_names() -> None:
    from synthcorpus.compose.style_table import STYLES

    shipped = read_recipe(find_recipe("conditioning"))
    assert isinstance(shipped, ConditioningRecipe) and set(shipped.styles) == {style.name for style in STYLES}
