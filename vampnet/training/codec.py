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
from vampnet.codec.usage import codebook_perplexity
from vampnet.data.waves import WaveSet
from vampnet.errors import SettingsError
from vampnet.spectra import log_mel, mel_distance
from vampnet.training.recipe import CodecRecipe

MEL_SCALES = ((2048, 150), (1024, 128), (512, 80), (256, 40), (128, 20))
"""(FFT size, mel bands) of the training loss."""
MEL_WEIGHTS = (1.5, 0.7, 1.5, 0.7, 0.5)
GROUPS = (1, 4, 8, 14)
"""Numbers of leading codebooks at which validation measures."""


class CodecNetwork(nn.Module):
    """Codec with a training forward: waveform -> (waveform, commitment)."""

    def __init__(self, codec: SpectralCodec, learn: str = "all") -> None:
        super().__init__()
        self.codec, self.frozen = codec, learn == "low-band"
        if self.frozen:
            for part in (codec.encoder, codec.quantizer, codec.decoder):
                part.requires_grad_(False)

    def forward(
        self, audio_BS: Tensor, quantize: bool, levels_B: Tensor | None = None, observer: Observer | None = None
    ) -> tuple[Tensor, Tensor]:
        """`levels_B` is the number of codebooks that each item is decoded from (all when None)."""
        codec = self.codec
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            latent_BTL = codec.encoder(audio_BS)
            if not quantize:
                return codec.decoder(latent_BTL), latent_BTL.new_zeros(())
            quantized = codec.quantizer(latent_BTL.float(), levels_B, observer)
            decoded_BS = codec.decoder(quantized.latent_BTL)
        if codec.low_band is not None:
            if levels_B is None:
                levels_B = torch.full((len(audio_BS),), codec.n_codebooks, device=audio_BS.device)
            n_bands_BT = (levels_B - codec.config.latent_codebooks)[:, None].expand(latent_BTL.shape[:2])
            low_BTK = codec.low_band.dequantize(codec.low_band.encode(audio_BS))
            decoded_BS = codec.low_band(decoded_BS, low_BTK, n_bands_BT)
        return decoded_BS, quantized.commitment


class CodecTask:
    """What the loop trains for a codec recipe."""

    module: CodecNetwork

    def __init__(self, recipe: CodecRecipe, train: WaveSet, validation: WaveSet) -> None:
        torch.manual_seed(recipe.loop.seed)
        self.recipe, self.train, self.validation = recipe, train, validation
        self.module = CodecNetwork(SpectralCodec(recipe.codec), recipe.learn)
        self.observer = Observer(self.module.codec.quantizer)
        self.quantizing = False
        self.adopted = False

    def adopt(self, other: SpectralCodec) -> None:
        """Start from another codec's weights: of its quantiser the leading levels, of its low band what fits.

        Raises SettingsError when encoder or decoder have other shapes.
        """
        codec = self.module.codec
        own = codec.state_dict()
        given = {name: tensor for name, tensor in other.state_dict().items() if name in own}
        books = given["quantizer.codebooks_CVK"]
        given["quantizer.codebooks_CVK"] = books[: codec.config.latent_codebooks]
        wrong = [n for n, t in own.items() if not n.startswith("low_band.") and _shape(given.get(n)) != t.shape]
        if wrong:
            raise SettingsError(f"the codec to start from is another one: {', '.join(wrong[:4])} differ in shape")
        codec.load_state_dict({n: t for n, t in given.items() if t.shape == own[n].shape}, strict=False)
        self.observer = Observer(codec.quantizer)
        self.quantizing, self.adopted = codec.low_band is None, True

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
        if self.module.frozen and not self.adopted:
            raise SettingsError("learn: low-band needs a trained codec to start from; give one with --start-from")
        codec, size = self.module.codec, 16
        batches = [self._batch(step, 1000 + k, size) for k in range(40)]
        if not self.adopted:
            with torch.no_grad():
                latents = [codec.encoder(batch).flatten(0, 1).cpu() for batch in batches]
                left = initialise(codec.quantizer.cpu(), torch.cat(latents), seed=self.recipe.loop.seed)
            print("variance left after each level:", " ".join(f"{share:.3f}" for share in left), flush=True)
            codec.quantizer.to(codec.device)
            self.observer = Observer(codec.quantizer)
        if codec.low_band is not None:
            coefficients = [codec.low_band.mdct(batch).flatten(0, 1) for batch in batches]
            left = codec.low_band.initialise(torch.cat(coefficients), seed=self.recipe.loop.seed)
            print("power left in each band:", " ".join(f"{share:.3f}" for share in left), flush=True)
        self.quantizing = True
        return True

    def loss(self, module: nn.Module, step: int, rank: int) -> dict[str, Tensor]:
        audio_BS = self._batch(step, rank)
        levels_B, n = None, self.recipe.codec.n_codebooks
        observer = self.observer if self.quantizing and not self.module.frozen else None
        if self.quantizing:
            dropped_B = torch.rand(len(audio_BS)) < self.recipe.quantizer_dropout
            fewest = 1 + (self.recipe.codec.latent_codebooks if self.module.frozen else 0)
            levels_B = torch.where(dropped_B, torch.randint(fewest, n + 1, (len(audio_BS),)), n).to(audio_BS.device)
        decoded_BS, commitment = module(audio_BS, self.quantizing, levels_B, observer)
        mel = torch.zeros((), device=audio_BS.device)
        for (n_fft, n_mels), weight in zip(MEL_SCALES, MEL_WEIGHTS, strict=True):
            difference = log_mel(decoded_BS, self.rate_hz, n_fft, n_mels) - log_mel(
                audio_BS, self.rate_hz, n_fft, n_mels
            )
            mel = mel + weight * difference.abs().mean()
        mel = mel / sum(MEL_WEIGHTS)
        loss = mel + self.recipe.commitment_weight * commitment
        scalars = {"mel": mel.detach(), "commitment": commitment.detach()}
        return {"loss": loss, **scalars}

    def end_step(self, step: int) -> None:
        if self.quantizing and not self.module.frozen:
            self.observer.update(step)

    @torch.no_grad()
    def validate(self, module: nn.Module) -> dict[str, float]:
        """Paper's mel distance at several numbers of codebooks, and the perplexity of each codebook."""
        assert isinstance(module, CodecNetwork)
        codec = module.codec
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
        perplexities = codebook_perplexity(codes_BCT, codec.codebook_size).tolist()
        figures |= {f"perplexity_{c}": p for c, p in enumerate(perplexities)}
        return figures

    @torch.no_grad()
    def audio(self, module: nn.Module) -> dict[str, tuple[Tensor, int]]:
        assert isinstance(module, CodecNetwork)
        codec = module.codec
        audio_BS = self.validation.batch((7,), 2, 240 * self.recipe.codec.hop, 0.0).to(codec.device)
        decoded_BS = codec.decode(codec.encode(audio_BS)) if self.quantizing else module(audio_BS, False)[0]
        return {f"codec/{k}": (decoded_BS[k].cpu().clamp(-1, 1), self.rate_hz) for k in range(len(audio_BS))}

    def state_dict(self) -> dict[str, Any]:
        return {"quantizing": self.quantizing, "adopted": self.adopted, "observer": self.observer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.quantizing, self.adopted = state["quantizing"], state["adopted"]
        self.observer.load_state_dict(state["observer"])


def _shape(tensor: Tensor | None) -> torch.Size | None:
    return None if tensor is None else tensor.shape
