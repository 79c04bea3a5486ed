"""The checkpoints of the VampNet authors: `coarse.pth`, `c2f.pth`, `codec.pth`, and LoRA files made with their code.

Their networks have our layers under other names, with LoRA pairs on most projections. Every pair in a file counts,
always: the effective weight is `weight + lora_B @ lora_A / 8` (rank 8, alpha 1). A LoRA file brings pairs
that take the place of those in the checkpoint. Files are read without running code (`foreign.read_pth`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vampnet.codec.base import Codec
from vampnet.codec.dac_weights import load_dac
from vampnet.config import from_dict
from vampnet.errors import BundleError, SettingsError
from vampnet.models.config import ModelConfig
from vampnet.models.format import FORMAT_VERSION, Bundle
from vampnet.models.reference_conditioning import ReferenceConditioning, reference_config
from vampnet.models.transformer import MaskedTransformer, in_format
from vampnet.torch_files import StateDictReader, argument, checkpoint_of, read_pth

FILES = {"codec": "codec.pth", "coarse": "coarse.pth", "c2f": "c2f.pth"}
LORA_RANK = 8
LORA_SCALE = 1 / LORA_RANK
LICENCE = (
    "CC BY-NC-SA 4.0: Creative Commons Attribution-NonCommercial-ShareAlike 4.0 International, "
    "creativecommons.org/licenses/by-nc-sa/4.0. Weights of the VampNet authors (Hugo Flores Garcia, Prem Seetharaman, "
    "Rithesh Kumar, Bryan Pardo): name them, do not use the weights commercially, and pass on what you make of the "
    "weights under the same licence."
)
"""Licence of the authors' published weights."""

_ARGUMENTS = {
    "n_codebooks": "n_codebooks",
    "n_conditioning_codebooks": "n_conditioning_codebooks",
    "vocab_size": "vocab_size",
    "codebook_dim": "latent_dim",
    "dim": "embedding_dim",
    "n_heads": "n_heads",
    "n_layers": "n_layers",
    "dropout": "dropout",
}
"""Our setting -> the authors' constructor argument. They have more, which do not change what the network computes."""

_PROJECTIONS = {
    "attention.query": "self_attn.w_qs",
    "attention.key": "self_attn.w_ks",
    "attention.value": "self_attn.w_vs",
    "attention.out": "self_attn.fc",
    "feed_forward.up": "feed_forward.w_1",
    "feed_forward.down": "feed_forward.w_2",
}
NORM_NAMES = {"attention_norm": "norm_1", "feed_forward_norm": "norm_3"}

Pairs = dict[str, tuple[Tensor, Tensor]]
"""Name of one of our projections -> its lora_A (rank, in) and lora_B (out, rank)."""


@dataclass(frozen=True, eq=False)
class ReferenceNetwork:
    """A network read from the authors' format."""

    model: MaskedTransformer
    """Without the pairs if `merge` was False."""
    pairs: Pairs
    """The LoRA pairs of the file, or those that took their place."""
    conditioning: ReferenceConditioning | None = None
    """The control encoders of the file; most have none."""


