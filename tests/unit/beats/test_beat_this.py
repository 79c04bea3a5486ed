"""Beat This: the authors' network and post-processing on seeded random weights, and files that are refused."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vampnet.beats import beat_this
from vampnet.beats.beat_this import BeatThisNetwork, Sizes, frame_logits, load_beat_this, peaks, rotary_rates, track
from vampnet.beats.events import TrackerConfig
from vampnet.beats.tracking import track_events
from vampnet.errors import BundleError

SIZES = Sizes(width=64, n_layers=2)


def random_state(sizes: Sizes) -> dict[str, Tensor]:
    """Weights under the authors' names, each drawn from a seed made of its name."""
    state = {}
    for name, tensor in BeatThisNetwork(sizes).state_dict().items():
        drawn = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
        if name.endswith("num_batches_tracked"):
            state[f"model.{name}"] = tensor
        elif "running_var" in name or "gamma" in name:
            state[f"model.{name}"] = drawn.abs() * 0.2 + 1.0
        else:
            state[f"model.{name}"] = drawn * max(tensor[0].numel(), 1) ** -0.5
        if name.endswith("to_qkv.weight"):
            state["model." + name.replace("to_qkv.weight", "rotary_embed.freqs")] = rotary_rates(sizes.head)
    return state


def checkpoint(path: Path, state: dict[str, Tensor], **more: object) -> Path:
    torch.save({"state_dict": state, "hyper_parameters": {"transformer_dim": 64, **more}}, path)
    return path


def spectra(n_frames: int) -> Tensor:
    return torch.rand(n_frames, 128, generator=torch.Generator().manual_seed(7)) * 0.01


def test_agrees_with_the_authors_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beat_this, "WINDOW_FRAMES", 112)
    network = load_beat_this(checkpoint(tmp_path / "tiny.ckpt", random_state(SIZES)))
    logits = frame_logits(network, spectra(250).numpy())
    assert logits[[0, 5, 110, 180, 249], 0] == pytest.approx(AUTHORS_BEAT, abs=2e-5)
    assert logits[[0, 5, 110, 180, 249], 1] == pytest.approx(AUTHORS_DOWNBEAT, abs=2e-5)


def test_independent_heads_are_a_hyper_parameter(tmp_path: Path) -> None:
    summed, apart = (
        frame_logits(
            load_beat_this(checkpoint(tmp_path / f"{s}.ckpt", random_state(SIZES), sum_head=s)), spectra(40).numpy()
        )
        for s in (True, False)
    )
    assert np.allclose(summed[:, 0], apart.sum(axis=1), atol=1e-5) and np.allclose(summed[:, 1], apart[:, 1])


def test_other_sizes_are_read_from_the_shapes(tmp_path: Path) -> None:
    small = Sizes(width=32, n_layers=1, has_partial=False, feed=2)
    network = load_beat_this(checkpoint(tmp_path / "small.ckpt", random_state(small)))
    assert network.state_dict().keys() == BeatThisNetwork(small).state_dict().keys()


def test_peaks() -> None:
    logits = np.full(30, -1.0)
    logits[[5, 7, 12, 13, 20]] = [1.0, 2.0, 3.0, 3.0, -0.5]  # 5 is too near 7; 12 and 13 are one; 20 is below 0
    assert peaks(logits).tolist() == [7.0, 12.5]
    assert peaks(np.zeros(0)).tolist() == [] and peaks(np.full(9, -1.0)).tolist() == []


def test_downbeats_move_to_the_nearest_beat() -> None:
    class Said(torch.nn.Module):
        def forward(self, spectra_BTU: Tensor) -> Tensor:
            logits = torch.full((*spectra_BTU.shape[:2], 2), -5.0)
            logits[:, 6 + 50, 0] = logits[:, 6 + 75, 0] = logits[:, 6 + 77, 1] = 5.0
            return logits

    beats_s, downbeats_s = track(Said(), np.zeros((100, 128)))  # type: ignore[arg-type]
    assert beats_s == pytest.approx((1.0, 1.5)) and downbeats_s == pytest.approx((1.5,))


def test_finds_the_rhythm_of_audio(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "tiny.ckpt", random_state(SIZES))
    audio = np.random.default_rng(0).standard_normal((1, 44100)).astype(np.float32)
    found = track_events([audio], 44100, 44100, TrackerConfig(str(path)))
    assert set(found.downbeats_s) <= set(found.beats_s) and all(0 <= t <= 1.01 for t in found.beats_s)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda state: state.pop("model.transformer_blocks.norm.gamma"), "missing: transformer_blocks.norm.gamma"),
        (lambda state: state.update({"model.more": torch.zeros(1)}), "unexpected: more"),
        (lambda state: state.update({"model.frontend.stem.bn1d.bias": torch.zeros(3)}), "misshapen"),
        (
            lambda state: state.update({"model.transformer_blocks.layers.0.0.rotary_embed.freqs": torch.ones(16)}),
            "rotary",
        ),
        (lambda state: state.clear(), "lacks 'state_dict'"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path: Path, damage, words: str) -> None:
    state = random_state(SIZES)
    damage(state)
    with pytest.raises(BundleError, match=words) as caught:
        load_beat_this(checkpoint(tmp_path / "bad.ckpt", state))
    assert "bad.ckpt" in str(caught.value)


def test_nothing_is_executed(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self):
            return print, ("executed",)

    torch.save({"state_dict": {"x": Harmful()}}, tmp_path / "bad.ckpt")
    with pytest.raises(BundleError, match="refused"):
        load_beat_this(tmp_path / "bad.ckpt")
    with pytest.raises(BundleError, match="no such file"):
        load_beat_this(tmp_path / "nowhere.ckpt")


# Made once by the authors' package (beat_this 1.1.0) with the same weights, spectra and chunks of 112 frames.
AUTHORS_BEAT = (1.12816, 1.08094, 1.21403, 1.06824, 0.93192)
AUTHORS_DOWNBEAT = (-0.38691, -0.34996, -0.25879, -0.36932, -0.50119)
