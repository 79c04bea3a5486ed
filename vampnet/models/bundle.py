"""Bundles: a folder with everything a model needs and nothing that executes.

    config.json          settings of codec, coarse and c2f model, the codec's id, SHA-256 of each weight file
    codec.safetensors    coarse.safetensors    c2f.safetensors
    conditioning.safetensors    what controls add to the coarse model; not every bundle has one
    README.md            the model card

Weights are stored as float32, bfloat16, or int8 with one scale per row (`storage` in the config); the codebooks are
always float32, since they say what the codes mean. A bundle is checked before any of it is used: settings, codec id,
names and shapes of all weights, and files up to 64 MiB by their SHA-256; `vampnet info --verify` does that for all.

Float32 and bfloat16 files are mapped into memory, not read: weights that are used as they are stored cost no memory
that the system cannot take back, and of those that are converted only the result stays.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from vampnet.codec.base import Codec
from vampnet.codec.config import DacConfig, MagnitudeConfig
from vampnet.codec.dac import DacCodec
from vampnet.codec.dac_weights import is_transformers_dac, load_dac
from vampnet.codec.magnitude import n_weights
from vampnet.config import to_dict
from vampnet.errors import BundleError
from vampnet.models.bundle_config import BundleSettings, read_config
from vampnet.models.conditioning import Conditioning
from vampnet.models.format import CODECS, FORMAT_VERSION, PARTS, Bundle
from vampnet.models.reference_conditioning import make_conditioning
from vampnet.models.transformer import MaskedTransformer
from vampnet.models.weights import STORAGES, pack, sha256_of, stored_shapes, stored_tensors
from vampnet.storage import cause, sync, write_whole
from vampnet.work_folders import whole_folder

HASHED_AT_LOAD_MIB = 64
"""Larger files are not hashed whenever they are loaded: that would take seconds of every run."""


def find_bundle(name: str | os.PathLike[str]) -> Path:
    """Folder of a bundle: "default" (inside the package), a path, or `owner/name` on the Hugging Face hub."""
    if str(name) == "default":
        return Path(__file__).parents[1] / "bundles" / "default"
    path = Path(name)
    if path.is_dir():
        return path
    if path.exists() or str(name).count("/") != 1 or str(name).startswith((".", "/", "~")):
        raise BundleError(f"{name}: no such bundle folder; give a folder, 'default', or OWNER/NAME on the hub")
    return _download(str(name))


def _download(repository: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = ["config.json", "*.safetensors", "README.md", "codec.pth", "coarse.pth", "c2f.pth"]
    try:
        return Path(snapshot_download(repository, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BundleError(f"{repository}: no such folder, and the hub did not give it ({cause})") from None


def load_bundle(name: str | os.PathLike[str], dtype: torch.dtype = torch.float32, verify: bool = False) -> Bundle:
    """Load and check a bundle, or a folder or hub repository that holds the authors' three `.pth` files.

    dtype: number format of the networks' matrices; what is not float32 is for inference only.
    verify: hash every file, however large. Raises BundleError naming what is missing, damaged or does not belong
    together.
    """
    from vampnet.models.reference_checkpoints import (  # which makes bundles, so it imports this module
        is_reference,
        load_reference,
    )

    folder = find_bundle(name)
    with _guard(folder):
        if is_reference(folder):
            return load_reference(folder, dtype)
        config, settings = read_config(folder)
        if verify:
            for part in PARTS:
                if part in config:
                    _check_digest(folder / f"{part}.safetensors", config)
        codec = _load_codec(folder, config, settings)
        models = {part: _load_model(folder, config, settings, part, codec, dtype) for part in ("coarse", "c2f")}
        return Bundle(
            folder, config, codec, models["coarse"], models["c2f"], _load_conditioning(folder, config, settings)
        )


def load_codec(name: str | os.PathLike[str]) -> Codec:
    """Load the codec of a bundle alone, or one from a `.pth` file or a transformers DacModel (folder or OWNER/NAME)."""
    with _guard(name):
        if Path(name).is_file():
            return load_dac(name)
        folder = find_bundle(name)
        if is_transformers_dac(folder):
            return load_dac(folder)
        if not (folder / "config.json").exists() and (folder / "codec.pth").exists():
            return load_dac(folder / "codec.pth")
        return _load_codec(folder, *read_config(folder))


@contextlib.contextmanager
def _guard(name: str | os.PathLike[str]) -> Iterator[None]:
    """One line of BundleError for whatever a damaged or hostile file makes the libraries below stumble over."""
    try:
        yield
    except MemoryError:
        raise BundleError(f"{name}: there is not enough memory to load it") from None
    except (SafetensorError, OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise BundleError(f"{name}: damaged ({cause(error)})") from None
    except RuntimeError as error:  # PyTorch's, RecursionError among them
        raise BundleError(f"{name}: cannot be loaded ({cause(error)})") from None


def _load_codec(folder: Path, config: dict[str, Any], settings: BundleSettings) -> Codec:
    family = CODECS[settings.codec.kind][1]
    _check_size(folder / "codec.safetensors", settings.codec)
    # The buffers of a DAC all come from the file, so it can be built without memory of its own.
    with torch.device("meta") if family is DacCodec else contextlib.nullcontext():
        codec = family(settings.codec)
    _fill(codec, folder, config, "codec", {})
    if codec.id != config["codec_id"]:
        raise BundleError(f"{folder}: its codec has id {codec.id}, but config.json says {config['codec_id']}")
    return codec.eval()


def _load_model(
    folder: Path, config: dict[str, Any], settings: BundleSettings, part: str, codec: Codec, dtype: torch.dtype
) -> MaskedTransformer | None:
    if part not in settings.models:
        return None
    model_config, trained_on = settings.models[part], settings.trained_on[part]
    if trained_on != codec.id:
        raise BundleError(f"{folder}: its {part} model was trained on codec {trained_on}, but the codec is {codec.id}")
    if model_config.n_codebooks > codec.n_codebooks or model_config.vocab_size != codec.codebook_size:
        raise BundleError(f"{folder}: its {part} model reads more codebooks or entries than its codec has")
    codebooks_CVK = codec.codebooks()[: model_config.n_codebooks]
    if codebooks_CVK.shape[2] != model_config.codebook_dim:
        raise BundleError(f"{folder}: its {part} model has not the codebook_dim of its codec")
    with torch.device("meta"):
        model = MaskedTransformer(model_config)
    _fill(model, folder, config, part, {"codebooks_CVK": codebooks_CVK}, dtype)
    return model.eval()


def _load_conditioning(folder: Path, config: dict[str, Any], settings: BundleSettings) -> Conditioning | None:
    if settings.conditioning is None:
        return None
    with torch.device("meta"):
        conditioning = make_conditioning(settings.conditioning)
    _fill(conditioning, folder, config, "conditioning", {})
    return conditioning.eval()


def _check_size(path: Path, settings: MagnitudeConfig | DacConfig) -> None:
    """BundleError where settings ask for more weights than the file can hold: before any memory is taken for them."""
    if isinstance(settings, MagnitudeConfig) and path.is_file():
        wanted, size = n_weights(settings), path.stat().st_size
        if wanted > size:  # a weight takes a byte at least
            raise BundleError(
                f"{path}: does not fit its config.json, which asks for {wanted} weights; the file has {size} bytes"
            )


def _fill(
    module: nn.Module,
    folder: Path,
    config: dict[str, Any],
    part: str,
    given: dict[str, Tensor],
    dtype: torch.dtype = torch.float32,
) -> None:
    """Give a module the tensors of one weight file, strictly, besides those that are `given`."""
    path = folder / f"{part}.safetensors"
    if not path.is_file():
        raise BundleError(f"{folder}: {path.name} is missing")
    if path.stat().st_size <= HASHED_AT_LOAD_MIB * 2**20:
        _check_digest(path, config)
    wanted = {name: tuple(t.shape) for name, t in module.state_dict().items() if name not in given}
    stored = stored_shapes(path, config["storage"])
    problems = [f"missing {name}" for name in wanted.keys() - stored.keys()]
    problems += [f"unexpected {name}" for name in stored.keys() - wanted.keys()]
    problems += [
        f"{name} is {stored[name]}, not {shape}"
        for name, shape in wanted.items()
        if name in stored and stored[name] != shape
    ]
    if problems:
        raise BundleError(f"{path}: does not fit its config.json: {'; '.join(sorted(problems)[:8])}")
    module.load_state_dict({**dict(stored_tensors(path, dtype)), **given}, assign=True)


def _check_digest(path: Path, config: dict[str, Any]) -> None:
    if path.is_file() and sha256_of(path) != config["sha256"].get(path.name):
        raise BundleError(f"{path}: damaged or replaced, its SHA-256 is not the one in config.json")


def _from_codec(name: str, part: str) -> bool:
    """Codebooks are stored once, with the codec; the networks' copies are filled from there."""
    return part != "codec" and name == "codebooks_CVK"