def is_reference(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds the authors' files and no bundle."""
    folder = Path(folder)
    return not (folder / "config.json").exists() and any((folder / name).exists() for name in FILES.values())


def load_reference(folder: str | os.PathLike[str], dtype: torch.dtype = torch.float32) -> Bundle:
    """The authors' three files in a folder as a loaded bundle, LoRA pairs inside them merged.

    dtype: number format of the networks' matrices. A `lora.pth` beside the files is left alone: import it by name.
    Raises BundleError naming what does not fit.
    """
    folder = Path(folder)
    absent = [name for name in FILES.values() if not (folder / name).is_file()]
    if absent:
        raise BundleError(f"{folder}: lacks {', '.join(absent)}; the authors' model is {', '.join(FILES.values())}")
    codec = load_dac(folder / FILES["codec"])
    read = {part: read_network(folder / FILES[part], codec, dtype=dtype) for part in ("coarse", "c2f")}
    about = {"source": "the VampNet authors' files, as they are", "licence": LICENCE}
    config = {"format_version": FORMAT_VERSION, "storage": "float32", "about": about, "codec_id": codec.id}
    # Under the names that a bundle has: by their digests an adapter knows what it was trained on.
    sources = {f"{part}.safetensors": FILES[part] for part in ("coarse", "c2f")}
    return Bundle(
        folder,
        {**config, "sources": sources},
        codec,
        read["coarse"].model,
        read["c2f"].model,
        read["coarse"].conditioning,
    )


def read_network(
    path: str | os.PathLike[str],
    codec: Codec,
    lora: str | os.PathLike[str] | None = None,
    merge: bool = True,
    dtype: torch.dtype = torch.float32,
) -> ReferenceNetwork:
    """A network from `coarse.pth` or `c2f.pth`, its codebooks filled from the codec, for evaluation.

    lora: a LoRA file, whose pairs replace those in the checkpoint. merge: add the pairs to the weights.
    dtype: number format of the matrices; what is not float32 is for inference only.
    Raises BundleError naming every key that is missing, misshapen or unexpected in either file.
    """
    tensors, kwargs = checkpoint_of(path)
    config = _model_config(kwargs, path)
    if config.n_codebooks > codec.n_codebooks or config.vocab_size != codec.codebook_size:
        raise BundleError(
            f"{path}: reads {config.n_codebooks} codebooks of {config.vocab_size} entries, but the codec has "
            f"{codec.n_codebooks} of {codec.codebook_size}; the two do not belong together"
        )
    with torch.device("meta"):  # its tensors come from the file, so none are drawn here
        model = MaskedTransformer(config)
    source = StateDictReader(tensors, path)
    state = _network_state(model, source)
    state["codebooks_CVK"] = codec.codebooks()[: config.n_codebooks]
    pairs = _take_pairs(model, source)
    conditioning = _take_controls(kwargs.get("ctrl_dims"), config, source, path)
    source.finish()
    if lora is not None:
        pairs |= read_lora(lora, model)
    for name in list(state):  # one by one, so that never all of them are there twice
        a_YI, b_OY = pairs.get(name.removesuffix(".weight"), (None, None)) if merge else (None, None)
        merged = state[name] if a_YI is None or b_OY is None else state[name] + b_OY @ a_YI / LORA_RANK
        state[name] = in_format(name, merged, dtype)
    try:
        model.load_state_dict(state, assign=True)
    except RuntimeError:
        raise BundleError(
            f"{path}: its latent_dim {config.codebook_dim} is not that of the codec's codebooks"
        ) from None
    return ReferenceNetwork(model.eval(), pairs, conditioning)


def read_lora(path: str | os.PathLike[str], model: MaskedTransformer) -> Pairs:
    """The pairs of a LoRA file of the authors' code: a flat dictionary of `lora_A` and `lora_B` tensors.

    Raises BundleError naming every key that does not fit the model, and for a file without any pair.
    """
    tensors = read_pth(path)
    if not isinstance(tensors, dict):
        raise BundleError(f"{path}: holds no named tensors")
    source = StateDictReader(tensors, path)
    pairs = _take_pairs(model, source)
    source.finish()
    if not pairs:
        raise BundleError(f"{path}: holds no LoRA pair")
    return pairs


def _model_config(kwargs: dict[str, Any], path: str | os.PathLike[str]) -> ModelConfig:
    settings = {ours: argument(kwargs, theirs, path) for ours, theirs in _ARGUMENTS.items()}
    try:
        return from_dict(ModelConfig, settings, f"{path}: metadata")
    except SettingsError as error:
        raise BundleError(str(error)) from None


def _network_state(model: MaskedTransformer, source: StateDictReader) -> dict[str, Tensor]:
    """Our state dict without codebooks and without LoRA."""
    c = model.config
    first = "transformer.layers.0.self_attn"
    state = {
        "mask_vectors_CK": source.take("embedding.special.MASK", (c.n_codebooks, c.codebook_dim)),
        "project.weight": source.take("embedding.out_proj.weight", (*model.project.weight.shape, 1)).squeeze(-1),
        "project.bias": source.take("embedding.out_proj.bias", (c.dim,)),
        "position_bias.table_NH": source.take(f"{first}.relative_attention_bias.weight", (c.n_buckets, c.n_heads)),
        "norm.weight": source.take("transformer.norm.weight", (c.dim,)),
    }
    for ours, theirs in projection_names(model):
        state[f"{ours}.weight"] = source.take(f"{theirs}.weight", _shape(model, ours))
    for n in range(c.n_layers):
        for ours, theirs in NORM_NAMES.items():
            state[f"layers.{n}.{ours}.weight"] = source.take(f"transformer.layers.{n}.{theirs}.weight", (c.dim,))
    # Their output channel is v * P + c, ours c * V + v.
    weight = source.take_weight("classifier.layers.0", (c.vocab_size * c.n_predicted, c.dim, 1)).squeeze(-1)
    bias = source.take("classifier.layers.0.bias", (c.vocab_size * c.n_predicted,))
    state["classifier.weight"] = weight.unflatten(0, (c.vocab_size, c.n_predicted)).transpose(0, 1).flatten(0, 1)
    state["classifier.bias"] = bias.unflatten(0, (c.vocab_size, c.n_predicted)).transpose(0, 1).flatten()
    return state


def _take_pairs(model: MaskedTransformer, source: StateDictReader) -> Pairs:
    """All LoRA pairs that the source has; a lone half is noted as missing its other."""
    pairs: Pairs = {}
    for ours, theirs in projection_names(model):
        if ours.endswith(".key"):
            continue  # theirs have none there; one that turns up is named as unexpected
        if f"{theirs}.lora_A" in source or f"{theirs}.lora_B" in source:
            n_out, n_in = _shape(model, ours)
            a_YI = source.take(f"{theirs}.lora_A", (LORA_RANK, n_in))
            pairs[ours] = (a_YI, source.take(f"{theirs}.lora_B", (n_out, LORA_RANK)))
    return pairs


def _take_controls(
    ctrl_dims: Any, config: ModelConfig, source: StateDictReader, path: str | os.PathLike[str]
) -> ReferenceConditioning | None:
    """The control encoders that the file's metadata names."""
    if not ctrl_dims:
        return None
    if not isinstance(ctrl_dims, dict):
        raise BundleError(f"{path}: its metadata's ctrl_dims is {ctrl_dims!r}, but must name controls")
    try:
        made = ReferenceConditioning(reference_config(tuple(map(str, ctrl_dims)), config.dim, config.n_layers))
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from None
    stem = "ctrl_encoder.ctrl_encoders"
    state = {
        f"encoders.{name}.{part}": source.take(f"{stem}.{name}.{part}", (config.dim, 1)[: 2 if part == "weight" else 1])
        for name in made.config.reference
        for part in ("weight", "bias")
    }
    made.load_state_dict(state)
    return made.eval()


def projection_names(model: MaskedTransformer) -> Iterator[tuple[str, str]]:
    """Our and their name of every projection of every layer."""
    for n in range(model.config.n_layers):
        for ours, theirs in _PROJECTIONS.items():
            yield f"layers.{n}.{ours}", f"transformer.layers.{n}.{theirs}"


def _shape(model: MaskedTransformer, name: str) -> tuple[int, int]:
    linear = model.get_submodule(name)
    assert isinstance(linear, nn.Linear)
    return linear.out_features, linear.in_features
