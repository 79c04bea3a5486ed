"""`compat="reference"`: the authors' preprocessing and chunks, each beside what the default does instead."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.tiny import C2F, COARSE, CODEC, tiny_vampnet, tone, write_tiny_bundle
from vampnet.audio.files import Audio
from vampnet.audio.loudness import measure
from vampnet.audio.sources import MemorySource
from vampnet.errors import SettingsError
from vampnet.generation import reference_mode as compat
from vampnet.generation.config import SamplingConfig
from vampnet.generation.spans import reference_windows
from vampnet.generation.tokens import encode
from vampnet.jobs.request import VampRequest
from vampnet.prompts.parts import Everything, Nothing, Periodic
from vampnet.tasks.model import load

FAST = SamplingConfig(steps=2, c2f_steps=2, seed=5)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("compat") / "b")


def test_chunks_know_nothing_of_each_other() -> None:
    spans = reference_windows(600, 575)
    assert [(w.start, w.stop, w.n_context) for w in spans] == [(0, 575, 0), (575, 600, 0)]
    assert [w.n_frames for w in reference_windows(600, 173)] == [173, 173, 173, 81]
    assert reference_windows(0, 10) == []


def test_coarse_chunks_keep_their_ends_and_fine_ones_are_filled_up() -> None:
    codes, keep = torch.ones(1, 2, 5, dtype=torch.int64), torch.zeros(1, 2, 5, dtype=torch.bool)
    same, kept = compat.reference_chunk(codes, keep, 0, 9)
    assert torch.equal(same, codes) and kept[0, 0].tolist() == [True, False, False, False, True] and not keep.any()
    padded, closed = compat.reference_chunk(codes, ~keep, 2, 9)
    assert padded.shape == (1, 2, 9) and (padded[..., 5:] == 0).all()
    assert not closed[..., 5:].any() and closed[..., :5].all()


def test_the_first_and_last_frame_stay_with_compat_alone(bundle: Path) -> None:
    audio = tone(0.6)
    own = load(bundle, device="cpu", compat="reference").vamp(audio, prompt=Everything(), sampling=FAST).codes_NCT
    kept = load(bundle, device="cpu", compat="reference").vamp(audio, prompt=Nothing(), sampling=FAST).codes_NCT
    n = COARSE.n_codebooks
    assert kept is not None and own is not None and torch.equal(kept[:, :n, [0, -1]], own[:, :n, [0, -1]])
    default = load(bundle, device="cpu")
    kept, own = (default.vamp(audio, prompt=prompt, sampling=FAST).codes_NCT for prompt in (Nothing(), Everything()))
    assert kept is not None and own is not None and not torch.equal(kept[:, :n, [0, -1]], own[:, :n, [0, -1]])


def test_output_keeps_the_inputs_shape_and_is_the_same_in_all_channels(bundle: Path) -> None:
    audio = tone(0.7, 48000, channels=2)
    result = load(bundle, device="cpu", compat="reference").vamp(audio, prompt=Periodic(7), sampling=FAST)
    assert result.codes is not None and result.codes.shape[0] == 1
    assert result.audio.samples.shape == audio.samples.shape
    assert np.array_equal(result.audio.samples[0], result.audio.samples[1])
    assert C2F.n_codebooks == CODEC.n_codebooks == result.codes.shape[1]


def test_compat_computes_in_float32(bundle: Path) -> None:
    assert load(bundle, device="cpu", compat="reference").dtype == torch.float32


def test_silence_is_amplified_with_compat_alone(bundle: Path) -> None:
    """Their meter says -70 LUFS of anything quieter, so near-silence gets 46 dB."""
    quiet = Audio(np.full((1, 30000), 1e-5, np.float32), 44100)
    codec = tiny_vampnet(bundle.parent / "other").codec
    assert compat.encode_like_reference(MemorySource(quiet), codec).gain == pytest.approx(10 ** (46 / 20))
    assert encode(MemorySource(quiet), codec).gain == 1.0


def test_the_meters_differ_by_the_last_block_alone() -> None:
    whole = tone(2.0).samples
    assert compat.reference_lufs(whole, 44100) == pytest.approx(measure(whole, 44100), abs=0.02)
    partly = tone(0.51).samples
    assert compat.reference_lufs(partly, 44100) < measure(partly, 44100) - 0.2


@pytest.mark.parametrize(("from_hz", "to_hz"), [(48000, 44100), (22050, 44100), (44100, 44100), (44101, 44100)])
def test_resampling_keeps_a_tone(from_hz: int, to_hz: int) -> None:
    time_s = np.arange(from_hz // 4) / from_hz
    out = compat.sinc_resample(np.sin(2 * np.pi * 1000 * time_s).astype(np.float32), from_hz, to_hz)
    assert len(out) == len(time_s) * to_hz // from_hz and out.dtype == np.float32
    expected = np.sin(2 * np.pi * 1000 * np.arange(len(out)) / to_hz)
    assert np.abs(out - expected)[200:-200].max() < 1e-3


def test_peaks_are_limited() -> None:
    mono = np.zeros(44100, np.float32)
    mono[::1000] = 0.9
    ready, gain = compat.normalise(mono, -60.0)
    assert np.abs(ready).max() == pytest.approx(1.0) and gain == pytest.approx(1 / 0.9)


def test_an_unknown_name_is_refused(bundle: Path) -> None:
    with pytest.raises(SettingsError, match="'authors'"):
        load(bundle, device="cpu", compat="authors")
    with pytest.raises(SettingsError, match="compat is 'no'"):
        VampRequest(input="x.wav", compat="no")
