"""Open an embedding by its specification, such as "mel" or "hidden:4"."""

from __future__ import annotations

import os

from vampnet.device import select_device
from vampnet.errors import BundleError, SettingsError
from vampnet.evaluation.embeddings.base import Embedding
from vampnet.evaluation.embeddings.builtin import CodecLatents, MaskedHidden, MelStatistics
from vampnet.evaluation.embeddings.huggingface import HubEncoder, parse_hub_spec
from vampnet.evaluation.embeddings.vggish import Vggish
from vampnet.models.bundle import load_bundle, load_codec

SPECS = ("mel", "codec", "hidden[:LAYER]", "transformers:FOLDER_OR_ID[@LAYER]", "vggish:FILE")


def open_embedding(spec: str, bundle: str | os.PathLike[str] = "default", device: str = "auto") -> Embedding:
    """Open the embedding that `spec` names, in the form of one of SPECS. `bundle` serves "codec" and "hidden".

    Raises SettingsError for an unknown name, BundleError or DependencyError for what cannot be loaded.
    """
    kind, _, rest = spec.partition(":")
    if spec == "mel":
        return MelStatistics()
    if spec == "codec":
        return CodecLatents(load_codec(bundle).to(select_device(device)), _name(bundle))
    if kind == "hidden":
        return _open_hidden(rest, bundle, device)
    if kind == "transformers":
        return HubEncoder(*parse_hub_spec(rest), device)
    if kind == "vggish" and rest:
        return Vggish(rest, device)
    raise SettingsError(f"embedding is {spec!r}, but must be one of {', '.join(SPECS)}")


def _open_hidden(layer: str, bundle: str | os.PathLike[str], device: str) -> MaskedHidden:
    if layer and not layer.isdecimal():
        raise SettingsError(f"layer of the embedding is {layer!r}, but must be a number, such as hidden:4")
    loaded, place = load_bundle(bundle), select_device(device)
    if loaded.coarse is None:
        raise BundleError(f"{bundle}: holds only a codec, so it has no hidden layers; use --embedding codec")
    number = int(layer) if layer else None
    return MaskedHidden(loaded.codec.to(place), loaded.coarse.to(place), number, f"{_name(bundle)}/coarse")


def _name(bundle: str | os.PathLike[str]) -> str:
    return os.path.basename(os.path.normpath(str(bundle)))
