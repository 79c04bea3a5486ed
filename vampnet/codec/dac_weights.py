"""Weights of the convolutional codecs, from the files that others publish.

* a `.pth` of the VampNet authors (`codec.pth`) or of Descript (`weights_44khz_8kbps.pth` and its kin): one key scheme,
  with weight normalisation; which decoder it is, its keys tell;
* a folder of a transformers DacModel: config.json and model.safetensors (or pytorch_model.bin), another key scheme.

Weight normalisation is folded into plain weights once, here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vampnet.codec.config import DacConfig
from vampnet.codec.dac import DacCodec, Snake
from vampnet.config import from_dict
from vampnet.errors import BundleError, SettingsError, StorageError
from vampnet.storage import read_json
from vampnet.torch_files import StateDictReader, argument, checkpoint_of, first_line, read_pth

AUTHORS_KERNELS = (3, 7, 11)
N_UNITS = 3
_MAX_CONFIG_BYTES = 1 << 20
NamePair = tuple[str, str]
"""Name of a module here, and in the file."""


def load_dac(path: str | os.PathLike[str]) -> DacCodec:
    """A codec from a `.pth` file or a transformers folder. Raises BundleError naming every key that does not fit."""
    path = Path(path)
    return _from_transformers(path) if path.is_dir() else _from_pth(path)


def is_transformers_dac(folder: str | os.PathLike[str]) -> bool:
    """True if a folder holds a DacModel of the transformers library."""
    try:
        config = read_json(Path(folder) / "config.json", most=_MAX_CONFIG_BYTES)
    except StorageError:
        return False
    return isinstance(config, dict) and config.get("model_type") == "dac"


def _from_pth(path: Path) -> DacCodec:
    tensors, kwargs = checkpoint_of(path)
    dims = argument(kwargs, "codebook_dim", path)
    if isinstance(dims, (list, tuple)):
        if not dims or any(dim != dims[0] for dim in dims):
            raise BundleError(f"{path}: its codebooks have different dimensions {dims}, which is not supported")
        dims = dims[0]
    rates = argument(kwargs, "encoder_rates", path)
    encoder_dim = argument(kwargs, "encoder_dim", path)
    branched = any(".mrf_blocks." in str(name) for name in tensors)
    config = _config(
        path,
        sample_rate_hz=argument(kwargs, "sample_rate", path, 44100),
        encoder_dim=encoder_dim,
        encoder_rates=rates,
        decoder_dim=argument(kwargs, "decoder_dim", path),
        decoder_rates=argument(kwargs, "decoder_rates", path),
        decoder_kernels=AUTHORS_KERNELS if branched else (),
        latent_dim=kwargs.get("latent_dim") or _doubled(encoder_dim, rates),
        n_codebooks=argument(kwargs, "n_codebooks", path),
        codebook_size=argument(kwargs, "codebook_size", path),
        codebook_dim=dims,
    )
    return _fill(config, StateDictReader(tensors, path), original_names(config))


def _from_transformers(folder: Path) -> DacCodec:
    if not is_transformers_dac(folder):
        raise BundleError(f'{folder}: no codec; its config.json does not say "model_type": "dac"')
    settings = read_json(folder / "config.json", BundleError, _MAX_CONFIG_BYTES)
    # What equals the library's default may be absent.
    encoder_dim = settings.get("encoder_hidden_size", 64)
    rates = settings.get("downsampling_ratios", [2, 4, 8, 8])
    config = _config(
        folder / "config.json",
        sample_rate_hz=settings.get("sampling_rate", 16000),
        encoder_dim=encoder_dim,
        encoder_rates=rates,
        decoder_dim=settings.get("decoder_hidden_size", 1536),
        decoder_rates=settings.get("upsampling_ratios") or (rates[::-1] if isinstance(rates, list) else rates),
        latent_dim=settings.get("hidden_size") or _doubled(encoder_dim, rates),
        n_codebooks=settings.get("n_codebooks", 9),
        codebook_size=settings.get("codebook_size", 1024),
        codebook_dim=settings.get("codebook_dim", 8),
    )
    weights = folder / "model.safetensors"
    if weights.is_file():
        try:
            tensors: dict[str, Any] = load_file(weights)
        except (SafetensorError, OSError) as error:
            raise BundleError(f"{weights}: damaged ({first_line(error)})") from None
    else:
        weights = folder / "pytorch_model.bin"
        tensors = read_pth(weights)
        if not isinstance(tensors, dict):
            raise BundleError(f"{weights}: holds no named tensors")
    return _fill(config, StateDictReader(tensors, weights), _transformers_names(config))


def _doubled(encoder_dim: Any, rates: Any) -> int:
    """Channels behind the last encoder stage; 0, which is refused, where that cannot be said."""
    if type(encoder_dim) is not int or not isinstance(rates, (list, tuple)) or len(rates) > 16:
        return 0
    return encoder_dim * 2 ** len(rates)


def _config(where: Path, **settings: Any) -> DacConfig:
    try:
        return from_dict(DacConfig, settings, "codec")
    except (SettingsError, TypeError) as error:
        raise BundleError(f"{where}: {error}") from None


def _fill(config: DacConfig, source: StateDictReader, names: Iterator[NamePair]) -> DacCodec:
    # Built without memory and given its tensors afterwards, so there is never a second copy of the weights.
    with torch.device("meta"):
        codec = DacCodec(config)
    state: dict[str, Tensor] = {}
    for ours, theirs in names:
        module = codec.get_submodule(ours)
        if isinstance(module, Snake):
            state[f"{ours}.alpha"] = source.take(f"{theirs}.alpha", tuple(module.alpha.shape))
        elif isinstance(module, nn.Linear):  # there a convolution with kernel 1
            shape = (*module.weight.shape, 1)
            state[f"{ours}.weight"] = source.take_weight(theirs, shape).squeeze(-1)
            state[f"{ours}.bias"] = source.take(f"{theirs}.bias", (shape[0],))
        else:
            assert isinstance(module, (nn.Conv1d, nn.ConvTranspose1d))
            state[f"{ours}.weight"] = source.take_weight(theirs, tuple(module.weight.shape))
            state[f"{ours}.bias"] = source.take(f"{theirs}.bias", (module.out_channels,))
    shape = (config.codebook_size, config.codebook_dim)
    state["quantizer.codebooks_CVK"] = torch.stack(
        [source.take(f"quantizer.quantizers.{c}.codebook.weight", shape) for c in range(config.n_codebooks)]
    )
    source.finish()
    codec.load_state_dict(state, assign=True)
    return codec.eval()


def original_names(config: DacConfig) -> Iterator[NamePair]:
    """Modules in the files of the authors and of Descript, which number everything."""
    n = len(config.encoder_rates)
    yield "encoder.enter", "encoder.block.0"
    for i in range(n):
        theirs = f"encoder.block.{i + 1}.block"
        for unit in range(N_UNITS):
            yield from _numbered_unit(f"encoder.stages.{i}.units.{unit}", f"{theirs}.{unit}.block")
        yield f"encoder.stages.{i}.snake", f"{theirs}.{N_UNITS}"
        yield f"encoder.stages.{i}.down", f"{theirs}.{N_UNITS + 1}"
    yield "encoder.snake", f"encoder.block.{n + 1}"
    yield "encoder.leave", f"encoder.block.{n + 2}"
    yield from _quantizer_names(config)
    n = len(config.decoder_rates)
    yield "decoder.enter", "decoder.model.0"
    for i in range(n):
        ours, theirs = f"decoder.stages.{i}", f"decoder.model.{i + 1}.block"
        yield f"{ours}.snake", f"{theirs}.0"
        yield f"{ours}.up", f"{theirs}.1"
        for unit in range(N_UNITS):
            if not config.decoder_kernels:
                yield from _numbered_unit(f"{ours}.units.{unit}", f"{theirs}.{unit + 2}.block")
            for row in range(len(config.decoder_kernels)):
                yield from _numbered_unit(
                    f"{ours}.units.rows.{row}.{unit}", f"{theirs}.2.mrf_blocks.{row}.block.{unit}.layer"
                )
    yield "decoder.snake", f"decoder.model.{n + 1}"
    yield "decoder.leave", f"decoder.model.{n + 2}"


def _transformers_names(config: DacConfig) -> Iterator[NamePair]:
    """Modules of a transformers DacModel."""
    for half, rates in (("encoder", config.encoder_rates), ("decoder", config.decoder_rates)):
        yield f"{half}.enter", f"{half}.conv1"
        for i in range(len(rates)):
            ours, theirs = f"{half}.stages.{i}", f"{half}.block.{i}"
            yield f"{ours}.snake", f"{theirs}.snake1"
            if half == "encoder":
                yield f"{ours}.down", f"{theirs}.conv1"
            else:
                yield f"{ours}.up", f"{theirs}.conv_t1"
            for unit in range(N_UNITS):
                parts = zip(_UNIT_PARTS, ("snake1", "conv1", "snake2", "conv2"), strict=True)
                for part, name in parts:
                    yield f"{ours}.units.{unit}.{part}", f"{theirs}.res_unit{unit + 1}.{name}"
        yield f"{half}.snake", f"{half}.snake1"
        yield f"{half}.leave", f"{half}.conv2"
    yield from _quantizer_names(config)


_UNIT_PARTS = ("snake_in", "dilated", "snake_out", "last")


def _numbered_unit(ours: str, theirs: str) -> Iterator[NamePair]:
    for number, part in enumerate(_UNIT_PARTS):
        yield f"{ours}.{part}", f"{theirs}.{number}"


def _quantizer_names(config: DacConfig) -> Iterator[NamePair]:
    for c in range(config.n_codebooks):
        yield f"quantizer.down.{c}", f"quantizer.quantizers.{c}.in_proj"
        yield f"quantizer.up.{c}", f"quantizer.quantizers.{c}.out_proj"
