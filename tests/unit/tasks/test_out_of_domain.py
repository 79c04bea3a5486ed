"""The warning about recordings that are foreign to a model."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.tiny import COARSE, tone
from vampnet.apps.cli.main import main
from vampnet.audio.files import Audio, read, resample, write
from vampnet.audio.sources import FileSource, MemorySource
from vampnet.models.bundle import find_bundle
from vampnet.models.config import ModelConfig
from vampnet.tasks.model import VampNet, load
from vampnet.tasks.out_of_domain import excerpt, surprise, surprise_limit, surprise_of_codes, warning

LOOP = Path(__file__).parents[3] / "examples" / "loop.wav"


@pytest.fixture(scope="module")
def model() -> VampNet:
    return load("default")


def babble(seconds: float = 6.0, channels: int = 1) -> Audio:
    """Forty random pitches a second: what no music sounds like."""
    rng = np.random.default_rng(0)
    n_tones = int(seconds * 40)
    pitch_hz = np.repeat(np.exp(rng.uniform(np.log(60), np.log(8000), n_tones)), 44100 // 40 + 1)[
        : int(44100 * seconds)
    ]
    row = 0.3 * np.sin(2 * np.pi * np.cumsum(pitch_hz) / 44100)
    return Audio(np.tile(row, (channels, 1)).astype(np.float32), 44100)


class Knowing:
    """A network that gives the true code the probability `right`, and has only been shown the others."""

    def __init__(self, codes_BCT: torch.Tensor, config: ModelConfig, right: float) -> None:
        self.codes_BCT, self.config, self.right = codes_BCT, config, right

    def __call__(self, codes_BCT: torch.Tensor, chosen_BPT: torch.Tensor) -> torch.Tensor:
        seen_BCT = codes_BCT != self.config.mask_token
        assert torch.equal(codes_BCT[seen_BCT], self.codes_BCT[seen_BCT])
        targets_N = self.codes_BCT.transpose(0, 1)[chosen_BPT.transpose(0, 1)]
        p_NV = torch.full((len(targets_N), self.config.vocab_size), (1 - self.right) / (self.config.vocab_size - 1))
        return p_NV.scatter(1, targets_N[:, None], self.right).log()


def test_surprise_is_the_cross_entropy_of_what_is_masked() -> None:
    codes_BCT = torch.randint(COARSE.vocab_size, (1, COARSE.n_codebooks, 40))
    for right in (0.25, 0.9):
        found = surprise_of_codes(Knowing(codes_BCT, COARSE, right), codes_BCT)
        assert found == pytest.approx(-math.log(right), abs=1e-4)


def test_music_of_its_kind_surprises_less_than_babble(model: VampNet) -> None:
    limit = surprise_limit(model)
    assert limit is not None
    assert surprise(model, FileSource(LOOP)) < limit < surprise(model, MemorySource(babble()))
    assert warning(model, FileSource(LOOP)) == ""
    said = warning(model, MemorySource(babble(channels=2)))
    assert "foreign" in said and f"{limit:.2f}" in said and "\n" not in said


@pytest.mark.parametrize("name", ["loop", "babble"])
def test_the_same_music_surprises_alike_at_other_rates_levels_and_lengths(model: VampNet, name: str) -> None:
    sound = read(LOOP) if name == "loop" else babble(7.0)
    found = surprise(model, MemorySource(sound))
    for rate_hz, allowed in ((48000, 0.03), (22050, 0.25), (16000, 0.25)):
        other = MemorySource(Audio(resample(sound.samples, sound.sample_rate_hz, rate_hz), rate_hz))
        assert surprise(model, other) == pytest.approx(found, abs=allowed)
        assert bool(warning(model, other)) == (name == "babble")
    for gain in (1e-3, 0.1, 3.0):
        louder = Audio(sound.samples * np.float32(gain), sound.sample_rate_hz)
        assert surprise(model, MemorySource(louder)) == pytest.approx(found, abs=0.03)
    for seconds, allowed in ((3.0, 0.4), (1.0, 0.7)):
        shorter = Audio(sound.samples[:, : int(seconds * sound.sample_rate_hz)], sound.sample_rate_hz)
        assert surprise(model, MemorySource(shorter)) == pytest.approx(found, abs=allowed)
        assert bool(warning(model, MemorySource(shorter))) == (name == "babble")


def test_silence_and_bundles_without_a_limit_warn_of_nothing(model: VampNet) -> None:
    silent = MemorySource(Audio(np.zeros((1, 44100), np.float32), 44100))
    assert math.isnan(surprise(model, silent))
    assert warning(model, silent) == ""
    config = {**model.bundle.config, "about": {}}
    bare = load("default")
    bare.bundle = dataclasses.replace(bare.bundle, config=config)
    assert surprise_limit(bare) is None
    assert warning(bare, MemorySource(babble())) == ""


@pytest.mark.parametrize(("n_samples", "start_s"), [(1, 0), (30000, 0), (100 * 8000, 44), (1000 * 8000, 60)])
def test_the_excerpt_is_of_the_middle_but_not_late(n_samples: int, start_s: int) -> None:
    ramp = np.arange(n_samples, dtype=np.float32)[None]
    found_1S = excerpt(MemorySource(Audio(np.concatenate([ramp, -ramp + 2]), 8000)), 8000)
    assert found_1S.shape == (1, min(n_samples, 96000))
    assert np.array_equal(found_1S, np.ones_like(found_1S))  # the mean of both channels
    left_1S = excerpt(MemorySource(Audio(ramp, 8000)), 8000)
    assert left_1S[0, 0] == 8000 * start_s


def test_the_command_says_it_unless_told_not_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, good, out = tmp_path / "babble.wav", tmp_path / "tone.wav", str(tmp_path / "out.wav")
    write(source, babble(1.0))
    write(good, tone(1.0))
    strict = tmp_path / "strict"
    shutil.copytree(find_bundle("default"), strict)
    quick = ["--steps", "1", "--c2f-steps", "1"]
    assert main(["vamp", str(source), "-o", out, *quick]) == 0
    assert "foreign" in capsys.readouterr().err
    assert main(["vamp", str(source), "-o", out, "--no-domain-warning", *quick]) == 0
    assert "foreign" not in capsys.readouterr().err
    assert main(["inpaint", str(source), "-o", out, "--region", "0.2:0.6", *quick]) == 0
    assert "foreign" in capsys.readouterr().err
    # Of several files those that are foreign are named, and a missing one is left to the work itself.
    config = json.loads((strict / "config.json").read_text())
    config["about"]["surprise_limit"] = 0.0
    (strict / "config.json").write_text(json.dumps(config))
    missing = str(tmp_path / "none.wav")
    arguments = ["vamp", str(good), missing, "-o", str(tmp_path / "many"), "--bundle", str(strict), *quick]
    assert main(arguments) != 0
    said = capsys.readouterr().err
    assert f"{good}: this recording is foreign" in said
    assert f"{missing}: this recording" not in said
