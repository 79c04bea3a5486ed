"""Inpaint: bit for bit outside the regions, in every coding; regions at edges and that touch; memory and file agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.support.tiny import tone
from vampnet.audio.files import probe, read, write
from vampnet.errors import VampnetError
from vampnet.generation.config import SamplingConfig
from vampnet.jobs.request import InpaintRequest, OutpaintRequest
from vampnet.jobs.runner import run_job
from vampnet.prompts.parts import Codebooks, Keep
from vampnet.tasks.inpaint import CROSSFADE_S
from vampnet.tasks.model import VampNet

pytestmark = pytest.mark.usefixtures("short_windows")

FAST = SamplingConfig(steps=1, c2f_steps=1, seed=3)
N, RATE = 66150, 44100
CODINGS = (
    ("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "PCM_32"), ("wav", "FLOAT"), ("wav", "DOUBLE"), ("wav", "PCM_U8"),
    ("flac", "PCM_16"), ("flac", "PCM_24"), ("aiff", "PCM_32"),
)  # fmt: skip
OUTPAINTED = (("wav", "DOUBLE"), ("flac", "PCM_24"))


def noise(path: Path, subtype: str) -> np.ndarray:
    """A stereo file with values all over the coding's range; returns them as they are stored, (channels, samples)."""
    samples = np.random.default_rng(0).uniform(-0.7, 0.7, (N, 2))
    samples[1000:1010] = (-1.0, 1 - 2.0**-31)  # the ends of the range
    soundfile.write(path, samples, RATE, subtype)
    return soundfile.read(path, dtype="float64", always_2d=True)[0].T


@pytest.mark.parametrize(("ending", "subtype"), CODINGS)
def test_files_stay_bit_for_bit(model: VampNet, tmp_path: Path, ending: str, subtype: str) -> None:
    source, out, longer = (tmp_path / f"{name}.{ending}" for name in ("in", "out", "longer"))
    before = noise(source, subtype)
    regions = ((0.0, 0.1), (0.5, 0.75), (1.4, None))
    run_job(InpaintRequest(input=str(source), regions=regions, sampling=FAST), [out], model=model)
    after = soundfile.read(out, dtype="float64", always_2d=True)[0].T
    assert probe(out).subtype == subtype and after.shape == before.shape
    new = np.zeros(N, bool)
    for start, stop in ((0, 4410), (22050, 33075), (61740, N)):
        new[start:stop] = True
    assert np.array_equal(before[:, ~new], after[:, ~new])
    assert (before[:, new] != after[:, new]).mean() > 0.9
    if (ending, subtype) not in OUTPAINTED:  # what holds one holds the other
        return
    run_job(OutpaintRequest(input=str(source), before_s=0.2, after_s=0.3, sampling=FAST), [longer], model=model)
    after = soundfile.read(longer, dtype="float64", always_2d=True)[0].T
    assert after.shape == (2, N + 22050)
    fade = round(CROSSFADE_S * RATE)
    assert fade <= 0.02 * RATE
    assert np.array_equal(after[:, 8820 + fade : 8820 + N - fade], before[:, fade:-fade])
    assert np.abs(after[:, :8000]).max() > 0 and np.abs(after[:, -13000:]).max() > 0


def test_file_and_memory_agree(model: VampNet, tmp_path: Path) -> None:
    write(tmp_path / "in.wav", tone(1.5, 32000, 2), "FLOAT")
    regions = ((0.3, 0.6), (0.7, 1.2))
    request = InpaintRequest(input=str(tmp_path / "in.wav"), regions=regions, sampling=FAST)
    result = run_job(request, [tmp_path / "out.wav"], model=model)
    made = model.inpaint(read(tmp_path / "in.wav"), regions=regions, sampling=FAST)
    assert np.array_equal(read(tmp_path / "out.wav").samples, made.audio.samples)
    assert result.outputs[0].kept_share == round(made.kept_share, 4)
    new_s = (~made.keep_CT[0]).sum() / model.codec.frames_per_s
    assert 0.8 < new_s < 0.9
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.wav", "out.wav"]  # scratch files are gone
    assert made.codes is None  # it does not make all of them


