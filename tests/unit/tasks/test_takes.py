"""Tasks from file to file: bit for bit outside what is new, in every coding; plots and JSON; memory and file agree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from vampnet.tasks.in_memory import inpaint
from vampnet.tasks.takes import CROSSFADE_S, Desk

from tests.support.tiny import in_float32, shorten_windows, tiny_vampnet, tone, write_tiny_bundle
from vampnet.apps.cli.main import main
from vampnet.audio.files import Audio, probe, read, write
from vampnet.audio.sources import FileSource, MemorySource
from vampnet.audio.splice import Canvas, Patch
from vampnet.audio.spool import Spool
from vampnet.generation.config import SamplingConfig
from vampnet.prompts.parts import Codebooks, Keep
from vampnet.tasks import takes
from vampnet.tasks.model import VampNet

FAST = SamplingConfig(steps=1, c2f_steps=1, seed=3)
N, RATE = 66150, 44100
CODINGS = (
    ("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "PCM_32"), ("wav", "FLOAT"), ("wav", "DOUBLE"), ("wav", "PCM_U8"),
    ("flac", "PCM_16"), ("flac", "PCM_24"), ("aiff", "PCM_32"),
)  # fmt: skip
OUTPAINTED = (("wav", "DOUBLE"), ("flac", "PCM_24"))


@pytest.fixture(scope="module", autouse=True)
def short() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        shorten_windows(patch)
        in_float32(patch)
        yield


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "b")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> VampNet:
    return tiny_vampnet(tmp_path_factory.mktemp("model") / "b")


def noise(path: Path, subtype: str) -> np.ndarray:
    """A stereo file with values all over the coding's range; returns them as they are stored, (channels, samples)."""
    samples = np.random.default_rng(0).uniform(-0.7, 0.7, (N, 2))
    samples[1000:1010] = (-1.0, 1 - 2.0**-31)  # the ends of the range
    soundfile.write(path, samples, RATE, subtype)
    return soundfile.read(path, dtype="float64", always_2d=True)[0].T


def run(bundle: Path, *arguments: str) -> int:
    return main([*arguments, "--bundle", str(bundle), "--steps", "1", "--c2f-steps", "1", "--seed", "3"])


@pytest.mark.parametrize(("ending", "subtype"), CODINGS)
def test_files_stay_bit_for_bit(bundle: Path, tmp_path: Path, ending: str, subtype: str) -> None:
    source, out, longer = (tmp_path / f"{name}.{ending}" for name in ("in", "out", "longer"))
    before = noise(source, subtype)
    regions = ["--region", ":0.1", "--region", "0.5:0.75", "--region", "1.4:"]
    assert run(bundle, "inpaint", str(source), "-o", str(out), *regions) == 0
    after = soundfile.read(out, dtype="float64", always_2d=True)[0].T
    assert probe(out).subtype == subtype and after.shape == before.shape
    new = np.zeros(N, bool)
    for start, stop in ((0, 4410), (22050, 33075), (61740, N)):
        new[start:stop] = True
    assert np.array_equal(before[:, ~new], after[:, ~new])
    assert (before[:, new] != after[:, new]).mean() > 0.9
    if (ending, subtype) not in OUTPAINTED:  # what holds one holds the other
        return
    assert run(bundle, "outpaint", str(source), "-o", str(longer), "--before", "0.2", "--after", "0.3") == 0
    after = soundfile.read(longer, dtype="float64", always_2d=True)[0].T
    assert after.shape == (2, N + 22050)
    fade = round(CROSSFADE_S * RATE)
    assert fade <= 0.02 * RATE
    assert np.array_equal(after[:, 8820 + fade : 8820 + N - fade], before[:, fade:-fade])
    assert np.abs(after[:, :8000]).max() > 0 and np.abs(after[:, -13000:]).max() > 0


