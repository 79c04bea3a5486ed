"""Any audio encoder of the transformers library as an embedding: CLAP, AST, MERT, HuBERT, wav2vec 2.0, Whisper, ...

From a folder or, where the network may be asked, the hub. Code that comes with a model is never run. Weights that a
file lacks would be random, so such a file is refused. What is taken as vectors:

* waveform models (HuBERT, wav2vec 2.0, MERT, ...): the last hidden state, or that of a given layer, of every frame;
* CLAP: the projected audio embedding, one vector per segment;
* spectrogram transformers (AST): the mean over tokens, one vector per segment;
* Whisper: the encoder's frames that hold audio, its padding to 30 s left out.

Audio longer than a model's longest input is cut into equal segments.
"""

from __future__ import annotations

import hashlib
import inspect
import os
from typing import Any

import torch
from torch import Tensor, nn

from vampnet.device import select_device
from vampnet.errors import BundleError, SettingsError, require
from vampnet.evaluation.embeddings.base import Embedding
from vampnet.torch_files import first_line

LONGEST_S = 30.0
"""Longest segment for a model that states no limit of its own, seconds."""
MERT = "mert_model"
"""Model type of MERT, whose network is HuBERT's; its own code on the hub is not run."""
UNUSED = ("masked_spec_embed",)
"""Weights that only training needs."""


