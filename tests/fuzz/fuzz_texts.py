"""Recipes, beats files and prompts with noise in them: one line, or settings within their bounds."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.fuzz.mutate import mutated_bytes, mutated_json, mutated_text
from vampnet.beats.events import MAX_TIME_S, read_events
from vampnet.errors import VampnetError
from vampnet.prompts.grammar import parse_prompt
from vampnet.training.recipe import CodecRecipe, MaskedRecipe, parse_recipe, read_recipe, recipe_to_dict

RECIPES = (
    recipe_to_dict(MaskedRecipe("a", "b", "default")),
    recipe_to_dict(CodecRecipe("a", "b")),
)
PROMPTS = (
    "periodic(13) | beats(after=75ms)",
    "periodic(7, width=2) & codebooks(4)",
    "beats(after=1b, which=downbeats) | onsets(after=50ms)",
    "prefix(2) | suffix(1) | random(0.3)",
    "keep-the-beat",
)
ALPHABET = "0123456789.,=()&|~-+ abcdefghijklmnopqrstuvwxyz\n\t\"'é%smb:_/\0"


def recipe(rng: random.Random, folder: Path) -> None:
    """A recipe with hostile values, or damaged as YAML."""
    data = rng.choice(RECIPES)
    if rng.random() < 0.6:
        text = yaml.safe_dump(mutated_json(data, rng)).encode(errors="replace")
    else:
        text = mutated_bytes(yaml.safe_dump(data).encode(), rng)
    (folder / "r.yaml").write_bytes(text)
    found = _one_line(lambda: read_recipe(folder / "r.yaml"))
    if found is not None:
        assert isinstance(found, (CodecRecipe, MaskedRecipe))
        assert parse_recipe(recipe_to_dict(found), "again") == found, "a recipe that does not come back"


def beats_file(rng: random.Random, folder: Path) -> None:
    """Beat times as lines or JSON, with noise."""
    beats = sorted(round(rng.uniform(0, 60), 3) for _ in range(rng.randrange(1, 20)))
    if rng.random() < 0.5:
        value = mutated_json({"beats": beats, "downbeats": beats[::4]}, rng)
        text = json.dumps(value).encode()
    else:
        text = "".join(f"{beat} {k % 4 + 1}\n" for k, beat in enumerate(beats)).encode()
    if rng.random() < 0.5:
        text = mutated_bytes(text, rng)
    (folder / "beats").write_bytes(text)
    events = _one_line(lambda: read_events(folder / "beats"))
    if events is not None:
        times = events.beats_s + events.downbeats_s
        assert times and all(math.isfinite(time) and 0 <= time <= MAX_TIME_S for time in times)
        assert list(events.beats_s) == sorted(events.beats_s)


def prompt(rng: random.Random, folder: Path) -> None:
    """A prompt with noise: refused, or one that is written as it is read."""
    del folder
    text = mutated_text(rng.choice(PROMPTS), rng, ALPHABET)
    try:
        found = parse_prompt(text)
    except VampnetError:  # in three lines: the prompt with a mark below it
        return
    assert parse_prompt(str(found)) == found, f"{text!r} is written as {str(found)!r}"


def _one_line(read: Callable[[], Any]) -> Any:
    """The result of `read`, or None after an error of one line."""
    try:
        return read()
    except VampnetError as error:
        assert "\n" not in str(error), str(error)
        return None


TARGETS = {"recipe": recipe, "beats file": beats_file, "prompt": prompt}
