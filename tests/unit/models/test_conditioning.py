"""Conditioning: features of controls, what adds nothing, guidance, bundles with and without it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.tiny import COARSE, tiny_codec, tiny_models, write_tiny_bundle
from vampnet.controls.config import GROUPS, SteeringConfig, parse_guidance
from vampnet.controls.signals import Controls
from vampnet.errors import BundleError, SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.generation.sampling import fill
from vampnet.models.bundle import load_bundle, save_bundle
from vampnet.models.conditioning import Conditioning, Guidance, hear
from vampnet.models.config import ConditioningConfig
from vampnet.models.control_features import columns, control_features, n_features

CONFIG = ConditioningConfig(COARSE.dim, COARSE.n_layers, width=16, styles=("funk", "folk"), instruments=("piano",))
T = 40


def conditioning(scale: float = 0.3) -> Conditioning:
    torch.manual_seed(5)
    made = Conditioning(CONFIG).eval()
    torch.nn.init.normal_(made.add_NDO, std=scale)
    return made


def controls(n_frames: int = T) -> Controls:
    phase = (np.arange(n_frames) / 10 % 1).astype(np.float32)
    chroma = np.zeros((12, n_frames), np.float32)
    chroma[[0, 4, 7]] = 1.0
    return Controls(n_frames, beat_phase=phase, chroma=chroma, tempo_bpm=110.0, key="C major", style="funk")


def codes(n_items: int = 1) -> torch.Tensor:
    return torch.randint(COARSE.vocab_size, (n_items, 2, T), generator=torch.Generator().manual_seed(1))


def test_features_lie_in_the_columns_of_their_control() -> None:
    features_TI, places = control_features(controls(), CONFIG), columns(CONFIG)
    assert features_TI.shape == (T, n_features(CONFIG)) and sum(
        p.stop - p.start for p in places.values()
    ) == n_features(CONFIG)
    said = {"beat_phase", "chroma", "tempo_bpm", "key", "style"}
    for name, place in places.items():
        assert (features_TI[:, place.stop - 1] == float(name in said)).all(), name  # the flag
        assert features_TI[:, place].any() == (name in said), name
    assert features_TI[0, places["chroma"]].tolist() == [1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1]
    assert features_TI[0, places["beat_phase"]][0] == 1.0 and features_TI[5, places["beat_phase"]][0] == -1.0
    assert features_TI[0, places["style"]].tolist() == [1, 0, 1]


def test_frames_that_say_nothing_are_zero() -> None:
    own = controls()
    assert own.beat_phase is not None
    own.beat_phase[10:20] = np.nan
    features_TI = control_features(own, CONFIG)
    assert (
        not features_TI[10:20, columns(CONFIG)["beat_phase"]].any()
        and features_TI[9, columns(CONFIG)["beat_phase"]].any()
    )
    unknown = dataclasses.replace(own, style="skiffle", metre=None)
    assert not control_features(unknown, CONFIG)[:, columns(CONFIG)["style"]].any()


def test_nothing_said_adds_exactly_nothing() -> None:
    made = conditioning()
    assert not made(made.features([Controls(T)])).any()
    assert not Conditioning(CONFIG)(made.features([controls()])).any()  # projections begin at zero


def test_the_network_hears_and_each_item_alone() -> None:
    network, made = tiny_models(tiny_codec())[0], conditioning()
    chosen = torch.ones(2, 2, T, dtype=torch.bool)
    plain, quiet = network(codes(2), chosen), hear(network, made, [Controls(T)] * 2, Guidance())(codes(2), chosen)
    assert torch.equal(plain, quiet)
    both = hear(network, made, [Controls(T), controls()], Guidance())
    logits = both(codes(2), chosen).view(2, 2, T, -1)
    assert torch.equal(logits[:, 0], plain.view(2, 2, T, -1)[:, 0])
    assert (logits[:, 1] - plain.view(2, 2, T, -1)[:, 1]).abs().max() > 0.01
    alone = both.take([1])(codes(2)[1:], chosen[1:]).view(2, T, -1)
    torch.testing.assert_close(alone, logits[:, 1])


def test_guidance_goes_further_in_the_direction_of_its_groups() -> None:
    network, made = tiny_models(tiny_codec())[0], conditioning()
    chosen = torch.rand(1, 2, T, generator=torch.Generator().manual_seed(2)) < 0.4

    def logits(own: Controls, text: str = "") -> torch.Tensor:
        return hear(network, made, [own], Guidance.parse(text))(codes(), chosen)

    full, none, harmonic = (
        logits(controls()),
        network(codes(), chosen),
        logits(controls().keep_only("beat_phase", "tempo_bpm", "style")),
    )
    assert torch.equal(logits(controls(), "1"), full)
    torch.testing.assert_close(logits(controls(), "0"), none)
    torch.testing.assert_close(logits(controls(), "3"), full + 2 * (full - none))
    torch.testing.assert_close(logits(controls(), "chords=2"), full + (full - harmonic))
    mixed = logits(controls(), "chords=2,beats=1.5,style=1.5")
    without = logits(controls().keep_only("chroma", "key"))
    torch.testing.assert_close(mixed, full + (full - harmonic) + 0.5 * (full - without))


def test_guidance_is_read_from_text() -> None:
    assert parse_guidance("") == () and dict(parse_guidance("2")) == dict.fromkeys(GROUPS, 2.0)
    assert dict(parse_guidance(" chords = 2 , beats=1.5")) == {"chords": 2.0, "beats": 1.5}
    for wrong in ("loud", "-1", "11", "drums=2", "chords=", "nan"):
        with pytest.raises(SettingsError, match=r"chords=2,beats=1\.5"):
            parse_guidance(wrong)
    with pytest.raises(SettingsError, match="nothing is followed"):
        SteeringConfig(guidance="2")


def test_filling_follows_controls_and_depends_on_no_neighbour() -> None:
    network, made = tiny_models(tiny_codec())[0], conditioning()
    keep, settings = torch.zeros(2, 2, T, dtype=torch.bool), SamplingConfig()
    keep[0, :, ::3] = True  # items that end at different steps
    heard = hear(network, made, [controls(), controls()], Guidance.parse("2"))
    together = fill(network, codes(2), keep, settings, [3, 4], 5, None, heard)
    assert not torch.equal(together, fill(network, codes(2), keep, settings, [3, 4], 5))
    alone = fill(network, codes(2)[1:], keep[1:], settings, [4], 5, None, heard.take([1]))
    assert torch.equal(alone[0], together[1])


@pytest.mark.parametrize("storage", ["float32", "int8"])
def test_a_bundle_holds_it_or_not(tmp_path: Path, storage: str) -> None:
    codec, made = tiny_codec(), conditioning()
    coarse, c2f = tiny_models(codec)
    save_bundle(tmp_path / "b", codec, coarse, c2f, storage, conditioning=made)
    loaded = load_bundle(tmp_path / "b", verify=True)
    assert loaded.conditioning is not None and loaded.conditioning.config == CONFIG
    assert "conditioning.safetensors" in loaded.weight_digests()
    for name, tensor in made.state_dict().items():
        assert (loaded.conditioning.state_dict()[name] - tensor).abs().max() <= (0 if storage == "float32" else 0.01), (
            name
        )
    assert load_bundle(write_tiny_bundle(tmp_path / "plain")).conditioning is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dim": 64}, "does not fit its coarse model"),
        ({"kernel": 4}, "must be odd"),
        ({"width": "wide"}, "width"),
        ({"depth": 3}, "unknown setting depth"),
        ({"width": 32}, "does not fit its config.json"),
    ],
)
def test_damaged_conditioning_is_refused(tmp_path: Path, change: dict, words: str) -> None:
    codec = tiny_codec()
    save_bundle(tmp_path / "b", codec, *tiny_models(codec), conditioning=conditioning())
    path = tmp_path / "b" / "config.json"
    config = json.loads(path.read_text())
    config["conditioning"] |= change
    path.write_text(json.dumps(config))
    with pytest.raises(BundleError, match=words):
        load_bundle(tmp_path / "b")
