"""Sets: loops with their takes, levels and settings in a folder, to be brought back."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vampnet.apps.live.commands import make_command
from vampnet.apps.live.looper import Looper, LooperConfig
from vampnet.apps.live.takes import Recipe, Take
from vampnet.audio.files import read, write
from vampnet.audio.resampling import resample
from vampnet.audio.samples import Audio, Samples
from vampnet.config import check, from_dict, to_dict
from vampnet.errors import PromptError, SettingsError, StorageError
from vampnet.generation.config import SamplingConfig
from vampnet.jobs.request import check_prompt
from vampnet.storage import cause, guarded, open_regular, read_json, sha256_of_file, write_whole
from vampnet.tasks.defaults import MIN_LOOP_S
from vampnet.work_folders import whole_folder

SET_FILE = "set.json"
VERSION = 1
_MOST_BYTES = 1 << 28
_OWN = {
    "selected": "select", "swap_unit": "swap", "record_bars": "bars", "countin": "countin", "click_mode": "click"
}  # fmt: skip
"""Settings of a looper, each with the command that sets it."""


@dataclass(frozen=True)
class LoopState:
    """One loop of a set."""

    number: int
    source: Take
    current: Take
    recipe: Recipe
    gain_db: float
    is_muted: bool
    offset: int
    """Samples from the first bar line to the beginning of a turn."""


@dataclass(frozen=True)
class SetState:
    """A looper's loops and settings at one moment; takes are shared with it, since they do not change."""

    sample_rate_hz: int
    beat: float | None
    beats_per_bar: int
    own: dict[str, Any]
    loops: tuple[LoopState, ...]


def capture_set(looper: Looper) -> SetState:
    """Contents of a set to save. Loops that are still being recorded are left out."""
    loops = []
    for track in looper.tracks:
        current = track.current
        if current is None or not current.is_complete or track.source is None or not track.source.is_complete:
            continue
        offset = round(current.origin - looper.grid.zero) % current.n_samples
        loops.append(
            LoopState(track.number, track.source, current, track.recipe, track.gain_db, track.is_muted, offset)
        )
    own = {name: getattr(looper, name) for name in _OWN}
    rate_hz, grid = looper.config.sample_rate_hz, looper.grid
    return SetState(rate_hz, grid.beat, grid.beats_per_bar, own, tuple(loops))


def save_set(state: SetState, folder: Path) -> None:
    """Write a set, whole or not at all; one that was there is replaced. Takes a while for long loops.

    Raises StorageError, also for a folder of other files, and AudioError.
    """
    if folder.exists() and not (folder / SET_FILE).exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StorageError(f"cannot save in {folder}: other files are there; choose another name")
    with whole_folder(folder) as work:
        _write_set(state, work)


def _write_set(state: SetState, folder: Path) -> None:
    loops = []
    for loop in state.loops:
        takes = [loop.source] if loop.source is loop.current else [loop.source, loop.current]
        data = [
            _save_take(take, folder / f"loop-{loop.number}-{k}", state.sample_rate_hz) for k, take in enumerate(takes)
        ]
        loops.append(
            {"number": loop.number, "takes": data, "recipe": _recipe_data(loop.recipe), "gain_db": loop.gain_db,
             "muted": loop.is_muted, "offset": loop.offset}
        )  # fmt: skip
    data = {"version": VERSION, "sample_rate_hz": state.sample_rate_hz, "beat": state.beat,
            "beats_per_bar": state.beats_per_bar, "own": state.own, "loops": loops}  # fmt: skip
    write_whole(folder / SET_FILE, json.dumps(data, ensure_ascii=False, indent=1))


@dataclass(frozen=True, eq=False)
class LoadedSet:
    """A set as it was read from its folder."""

    folder: Path
    data: dict[str, Any]
    own: dict[str, Any]
    """Settings of the looper itself."""
    loops: list[tuple[Take, Take, Recipe]]
    """Source, take that plays, and recipe of each loop."""
    ratio: float
    """The looper's sample rate by that of the set."""
    digest: str
    """Digest of all its files."""


def load_set(folder: Path, config: LooperConfig) -> LoadedSet:
    """Read a set for a looper. Raises SettingsError for a folder that is none or is damaged, AudioError."""
    data = read_json(folder / SET_FILE, SettingsError)
    try:
        if data["version"] != VERSION:
            raise SettingsError(
                f"{folder} is a set of version {data['version']}, but this program reads version {VERSION}; "
                "save it again with the program that made it, or update vampnet"
            )
        for entry in data["loops"]:
            if not 1 <= entry["number"] <= config.n_loops:
                raise SettingsError(f"{folder} has a loop {entry['number']}; start with --loops {entry['number']}")
        own = _check_set(data)
        loops = [
            (*_load_takes(entry, folder, config), _recipe_of(entry["recipe"], str(folder))) for entry in data["loops"]
        ]
        ratio = config.sample_rate_hz / data["sample_rate_hz"]
        return LoadedSet(folder, data, own, loops, ratio, digest_of_set(folder))
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise SettingsError(f"{folder / SET_FILE} is damaged: {type(error).__name__} {error}") from None