class HubEncoder(Embedding):
    """A transformers model; see the module's docstring."""

    def __init__(self, name: str, layer: int | None = None, device: str = "auto") -> None:
        """`name`: folder or OWNER/NAME; `layer`: of the hidden states, 0 the input of the first; None the output.

        Raises DependencyError without transformers, BundleError for a model that cannot be loaded in full,
        SettingsError for a layer that is not there.
        """
        require("transformers", "embeddings of the transformers library")
        import transformers

        self._device, self._layer = select_device(device), layer
        self._extractor, self._model = _load(transformers, name)
        self._model.to(self._device)
        self.sample_rate_hz = int(self._extractor.sampling_rate)
        self._kind = _kind_of(self._model)
        if layer is not None and self._kind == "clap":
            raise SettingsError(f"{name}: gives one projected embedding and no layers; leave @{layer} out")
        self._segment = int(_longest_s(self._extractor) * self.sample_rate_hz)
        self.min_samples = self.sample_rate_hz // 2
        suffix = "" if layer is None else f"@{layer}"
        self.id = f"transformers:{_short(name)}{suffix}#{_digest(self._model)}"
        self.dim = self.vectors(torch.zeros(1, self.sample_rate_hz)).shape[2]

    @torch.no_grad()
    def vectors(self, audio_BS: Tensor) -> Tensor:
        """Embedding vectors, see `Embedding.vectors`."""
        n_segments = -(-audio_BS.shape[1] // self._segment)
        length = audio_BS.shape[1] // n_segments
        parts = [self._segment_vectors(audio_BS[:, k * length : (k + 1) * length]) for k in range(n_segments)]
        return torch.cat(parts, dim=1).float().cpu()

    def _segment_vectors(self, audio_BS: Tensor) -> Tensor:
        waveforms = [row.cpu().numpy() for row in audio_BS]
        given = self._extractor(waveforms, sampling_rate=self.sample_rate_hz, return_tensors="pt")
        inputs = {name: value.to(self._device) for name, value in given.items() if isinstance(value, Tensor)}
        if self._kind == "clap":
            return _pool(self._model.get_audio_features(**_select_accepted(self._model.get_audio_features, inputs)))[
                :, None
            ]
        network: Any = self._model.get_encoder() if self._kind == "encoder-decoder" else self._model
        accepted = _select_accepted(network.forward, inputs)
        hidden_BTD = self._hidden(network(**accepted, output_hidden_states=self._layer is not None))
        if self._kind == "spectrogram":
            return hidden_BTD.mean(dim=1, keepdim=True)
        if self._kind == "encoder-decoder":
            share = audio_BS.shape[1] / self._extractor.n_samples
            hidden_BTD = hidden_BTD[:, : max(round(share * hidden_BTD.shape[1]), 1)]
        return hidden_BTD

    def _hidden(self, output: Any) -> Tensor:
        if self._layer is None:
            return output.last_hidden_state
        states = output.hidden_states
        if not 0 <= self._layer < len(states):
            raise SettingsError(f"layer of the embedding is {self._layer}, but must lie in 0 to {len(states) - 1}")
        return states[self._layer]


def parse_hub_spec(text: str) -> tuple[str, int | None]:
    """ "FOLDER_OR_ID@LAYER" -> (folder or id, layer); a missing layer is None."""
    name, at, layer = text.rpartition("@")
    if not at:
        name = text
    elif not layer.isdecimal():
        raise SettingsError(f"layer of the embedding is {layer!r}, but must be a number, such as transformers:NAME@6")
    if not name:
        raise SettingsError("the embedding transformers: needs a folder or OWNER/NAME after the colon")
    return name, int(layer) if at else None


def _load(transformers: Any, name: str) -> tuple[Any, Any]:
    """Feature extractor and model, eval mode, nothing of it random."""
    local = os.path.isdir(name)
    options = {"local_files_only": local, "trust_remote_code": False}
    try:
        config, _ = transformers.PretrainedConfig.get_config_dict(name, local_files_only=local)
        extractor = transformers.AutoFeatureExtractor.from_pretrained(name, **options)
        if config.get("model_type") == MERT:
            family: Any = transformers.HubertModel
            if config.get("feature_extractor_cqt"):
                raise BundleError(f"{name}: this MERT also reads a constant-Q transform, which is not supported")
            options = {"local_files_only": local, "config": transformers.HubertConfig(**_plain(config))}
        else:
            family = transformers.AutoModel
        model, info = family.from_pretrained(name, **options, output_loading_info=True)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise BundleError(f"{name}: transformers cannot load it as an audio encoder ({first_line(error)})") from None
    missing = [key for key in info["missing_keys"] if not key.endswith(UNUSED)]
    if missing:
        raise BundleError(f"{name}: its weights lack {', '.join(sorted(missing)[:4])}; they would be random")
    return extractor, model.eval()


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without what names its class and code."""
    return {key: value for key, value in config.items() if key not in ("model_type", "auto_map", "architectures")}


def _kind_of(model: Any) -> str:
    if hasattr(model, "get_audio_features"):
        return "clap"
    if model.config.is_encoder_decoder:
        return "encoder-decoder"
    return "frames" if model.main_input_name == "input_values" and not _reads_spectra(model) else "spectrogram"


def _reads_spectra(model: Any) -> bool:
    """Spectrogram models say how many mel bands they read."""
    return getattr(model.config, "num_mel_bins", None) is not None


def _longest_s(extractor: Any) -> float:
    """Longest audio that the extractor takes without cutting it off."""
    for limit in ("nb_max_samples", "n_samples"):
        if getattr(extractor, limit, None):
            return getattr(extractor, limit) / extractor.sampling_rate
    frames = getattr(extractor, "max_length", None)
    if getattr(extractor, "num_mel_bins", None) and frames:
        return frames * 0.01  # AST: frames of 10 ms
    return LONGEST_S


def _pool(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else output.pooler_output


def _select_accepted(function: Any, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Select the outputs of an extractor that the model accepts."""
    names = inspect.signature(function).parameters
    return {name: value for name, value in inputs.items() if name in names}


def _short(name: str) -> str:
    return os.path.basename(os.path.normpath(name)) if os.path.isdir(name) else name


def _digest(model: nn.Module) -> str:
    """Eight hexadecimal digits of the weights' SHA-256."""
    digest = hashlib.sha256()
    for key, tensor in sorted(model.state_dict().items()):
        digest.update(key.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:8]
