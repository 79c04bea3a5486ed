"""Random crops of a folder of audio, fast: one channel per file, resampled and levelled once, memory-mapped.

The cache `.waves-<rate>.i16` beside the files holds 16-bit samples at INPUT_LUFS; it is made again when a file or the
list of files changes, and when it is damaged.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from vampnet.audio import files as audio_files
from vampnet.audio.folders import audio_files_in
from vampnet.audio.loudness import gain_to, measure
from vampnet.errors import AudioError, CorpusError
from vampnet.storage import read_json, sha256_of_file, whole_file, write_whole

MAX_INDEX_BYTES = 1 << 28


class Waves(Protocol):
    """Interface of a set of audio that a codec trains on."""

    def batch(self, seed: tuple[int, ...], batch_size: int, n_samples: int, jitter_db: float) -> Tensor:
        """Random crops (B, S) with random gains up to `jitter_db` either way."""
        ...


@dataclass(frozen=True)
class WaveSet:
    """Mono waveforms of a folder, end to end in one memory map."""

    samples: np.ndarray
    """int16, all files joined."""
    starts: np.ndarray
    """First sample of each file, and the total at the end."""

    @property
    def n_files(self) -> int:
        """Number of files."""
        return len(self.starts) - 1

    def draw(self, rng: np.random.Generator, n_samples: int) -> tuple[int, int]:
        """First sample of a random crop, from files drawn by length, and the sample at which it or its file ends."""
        position = int(rng.integers(self.starts[-1]))
        index = int(np.searchsorted(self.starts, position, side="right")) - 1
        first, last = int(self.starts[index]), int(self.starts[index + 1])
        begin = min(position, max(last - n_samples, first))
        return begin, min(begin + n_samples, last)

    def crop(self, rng: np.random.Generator, n_samples: int) -> np.ndarray:
        """A random crop, float32 (n_samples,); short files are padded."""
        begin, end = self.draw(rng, n_samples)
        crop = self.samples[begin:end].astype(np.float32) / 32768.0
        return np.pad(crop, (0, n_samples - len(crop)))

    def batch(self, seed: tuple[int, ...], batch_size: int, n_samples: int, jitter_db: float) -> Tensor:
        """Batch (B, S) that depends on `seed` alone."""
        rng = np.random.default_rng(np.random.SeedSequence(seed))
        crops = np.stack([self.crop(rng, n_samples) for _ in range(batch_size)])
        gain_db = rng.uniform(-jitter_db, jitter_db, size=(batch_size, 1))
        return torch.from_numpy((crops * 10 ** (gain_db / 20)).astype(np.float32))

    def on(self, device: torch.device) -> DeviceWaves:
        """A copy in the memory of a device."""
        return DeviceWaves(self, torch.from_numpy(np.array(self.samples)).to(device))


@dataclass(frozen=True)
class DeviceWaves:
    """Waveforms that lie where they are trained on, so that an accelerator does not wait for them."""

    source: WaveSet
    samples_S: Tensor
    """int16, all files joined."""

    def batch(self, seed: tuple[int, ...], batch_size: int, n_samples: int, jitter_db: float) -> Tensor:
        """The batch (B, S) that the wave set's own `batch` returns, on the device."""
        rng = np.random.default_rng(np.random.SeedSequence(seed))
        drawn = np.array([self.source.draw(rng, n_samples) for _ in range(batch_size)])
        gain_B1 = 10 ** (rng.uniform(-jitter_db, jitter_db, size=(batch_size, 1)) / 20)
        begin_B1, end_B1 = torch.from_numpy(drawn).to(self.samples_S.device).split(1, dim=1)
        place_BS = begin_B1 + torch.arange(n_samples, device=begin_B1.device)
        crop_BS = self.samples_S[place_BS.clamp(max=len(self.samples_S) - 1)] * (place_BS < end_B1) / 32768.0
        return crop_BS * torch.from_numpy(gain_B1.astype(np.float32)).to(crop_BS.device)


