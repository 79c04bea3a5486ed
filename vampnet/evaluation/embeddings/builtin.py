"""Embeddings of audio: what the set distances (Fréchet, kernel) compare.

An `Embedding` turns a batch of equally long mono excerpts into vectors. Its id says all that a figure depends on:
values from different ids cannot be compared. Weights-free: "mel". From a bundle: "codec" and "hidden". From elsewhere:
"transformers:FOLDER" (`huggingface`) and "vggish:FILE" (`vggish`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vampnet.audio.loudness import INPUT_LUFS
from vampnet.audio.mel import log_mel
from vampnet.codec.base import Codec
from vampnet.config import check
from vampnet.errors import SettingsError
from vampnet.evaluation.embeddings.base import Embedding
from vampnet.models.transformer import MaskedTransformer


class MelStatistics(Embedding):
    """Log-mel statistics without any weights: mean, deviation and mean change of each band over windows of 1 s.

    32 bands, FFT 2048, hop 512 at 44.1 kHz, log10 clamped at 1e-5; windows begin every 0.5 s; 96 dimensions. It hears
    level, timbre and how lively each band is, and no pitch, harmony or order of events.
    """

    dim = 96
    sample_rate_hz = 44100
    n_fft, n_mels, window_frames, hop_frames = 2048, 32, 86, 43

    def __init__(self) -> None:
        self.id = "mel-statistics-32"
        self.min_samples = self.n_fft // 4 * self.window_frames

    @torch.no_grad()
    def vectors(self, audio_BS: Tensor) -> Tensor:
        """Embedding vectors, see `Embedding.vectors`."""
        mel_BUM = log_mel(audio_BS, self.sample_rate_hz, self.n_fft, self.n_mels)
        windows_BNMU = mel_BUM.unfold(1, self.window_frames, self.hop_frames)
        change_BNM = windows_BNMU.diff(dim=3).abs().mean(dim=3)
        parts = [windows_BNMU.mean(dim=3), windows_BNMU.std(dim=3, correction=0), change_BNM]
        return torch.cat(parts, dim=2).cpu()


class CodecLatents(Embedding):
    """Unquantised encoder output of every frame of a bundle's codec, audio at -24 LUFS as the codec expects it.

    Cheap, and close to what the codec can tell apart: it hears timbre and short events, and nothing longer than a few
    frames. A system that outputs through this codec is not judged by a neutral ear: use another embedding beside it.
    """

    input_lufs = INPUT_LUFS

    def __init__(self, codec: Codec, name: str = "codec") -> None:
        """Raises SettingsError for a codec without an encoder that gives latents."""
        encoder = getattr(codec, "encoder", None)
        if not isinstance(encoder, nn.Module):
            raise SettingsError(f"the codec of {name} has no continuous latents; use another embedding")
        self._codec, self._encoder = codec, encoder
        self.id = f"codec-latents:{name}#{codec.id[:8]}"
        self.dim, self.sample_rate_hz, self._hop = codec.config.latent_dim, codec.sample_rate_hz, codec.hop
        self.min_samples = 4 * self._hop

    @torch.no_grad()
    def vectors(self, audio_BS: Tensor) -> Tensor:
        """Embedding vectors, see `Embedding.vectors`."""
        whole = audio_BS.shape[1] // self._hop * self._hop  # a frame of half music, half padding would be an outlier
        return self._encoder(audio_BS[:, :whole].to(self._codec.device)).float().cpu()


class MaskedHidden(Embedding):
    """Hidden states of a masked model that reads a recording's codes, nothing masked: one vector per frame.

    `layer` 0 is the embedding of the codes, k the output of the k-th layer. It hears context over seconds as far as the
    model has learned it; being the judged model's own, it is a diagnostic and no neutral judge.
    """

    input_lufs = INPUT_LUFS
    max_s = 10.0

    def __init__(self, codec: Codec, model: MaskedTransformer, layer: int | None = None, name: str = "coarse") -> None:
        """`layer` None: two thirds of the way up. Raises SettingsError for a layer that is not there."""
        n_layers = model.config.n_layers
        self._layer = (2 * n_layers + 1) // 3 if layer is None else layer
        check("layer", self._layer, 0, n_layers)
        self._codec, self._model = codec, model
        self.id = f"hidden:{name}@{self._layer}#{codec.id[:8]}"
        self.dim, self.sample_rate_hz = model.config.dim, codec.sample_rate_hz
        self.min_samples = 4 * codec.hop

    @torch.no_grad()
    def vectors(self, audio_BS: Tensor) -> Tensor:
        """Embedding vectors, see `Embedding.vectors`."""
        hop, model = self._codec.hop, self._model
        codes_BCT = self._codec.encode(audio_BS[:, : audio_BS.shape[1] // hop * hop])
        x_BTD = model.embed(codes_BCT[:, : model.config.n_codebooks])
        bias_HTT = model.position_bias(x_BTD.shape[1])
        for layer in list(model.layers)[: self._layer]:
            x_BTD = layer(x_BTD, bias_HTT)
        return x_BTD.float().cpu()
