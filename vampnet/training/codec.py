"""Training the spectral codec, reconstruction stage (design section 7).

The loss is the L1 of log-mel spectra at several resolutions, the paper's two among them. The quantiser is off at
first; then it is set from the latents (PCA, k-means) and switched on, its codebooks following by a moving average.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vampnet.codec.quantize import Observer, initialise
from vampnet.codec.spectral import SpectralCodec
from vampnet.data.waves import WaveSet
from vampnet.spectra import log_mel, mel_distance
from vampnet.training.recipe import CodecRecipe

MEL_SCALES = ((2048, 150), (1024, 128), (512, 80), (256, 40), (128, 20))
"""(FFT size, mel bands) of the training loss."""
MEL_WEIGHTS = (1.5, 0.7, 1.5, 0.7, 0.5)
PHASE_FFT, PHASE_BAND_HZ = 1024, 4000
"""Window (samples) of the complex term, and the frequency below which it counts: there phase is heard as pitch."""
GROUPS = (1, 4, 8, 14)
"""Numbers of leading codebooks at which validation measures."""


class CodecNetwork(nn.Module):
    """Codec with a training forward: waveform -> (waveform, commitment)."""

    def __init__(self, codec: SpectralCodec) -> None:
        super().__init__()
        self.codec = codec

    def forward(
        self, audio_BS: Tensor, quantize: bool, levels_B: Tensor | None = None, observer: Observer | None = None
    ) -> tuple[Tensor, Tensor]:
        latent_BTL = self.codec.encoder(audio_BS)
        if not quantize:
            return self.codec.decoder(latent_BTL), latent_BTL.new_zeros(())
        quantized = self.codec.quantizer(latent_BTL.float(), levels_B, observer)
        return self.codec.decoder(quantized.latent_BTL), quantized.commitment


class CodecTask:
    """What the loop trains for a codec recipe."""

    def __init__(self, recipe: CodecRecipe, train: WaveSet, validation: WaveSet) -> None:
        torch.manual_seed(recipe.loop.seed)
        self.recipe, self.train, self.validation = recipe, train, validation
        self.module = CodecNetwork(SpectralCodec(recipe.codec))
        self.observer = self._observer()
        self.quantizing = False
        if recipe.frozen_levels:
            self._freeze(recipe.frozen_levels)

    def _observer(self) -> Observer:
        return Observer(self.module.codec.quantizer, first_level=self.recipe.frozen_levels)

    def _freeze(self, levels: int) -> None:
        codec = self.module.codec
        for module in (codec.encoder, codec.quantizer.down[:levels], codec.quantizer.up[:levels]):
            module.requires_grad_(False)

    @property
    def rate_hz(self) -> int:
        return self.recipe.codec.sample_rate_hz

    def _batch(self, step: int, rank: int, size: int | None = None) -> Tensor:
        samples = self.recipe.crop_frames * self.recipe.codec.hop
        seed = (self.recipe.loop.seed, step, rank)
        batch = self.train.batch(seed, size or self.recipe.loop.batch_size, samples, self.recipe.gain_jitter_db)
        return batch.to(self.module.codec.device)

    def begin_step(self, step: int) -> bool:
        if self.quantizing or step < self.recipe.quantize_from_step:
            return False
        codec = self.module.codec
        with torch.no_grad():
            latents = [codec.encoder(self._batch(step, 1000 + k, 16)).flatten(0, 1).cpu() for k in range(40)]
            left = initialise(codec.quantizer.cpu(), torch.cat(latents), seed=self.recipe.loop.seed)
        print("variance left after each level:", " ".join(f"{share:.3f}" for share in left), flush=True)
        codec.quantizer.to(codec.device)
        self.observer = self._observer()
        self.quantizing = True
        return True

    def loss(self, module: nn.Module, step: int, rank: int) -> dict[str, Tensor]:
        audio_BS = self._batch(step, rank)
        levels_B, n = None, self.recipe.codec.n_codebooks
        if self.quantizing:
            dropped_B = torch.rand(len(audio_BS)) < self.recipe.quantizer_dropout
            levels_B = torch.where(dropped_B, torch.randint(1, n + 1, (len(audio_BS),)), n).to(audio_BS.device)
        decoded_BS, commitment = module(audio_BS, self.quantizing, levels_B, self.observer if self.quantizing else None)
        mel = torch.zeros((), device=audio_BS.device)
        for (n_fft, n_mels), weight in zip(MEL_SCALES, MEL_WEIGHTS, strict=True):
            difference = log_mel(decoded_BS, self.rate_hz, n_fft, n_mels) - log_mel(
                audio_BS, self.rate_hz, n_fft, n_mels
            )
            mel = mel + weight * difference.abs().mean()
        mel = mel / sum(MEL_WEIGHTS)
        loss = mel + self.recipe.commitment_weight * commitment
        scalars = {"mel": mel.detach(), "commitment": commitment.detach()}
        if self.recipe.phase_weight and levels_B is not None:
            phase_B = complex_distance(decoded_BS, audio_BS, self.rate_hz)
            deep_B = (levels_B > self.recipe.phase_from_level).float()
            phase = (phase_B * deep_B).sum() / deep_B.sum().clamp_min(1)
            loss = loss + self.recipe.phase_weight * phase
            scalars["phase"] = phase.detach()
        return {"loss": loss, **scalars}

    def end_step(self, step: int) -> None:
        if self.quantizing:
            self.observer.update(step)

    @torch.no_grad()
    def validate(self, module: nn.Module) -> dict[str, float]:
        """Paper's mel distance at several numbers of codebooks, and the perplexity of each codebook."""
        codec: SpectralCodec = module.codec  # type: ignore[assignment]
        audio_BS = self.validation.batch((7,), 48, 240 * self.recipe.codec.hop, 0.0).to(codec.device)
        if not self.quantizing:
            decoded_BS, _ = module(audio_BS, False)
            return {"mel_unquantized": float(mel_distance(decoded_BS, audio_BS, self.rate_hz).mean())}
        codes_BCT = codec.encode(audio_BS)
        figures = {}
        for n in GROUPS:
            if n <= codec.n_codebooks:
                decoded_BS = codec.decode(codes_BCT[:, :n])
                figures[f"mel_{n}"] = float(mel_distance(decoded_BS, audio_BS, self.rate_hz).mean())
        perplexities = [perplexity(codes_BCT[:, c], codec.codebook_size) for c in range(codec.n_codebooks)]
        figures |= {f"perplexity_{c}": p for c, p in enumerate(perplexities)}
        return figures

    @torch.no_grad()
    def audio(self, module: nn.Module) -> dict[str, tuple[Tensor, int]]:
        codec: SpectralCodec = module.codec  # type: ignore[assignment]
        audio_BS = self.validation.batch((7,), 2, 240 * self.recipe.codec.hop, 0.0).to(codec.device)
        decoded_BS = codec.decode(codec.encode(audio_BS)) if self.quantizing else module(audio_BS, False)[0]
        return {f"codec/{k}": (decoded_BS[k].cpu().clamp(-1, 1), self.rate_hz) for k in range(len(audio_BS))}

    def state_dict(self) -> dict[str, Any]:
        return {"quantizing": self.quantizing, "observer": self.observer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.quantizing = state["quantizing"]
        self.observer.load_state_dict(state["observer"])


def complex_distance(audio_BS: Tensor, reference_BS: Tensor, rate_hz: int) -> Tensor:
    """L1 between complex STFTs below PHASE_BAND_HZ, magnitudes compressed by a square root, per item (B,).

    Relative to the reference's own mean compressed magnitude: 0 is equal, about 1 is unrelated.
    """
    window = torch.hann_window(PHASE_FFT, device=audio_BS.device)
    n_bins = PHASE_BAND_HZ * PHASE_FFT // rate_hz
    compressed = []
    for signal_BS in (audio_BS, reference_BS):
        spectrum = torch.stft(signal_BS.float(), PHASE_FFT, PHASE_FFT // 4, window=window, return_complex=True)
        low = torch.view_as_real(spectrum[:, :n_bins])
        compressed.append(low / (low.square().sum(-1, keepdim=True) + 1e-6) ** 0.25)
    difference_B = (compressed[0] - compressed[1]).abs().mean(dim=(1, 2, 3))
    return difference_B / (compressed[1].abs().mean(dim=(1, 2, 3)) + 1e-2)


def perplexity(codes: Tensor, size: int) -> float:
    """Exponential of the entropy of the empirical distribution of codes: 1 to `size`."""
    share_V = torch.bincount(codes.flatten(), minlength=size).double() / codes.numel()
    return float(torch.exp(-(share_V * share_V.clamp_min(1e-12).log()).sum()))
