"""The authors' checkpoints and DAC weights -> a bundle, their licence carried along (`vampnet import-reference`)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vampnet.codec.base import Codec
from vampnet.codec.dac import DacCodec
from vampnet.errors import BundleError
from vampnet.models.bundle import load_codec, save_bundle
from vampnet.models.lora import Adapter, write_adapter
from vampnet.models.reference_checkpoints import LICENCE, LORA_SCALE, ReferenceNetwork, read_network
from vampnet.models.weights import sha256_of
from vampnet.version import __version__

DAC_LICENCE = "Not stated in the file. Descript publishes the weights of its DAC under the MIT licence."
"""Stated for a plain DAC when nothing else is given."""
KEPT_LORA = "lora.safetensors"
"""Name, inside the bundle, of the adapter file that LoRA pairs are kept in."""


@dataclass(frozen=True)
class Imported:
    """Result of an import: bundle folder, codec id, LoRA pairs."""

    folder: Path
    codec_id: str
    n_pairs: int
    """LoRA pairs that were found, all files together."""
    kept_lora: Path | None
    """The adapter file with the pairs, where they were kept apart."""


def import_reference(
    output: str | os.PathLike[str],
    codec: str | os.PathLike[str],
    coarse: str | os.PathLike[str] | None = None,
    c2f: str | os.PathLike[str] | None = None,
    *,
    lora: str | os.PathLike[str] | None = None,
    lora_c2f: str | os.PathLike[str] | None = None,
    keep_lora: bool = False,
    licence: str | None = None,
    storage: str = "float32",
    overwrite: bool = False,
) -> Imported:
    """Write a bundle from files of the authors' code.

    codec: their `codec.pth`, a `.pth` of Descript, or a transformers DacModel (folder or OWNER/NAME).
    coarse, c2f: their networks, both or neither (the bundle then holds the codec alone).
    lora, lora_c2f: LoRA files whose pairs replace those inside the networks' files.
    keep_lora: write all pairs as an adapter file into the bundle, for `vamp --lora`, instead of adding them to the
        weights; the bundle alone is then the model without any pair.
    licence: text for the card; None: that of the published weights.
    Raises BundleError naming what is missing, damaged or does not fit.
    """
    if (coarse is None) != (c2f is None):
        raise BundleError("give both a coarse and a c2f file, or neither to import the codec alone")
    if coarse is None and (lora or lora_c2f or keep_lora):
        raise BundleError("LoRA pairs belong to networks: give a coarse and a c2f file too")
    codec_module = load_codec(codec)
    networks: dict[str, ReferenceNetwork] = {}
    for part, path, lora_path in (("coarse", coarse, lora), ("c2f", c2f, lora_c2f)):
        if path is not None:
            networks[part] = read_network(path, codec_module, lora_path, merge=not keep_lora)
    n_pairs = sum(len(network.pairs) for network in networks.values())
    kept = keep_lora and n_pairs > 0
    sources = {"codec": codec, "coarse": coarse, "c2f": c2f, "lora": lora, "lora_c2f": lora_c2f}
    files = {part: Path(path) for part, path in sources.items() if path is not None}
    digests = {part: f"{path.name}, SHA-256 {sha256_of(path)}" for part, path in files.items() if path.is_file()}
    licence = licence or default_licence(codec_module, bool(networks))
    about = {"source": digests or str(codec), "licence": licence, "lora": _lora_words(n_pairs, kept)}
    coarse_model, c2f_model = (networks[part].model if part in networks else None for part in ("coarse", "c2f"))
    conditioning = networks["coarse"].conditioning if networks else None
    save_bundle(output, codec_module, coarse_model, c2f_model, storage, _card(about), about, overwrite, conditioning)
    folder = Path(output)
    if kept:
        factors = {f"{part}.{name}": p for part, net in networks.items() for name, p in net.pairs.items()}
        base = {f"{part}.safetensors": sha256_of(folder / f"{part}.safetensors") for part in networks}
        kept_about = {"base": base, "licence": licence}
        write_adapter(folder / KEPT_LORA, Adapter(factors, LORA_SCALE, codec_module.id, kept_about))
    return Imported(folder, codec_module.id, n_pairs, folder / KEPT_LORA if kept else None)


def default_licence(codec: Codec, with_networks: bool) -> str:
    """The authors' licence for their networks and their codec, Descript's for a plain DAC."""
    plain = isinstance(codec, DacCodec) and not codec.config.decoder_kernels
    return DAC_LICENCE if plain and not with_networks else LICENCE


def _lora_words(n_pairs: int, kept: bool) -> str:
    if not n_pairs:
        return "none"
    if kept:
        return f"{n_pairs} pairs kept in {KEPT_LORA}, not in the weights: add them with --lora BUNDLE/{KEPT_LORA}"
    return f"{n_pairs} pairs added to the weights, each times {LORA_SCALE:g}"


def _card(about: dict[str, object]) -> str:
    """The bundle's model card."""
    source = about["source"]
    lines = [f"- {part}: {text}" for part, text in source.items()] if isinstance(source, dict) else [f"- {source}"]
    return "\n".join(
        [
            "# Imported weights",
            "",
            f"Converted by vampnet {__version__} (`vampnet import-reference`) from:",
            "",
            *lines,
            "",
            f"LoRA: {about['lora']}.",
            "",
            "## Licence of the weights",
            "",
            str(about["licence"]),
            "",
        ]
    )
