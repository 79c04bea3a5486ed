"""Inpaint, outpaint, continue, generate, stretch, telephone: what they promise to keep, their lengths, bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from vampnet.tasks.in_memory import generate, inpaint, outpaint, stretch, telephone
from vampnet.tasks.takes import CROSSFADE_S, DEFAULT_THEME

from tests.support.tiny import tiny_vampnet, tone, write_tiny_bundle
from vampnet.apps.cli.main import main
from vampnet.audio.files import read, write
from vampnet.errors import SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.tasks.model import VampNet

FAST = SamplingConfig(steps=2, c2f_steps=1, seed=3)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> VampNet:
    return tiny_vampnet(tmp_path_factory.mktemp("tasks"))


@pytest.mark.parametrize(("rate_hz", "channels"), [(44100, 2), (22050, 1), (48000, 1)])
def test_inpainting_leaves_all_else_bit_for_bit(model: VampNet, rate_hz: int, channels: int) -> None:
    audio = tone(4.0, rate_hz, channels)
    made = inpaint(model, audio, [(1.0, 1.5), (2.25, 2.5)], FAST).audio
    changed = np.flatnonzero((made.samples != audio.samples).any(axis=0)) / rate_hz
    assert made.samples.shape == audio.samples.shape
    assert all(1.0 <= t < 1.5 or 2.25 <= t < 2.5 for t in changed)
    for start, stop in ((1.0, 1.5), (2.25, 2.5)):  # and all of the regions is new
        inside = made.samples[:, int(start * rate_hz) : int(stop * rate_hz)]
        old = audio.samples[:, int(start * rate_hz) : int(stop * rate_hz)]
        assert (inside != old).mean() > 0.99


def test_regions_at_the_edges_and_regions_that_touch(model: VampNet) -> None:
    audio = tone(2.0)
    made = inpaint(model, audio, [(0.0, 0.3), (1.7, float("inf"))], FAST).audio
    assert np.array_equal(made.samples[:, 13230:74970], audio.samples[:, 13230:74970])
    joined = inpaint(model, audio, [(0.5, 1.0), (0.9, 1.2)], FAST).audio
    assert np.array_equal(joined.samples, inpaint(model, audio, [(0.5, 1.2)], FAST).audio.samples)
    whole = inpaint(model, audio, [(0.0, 2.0)], FAST)
    assert whole.mask_CT is not None and whole.mask_CT.all()


@pytest.mark.parametrize("region", [(2.5, 3.0), (-1.0, 0.5), (1.0, 1.0), (1.5, 1.0), (float("nan"), 1.0)])
def test_bad_regions_are_named(model: VampNet, region: tuple[float, float]) -> None:
    with pytest.raises(SettingsError, match="region"):
        inpaint(model, tone(2.0), [region], FAST)


def test_outpainting_keeps_the_input(model: VampNet) -> None:
    audio = tone(3.0, 48000, 2)
    made = outpaint(model, audio, before_s=1.0, after_s=2.0, sampling=FAST).audio
    assert made.samples.shape == (2, 6 * 48000)
    fade = round(CROSSFADE_S * 48000)
    inner = made.samples[:, 48000 + fade : 4 * 48000 - fade]
    assert np.array_equal(inner, audio.samples[:, fade:-fade])
    assert np.abs(made.samples[:, :40000]).max() > 0 and np.abs(made.samples[:, -40000:]).max() > 0
    with pytest.raises(SettingsError, match="nothing to do"):
        outpaint(model, audio, 0.0, 0.0)
    with pytest.raises(SettingsError, match="after"):
        outpaint(model, audio, after_s=-1.0)


def test_a_continuation_goes_over_windows(model: VampNet) -> None:
    audio = tone(1.0)
    made = outpaint(model, audio, after_s=14.0, sampling=FAST).audio
    assert made.n_samples == 15 * 44100
    again = outpaint(model, audio, after_s=14.0, sampling=FAST).audio
    assert np.array_equal(made.samples, again.samples)


def test_new_audio(model: VampNet) -> None:
    made = generate(model, 1.5, sampling=FAST)
    assert made.audio.samples.shape == (1, 66150) and made.mask_CT is not None and made.mask_CT.all()
    other = generate(model, 1.5, sampling=SamplingConfig(steps=2, c2f_steps=1, seed=4))
    assert not np.array_equal(made.audio.samples, other.audio.samples)
    like = generate(model, 2.5, like=tone(1.0, 22050, 2), sampling=FAST)
    assert like.audio.samples.shape == (2, 55125) and like.audio.sample_rate_hz == 22050
    assert like.mask_CT is not None and not like.mask_CT.all()


@pytest.mark.parametrize("factor", [1.0, 1.5, 3.0])
def test_stretching(model: VampNet, factor: float) -> None:
    made = stretch(model, tone(1.0, channels=2), factor, FAST)
    assert made.audio.samples.shape == (2, round(44100 * factor))
    assert made.mask_CT is not None
    kept = (~made.mask_CT[0]).nonzero().squeeze(1).tolist()
    assert len(kept) == 58 and all(abs(place - i * factor) <= 0.5 for i, place in enumerate(kept))
    with pytest.raises(SettingsError, match="factor"):
        stretch(model, tone(1.0), 0.5)


def test_telephone(model: VampNet) -> None:
    audio = tone(1.0)
    rounds = telephone(model, audio, 3, sampling=FAST)
    assert [made.seed for made in rounds] == [3, 4, 5]
    second = model.vamp(rounds[0].audio, sampling=SamplingConfig(steps=2, c2f_steps=1, seed=4))
    assert np.array_equal(rounds[1].audio.samples, second.audio.samples)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["inpaint", "{in}", "-o", "{out}"], "--region"),
        (["inpaint", "{in}", "-o", "{out}", "--region", "5"], "START:END"),
        (["continue", "{in}", "-o", "{out}", "--seconds", "0"], "nothing to do"),
        (["generate", "-o", "{out}", "--seconds", "-1"], "seconds"),
        (["generate", "-o", "{out}", "--prompt", "vary"], "--like"),
        (["generate", "-o", "{out}", "--like", "{in}", "--theme", "vary"], "--theme is for music from nothing"),
        (["stretch", "{in}", "-o", "{out}", "--factor", "99"], "factor"),
        (["telephone", "{in}", "-o", "{out}", "--rounds", "0"], "rounds"),
        (["continue", "{in}", "-o", "{in}"], "is the input itself"),
        (["loop", "{in}", "-o", "{in}"], "is the input itself"),
        (["loop", "{in}", "-o", "{out}", "--downbeat", "1"], "--bpm"),
        (["loop", "{in}", "-o", "{out}", "--bpm", "90", "--beat-tracker", "librosa"], "give one of them"),
        (["loop", "{in}", "-o", "{out}", "--beat-tracker", "drums"], "learned, librosa"),
        (["outpaint", "missing.wav", "-o", "{out}"], "missing.wav"),
        (["stretch", "{in}", "-o", "nowhere/out.wav"], "no folder 'nowhere'"),
        (["loop", "{in}", "-o", "nowhere/out.wav"], "no folder 'nowhere'"),
        (["generate", "-o", "nowhere/out.wav"], "no folder 'nowhere'"),
    ],
)
def test_bad_task_flags_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle")
    write(tmp_path / "in.wav", tone(1.0))
    paths = {"{in}": str(tmp_path / "in.wav"), "{out}": str(tmp_path / "out.wav")}
    assert main([*(paths.get(a, a) for a in arguments), "--bundle", str(bundle)]) == 2
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error and not (tmp_path / "out.wav").exists()


def test_variations_are_numbered(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle")
    arguments = ["generate", "-o", str(tmp_path / "new.wav"), "--seconds", "0.5", "--variations", "2"]
    assert main([*arguments, "--bundle", str(bundle), "--steps", "1", "--c2f-steps", "1"]) == 0
    first, second = (read(tmp_path / f"new-{k}.wav").samples for k in (1, 2))
    assert first.shape == (1, 22050) and not np.array_equal(first, second)


def test_new_audio_goes_on_from_its_opening(model: VampNet) -> None:
    """Beyond ten seconds it keeps a theme of them; without one it goes its own way, from the same opening on."""
    themed, free = (generate(model, 12.0, sampling=FAST, theme=theme) for theme in (DEFAULT_THEME, None))
    assert themed.audio.n_samples == free.audio.n_samples == 12 * 44100
    assert themed.mask_CT.shape == free.mask_CT.shape and themed.mask_CT.all()
    assert not np.array_equal(themed.audio.samples[:, 441000:], free.audio.samples[:, 441000:])
    again = generate(model, 12.0, sampling=FAST)
    assert np.array_equal(again.audio.samples, themed.audio.samples)
    assert generate(model, 10.000001, sampling=FAST).audio.n_samples == 10 * 44100  # nothing is left to go on with
    short, same = (generate(model, 2.0, sampling=FAST, theme=theme).audio.samples for theme in (DEFAULT_THEME, None))
    assert np.array_equal(short, same)