def _check_set(data: dict[str, Any]) -> dict[str, Any]:
    """The looper's own settings; raises SettingsError, or what a wrong type raises, for values that no looper has."""
    own = {name: make_command(command, [data["own"][name]]).values[0] for name, command in _OWN.items()}
    make_command("meter", [data["beats_per_bar"]])
    check("sample_rate_hz", data["sample_rate_hz"], 1000, 1_000_000)
    if data["beat"] is not None:
        check("beat", float(data["beat"]), 1.0, 1e9)
    for entry in data["loops"]:
        make_command("gain", [entry["gain_db"]])
        check("offset", int(entry["offset"]), 0, 1e12)
        check("takes", len(entry["takes"]), 1, 2)
        for take in entry["takes"]:
            check("bars", int(take["bars"]), 0, 1e6)
    return own


def digest_of_set(folder: Path) -> str:
    """Digest of all files of a set."""
    found = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file():
            found.update(f"{path.name} {sha256_of_file(path)}\n".encode())
    return found.hexdigest()[:16]


def restore_set(looper: Looper, loaded: LoadedSet) -> None:
    """Bring a set back: its loops take the place of those that play and begin now, together."""
    data, ratio = loaded.data, loaded.ratio
    for track in looper.tracks:
        if track.current is not None:
            track.clear(looper.now)
    song = round(looper.song)
    looper.grid.zero, looper.grid.beats_per_bar = song, int(data["beats_per_bar"])
    looper.grid.beat = None if data["beat"] is None else float(data["beat"]) * ratio
    for name, value in loaded.own.items():
        setattr(looper, name, value)
    looper.selected = min(looper.selected, len(looper.tracks))
    for entry, (source, current, recipe) in zip(data["loops"], loaded.loops, strict=True):
        track = looper.track(entry["number"])
        source.origin = current.origin = song + round(entry["offset"] * ratio)
        track.load(source)
        if current is not source:
            current.source = source
            track.adopt(current)
        track.recipe = recipe
        track.set_level(looper.now, gain_db=float(entry["gain_db"]), muted=bool(entry["muted"]))
        track.start(looper.now)


def _save_take(take: Take, path: Path, sample_rate_hz: int) -> dict[str, Any]:
    write(path.with_suffix(".wav"), Audio(take.samples, sample_rate_hz), "FLOAT")
    arrays = {name: getattr(take, name) for name in ("codes", "seam", "kept") if getattr(take, name) is not None}
    with guarded(path):
        np.savez_compressed(path.with_suffix(".npz"), **arrays)
    return {"file": path.name, "bars": take.bars, "recipe": take.recipe and _recipe_data(take.recipe)}


def _load_takes(entry: dict[str, Any], folder: Path, config: LooperConfig) -> tuple[Take, Take]:
    takes = []
    for data in entry["takes"]:
        path = folder / Path(data["file"]).name
        samples = fit_audio(path.with_suffix(".wav"), config)
        seconds = samples.shape[1] / config.sample_rate_hz
        if not MIN_LOOP_S <= seconds <= config.max_loop_s:
            raise SettingsError(
                f"{path.with_suffix('.wav')} has {seconds:.2f} s, but a loop must have {MIN_LOOP_S:g} to "
                f"{config.max_loop_s:g} s (--max-loop)"
            )
        recipe = data["recipe"] and _recipe_of(data["recipe"], str(path))
        tokens: dict[str, Any] = _load_tokens(path.with_suffix(".npz"))
        takes.append(Take(samples, recipe, bars=int(data["bars"]), **tokens))
    if takes[0].n_samples != takes[-1].n_samples:
        raise SettingsError(f"{folder} is damaged: the takes of loop {entry['number']} have different lengths")
    return takes[0], takes[-1]


def _load_tokens(path: Path) -> dict[str, NDArray[Any]]:
    """Tokens, tokens at the seam and mask of a take, as far as it has them."""
    axes = {"codes": (3, "i"), "seam": (3, "i"), "kept": (2, "b")}
    try:
        with open_regular(path, SettingsError) as file, zipfile.ZipFile(file) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _MOST_BYTES:
                raise SettingsError(f"{path} would unpack to more than {_MOST_BYTES} bytes, and no take has that")
        with guarded(path, SettingsError, "read"), np.load(path, allow_pickle=False) as arrays:
            known = {name: arrays[name] for name in arrays.files if name in axes}
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        raise SettingsError(f"{path} is damaged: {cause(error)}") from None
    for name, array in known.items():
        if (array.ndim, array.dtype.kind) != axes[name]:
            raise SettingsError(f"{path} is damaged: {name} has {array.ndim} axes of {array.dtype}")
    return known


def _recipe_data(recipe: Recipe) -> dict[str, Any]:
    return {"prompt": recipe.prompt, "sampling": to_dict(recipe.sampling)}


def _recipe_of(data: dict[str, Any], where: str) -> Recipe:
    try:
        check_prompt(str(data["prompt"]))
    except PromptError as error:
        raise SettingsError(f"{where}: {str(error).splitlines()[0]}") from None
    return Recipe(str(data["prompt"]), from_dict(SamplingConfig, data["sampling"], where))


def fit_audio(path: Path, config: LooperConfig) -> Samples:
    """A file's samples at the looper's rate and channels. Raises AudioError."""
    audio = read(path)
    if audio.sample_rate_hz != config.sample_rate_hz:
        return fit_channels(resample(audio.samples, audio.sample_rate_hz, config.sample_rate_hz), config.channels)
    return fit_channels(audio.samples, config.channels)


def fit_channels(samples: Samples, channels: int) -> Samples:
    """Samples with so many channels: one is doubled, several are mixed to one or cut."""
    if len(samples) == channels:
        return samples
    if channels == 1:
        return samples.mean(axis=0, keepdims=True, dtype=np.float32)
    return np.repeat(samples, channels, axis=0) if len(samples) == 1 else samples[:channels]
