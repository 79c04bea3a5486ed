"""Variation: its text, its page in a notebook, saving, audio that outlives the job; one of n=1, a list of more."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
import torch

from tests.support.requests import FAST, shorten_tasks
from tests.support.tiny import in_float32, tiny_vampnet, tone
from vampnet.audio.files import Audio, probe, read
from vampnet.audio.sources import MemorySource
from vampnet.errors import AudioError, SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.generation.progress import Progress
from vampnet.tasks.model import VampNet
from vampnet.tasks.task import Variation

SEED_4 = SamplingConfig(steps=FAST.steps, c2f_steps=FAST.c2f_steps, seed=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VampNet]:
    with pytest.MonkeyPatch.context() as patch:
        shorten_tasks(patch)
        in_float32(patch)
        yield tiny_vampnet(tmp_path_factory.mktemp("bundle") / "b")


@pytest.fixture(scope="module")
def vamp_file(model: VampNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "x.vamp"
    model.compress(tone(1.2), path, sampling=FAST)
    return path


Call = Callable[..., Any]
METHODS: dict[str, Callable[[VampNet, Path], Call]] = {
    "vamp": lambda model, _: lambda **more: model.vamp(tone(1.2), prompt="periodic(5) | random(0.1)", **more),
    "inpaint": lambda model, _: lambda **more: model.inpaint(tone(1.2), regions=[(0.2, 0.4), (0.8, None)], **more),
    "outpaint": lambda model, _: lambda **more: model.outpaint(tone(1.2), before_s=0.3, after_s=0.4, **more),
    "continue_": lambda model, _: lambda **more: model.continue_(tone(1.2), seconds=0.5, **more),
    "generate": lambda model, _: lambda **more: model.generate(seconds=1.5, **more),
    "like": lambda model, _: lambda **more: model.generate(seconds=1.5, like=tone(1.0), **more),
    "stretch": lambda model, _: lambda **more: model.stretch(tone(1.2), factor=1.5, **more),
    "telephone": lambda model, _: lambda **more: model.telephone(tone(1.2), rounds=2, **more),
    "loop": lambda model, _: lambda **more: model.loop(tone(1.2), **more),
    "decompress": lambda model, path: lambda **more: model.decompress(path, **_seed_alone(more)),
}


def _seed_alone(more: dict[str, Any]) -> dict[str, Any]:
    """A .vamp file has its own settings: of the sampling, the seed alone can be chosen."""
    sampling = more.pop("sampling", None)
    return {**more, "seed": sampling.seed} if sampling is not None else more


@pytest.mark.parametrize("name", METHODS)
def test_one_is_a_variation_and_several_are_a_list_of_what_their_seeds_give(
    model: VampNet, vamp_file: Path, name: str
) -> None:
    call, told = METHODS[name](model, vamp_file), list[Progress]()
    one = call(sampling=FAST, report=told.append)
    assert isinstance(one, Variation) and (one.seed, one.number) == (3, 1)
    shares = [progress.share for progress in told]
    assert shares == sorted(shares) and shares[-1] == 1
    both = call(sampling=FAST, n=2)
    assert [type(made) for made in both] == [Variation, Variation]
    assert [(made.seed, made.number) for made in both] == [(3, 1), (4, 2)]
    assert np.array_equal(both[0].audio.samples, one.audio.samples)
    assert not np.array_equal(both[0].audio.samples, both[1].audio.samples)
    if name == "loop":  # its variations share the seam of the first
        return
    alone = call(sampling=SEED_4)
    assert np.array_equal(both[1].audio.samples, alone.audio.samples) and torch.equal(both[1].keep_CT, alone.keep_CT)


@pytest.mark.parametrize("name", METHODS)
def test_numbers_out_of_range_are_named(model: VampNet, vamp_file: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="n is 0"):
        METHODS[name](model, vamp_file)(n=0)


def test_which_tasks_give_codes(model: VampNet, vamp_file: Path) -> None:
    with_codes = {name for name in METHODS if METHODS[name](model, vamp_file)(sampling=FAST).codes is not None}
    assert with_codes == {"vamp", "like", "stretch", "telephone", "loop", "decompress"}


def test_what_a_report_raises_ends_the_work(model: VampNet) -> None:
    class Stop(Exception):
        pass

    told: list[Progress] = []

    def report(progress: Progress) -> None:
        told.append(progress)
        if len(told) == 4:
            raise Stop

    with pytest.raises(Stop):
        model.vamp(tone(1.2), sampling=FAST, report=report)
    assert len(told) == 4


def variation(channels: int = 2, keep_CT: torch.Tensor | None = None) -> Variation:
    audio = Audio(tone(0.5, 22050, channels).samples, 22050)
    if keep_CT is None:
        keep_CT = torch.zeros(3, 8, dtype=torch.bool)
        keep_CT[1, 2:4] = keep_CT[2, 7] = True
    return Variation(MemorySource(audio), 7, keep_CT, frames_per_s=57.4)


def test_a_variation_says_what_it_is() -> None:
    assert repr(variation()) == "Variation(0.50 s, 2 channels, 22050 Hz, seed 7, 12.5 % of tokens kept)"
    assert "Tensor" not in repr(variation())


def test_it_plays_and_draws_itself_in_a_notebook() -> None:
    page = variation()._repr_html_()
    root = ElementTree.fromstring(page.replace("<audio controls ", '<audio controls="" ').replace("&nbsp;", " "))
    assert root.tag == "figure" and root.find("figcaption") is not None
    player = root.find("audio")
    assert player is not None
    data = base64.b64decode(player.attrib["src"].partition("base64,")[2])
    samples, rate_hz = soundfile.read(io.BytesIO(data), always_2d=True)
    assert rate_hz == 22050 and samples.shape == (11025, 2)
    assert np.abs(samples.T - variation().audio.samples).max() < 1e-4
    drawn = re.findall(r'<rect x="(\d+)" y="(\d+)" width="(\d+)"', page)
    assert drawn == [("2", "6", "2"), ("7", "12", "1")] and 'viewBox="0 0 8 18"' in page


@pytest.mark.parametrize("n_frames", [0, 1, 599, 600, 5000])
def test_pictures_of_any_length(n_frames: int) -> None:
    page = variation(keep_CT=torch.ones(2, n_frames, dtype=torch.bool))._repr_html_()
    width = min(max(n_frames, 1), 600)
    expected = [("0", f"{width}")] * 2 if n_frames else []
    assert re.findall(r'<rect x="(\d+)" y="\d+" width="(\d+)"', page) == expected


def test_loud_audio_is_clipped_in_the_page_alone(tmp_path: Path) -> None:
    loud = Variation(MemorySource(Audio(np.full((1, 100), 1.5, np.float32), 44100)), 0, torch.ones(1, 1))
    loud._repr_html_()
    loud.save(tmp_path / "o.wav", subtype="FLOAT")
    assert read(tmp_path / "o.wav").samples.max() == 1.5


def test_saving(tmp_path: Path) -> None:
    made = variation()
    made.save(tmp_path / "o.wav", subtype="FLOAT")
    assert np.array_equal(read(tmp_path / "o.wav").samples, made.audio.samples)
    made.save(str(tmp_path / "o.flac"))
    assert (probe(tmp_path / "o.flac").format, probe(tmp_path / "o.flac").n_samples) == ("FLAC", 11025)
    made.save(tmp_path / "new.wav", subtype="PCM_24")
    assert probe(tmp_path / "new.wav").subtype == "PCM_24"
    with pytest.raises(AudioError, match=r"o\.xyz"):
        made.save(tmp_path / "o.xyz")


def test_audio_outlives_its_job(model: VampNet) -> None:
    """Its scratch files are gone, and it can still be read, again and again."""
    made = model.inpaint(tone(1.2), regions=[(0.2, 0.4)], sampling=FAST)
    assert isinstance(made.sound, MemorySource) and made.audio is made.audio
    assert made.in_memory().audio.samples.tobytes() == made.audio.samples.tobytes()