def save_bundle(
    folder: str | os.PathLike[str],
    codec: Codec,
    coarse: MaskedTransformer | None = None,
    c2f: MaskedTransformer | None = None,
    storage: str = "int8",
    card: str = "",
    about: dict[str, Any] | None = None,
    overwrite: bool = False,
    conditioning: Conditioning | None = None,
) -> None:
    """Write a bundle; the folder appears whole or not at all.

    `about` is free information kept under "about" in config.json. Raises BundleError if the folder exists and
    `overwrite` is False, or for an unknown storage.
    """
    target = Path(folder)
    if storage not in STORAGES:
        raise BundleError(f"storage is {storage!r}; known: {', '.join(STORAGES)}")
    if target.exists() and not overwrite:
        raise BundleError(f"{target}: exists already; choose another folder or ask to overwrite it")
    with whole_folder(target, BundleError) as scratch:
        _write_parts(scratch, (codec, coarse, c2f, conditioning), storage, about or {}, card)


def _write_parts(
    folder: Path,
    modules: tuple[Codec, MaskedTransformer | None, MaskedTransformer | None, Conditioning | None],
    storage: str,
    about: dict[str, Any],
    card: str,
) -> None:
    codec = modules[0]
    config: dict[str, Any] = {"format_version": FORMAT_VERSION, "storage": storage, "about": about}
    config |= {"codec": to_dict(codec.config), "codec_id": codec.id, "sha256": {}}
    for part, module in zip(PARTS, modules, strict=True):
        if module is None:
            continue
        if isinstance(module, MaskedTransformer):
            config[part] = {**to_dict(module.config), "codec_id": codec.id}
        elif isinstance(module, Conditioning):
            config[part] = to_dict(module.config)
        state = {k: v.detach().cpu().contiguous() for k, v in module.state_dict().items() if not _from_codec(k, part)}
        path = folder / f"{part}.safetensors"
        try:
            save_file(pack(state, storage), path)
        except SafetensorError as error:
            raise BundleError(f"cannot write {str(path)!r}: {cause(error)}") from None
        path.chmod(0o644)  # safetensors writes for the owner alone
        sync(path)
        config["sha256"][path.name] = sha256_of(path)
    write_whole(folder / "config.json", json.dumps(config, indent=1) + "\n", BundleError)
    write_whole(folder / "README.md", card, BundleError)