def test_patches_lie_where_they_should(tmp_path: Path) -> None:
    canvas = Canvas(MemorySource(Audio(np.full((1, 200000), 0.5, np.float32), RATE)), 100, 50)
    with Spool(1) as spool:
        spool.add(np.ones((1, 70000), np.float32))
        canvas.patches.append(Patch(65000, 135000, spool, fade_in=4, fade_out=2))
        whole = np.concatenate(list(canvas.blocks()), axis=1)[0]
        assert len(whole) == 200150 and not whole[:100].any() and not whole[-50:].any()
        assert np.allclose(whole[64998:65006], [0.5, 0.5, 0.5625, 0.6875, 0.8125, 0.9375, 1, 1])
        assert np.allclose(whole[134997:135002], [1, 0.875, 0.625, 0.5, 0.5])
        for first, stop in ((0, 200150), (50, 101), (64999, 65003), (134999, 200110), (200120, 200150)):
            part = np.concatenate(list(canvas.excerpt(first, stop).blocks()), axis=1)[0]
            assert np.array_equal(part, whole[first:stop])


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
def test_reading_from_the_middle(tmp_path: Path, ending: str) -> None:
    write(tmp_path / f"a.{ending}", tone(2.0, 44100, 2))
    source = FileSource(tmp_path / f"a.{ending}")
    whole = np.concatenate(list(source.blocks()), axis=1)
    for first in (1, 30000, 70001):
        assert np.array_equal(np.concatenate(list(source.blocks(first)), axis=1), whole[:, first:])


def test_file_and_memory_agree(model: VampNet, tmp_path: Path) -> None:
    write(tmp_path / "in.wav", tone(1.5, 32000, 2), "FLOAT")
    source, regions = FileSource(tmp_path / "in.wav"), [(0.3, 0.6), (0.7, 1.2)]
    with Desk(model) as desk:
        take = takes.inpaint(desk, source, regions, FAST)
        from_file = np.concatenate(list(take.sound.blocks(exact=True)), axis=1)
    made = inpaint(model, read(tmp_path / "in.wav"), regions, FAST)
    assert np.array_equal(from_file, made.audio.samples) and torch.equal(take.mask_CT, made.mask_CT)
    new_s = made.mask_CT[0].sum() / model.codec.frames_per_s
    assert 0.8 < new_s < 0.9 and not list(tmp_path.glob(".vampnet-*"))


def test_a_prompt_within_regions(model: VampNet) -> None:
    audio = tone(1.5)
    plain = inpaint(model, audio, [(0.5, 1.0)], FAST).audio.samples
    bent = inpaint(model, audio, [(0.5, 1.0)], FAST, prompt=Codebooks(1)).audio.samples
    kept = inpaint(model, audio, [(0.5, 1.0)], FAST, prompt=Keep(0.5, 1.0)).audio.samples
    assert not np.array_equal(plain, bent) and not np.array_equal(bent, kept)
    outside = np.r_[0:22050, 44100:66150]
    assert all(np.array_equal(made[:, outside], audio.samples[:, outside]) for made in (plain, bent, kept))


COMMANDS = (
    ("inpaint", ["--region", "0.5:1"], 1.5, 1), ("outpaint", ["--before", "0.3", "--after", "0.4"], 2.2, 1),
    ("continue", ["--seconds", "1"], 2.5, 1), ("stretch", ["--factor", "1.5"], 2.25, 1),
    ("telephone", ["--rounds", "2"], 1.5, 1), ("loop", [], 1.5, 1), ("vamp", [], 1.5, 1),
    ("generate", ["--seconds", "0.75"], 0.75, 0),
)  # fmt: skip


@pytest.mark.parametrize(("command", "arguments", "seconds", "n_inputs"), COMMANDS)
def test_every_task_has_variations_seed_plot_and_json(
    bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    arguments: list[str],
    seconds: float,
    n_inputs: int,
) -> None:
    write(tmp_path / "in.flac", tone(1.5, 32000, 2))
    inputs = [str(tmp_path / "in.flac")] * n_inputs
    common = ["-o", str(tmp_path / "o.wav"), "--variations", "2", "--plot", str(tmp_path / "p.png"), "--json"]
    assert run(bundle, command, *inputs, *arguments, *common) == 0
    report = json.loads(capsys.readouterr().out)
    assert [item["seed"] for item in report["outputs"]] == [3, 4]
    assert [Path(item["file"]).name for item in report["outputs"]] == ["o-1.wav", "o-2.wav"]
    assert all(0 <= item["kept_share"] < 1 for item in report["outputs"])
    one, two = (read(tmp_path / f"o-{k}.wav") for k in (1, 2))
    assert one.duration_s == two.duration_s == pytest.approx(seconds) and not np.array_equal(one.samples, two.samples)
    assert (one.channels, one.sample_rate_hz) == ((2, 32000) if n_inputs else (1, 44100))
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
    if command != "loop":  # its variations share the seam of the first
        alone = [*inputs, *arguments, "-o", str(tmp_path / "alone.wav")]
        assert main([command, *alone, "--bundle", str(bundle), "--steps", "1", "--c2f-steps", "1", "--seed", "4"]) == 0
        assert np.array_equal(read(tmp_path / "alone.wav").samples, two.samples)
