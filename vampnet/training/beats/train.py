"""Training of the learned beat tracker on the exact beats of composed music: `vampnet train-beats`.

Pieces of the train split (synthcorpus/beat_pieces.py) are composed and rendered, and their mel spectra kept. The
network of beats/tcn.py then trains on random crops of them at changed speed, pitch and colour. The loss is the binary
cross-entropy of each frame; the frames beside a beat count as half a beat. About 15 minutes to render with two workers,
then about half an hour on one core.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import multiprocessing
import os
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
import torch
from tqdm import tqdm

from synthcorpus.beat_pieces import BeatPiece, beat_pieces
from synthcorpus.compose.piece import ComposeConfig
from synthcorpus.render.render import RenderConfig
from vampnet.beats.features import FFT, FRAMES_PER_S, HOP, RATE_HZ, Collector, band_magnitudes, compress
from vampnet.beats.tcn import BeatNetwork, save_network
from vampnet.config import check
from vampnet.errors import SettingsError
from vampnet.storage import cause, locked, make_folder, sha256_of_file, whole_file
from vampnet.training.beats.augment import random_crop

DENSITY = 3
"""Spectra kept per frame of the network, so that speed can be changed without blurring."""
COMPOSE = ComposeConfig(min_duration_s=25.0, max_duration_s=50.0, score_share=0.06)
"""Settings of the composed pieces."""
FIELDS = ("magnitudes", "beats_s", "downbeats_s")
"""Arrays stored per piece."""

Report = Callable[[str], None]


@dataclass(frozen=True)
class BeatTrainingConfig:
    """Corpus and optimiser settings of the beat tracker's training."""

    piece_seeds: tuple[int, ...] = (21, 22, 23, 24)
    """Seeds of the composer, within the train split."""
    pieces: int = 260
    """Pieces of each seed."""
    steps: int = 2400
    """Optimiser steps."""
    batch_size: int = 8
    """Crops per step."""
    crop_s: float = 30.0
    """Length of a crop, seconds."""
    rate: float = 2e-3
    """Peak learning rate; 100 steps of warm-up, then a cosine to zero."""
    seed: int = 0
    """Seed of weights and crops, 0 to 2**31."""

    def __post_init__(self) -> None:
        check("pieces", self.pieces, 1, 10**6)
        check("steps", self.steps, 1, 10**7)
        check("batch_size", self.batch_size, 1, 10**4)
        check("crop_s", self.crop_s, 1.0, 600.0)
        check("rate", self.rate, 1e-9, 1.0)
        check("seed", self.seed, 0, 2**31)


@dataclass(frozen=True)
class Example:
    """Spectra and beat times of one piece."""

    magnitudes: np.ndarray
    """float16 (frames, bands), DENSITY times as dense as the network's frames, mean 1."""
    beats_s: np.ndarray
    downbeats_s: np.ndarray


def train_beats(
    folder: Path,
    settings: BeatTrainingConfig,
    *,
    soundfont: str | None = None,
    workers: int | None = None,
    report: Report = print,
) -> Path:
    """Render what `folder` lacks, train a tracker, and write `beats.safetensors` into the folder; returns its path.

    Args:
        folder: working folder; spectra of pieces that are there already are not rendered again.
        settings: corpus and optimiser settings.
        soundfont: General MIDI sound font; None renders with synthesis alone.
        workers: rendering processes; None: all cores.
        report: called with each line about progress.
    """
    with locked(folder, SettingsError, "working folder"):
        examples = render_examples(settings, soundfont, folder, workers or os.cpu_count() or 1)
        network = train_network(examples, settings, report=report)
        save_network(network, folder / "beats.safetensors", dataclasses.asdict(settings))
    return folder / "beats.safetensors"


