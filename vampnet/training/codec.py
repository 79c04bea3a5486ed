"""Training the magnitude codec, reconstruction stage.

The decoder is judged by the magnitudes that it says, in both grids; no waveform is made, no phase searched for while
training. The quantiser is off at first; then it is set from the latents (PCA, k-means) and switched on, its codebooks
following by a moving average.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vampnet.codec.magnitude import Grid, MagnitudeCodec
from vampnet.codec.quantize import Observer, initialise
from vampnet.codec.usage import codebook_perplexity
from vampnet.data.waves import WaveSet
from vampnet.errors import SettingsError
from vampnet.spectra import mel_distance, mel_filters_FM
from vampnet.training.recipe import CodecRecipe

GROUPS = (1, 4, 8, 14)
"""Numbers of leading codebooks at which validation measures."""
LOW_MELS, HIGH_MELS = 150, 80
"""Mel bands of the whole spectrum in which the two grids are compared, besides bin by bin."""
BIN_FLOOR = 1e-2
"""Added to magnitudes before the logarithm of a bin: what lies below it, -40 dB of normalised music, hardly counts."""
MEL_FLOOR = 1e-4
WEIGHTS = {"low": 1.0, "low_peaks": 1.0, "low_mel": 0.5, "high": 0.3, "high_mel": 1.0}
"""Weights of the parts of the loss."""
INITIAL_BATCHES, INITIAL_BATCH_SIZE = 40, 16
"""From so many crops the quantiser is set."""


class CodecNetwork(nn.Module):
    """Codec with a training forward: waveform -> (log magnitudes of both grids, commitment)."""

    def __init__(self, codec: MagnitudeCodec, learn: str = "all") -> None:
        super().__init__()
        self.codec, self.frozen = codec, learn == "decoder"
        if self.frozen:
            for part in (codec.encoder, codec.quantizer):
                part.requires_grad_(False)

    def forward(
        self, audio_BS: Tensor, quantize: bool, levels_B: Tensor | None = None, observer: Observer | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`levels_B` is the number of codebooks that each item is decoded from (all when None)."""
        codec = self.codec
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            latent_BTL, commitment = codec.encoder(audio_BS), audio_BS.new_zeros(())
            if quantize:
                # In full precision: which entry is nearest must not depend on the number format of training.
                with torch.autocast(audio_BS.device.type, enabled=False):
                    quantized = codec.quantizer(latent_BTL.float(), levels_B, observer)
                latent_BTL, commitment = quantized.latent_BTL, quantized.commitment
        return *codec.decoder(latent_BTL), commitment


def bin_loss(log_BFU: Tensor, target_BFU: Tensor) -> Tensor:
    """L1 of ln magnitudes, bin by bin."""
    return ((log_BFU.exp() + BIN_FLOOR).log() - (target_BFU + BIN_FLOOR).log()).abs().mean()


def mel_loss(log_BFU: Tensor, target_BFU: Tensor, mel_FM: Tensor) -> Tensor:
    """L1 of ln magnitudes in mel bands: how loud noise is, wherever it puts its bins."""
    said_BUM, target_BUM = ((x.mT @ mel_FM).clamp_min(MEL_FLOOR).log() for x in (log_BFU.exp(), target_BFU))
    return (said_BUM - target_BUM).abs().mean()


def peak_loss(log_BFU: Tensor, target_BFU: Tensor) -> Tensor:
    """L1 of compressed magnitudes relative to their mean, which partials dominate and the noise between does not."""
    said_BFU, target_BFU = ((x + 1e-6).pow(0.33) for x in (log_BFU.exp(), target_BFU))
    return (said_BFU - target_BFU).abs().mean() / target_BFU.mean()


def grid_mel_filters(grid: Grid, sample_rate_hz: int, n_mels: int) -> Tensor:
    """Mel filters (F, M) over the bins of a grid: those bands that lie in it, whole or nearly so."""
    whole_FM = mel_filters_FM(sample_rate_hz, grid.n_fft, n_mels)
    part_FM = whole_FM[grid.first : grid.stop]
    return part_FM[:, (part_FM.sum(0) > 0.5 * whole_FM.sum(0)) & (whole_FM.sum(0) > 0)].contiguous()


