"""Pipeline: codec, coarse and coarse-to-fine model on a device, and how they fill windows and make tokens of audio."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from vampnet.audio.output_format import OutputFormat
from vampnet.audio.sources import Source
from vampnet.audio.units import seconds_to_frames
from vampnet.device import select_device, select_precision
from vampnet.errors import BundleError, SettingsError
from vampnet.generation.batches import BatchProof
from vampnet.generation.config import SamplingConfig
from vampnet.generation.reference_mode import check_compat, encode_like_reference
from vampnet.generation.run import Stage, WindowRequest
from vampnet.generation.sampling import TokenNetwork, fill
from vampnet.generation.token_memory import TokenMemory
from vampnet.generation.tokens import TokenStream, tokens_of, tokens_of_codes
from vampnet.models.adapter_header import parse_adapter
from vampnet.models.bundle import load_bundle
from vampnet.models.conditioning import ControlledNetwork, hear
from vampnet.models.digest import digest_weights
from vampnet.models.format import Bundle
from vampnet.models.integer import in_integers
from vampnet.models.lora import apply_adapter, read_adapter
from vampnet.models.openvino import OpenVinoNetwork, check_backend
from vampnet.models.transformer import MaskedTransformer
from vampnet.prompts.context import keep_tokens
from vampnet.prompts.parts import Prompt

COARSE_WINDOW_S, COARSE_CONTEXT_S = 10.0, 2.5
"""Length of a coarse window and of the generated context it begins with, seconds (paper: 10 s)."""
C2F_WINDOW_S, C2F_CONTEXT_S = 3.0, 0.75
"""The same for the coarse-to-fine model (paper: 3 s)."""
RUNS_AT_ONCE = 16
"""Runs whose windows an accelerator fills together."""

P = TypeVar("P", bound="Pipeline")


class Pipeline:
    """A loaded bundle on a device."""

    def __init__(
        self,
        bundle: Bundle,
        device: str = "auto",
        *,
        compat: str = "",
        backend: str = "torch",
        precision: str = "auto",
    ) -> None:
        """A codec and two networks, ready to run.

        compat: "reference" prepares and cuts audio as the authors' code does, in float32
            (`vampnet.generation.reference_mode`).
        backend: "openvino" has OpenVINO run the networks (`vampnet.models.openvino`).
        precision: number format of the networks, "float32", "bfloat16", "auto", which is bfloat16 where the hardware
            has it, or "int8" (`vampnet.models.integer`).

        Raises BundleError for a bundle that holds only a codec, SettingsError for a device, backend or precision that
        is not there.
        """
        self.compat = check_compat(compat)
        if bundle.coarse is None or bundle.c2f is None:
            raise BundleError(f"{bundle.folder}: holds only a codec; vamping needs a coarse and a c2f model too")
        self.device = select_device(device)
        self.dtype = torch.float32 if compat else select_precision(precision, self.device)
        """Number format of attention, classifier and codec, and with "int8" of those alone."""
        self.codec = bundle.codec.in_format(self.dtype).to(self.device)
        self.backend = check_backend(backend, self.device, self.compat, precision)
        # In the number format that they run in, once: casting at every use would be a slow second copy.
        held = held_format(self.dtype, backend, precision)
        coarse, c2f = (m.in_format(held).to(self.device) for m in (bundle.coarse, bundle.c2f))
        self._in_integers = precision == "int8"
        if self._in_integers:
            coarse, c2f = in_integers(coarse, self.dtype), in_integers(c2f, self.dtype)
        self.bundle = dataclasses.replace(bundle, codec=self.codec, coarse=coarse, c2f=c2f)
        self.coarse: TokenNetwork = coarse
        self.c2f: TokenNetwork = c2f
        if backend == "openvino":
            self.coarse, self.c2f = OpenVinoNetwork(coarse, self.dtype), OpenVinoNetwork(c2f, self.dtype)
        self.conditioning = None if bundle.conditioning is None else bundle.conditioning.to(self.device)
        """Conditioning of the coarse network by controls; None where it has none."""
        self.runs_at_once = 1 if self.device.type == "cpu" else RUNS_AT_ONCE
        """Runs at work together. On a CPU batches gain nothing (docs/results/house.md)."""
        self.memory: TokenMemory | None = None
        """Tokens of files that were encoded before; None where every job is the only one."""
        self._proof = BatchProof(self.device, exact=self.dtype == torch.float32)

    def stages(self, sampling: SamplingConfig) -> tuple[Stage, Stage]:
        """Both models and how they run over long material."""
        rate_hz, hop = self.codec.sample_rate_hz, self.codec.hop
        coarse_frames = [seconds_to_frames(s, rate_hz, hop) for s in (COARSE_WINDOW_S, COARSE_CONTEXT_S)]
        c2f_frames = [seconds_to_frames(s, rate_hz, hop) for s in (C2F_WINDOW_S, C2F_CONTEXT_S)]
        alone = bool(self.compat)
        return (
            Stage("coarse", self.coarse, sampling.steps, *coarse_frames, is_reference=alone),
            Stage("c2f", self.c2f, sampling.c2f_steps, *c2f_frames, is_reference=alone),
        )

    def tokens(self, source: Source, n_readers: int = 1) -> TokenStream:
        """The tokens of a source, encoded as they are asked for; `n_readers` share one encoding."""
        if not self.compat:
            return tokens_of(source, self.codec, n_readers, self.memory)
        encoded = encode_like_reference(source, self.codec)
        output = OutputFormat(source.sample_rate_hz, source.channels, source.n_samples, encoded.gain, encoded.lufs)
        return tokens_of_codes(encoded.codes_NCT, output, n_readers)

    def keep(
        self,
        prompt: Prompt,
        n_frames: int,
        seed: int,
        find_events: Callable[[str], Sequence[float]] | None = None,
        start_frame: int = 0,
    ) -> Tensor:
        """keep_CT (C, T), bool: what a prompt keeps of material of `n_frames` frames, its draws made with `seed`.

        `find_events` gives the moments (seconds) of "beats", "downbeats" and "onsets" to prompts that need them.
        `start_frame`: the material's first frame within the file that times and periods count from.
        """
        return keep_tokens(prompt, self.codec, n_frames, seed, find_events, start_frame)

    def fill(self, requests: Sequence[WindowRequest]) -> list[Tensor]:
        """Codes (B, C, T) of windows of one kind, on the CPU; each comes out as it would alone.

        In bfloat16 they are filled as one batch only where batches of that size were seen to round alike.
        """
        if len(requests) > 1 and not self._proof.holds(requests):
            return [filled for request in requests for filled in self._filled([request])]
        return self._filled(requests)

    def _filled(self, requests: Sequence[WindowRequest]) -> list[Tensor]:
        stage, settings, started = requests[0].stage, requests[0].settings, time.perf_counter()
        codes_BCT = torch.cat([request.codes_BCT for request in requests]).to(self.device)
        keep_BCT = torch.cat([request.keep_BCT for request in requests]).to(self.device)
        seeds = [seed for request in requests for seed in request.seeds]

        def report(done: int, _: int) -> None:
            for request in requests:
                if request.watcher is not None:
                    request.watcher.step(request, done)

        controlled = self._hear(requests)
        filled_BCT = fill(stage.model, codes_BCT, keep_BCT, settings, seeds, stage.steps, report, controlled).cpu()
        share_s = (time.perf_counter() - started) / len(requests)
        for request in requests:
            if request.watcher is not None:
                request.watcher.filled(request, share_s)
        return list(filled_BCT.split([len(request.seeds) for request in requests]))

    def _hear(self, requests: Sequence[WindowRequest]) -> ControlledNetwork | None:
        """The coarse network under the controls of windows of one kind; None where they have none."""
        heard = [request.heard for request in requests if request.heard is not None for _ in request.seeds]
        if not heard:
            return None
        self.check_hears()
        assert isinstance(self.coarse, MaskedTransformer) and self.conditioning is not None
        return hear(self.coarse, self.conditioning, [own.controls for own in heard], heard[0].guidance)

    @property
    def hears(self) -> tuple[str, ...]:
        """Groups of controls that the coarse network follows, as this pipeline runs it; none of most bundles."""
        if self.conditioning is None or self.compat or self.backend != "torch":
            return ()
        return self.conditioning.config.groups

    def check_hears(self, groups: Sequence[str] = ()) -> None:
        """Raise SettingsError, with the cause, where the coarse network follows no controls, or not these groups."""
        if self.conditioning is None:
            raise SettingsError(
                f"{self.bundle.folder}: this bundle hears no controls; use one with conditioning, or leave them out"
            )
        if not self.hears:
            what = f"compat {self.compat!r}" if self.compat else f"backend {self.backend!r}"
            raise SettingsError(f"{what} runs the network without controls; leave it or the controls out")
        if unheard := [group for group in groups if group not in self.hears]:
            raise SettingsError(
                f"the network of {self.bundle.folder} follows {', '.join(self.hears)}, but not {', '.join(unheard)}; "
                "make several variations and take the one that follows best (vampnet.choose)"
            )

    @property
    def precision(self) -> str:
        """Number format of the networks: "float32", "bfloat16" or "int8"."""
        return "int8" if self._in_integers else str(self.dtype).removeprefix("torch.")

    @cached_property
    def weights_digest(self) -> str:
        """SHA-256 of all weights, adapters included: says whether two models are the same.

        Conditioning is left out: it changes nothing where no controls are followed (see `conditioning_digest`).
        """
        assert self.bundle.coarse is not None and self.bundle.c2f is not None
        return digest_weights((self.codec, self.bundle.coarse, self.bundle.c2f))

    @cached_property
    def conditioning_digest(self) -> str:
        """SHA-256 of the conditioning's weights; empty where there is none."""
        return "" if self.conditioning is None else digest_weights((self.conditioning,))

    @property
    def id(self) -> str:
        """Model id: the first 16 hexadecimal digits of the weights' digest."""
        return self.weights_digest[:16]


def load_pipeline(
    name: str | os.PathLike[str],
    kind: type[P],
    *,
    device: str = "auto",
    lora: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    backend: str = "torch",
    precision: str = "auto",
    compat: str = "",
) -> P:
    """Load a bundle with its adapters as a `kind` of pipeline; the arguments are those of `vampnet.load`.

    Raises BundleError, SettingsError or DependencyError.
    """
    place = select_device(device)
    check_backend(backend, place, check_compat(compat), precision)  # before seconds of loading
    dtype = torch.float32 if compat else select_precision(precision, place)
    # Adapters are added to the weights as they were trained, in float32.
    bundle = load_bundle(name, torch.float32 if lora else held_format(dtype, backend, precision))
    for text in (lora,) if isinstance(lora, (str, os.PathLike)) else lora:
        path, strength = parse_adapter(os.fspath(text))
        apply_adapter(bundle, read_adapter(path), strength, path)
    return kind(bundle, device, compat=compat, backend=backend, precision=precision)


def held_format(dtype: torch.dtype, backend: str, precision: str) -> torch.dtype:
    """Format that the networks' matrices are loaded in; OpenVINO's own, and integers, are made from float32."""
    return torch.float32 if backend == "openvino" or precision == "int8" else dtype