def example(piece: BeatPiece, settings: RenderConfig) -> Example:
    """Render a piece and keep its spectra."""
    mono = soxr.resample(piece.render(settings).mean(axis=0), settings.sample_rate_hz, RATE_HZ)
    collector = Collector(FFT, HOP // DENSITY, functools.partial(band_magnitudes, hop=HOP // DENSITY))
    collector.push(mono)
    magnitudes = collector.finish()
    scaled = magnitudes / max(float(magnitudes.mean()), 1e-9)
    return Example(
        scaled.astype(np.float16), np.array(piece.piece.beat_times_s), np.array(piece.piece.downbeat_times_s)
    )


def render_examples(settings: BeatTrainingConfig, soundfont: str | None, folder: Path, workers: int) -> list[Example]:
    """All pieces to learn from; those that `folder` holds already, made from the same settings and sound font, are not
    rendered again."""
    make_folder(folder, SettingsError)
    render, made = RenderConfig(soundfont=soundfont), list[Example]()
    digest = None if soundfont is None else sha256_of_file(soundfont, SettingsError)
    described = {"compose": dataclasses.asdict(COMPOSE), "render": dataclasses.asdict(render) | {"soundfont": digest}}
    made_from = json.dumps(described, sort_keys=True)
    for seed in settings.piece_seeds:
        kept = folder / f"examples-{seed}-{settings.pieces}.npz"
        found = _kept_examples(kept, settings.pieces, made_from)
        if found is None:
            pieces = beat_pieces("train", seed, settings.pieces, COMPOSE)
            with multiprocessing.get_context("spawn").Pool(workers) as pool:
                rendered = pool.imap(functools.partial(example, settings=render), pieces)
                arrays = {
                    f"{number:05d}-{name}": getattr(one, name)
                    for number, one in enumerate(tqdm(rendered, f"seed {seed}", settings.pieces))
                    for name in FIELDS
                }
            with whole_file(kept, SettingsError) as temporary, open(temporary, "wb") as file:
                np.savez(file, made_from=np.array(made_from), **arrays)
            found = [Example(*(arrays[f"{n:05d}-{name}"] for name in FIELDS)) for n in range(settings.pieces)]
        made += found
    return made


def _kept_examples(path: Path, n_pieces: int, made_from: str) -> list[Example] | None:
    """Examples of an earlier run; None where there are none, or they are damaged or of other settings."""
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:  # zip checks every array
            if str(arrays["made_from"]) != made_from:
                return None
            return [Example(*(arrays[f"{n:05d}-{name}"] for name in FIELDS)) for n in range(n_pieces)]
    except (OSError, LookupError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        tqdm.write(f"made again: {path}: damaged ({cause(error)})", file=sys.stderr)
        return None


def batch(examples: Sequence[Example], settings: BeatTrainingConfig, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Spectra (B, T, bands) and targets (B, T, 2) of a step, a function of (settings, step)."""
    rng = np.random.default_rng(np.random.SeedSequence((settings.seed, step)))
    n_frames = round(settings.crop_s * FRAMES_PER_S)
    spectra, targets = [], []
    for number in rng.integers(len(examples), size=settings.batch_size):
        chosen = examples[int(number)]
        magnitudes, beats, downbeats = random_crop(
            chosen.magnitudes, (chosen.beats_s, chosen.downbeats_s), DENSITY * FRAMES_PER_S, n_frames, rng
        )
        spectra.append(compress(magnitudes))
        targets.append(np.stack([target(beats, n_frames), target(downbeats, n_frames)], axis=1))
    return torch.from_numpy(np.stack(spectra)).float(), torch.from_numpy(np.stack(targets)).float()


def target(times_s: np.ndarray, n_frames: int) -> np.ndarray:
    """1 in the frame nearest to each time, falling to 0 one and a half frames away; (n_frames,)."""
    wanted = np.zeros(n_frames + 4)
    for place in times_s * FRAMES_PER_S:
        if -1 < place < n_frames:
            near = np.arange(int(place) - 1, int(place) + 3)
            wanted[near + 2] = np.maximum(wanted[near + 2], np.clip(1.5 - np.abs(near - place), 0.0, 1.0))
    return wanted[2:-2]


def train_network(
    examples: Sequence[Example], settings: BeatTrainingConfig, *, report: Report = print, report_every: int = 50
) -> BeatNetwork:
    """Train a network on the examples; `report` is called with a line every `report_every` steps."""
    torch.manual_seed(settings.seed)
    network = BeatNetwork()
    optimiser = torch.optim.AdamW(network.parameters(), settings.rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _pace(step, settings.steps))
    started, total = time.monotonic(), 0.0
    for step in range(settings.steps):
        spectra, targets = batch(examples, settings, step)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(spectra), targets)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        total += float(loss.detach())
        if (step + 1) % report_every == 0:
            report(f"step {step + 1}: loss {total / report_every:.4f}, {time.monotonic() - started:.0f} s")
            total = 0.0
    return network.eval()


def _pace(step: int, steps: int) -> float:
    warm = min(100, steps // 10 + 1)
    return (
        (step + 1) / warm if step < warm else 0.5 * (1.0 + float(np.cos(np.pi * (step - warm) / max(steps - warm, 1))))
    )