class CodecTask:
    """What the loop trains for a codec recipe."""

    module: CodecNetwork

    def __init__(self, recipe: CodecRecipe, train: WaveSet, validation: WaveSet) -> None:
        torch.manual_seed(recipe.loop.seed)
        self.recipe, self.train, self.validation = recipe, train, validation
        codec = MagnitudeCodec(recipe.codec)
        self.module = CodecNetwork(codec, recipe.learn)
        self.observer = Observer(codec.quantizer)
        self.quantizing = self.adopted = False
        self.low_mel_FM = grid_mel_filters(codec.low, self.rate_hz, LOW_MELS)
        self.high_mel_FM = grid_mel_filters(codec.high, self.rate_hz, HIGH_MELS)

    def adopt(self, other: MagnitudeCodec) -> None:
        """Start from another codec's weights, its quantiser on. Raises SettingsError when shapes differ."""
        codec, given = self.module.codec, other.state_dict()
        wrong = [n for n, t in codec.state_dict().items() if n not in given or given[n].shape != t.shape]
        if wrong:
            raise SettingsError(f"the codec to start from is another one: {', '.join(wrong[:4])} differ in shape")
        codec.load_state_dict(given)
        self.observer = Observer(codec.quantizer)
        self.quantizing = self.adopted = True

    @property
    def rate_hz(self) -> int:
        return self.recipe.codec.sample_rate_hz

    def _batch(self, step: int, rank: int, size: int | None = None) -> Tensor:
        samples = self.recipe.crop_frames * self.recipe.codec.hop
        seed = (self.recipe.loop.seed, step, rank)
        batch = self.train.batch(seed, size or self.recipe.loop.batch_size, samples, self.recipe.gain_jitter_db)
        return batch.to(self.module.codec.device)

    def begin_step(self, step: int) -> bool:
        if self.module.frozen and not self.adopted:
            raise SettingsError("learn: decoder needs a trained codec to start from; give one with --start-from")
        if self.quantizing or step < self.recipe.quantize_from_step:
            return False
        codec = self.module.codec
        with torch.no_grad():
            batches = (self._batch(step, 1000 + k, INITIAL_BATCH_SIZE) for k in range(INITIAL_BATCHES))
            latent_NL = torch.cat([codec.encoder(batch).flatten(0, 1).cpu() for batch in batches])
        left = initialise(codec.quantizer.cpu(), latent_NL, seed=self.recipe.loop.seed)
        print("variance left after each level:", " ".join(f"{share:.3f}" for share in left), flush=True)
        codec.quantizer.to(codec.device)
        self.observer, self.quantizing = Observer(codec.quantizer), True
        return True

    def loss(self, module: nn.Module, step: int, rank: int) -> dict[str, Tensor]:
        audio_BS, levels_B, n = self._batch(step, rank), None, self.recipe.codec.n_codebooks
        if self.quantizing:
            dropped_B = torch.rand(len(audio_BS)) < self.recipe.quantizer_dropout
            levels_B = torch.where(dropped_B, torch.randint(1, n + 1, (len(audio_BS),)), n).to(audio_BS.device)
        observer = self.observer if self.quantizing and not self.module.frozen else None
        low_BFU, high_BFU, commitment = module(audio_BS, self.quantizing, levels_B, observer)
        codec = self.module.codec
        with torch.no_grad():
            low_target_BFU, high_target_BFU = codec.magnitudes(audio_BS)
        with torch.autocast(audio_BS.device.type, enabled=False):
            parts = {
                "low": bin_loss(low_BFU, low_target_BFU),
                "low_peaks": peak_loss(low_BFU, low_target_BFU),
                "low_mel": mel_loss(low_BFU, low_target_BFU, self.low_mel_FM.to(audio_BS.device)),
                "high": bin_loss(high_BFU, high_target_BFU),
                "high_mel": mel_loss(high_BFU, high_target_BFU, self.high_mel_FM.to(audio_BS.device)),
            }
        total = torch.stack([weight * parts[name] for name, weight in WEIGHTS.items()]).sum()
        scalars = {name: value.detach() for name, value in {**parts, "commitment": commitment}.items()}
        return {"loss": total + self.recipe.commitment_weight * commitment, **scalars}

    def end_step(self, step: int) -> None:
        if self.quantizing and not self.module.frozen:
            self.observer.update(step)

    @torch.no_grad()
    def validate(self, module: nn.Module) -> dict[str, float]:
        """Paper's mel distance at several numbers of codebooks, and the perplexity of each codebook."""
        assert isinstance(module, CodecNetwork)
        codec = module.codec
        audio_BS = self._held_out(16)
        if not self.quantizing:
            decoded_BS = self._unquantized(codec, audio_BS)
            return {"mel_unquantized": float(mel_distance(decoded_BS, audio_BS, self.rate_hz).mean())}
        codes_BCT = codec.encode(audio_BS)
        figures = {}
        for n in GROUPS:
            if n <= codec.n_codebooks:
                decoded_BS = codec.decode(codes_BCT[:, :n])
                figures[f"mel_{n}"] = float(mel_distance(decoded_BS, audio_BS, self.rate_hz).mean())
        perplexities = codebook_perplexity(codes_BCT, codec.codebook_size).tolist()
        figures |= {f"perplexity_{c}": p for c, p in enumerate(perplexities)}
        return figures

    @torch.no_grad()
    def audio(self, module: nn.Module) -> dict[str, tuple[Tensor, int]]:
        assert isinstance(module, CodecNetwork)
        codec, audio_BS = module.codec, self._held_out(2)
        decoded_BS = codec.decode(codec.encode(audio_BS)) if self.quantizing else self._unquantized(codec, audio_BS)
        return {f"codec/{k}": (decoded_BS[k].cpu().clamp(-1, 1), self.rate_hz) for k in range(len(audio_BS))}

    def _held_out(self, n_items: int) -> Tensor:
        return self.validation.batch((7,), n_items, 240 * self.recipe.codec.hop, 0.0).to(self.module.codec.device)

    def _unquantized(self, codec: MagnitudeCodec, audio_BS: Tensor) -> Tensor:
        low_BFU, high_BFU = codec.decoder(codec.encoder(audio_BS))
        return codec.synthesise(low_BFU.exp(), high_BFU.exp())

    def state_dict(self) -> dict[str, Any]:
        return {"quantizing": self.quantizing, "adopted": self.adopted, "observer": self.observer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.quantizing, self.adopted = state["quantizing"], state["adopted"]
        self.observer.load_state_dict(state["observer"])