def test_a_prompt_within_regions(model: VampNet) -> None:
    audio = tone(1.5)

    def inpainted(**settings: Any) -> np.ndarray:
        return model.inpaint(audio, regions=[(0.5, 1.0)], sampling=FAST, **settings).audio.samples

    plain, bent, kept = inpainted(), inpainted(prompt=Codebooks(1)), inpainted(prompt=Keep(0.5, 1.0))
    assert not np.array_equal(plain, bent) and not np.array_equal(bent, kept)
    outside = np.r_[0:22050, 44100:66150]
    assert all(np.array_equal(made[:, outside], audio.samples[:, outside]) for made in (plain, bent, kept))


@pytest.mark.parametrize(("rate_hz", "channels"), [(44100, 2), (22050, 1), (48000, 1)])
def test_inpainting_leaves_all_else_bit_for_bit(model: VampNet, rate_hz: int, channels: int) -> None:
    audio = tone(4.0, rate_hz, channels)
    made = model.inpaint(audio, regions=[(1.0, 1.5), (2.25, 2.5)], sampling=FAST).audio
    changed = np.flatnonzero((made.samples != audio.samples).any(axis=0)) / rate_hz
    assert made.samples.shape == audio.samples.shape
    assert all(1.0 <= t < 1.5 or 2.25 <= t < 2.5 for t in changed)
    for start, stop in ((1.0, 1.5), (2.25, 2.5)):  # and all of the regions is new
        inside = made.samples[:, int(start * rate_hz) : int(stop * rate_hz)]
        old = audio.samples[:, int(start * rate_hz) : int(stop * rate_hz)]
        assert (inside != old).mean() > 0.99


def test_regions_at_the_edges_and_regions_that_touch(model: VampNet) -> None:
    audio = tone(2.0)
    made = model.inpaint(audio, regions=[(0.0, 0.3), (1.7, float("inf"))], sampling=FAST).audio
    assert np.array_equal(made.samples[:, 13230:74970], audio.samples[:, 13230:74970])
    open_end = model.inpaint(audio, regions=[(0.0, 0.3), (1.7, None)], sampling=FAST).audio
    assert np.array_equal(made.samples, open_end.samples)
    joined = model.inpaint(audio, regions=[(0.5, 1.0), (0.9, 1.2)], sampling=FAST).audio
    alone = model.inpaint(audio, regions=[(0.5, 1.2)], sampling=FAST).audio
    assert np.array_equal(joined.samples, alone.samples)
    whole = model.inpaint(audio, regions=[(0.0, 2.0)], sampling=FAST)
    assert not whole.keep_CT.any() and whole.kept_share == 0


def test_each_region_draws_for_itself(model: VampNet) -> None:
    """Equal surroundings of two regions do not give equal music."""
    turn = tone(1.0).samples
    audio = type(tone(0.1))(np.tile(turn, (1, 3)), RATE)
    made = model.inpaint(audio, regions=[(0.4, 0.6), (2.4, 2.6)], sampling=FAST).audio.samples
    assert not np.array_equal(made[:, 17640:26460], made[:, 17640 + 88200 : 26460 + 88200])


@pytest.mark.parametrize("region", [(2.5, 3.0), (-1.0, 0.5), (1.0, 1.0), (1.5, 1.0), (float("nan"), 1.0)])
def test_bad_regions_are_named(model: VampNet, region: tuple[float, float]) -> None:
    with pytest.raises(VampnetError, match="region"):
        model.inpaint(tone(2.0), regions=[region], sampling=FAST)
    with pytest.raises(VampnetError, match="no region"):
        model.inpaint(tone(2.0), regions=[], sampling=FAST)


def test_decodes_around_the_new_sound_alone_and_it_is_the_same(model: VampNet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against decoding all of what the models saw: the same samples, resampled and limited, of fewer frames."""
    loud, decoded = tone(6.0, 48000, level=0.9), list[int]()
    decode = type(model.codec).decode_part
    monkeypatch.setattr(type(model.codec), "decode_part", lambda self, codes_BCT, first, n: (
        decoded.append(n), decode(self, codes_BCT, first, n))[1])  # fmt: skip

    def make() -> tuple[list[np.ndarray], int]:
        decoded.clear()
        inner = model.inpaint(loud, regions=[(2.5, 2.8)], sampling=FAST).audio.samples
        longer = model.outpaint(loud, before_s=0.2, after_s=0.3, sampling=FAST).audio.samples
        return [inner, longer], sum(decoded)

    few, n_few = make()
    monkeypatch.setattr("vampnet.tasks.task.frames_around", lambda *_: (0, 10**6))
    whole, n_whole = make()
    assert all(np.array_equal(*pair) for pair in zip(few, whole, strict=True))
    assert n_few < 0.6 * n_whole