def open_waves(folder: str | Path, sample_rate_hz: int) -> WaveSet:
    """Open the cache of a folder, or make it. Files that cannot be read are left out with a warning on stderr."""
    root, files = Path(folder), audio_files_in(folder)
    key = _key(root, files)
    cache, index_path = root / f".waves-{sample_rate_hz}.i16", root / f".waves-{sample_rate_hz}.json"
    index = _read_index(index_path, cache, key)
    if index is None:
        index = {"key": key, **_write_cache(files, cache, sample_rate_hz)}
        if _key(root, files) != key:
            raise CorpusError(f"{root}: a file changed while it was read; run the same command again")
        write_whole(index_path, json.dumps(index), CorpusError)
    return WaveSet(np.memmap(cache, dtype=np.int16, mode="r"), np.asarray(index["starts"], dtype=np.int64))


def _key(root: Path, files: list[Path]) -> str:
    """Digest of the files' names and contents."""
    stamp = "\n".join(f"{p.relative_to(root)} {sha256_of_file(p, CorpusError)}" for p in files)
    return hashlib.sha256(stamp.encode()).hexdigest()


def _read_index(path: Path, cache: Path, key: str) -> dict[str, Any] | None:
    """The index of a cache that was made from these files and is whole; None where it has to be made."""
    if not (path.is_file() and cache.is_file()):
        return None
    try:
        index = read_json(path, CorpusError, MAX_INDEX_BYTES)
    except CorpusError:
        return None
    starts = index.get("starts") if isinstance(index, dict) else None
    if not isinstance(starts, list) or index.get("key") != key:
        return None
    return index if index.get("sha256") == sha256_of_file(cache, CorpusError) else None


def _write_cache(files: list[Path], cache: Path, sample_rate_hz: int) -> dict[str, Any]:
    # Each process writes a file of its own: two that begin at once must not take it from each other.
    starts, digest = [0], hashlib.sha256()
    with whole_file(cache, CorpusError) as temporary, open(temporary, "wb") as out:
        for number, path in enumerate(tqdm(files, desc="reading audio", unit="file")):
            try:
                mono = levelled_channel(path, number, sample_rate_hz)
            except AudioError as error:
                tqdm.write(f"left out: {error}")
                continue
            data = np.round(np.clip(mono, -1, 1) * 32767).astype(np.int16).tobytes()
            digest.update(data)
            out.write(data)
            starts.append(starts[-1] + len(data) // 2)
        if starts[-1] == 0:
            raise CorpusError(f"{cache.parent}: none of its {len(files)} audio files can be read")
    return {"starts": starts, "sha256": digest.hexdigest()}


def levelled_channel(path: Path, number: int, sample_rate_hz: int) -> np.ndarray:
    """One channel of a file at INPUT_LUFS and another sample rate, float32 (samples,).

    Left, right and mid by turns of `number`, so that a model of single channels hears all three.
    """
    audio = audio_files.read(path)
    gain = gain_to(measure(audio.samples, audio.sample_rate_hz))
    mono = one_channel(audio.samples, number)
    return audio_files.resample(mono, audio.sample_rate_hz, sample_rate_hz)[0] * np.float32(gain)


def one_channel(samples: np.ndarray, number: int) -> np.ndarray:
    """Left, right and mid of (channels, samples) by turns of `number`: (1, samples)."""
    channels = [*samples[:2], samples.mean(axis=0)]
    return channels[number % len(channels)][None]


def levelled_excerpt(path: Path, sample_rate_hz: int, seconds: float) -> np.ndarray:
    """At most `seconds` from the middle of a file: its mid channel at INPUT_LUFS, float32 (samples,)."""
    audio = audio_files.read(path)
    mid = audio.samples.mean(axis=0, keepdims=True)
    samples = audio_files.resample(mid, audio.sample_rate_hz, sample_rate_hz)
    length = int(seconds * sample_rate_hz)
    start = max((samples.shape[1] - length) // 2, 0)
    samples = samples[:, start : start + length]
    return (samples * gain_to(measure(samples, sample_rate_hz)))[0].astype(np.float32)
