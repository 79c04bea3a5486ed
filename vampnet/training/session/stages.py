"""Stages of a training session, each a function that runs in a process of its own and leaves a run or a bundle.

Folders in the session's own: `audio` (pieces), `codec-run`, `codec` (the codec as stored, whose tokens count),
`tokens`, `coarse-run`, `c2f-run`, `decoder-run`.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from vampnet.codec.base import Codec
from vampnet.codec.chunked import BlockwiseCodec
from vampnet.codec.magnitude import MagnitudeCodec
from vampnet.errors import BundleError, CorpusError, SettingsError
from vampnet.models.bundle import load_codec
from vampnet.storage import make_folder, read_json
from vampnet.training.codec_objective import CodecObjective
from vampnet.training.data.token_dataset import DeviceTokens, open_tokens
from vampnet.training.data.token_shards import beat_frames, read_header, shard_header, write_shard
from vampnet.training.export import read_run
from vampnet.training.masked_objective import MaskedObjective
from vampnet.training.recipe import CodecRecipe, MaskedRecipe, Recipe, read_recipe, recipe_to_dict
from vampnet.training.session.rendering import N_VALIDATION, GrowingWaves, beats_beside, held_out_waves, pieces
from vampnet.training.trainer import Trainer

FIRST_PER_WORKER = 4
"""Diverse pieces, for each process that renders, that have to be there before a codec begins."""
TOGETHER = 16
"""Pieces encoded at once."""
PER_SHARD = 512


def wait_for(audio: Path, kind: str, n_pieces: int, seconds: float = 600.0) -> None:
    """Return when so many pieces are finished; CorpusError when they are not in time."""
    started = time.monotonic()
    while len(pieces(audio, kind)) < n_pieces:
        if time.monotonic() - started > seconds:
            raise CorpusError(f"{audio}: fewer than {n_pieces} pieces ({kind}) were rendered in {seconds:.0f} s")
        time.sleep(0.2)


def train_codec(
    work: Path, recipe_path: Path, seconds: float, device: str, start_from: str | None, n_first: int
) -> None:
    """The codec, from another one or from nothing: `codec-run`."""
    wait_for(work / "audio", "diverse", n_first)
    wait_for(work / "audio", "validation", 1)
    torch.set_float32_matmul_precision("high")
    recipe = _timed(read_recipe(recipe_path), seconds)
    assert isinstance(recipe, CodecRecipe)
    _run_codec(recipe, work / "codec-run", device, work, start_from)


def train_decoder(work: Path, recipe_path: Path, seconds: float, device: str) -> None:
    """The decoder of `codec` alone, which leaves its tokens as they are: `decoder-run`."""
    torch.set_float32_matmul_precision("high")
    recipe = _timed(read_recipe(recipe_path), seconds)
    if not isinstance(recipe, CodecRecipe) or recipe.learn != "decoder":
        raise SettingsError(f"{recipe_path}: the decoder's recipe has to say `learn: decoder`")
    _run_codec(recipe, work / "decoder-run", device, work, str(work / "codec"))


def _run_codec(recipe: CodecRecipe, folder: Path, device: str, work: Path, start_from: str | None) -> None:
    task = CodecObjective(recipe, held_out_waves(work / "audio"), held_out_waves(work / "audio"))
    if start_from is not None:
        codec = load_codec(start_from)
        if not isinstance(codec, MagnitudeCodec):
            raise BundleError(f"{start_from}: only the magnitude codec can be trained here")
        task.adopt(codec)
    run = Trainer(task, recipe.loop, folder, recipe_to_dict(recipe), device)
    task.train = GrowingWaves(work / "audio", run.fabric.device)
    run.train()


def encode_pieces(work: Path, seconds: float, device: str) -> None:
    """Token shards of all pieces, of those too that are rendered within `seconds`; then it is done."""
    torch.backends.cudnn.allow_tf32 = False  # which entry is nearest must not depend on the machine
    codec, started = load_codec(work / "codec").to(device), time.monotonic()
    assert isinstance(codec, BlockwiseCodec)
    _encode_new(codec, work, "validation", pieces(work / "audio", "validation")[:N_VALIDATION])
    while True:
        found = [path for kind in ("diverse", "music") for path in pieces(work / "audio", kind)]
        _encode_new(codec, work, "train", found)
        if time.monotonic() - started > seconds:
            return
        time.sleep(5.0)


def _encode_new(codec: BlockwiseCodec, work: Path, split: str, found: Sequence[Path]) -> None:
    folder = make_folder(work / "tokens" / split, CorpusError)
    done, number = set[str](), 0
    # Shards come one after the other; one that is damaged is made again, with all after it.
    while (header := read_header(folder, number, codec)) is not None:
        done |= set(header["names"])
        number += 1
    new = [path for path in found if path.name not in done]
    for k in range(0, len(new), PER_SHARD):
        _encode_shard(codec, folder, number + k // PER_SHARD, new[k : k + PER_SHARD])


def _encode_shard(codec: BlockwiseCodec, folder: Path, number: int, files: Sequence[Path]) -> None:
    codes = encode_together(codec, [np.load(file) for file in files])
    starts = np.cumsum([0, *(len(codes_TC) for codes_TC in codes)]).tolist()
    entries: list[dict] = [
        {"name": f.name, "start": s, "n_frames": len(c)} for f, s, c in zip(files, starts, codes, strict=False)
    ]
    for file, entry in zip(files, entries, strict=True):
        if beats_beside(file).exists():
            entry["beats"] = beat_frames(read_json(beats_beside(file), CorpusError), codec)
    header = shard_header(codec, [f.name for f in files], entries, skipped=[])
    write_shard(folder, number, header, codes)


@torch.no_grad()
def encode_together(codec: BlockwiseCodec, samples: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Codes (frames, codebooks), uint16, of int16 pieces; those of like length are encoded at once."""
    order = sorted(range(len(samples)), key=lambda k: len(samples[k]))
    codes: dict[int, np.ndarray] = {}
    for first in range(0, len(order), TOGETHER):
        chosen = order[first : first + TOGETHER]
        frames = [-(-len(samples[k]) // codec.hop) for k in chosen]
        padded_BS = np.zeros((len(chosen), frames[-1] * codec.hop), np.float32)
        for row, k in enumerate(chosen):
            padded_BS[row, : len(samples[k])] = samples[k] / np.float32(32768)
        codes_BCT = codec.encode_span(torch.from_numpy(padded_BS).to(codec.device)).cpu().numpy().astype(np.uint16)
        codes |= {k: codes_BCT[row, :, : frames[row]].T for row, k in enumerate(chosen)}
    return [codes[k] for k in range(len(samples))]


def train_masked(work: Path, recipe_path: Path, name: str, seconds: float, device: str, every_s: float = 20.0) -> None:
    """A masked model on the tokens of `codec`, of which more join as they are encoded: `NAME-run`."""
    recipe = _timed(read_recipe(recipe_path), seconds)
    assert isinstance(recipe, MaskedRecipe)
    recipe = dataclasses.replace(recipe, bundle=str(work / "codec"))
    codec: Codec = load_codec(work / "codec")
    validation = open_tokens(work / "tokens" / "validation")
    task = MaskedObjective(recipe, open_tokens(work / "tokens" / "train"), validation, codec.codebooks())
    run = Trainer(task, recipe.loop, work / f"{name}-run", recipe_to_dict(recipe), device)
    task.train = _newest_tokens(work, run.fabric.device)
    threading.Thread(target=_keep_tokens_new, args=(task, work, run.fabric.device, every_s), daemon=True).start()
    run.train()


def _newest_tokens(work: Path, device: torch.device) -> DeviceTokens:
    return open_tokens(work / "tokens" / "train").on(device)


def _keep_tokens_new(task: MaskedObjective, work: Path, device: torch.device, every_s: float) -> None:
    while True:
        time.sleep(every_s)
        task.train = _newest_tokens(work, device)


def has_finished(run: Path, seconds: float) -> bool:
    """True if a run of a session has used up its time."""
    return (run / "last.ckpt").exists() and read_run(run)[2].get("elapsed_s", 0.0) >= seconds


def _timed(recipe: Recipe, seconds: float) -> Recipe:
    return dataclasses.replace(recipe, loop=dataclasses.replace(recipe.loop, seconds=seconds))  # type: ignore[type-var]
