"""Training the magnitude codec: the reconstruction stage, and the adversarial stage on top of it.

The decoder is judged by the magnitudes that it says, in both grids; no waveform is made, no phase searched for while
training. With `adversarial_weight`, discriminators of the same magnitudes join in.

A codec with a linear path begins as that path alone, set from data (`vampnet.codec.pca_path`). The quantiser is off at
first; then it is set from the latents (PCA, k-means) and switched on, its codebooks following by a moving average.
Where latents move faster than that, fewer and fewer entries serve: `requantize_every` sets the quantiser anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from vampnet.audio.mel import mel_distance
from vampnet.codec.magnitude import MagnitudeCodec
from vampnet.codec.pca_path import set_linear
from vampnet.codec.perplexity import codebook_perplexity
from vampnet.codec.residual_vq import Observer, initialise
from vampnet.errors import SettingsError
from vampnet.training.codec_losses import WEIGHTS, Reconstruction
from vampnet.training.data.wave_dataset import Waves, WaveSet
from vampnet.training.discriminators import GridDiscriminator, judge
from vampnet.training.recipe import CodecRecipe
from vampnet.training.share import BatchShare

GROUPS = (1, 4, 8, 14)
"""Numbers of leading codebooks at which validation measures."""
GRIDS = ("low", "high")
FEATURE_WEIGHT = 2.0
"""Weight of feature matching beside 1 for the adversarial part (DAC)."""
VALIDATION_CROPS, VALIDATION_FRAMES = 16, 240
INITIAL_BATCHES, INITIAL_BATCH_SIZE = 40, 16
"""From so many crops the quantiser is set."""


class CodecNetwork(nn.Module):
    """Codec with a training forward: waveform -> parts of the loss."""

    def __init__(
        self, codec: MagnitudeCodec, learn: str = "all", discriminator_width: int = 0, encoder_rate: float = 1.0
    ) -> None:
        super().__init__()
        self.rate_factors = {"codec.encoder.": encoder_rate, "codec.quantizer.": encoder_rate}
        self.codec, self.frozen = codec, learn == "decoder"
        self.reconstruction = Reconstruction(codec)
        made = {grid: GridDiscriminator(discriminator_width) for grid in GRIDS if discriminator_width}
        self.discriminators = nn.ModuleDict(made)
        if codec.encoder.linear is not None:
            codec.encoder.linear.requires_grad_(False)
        if self.frozen:
            for part in (codec.encoder, codec.quantizer):
                part.requires_grad_(False)

    def forward(
        self, audio_BS: Tensor, quantize: bool, levels_B: Tensor | None = None, observer: Observer | None = None
    ) -> dict[str, Tensor]:
        """Scalars: those of `Reconstruction`, "commitment", and those of `judge` where there are discriminators.

        `levels_B` is the number of codebooks that each item is decoded from (all when None).
        """
        codec = self.codec
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            latent_BTL, commitment = codec.encoder(audio_BS), audio_BS.new_zeros(())
            if quantize:
                # In full precision: which entry is nearest must not depend on the number format of training.
                with torch.autocast(audio_BS.device.type, enabled=False):
                    quantized = codec.quantizer(latent_BTL.float(), levels_B, observer)
                latent_BTL, commitment = quantized.latent_BTL, quantized.commitment
        parts = {"commitment": commitment}
        said = dict(zip(GRIDS, codec.decoder(latent_BTL), strict=True))
        with torch.autocast(audio_BS.device.type, enabled=False):
            with torch.no_grad():
                there = dict(zip(GRIDS, codec.magnitudes(audio_BS), strict=True))
            for grid, log_BFU in said.items():
                target_BFU = there[grid]
                parts |= self.reconstruction(grid, log_BFU, target_BFU)
                if grid in self.discriminators:
                    discriminator = self.discriminators[grid]
                    assert isinstance(discriminator, GridDiscriminator)
                    for name, part in judge(discriminator, log_BFU.exp(), target_BFU).items():
                        parts[name] = parts[name] + part if name in parts else part
        return parts


class CodecObjective:
    """Objective of a codec recipe: reconstruction, commitment and adversarial losses."""

    module: CodecNetwork

    def __init__(self, recipe: CodecRecipe, train: Waves, validation: Waves) -> None:
        torch.manual_seed(recipe.loop.seed)
        self.recipe, self.validation = recipe, validation
        self.train: Waves = train
        codec = MagnitudeCodec(recipe.codec)
        width = recipe.discriminator_width if recipe.adversarial_weight else 0
        self.module = CodecNetwork(codec, recipe.learn, width, recipe.encoder_rate)
        self.observer = Observer(codec.quantizer, recipe.codebook_decay)
        self.quantizing = self.adopted = False

    def adopt(self, other: MagnitudeCodec) -> None:
        """Start from another codec's weights, its quantiser on. Raises SettingsError when shapes differ."""
        codec, given = self.module.codec, other.state_dict()
        wrong = [n for n, t in codec.state_dict().items() if n not in given or given[n].shape != t.shape]
        if wrong:
            raise SettingsError(f"the codec to start from is another one: {', '.join(wrong[:4])} differ in shape")
        codec.load_state_dict(given)
        self.observer = Observer(codec.quantizer, self.recipe.codebook_decay)
        self.quantizing = self.adopted = True

    @property
    def rate_hz(self) -> int:
        """Sample rate of the codec, Hz."""
        return self.recipe.codec.sample_rate_hz

    def _batch(self, step: int, rank: int, size: int | None = None) -> Tensor:
        samples = self.recipe.crop_frames * self.recipe.codec.hop
        seed = (self.recipe.loop.seed, step, rank)
        if self.module.codec.device.type == "cuda" and isinstance(self.train, WaveSet):
            self.train = self.train.on(self.module.codec.device)
        batch = self.train.batch(seed, size or self.recipe.loop.batch_size, samples, self.recipe.gain_jitter_db)
        return batch.to(self.module.codec.device)

    def compile(self) -> None:
        """Compile the layers; SettingsError where nothing can be compiled."""
        raise SettingsError("loop.compile is for masked models; a codec's training has nothing that is compiled")

    @property
    def work(self) -> dict[str, float]:
        """Work of one step on one device, in units that the log gives per second."""
        return {"audio_s": self.recipe.loop.batch_size * self.recipe.crop_frames * self.recipe.codec.hop / self.rate_hz}

    def begin_step(self, step: int) -> bool:
        """Prepare a step; True when the weights were set anew, so that the average of weights must start again."""
        self.observer.to(self.module.codec.device)
        if self.module.frozen and not self.adopted and not self.recipe.codec.linear_path:
            raise SettingsError("learn: decoder needs a trained codec to start from; give one with --start-from")
        codec = self.module.codec
        if step == 0 and not self.adopted and codec.encoder.linear is not None:
            self._begin_with_components()
        every = self.recipe.requantize_every
        again = self.quantizing and not self.module.frozen and every and step and step % every == 0
        if not again and (self.quantizing or step < self.recipe.quantize_from_step):
            return False
        with torch.no_grad():
            latent_NL = torch.cat([codec.encoder(batch).flatten(0, 1) for batch in self._many(step)])
        left = initialise(codec.quantizer, latent_NL, seed=self.recipe.loop.seed)
        print("variance left after each level:", " ".join(f"{share:.3f}" for share in left), flush=True)
        self.observer, self.quantizing = Observer(codec.quantizer, self.recipe.codebook_decay), True
        return True

    def _many(self, step: int) -> Iterator[Tensor]:
        return (self._batch(step, 1000 + k, INITIAL_BATCH_SIZE) for k in range(INITIAL_BATCHES))

    @torch.no_grad()
    def _begin_with_components(self) -> None:
        """The linear path alone says everything at first, the networks nothing."""
        codec = self.module.codec
        encoder, decoder = codec.encoder, codec.decoder
        assert encoder.linear is not None and decoder.linear is not None
        given = (codec.magnitudes(batch) for batch in self._many(0))
        kept = set_linear(encoder.linear, decoder.linear, given, codec.sample_rate_hz)
        for last in (encoder.leave, decoder.leave_low, decoder.leave_high):
            last.weight.zero_()
            last.bias.zero_()
        print(f"variance kept by the linear path: {kept:.3f}", flush=True)

    def loss(self, module: nn.Module, step: int, share: BatchShare) -> dict[str, Tensor]:
        """Scalars of one batch; "loss" is minimised, the others are logged."""
        audio_BS, levels_B, n = self._batch(step, share.first), None, self.recipe.codec.n_codebooks
        if self.quantizing:
            dropped_B = torch.rand(len(audio_BS)) < self.recipe.quantizer_dropout
            levels_B = torch.where(dropped_B, torch.randint(1, n + 1, (len(audio_BS),)), n).to(audio_BS.device)
        observer = self.observer if self.quantizing and not self.module.frozen else None
        parts = module(audio_BS, self.quantizing, levels_B, observer)
        weights = {**WEIGHTS, "commitment": self.recipe.commitment_weight}
        if self.module.discriminators:
            weights |= {"discriminator": 1.0, "adversarial": self._adversarial_weight(step)}
            weights["features"] = FEATURE_WEIGHT * weights["adversarial"]
        total = torch.stack([weights[name] * value for name, value in parts.items()]).sum()
        return {"loss": total, **{name: value.detach() for name, value in parts.items()}}

    def _adversarial_weight(self, step: int) -> float:
        """0 until the discriminators know a little, then as the recipe says."""
        return self.recipe.adversarial_weight if step >= self.recipe.adversarial_from_step else 0.0

    def end_step(self, step: int) -> None:
        """Update what is not trained by gradients, after the optimiser's step."""
        if self.quantizing and not self.module.frozen:
            self.observer.update(step)

    @torch.no_grad()
    def validate(self, module: nn.Module) -> dict[str, float]:
        """Paper's mel distance at several numbers of codebooks, and the perplexity of each codebook."""
        assert isinstance(module, CodecNetwork)
        codec = module.codec
        audio_BS = self._held_out(VALIDATION_CROPS)
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
        """Name -> (samples (S,), rate in Hz) to listen to in TensorBoard."""
        assert isinstance(module, CodecNetwork)
        codec, audio_BS = module.codec, self._held_out(2)
        decoded_BS = codec.decode(codec.encode(audio_BS)) if self.quantizing else self._unquantized(codec, audio_BS)
        return {f"codec/{k}": (decoded_BS[k].cpu().clamp(-1, 1), self.rate_hz) for k in range(len(audio_BS))}

    def _held_out(self, n_items: int) -> Tensor:
        length = VALIDATION_FRAMES * self.recipe.codec.hop
        return self.validation.batch((7,), n_items, length, 0.0).to(self.module.codec.device)

    def _unquantized(self, codec: MagnitudeCodec, audio_BS: Tensor) -> Tensor:
        low_BFU, high_BFU = codec.decoder(codec.encoder(audio_BS))
        return codec.synthesise(low_BFU.exp(), high_BFU.exp())

    def state_dict(self) -> dict[str, Any]:
        """State beside the weights, for a checkpoint."""
        return {"quantizing": self.quantizing, "adopted": self.adopted, "observer": self.observer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.quantizing, self.adopted = state["quantizing"], state["adopted"]
        self.observer.load_state_dict(state["observer"])
