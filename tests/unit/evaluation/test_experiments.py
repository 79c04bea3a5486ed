"""Experiments as data."""

from __future__ import annotations

import math
from typing import Any

import pytest

from vampnet.errors import SettingsError
from vampnet.evaluation.experiments.experiment import (
    Condition,
    bit_rates,
    condition_to_dict,
    find_experiment,
    list_shipped,
    parse_experiment,
    period_of,
)
from vampnet.generation.config import SamplingConfig
from vampnet.prompts.presets import PRESETS


def recipe(**changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {"name": "x", "title": "X", "view": "steps", "conditions": [{"name": "a"}]}
    return data | changes


def test_the_shipped_experiments_are_those_of_the_paper() -> None:
    assert list_shipped() == ["defaults", "periods", "presets", "prompts", "rates", "sampler", "steps"]
    steps = find_experiment("steps")
    assert [c.sampling.steps for c in steps.conditions] == [1, 4, 8, 12, 24, 36, 64, 72]
    assert {c.prompt for c in steps.conditions} == {"periodic(16)"}
    prompts = {c.name: c for c in find_experiment("prompts").conditions}
    assert str(prompts["compression-1"].full_prompt(4)) == "everything & codebooks(1)"
    assert str(prompts["inpaint-2s"].full_prompt(4)) == "(prefix(2) | suffix(2)) & codebooks(4)"
    assert prompts["beats-75ms"].prompt == "beats(after=75ms)" and prompts["opus-8"].opus_kbps == 8
    assert {c.noise_share for c in prompts.values() if c.kind == "noise"} == {0.05, 0.1, 0.2, 0.4, 0.7, 1.0}
    assert {(c.n_kept, period_of(c)) for c in find_experiment("rates").conditions} == {
        (n, p) for n in (1, 2, 3, 4) for p in (1, 2, 4, 8, 16, 32)
    }


def test_the_same_condition_is_shared_between_experiments() -> None:
    by_name = {c.name: c for name in ("steps", "prompts") for c in find_experiment(name).conditions}
    assert condition_to_dict(by_name["steps-36"]) == condition_to_dict(by_name["periodic-16"])
    assert condition_to_dict(by_name["steps-24"]) != condition_to_dict(by_name["periodic-16"])


def test_vary_makes_every_combination() -> None:
    entry: dict[str, Any] = {"name": "p{period}-n{n_kept}-s{steps}", "prompt": "periodic({period})"}
    entry["vary"] = {"period": [8, 16], "n_kept": [1, 2], "steps": [3]}
    made = parse_experiment(recipe(sampling={"c2f_steps": 2}, conditions=[entry]), "here").conditions
    assert [c.name for c in made] == ["p8-n1-s3", "p8-n2-s3", "p16-n1-s3", "p16-n2-s3"]
    assert made[3] == Condition(
        "p16-n2-s3", prompt="periodic(16)", n_kept=2, sampling=SamplingConfig(steps=3, c2f_steps=2)
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (recipe(colour=1), "unknown setting colour"),
        (recipe(view="pie"), "view is 'pie'"),
        (recipe(view="sampler", conditions=[{"name": "a"}]), "condition 'a' has none of"),
        (recipe(conditions=[]), "no conditions"),
        (recipe(conditions=[{"name": "a"}, {"name": "a"}]), "'a' stands twice"),
        (recipe(conditions=[{"name": "a", "colour": 1}]), "unknown setting colour"),
        (recipe(conditions=[{"name": "A b"}]), "lower-case"),
        (recipe(conditions=[{"name": "a", "prompt": "periodc(3)"}]), "periodc"),
        (recipe(conditions=[{"name": "a", "kind": "mp3"}]), "kind is 'mp3'"),
        (recipe(conditions=[{"name": "a", "kind": "opus"}]), "opus_kbps is 0.0"),
        (recipe(conditions=[{"name": "a", "kind": "codec", "n_kept": 3}]), "no effect with kind codec"),
        (recipe(conditions=[{"name": "a", "vary": {"speed": [1]}}]), "'speed', which is no setting"),
        (recipe(conditions=[{"name": "a{x}"}]), "cannot fill in"),
        (recipe(conditions=[{"name": "a", "sampling": {"stepps": 1}}]), "unknown setting stepps"),
        (recipe(sampling={"steps": 0}), "steps is 0"),
        ("text", "expected settings"),
    ],
)
def test_mistakes_are_named(data: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words.replace("(", r"\(")):
        parse_experiment(data, "here")


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(SettingsError, match="defaults, periods, presets, prompts, rates, sampler, steps"):
        find_experiment("stepps")


def test_the_experiment_on_presets_has_all_of_them() -> None:
    prompts = {c.name: c.prompt for c in find_experiment("presets").conditions}
    assert all(prompts[preset.name] == preset.prompt for preset in PRESETS)


def test_both_bit_rates() -> None:
    rates = bit_rates(44100 / 768, 14, 1024, 4, 1)
    assert rates.kept == pytest.approx(2297, abs=0.5) and rates.paper == pytest.approx(804, abs=0.5)
    assert bit_rates(44100 / 768, 14, 1024, 4, 16).kept == pytest.approx(144, abs=0.5)
    assert math.isnan(bit_rates(50.0, 4, 1024, 4, 1).paper)


def test_period_of_a_prompt() -> None:
    periods = {p: period_of(Condition("a", prompt=p)) for p in ("periodic(8)", "everything", "prefix(1)", "nothing")}
    assert periods == {"periodic(8)": 8, "everything": 1, "prefix(1)": None, "nothing": None}
    assert period_of(Condition("a", kind="codec")) is None
