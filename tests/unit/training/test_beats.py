"""Training of the beat tracker: exact targets, crops that move beats with the audio, pieces of every metre."""

from __future__ import annotations

import functools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from synthcorpus.beat_pieces import beat_pieces, sway
from synthcorpus.compose.piece import ComposeConfig, compose
from vampnet.apps.cli.main import main
from vampnet.beats.tcn import load_network
from vampnet.errors import SettingsError
from vampnet.training.beats import train as beat_training
from vampnet.training.beats.augment import random_crop
from vampnet.training.beats.train import BeatTrainingConfig, Example, batch, target, train_network

SHORT = ComposeConfig(min_duration_s=3.0, max_duration_s=6.0)


def pulses(times_s: np.ndarray, n_frames: int, rate_hz: float = 150.0, bands: int = 72) -> np.ndarray:
    """Magnitudes (frames, bands) that are large at the given times alone."""
    magnitudes = np.full((n_frames, bands), 1e-3, dtype=np.float16)
    for offset in range(-3, 4):  # as wide as the window of a spectrum
        magnitudes[np.round(times_s * rate_hz).astype(int) + offset] = 5.0
    return magnitudes


def test_targets() -> None:
    assert target(np.array([0.1, 0.19]), 12).tolist() == [0, 0, 0, 0, 0.5, 1, 0.5, 0, 0, 1, 1, 0]


def test_crops_move_beats_with_the_audio() -> None:
    times = np.arange(0.5, 39.0, 0.5)
    magnitudes = pulses(times, 6000)
    for seed in range(12):
        crop, beats = random_crop(magnitudes, (times,), 150.0, 1000, np.random.default_rng(seed))
        loud = crop.mean(axis=1)
        heard = [loud[max(round(t * 50) - 2, 0) : round(t * 50) + 3].max() for t in beats if 0.1 < t < 19.9]
        # Nearly all beats are where the audio is loud; gaps are part of the augmentation.
        assert crop.shape == (1000, 72) and np.mean(np.array(heard) > 3 * np.median(loud)) > 0.75
        assert np.diff(beats).min() > 0.35 and np.diff(beats).max() < 0.65


def test_every_metre_has_its_share_and_pieces_are_fixed() -> None:
    shares = {"4/4": 0.4, "3/4": 0.2, "6/8": 0.2, "5/4": 0.2}
    pieces = list(beat_pieces("train", 3, 11, SHORT, shares))
    assert Counter(p.piece.metre for p in pieces) == {"4/4": 5, "3/4": 2, "6/8": 2, "5/4": 2}
    assert pieces == list(beat_pieces("train", 3, 11, SHORT, shares))
    assert pieces[0] != next(beat_pieces("test", 3, 11, SHORT, shares))


def test_a_swaying_piece_keeps_notes_and_beats_together() -> None:
    piece = compose(4, SHORT)
    moved = sway(piece, np.random.default_rng(0))
    gaps, before = np.diff(moved.beat_times_s), np.diff(piece.beat_times_s)
    assert 0.005 < np.std(gaps / before) < 0.2 and set(moved.downbeat_times_s) <= set(moved.beat_times_s)
    for old, new in zip(piece.tracks, moved.tracks, strict=True):
        starts = np.interp([n[0] for n in old.notes], piece.beat_times_s, moved.beat_times_s)
        inside = np.array([n[0] for n in old.notes]) < piece.beat_times_s[-1]
        assert np.abs(starts - [n[0] for n in new.notes])[inside].max() < 0.03


def test_training_learns_a_pulse() -> None:
    times = np.arange(0.5, 39.0, 0.5)
    examples = [Example(pulses(times, 6000), times, times[::4])]
    settings = BeatTrainingConfig(steps=8, batch_size=2, crop_s=3.0, rate=3e-3)
    spectra, targets = batch(examples, settings, 0)
    assert spectra.shape == (2, 150, 72) and targets.shape == (2, 150, 2)
    assert batch(examples, settings, 0)[0].equal(spectra) and not batch(examples, settings, 1)[0].equal(spectra)
    lines: list[str] = []
    network = train_network(examples, settings, report=lines.append, report_every=4)
    assert [line.split(":")[0] for line in lines] == ["step 4", "step 8"]
    logits = network(spectra)[..., 0].detach()
    assert float(logits[targets[..., 0] == 1].mean()) > float(logits[targets[..., 0] == 0].mean())
    with pytest.raises(AttributeError):
        settings.steps = 1  # type: ignore[misc]


def test_the_command_renders_trains_and_writes_a_tracker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(beat_training, "COMPOSE", SHORT)
    monkeypatch.setattr(beat_training, "BeatTrainingConfig", functools.partial(BeatTrainingConfig, (21,), crop_s=2.0))
    arguments = ["train-beats", str(tmp_path), "--pieces", "2", "--steps", "1", "--workers", "1"]
    assert main(arguments) == 0
    assert f"wrote {tmp_path / 'beats.safetensors'}" in capsys.readouterr().out
    load_network(tmp_path / "beats.safetensors")
    assert (tmp_path / "examples-21-2.npz").is_file()


def test_settings_of_beat_training_are_checked() -> None:
    with pytest.raises(SettingsError, match="steps is 0, but must lie in 1"):
        BeatTrainingConfig(steps=0)
