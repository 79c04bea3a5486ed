"""VampNet: encode, prompt, coarse, coarse-to-fine, decode, for audio of any length, rate and channel count.

Long material is generated in windows (10 s coarse, 3 s coarse-to-fine, see `vampnet.generation.windows`), and
streams: while one window is generated, the next has not been encoded and the last has been decoded (see
`vampnet.generation.stream`). So memory does not grow with the audio, but for the mask, 0.8 kB per second and variation.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vampnet.audio.files import Audio
from vampnet.audio.output_format import Target, restored
from vampnet.audio.sources import MemorySource, Source
from vampnet.audio.spool import Spool
from vampnet.audio.units import seconds_to_frames
from vampnet.beats.event_finder import EventFinder
from vampnet.beats.events import Events, TrackerConfig
from vampnet.config import check
from vampnet.device import inference_dtype, select_device
from vampnet.errors import BundleError
from vampnet.generation.config import SamplingConfig
from vampnet.generation.reference_mode import check_compat, encode_like_reference
from vampnet.generation.sampling import TokenNetwork, fill
from vampnet.generation.state import State, weights_digest
from vampnet.generation.stream import Job
from vampnet.generation.timings import Clock, Progress, Timings
from vampnet.generation.tokens import Material, material_of, material_of_codes
from vampnet.generation.windows import Generation, Request, Stage, derive_seed
from vampnet.models.bundle import load_bundle
from vampnet.models.format import Bundle
from vampnet.models.lora import apply_adapter, parse_adapter, read_adapter
from vampnet.models.openvino import OpenVinoNetwork, check_backend
from vampnet.prompts.context import PromptContext
from vampnet.prompts.parts import Periodic, Prompt

COARSE_WINDOW_S, COARSE_CONTEXT_S = 10.0, 2.5
"""Length of a coarse window and of the generated context it begins with, seconds (paper: 10 s)."""
C2F_WINDOW_S, C2F_CONTEXT_S = 3.0, 0.75
"""The same for the coarse-to-fine model (paper: 3 s)."""
DEFAULT_PROMPT = Periodic(7)
"""Keeps every seventh frame: a variation that stays close to the input's rhythm and harmony."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """What one variation was drawn with."""

    seed: int
    mask_CT: Tensor
    """bool, True where tokens were regenerated."""


@dataclass(frozen=True, eq=False)
class Result:
    """One variation in memory."""

    audio: Audio
    """Same rate, channels and number of samples as the input."""
    codes_NCT: Tensor
    """The new codes, int32, one item per channel."""
    mask_CT: Tensor
    """bool, True where tokens were regenerated."""
    seed: int
    """The seed that this variation was drawn with."""
    timings: Timings


class VampNet:
    """A loaded bundle on a device."""

    def __init__(self, bundle: Bundle, device: str = "auto", compat: str = "", backend: str = "torch") -> None:
        """`compat="reference"` prepares and cuts audio as the authors' code does, in float32 (see
        `vampnet.generation.reference_mode`).

        `backend="openvino"` has OpenVINO run the networks (see `vampnet.models.openvino`). Raises BundleError for a
        bundle that holds only a codec, SettingsError for a device or backend that is not there.
        """
        self.compat = check_compat(compat)
        if bundle.coarse is None or bundle.c2f is None:
            raise BundleError(f"{bundle.folder}: holds only a codec; vamping needs a coarse and a c2f model too")
        self.device = select_device(device)
        self.dtype = _number_format(self.device, compat)
        self.codec = bundle.codec.in_format(self.dtype).to(self.device)
        self.backend = check_backend(backend, self.device, self.compat)
        # In the number format that they run in, once: casting at every use would be a slow second copy.
        held = _held_format(self.device, compat, backend)
        coarse, c2f = (m.in_format(held).to(self.device) for m in (bundle.coarse, bundle.c2f))
        self.bundle = dataclasses.replace(bundle, codec=self.codec, coarse=coarse, c2f=c2f)
        self.coarse: TokenNetwork = coarse
        self.c2f: TokenNetwork = c2f
        if backend == "openvino":
            self.coarse, self.c2f = OpenVinoNetwork(coarse, self.dtype), OpenVinoNetwork(c2f, self.dtype)

    def vamp(
        self,
        audio: Audio,
        prompt: Prompt = DEFAULT_PROMPT,
        sampling: SamplingConfig = SamplingConfig(),
        progress: Progress | None = None,
        rhythm: Events | TrackerConfig | None = None,
    ) -> Result:
        """One variation of `audio`: tokens that the prompt keeps stay, the others are generated.

        `rhythm` says where beats are, or how to find them; they are looked for only when a prompt needs them.
        The result is a function of (audio, prompt, sampling) alone. Raises VampnetError for unusable input.
        """
        return self.variations(audio, 1, prompt, sampling, progress, rhythm)[0]

    def variations(
        self,
        audio: Audio,
        n: int,
        prompt: Prompt = DEFAULT_PROMPT,
        sampling: SamplingConfig = SamplingConfig(),
        progress: Progress | None = None,
        rhythm: Events | TrackerConfig | None = None,
    ) -> list[Result]:
        """`n` variations, generated as one batch; number k equals `vamp` with seed + k."""
        source, clock = MemorySource(audio), Clock()
        material = self.prepare(source, clock)
        drawn = self.draw(source, material.n_frames, n, prompt, sampling, rhythm)
        masks_VCT, seeds = torch.stack([item.mask_CT for item in drawn]), [item.seed for item in drawn]
        generation = self.generation(masks_VCT, material.n_items, sampling, seeds)
        with contextlib.ExitStack() as stack:
            spools = [stack.enter_context(Spool(material.n_items)) for _ in drawn]
            job = Job(material, generation, self.codec, spools, clock, progress, keep_codes=True)
            self.run(job, sampling, clock, progress)
            with clock.stage("decode"):
                audios = [self.restore(spool, material.target) for spool in spools]
        timings = clock.timings(n * audio.duration_s)
        trios = zip(audios, job.codes(), drawn, strict=True)
        return [Result(made, codes_NCT, item.mask_CT, item.seed, timings) for made, codes_NCT, item in trios]

    def vamp_file(
        self,
        input_path: str | os.PathLike[str],
        output_paths: list[Path],
        prompt: Prompt = DEFAULT_PROMPT,
        sampling: SamplingConfig = SamplingConfig(),
        progress: Progress | None = None,
        rhythm: Events | TrackerConfig | None = None,
        resume: bool = False,
    ) -> tuple[list[Drawn], Timings]:
        """One variation of a file per output path, in memory that does not grow with the audio.

        An output file appears whole or not at all. Work that is interrupted is kept beside the first output (see
        `vampnet.jobs.resume`), and `resume` goes on with it. Raises AudioError naming the file and the cause,
        SettingsError for unfinished work of other settings, Interrupted at Ctrl-C, when part files were written.
        """
        from vampnet.jobs.file_job import FileJob  # the layer above this one

        file_job = FileJob(self, Path(input_path), output_paths, prompt, sampling, progress, rhythm, resume)
        with file_job:
            self.run(file_job.job, sampling, file_job.clock, progress)
            return file_job.finish()

    # Steps of the above, for tasks ------------------------------------------------------------------------------

    def prepare(self, source: Source, clock: Clock) -> Material:
        """A source, measured and ready to be encoded."""
        with clock.stage("encode"):
            if not self.compat:
                return material_of(source, self.codec)
            encoded = encode_like_reference(source, self.codec)
            target = Target(source.sample_rate_hz, source.channels, source.n_samples, encoded.gain, encoded.lufs)
            return material_of_codes(encoded.codes_NCT, target)

    def draw(
        self,
        source: Source,
        n_frames: int,
        n: int,
        prompt: Prompt,
        sampling: SamplingConfig,
        rhythm: Events | TrackerConfig | None,
    ) -> list[Drawn]:
        """Seeds and masks of `n` variations."""
        check("number of variations", n, 1, 1000)
        heard = EventFinder(source, rhythm)
        seeds = [(sampling.seed + k) % 2**63 for k in range(n)]
        return [Drawn(seed, self.mask(prompt, n_frames, seed, heard.events)) for seed in seeds]

    def mask(
        self,
        prompt: Prompt,
        n_frames: int,
        seed: int,
        find_events: Callable[[str], Sequence[float]] | None = None,
        start_frame: int = 0,
    ) -> Tensor:
        """The mask (C, T), True = regenerate, that a prompt gives for material of `n_frames` frames.

        `find_events` gives the moments (seconds) of "beats", "downbeats" and "onsets" to prompts that need them.
        `start_frame`: the material's first frame within the file that times and periods count from.
        """
        generator = torch.Generator().manual_seed(derive_seed(seed, "prompt", 0))
        context = PromptContext(
            self.codec.n_codebooks,
            n_frames,
            self.codec.sample_rate_hz,
            self.codec.hop,
            generator=generator,
            start_frame=start_frame,
            find_events=find_events,
        )
        return ~prompt.keep(context)

    def generation(
        self,
        masks_VCT: Tensor,
        n_channels: int,
        sampling: SamplingConfig,
        seeds: Sequence[int],
        state: State | None = None,
    ) -> Generation:
        """Both models over material of the masks' length, from its start or from where it was left."""
        stages = self._stages(sampling)
        if state is None:
            return Generation(stages, masks_VCT, n_channels, seeds)
        return Generation(stages, masks_VCT, n_channels, seeds, state.n_done, state.codes_BCT, state.first)

    def run(self, job: Job, sampling: SamplingConfig, clock: Clock, progress: Progress | None = None) -> None:
        """Do a job to its end."""
        while (request := job.request()) is not None:
            with clock.stage(request.stage.name):
                filled = self.fill([request], sampling, _within(progress, request))
            job.accept(filled[0])

    def fill(
        self, requests: Sequence[Request], sampling: SamplingConfig, report: Callable[[int, int], None] | None = None
    ) -> list[Tensor]:
        """Windows of one kind, filled as one batch; each comes out as it would alone."""
        stage = requests[0].stage
        codes_BCT = torch.cat([request.codes_BCT for request in requests]).to(self.device)
        mask_BCT = torch.cat([request.mask_BCT for request in requests]).to(self.device)
        seeds = [seed for request in requests for seed in request.seeds]
        filled_BCT = fill(stage.model, codes_BCT, mask_BCT, sampling, seeds, stage.steps, report)
        return list(filled_BCT.split([len(request.seeds) for request in requests]))

    def generate(
        self,
        codes_NCT: Tensor,
        masks_VCT: Tensor,
        sampling: SamplingConfig,
        seeds: list[int],
        progress: Progress | None = None,
        clock: Clock | None = None,
    ) -> Tensor:
        """Codes of N channels, V masks and seeds -> new codes (V, N, C, T), int32, on the CPU."""
        clock = clock or Clock()
        target = Target(self.codec.sample_rate_hz, len(codes_NCT), codes_NCT.shape[2] * self.codec.hop)
        material = material_of_codes(codes_NCT.int(), target)
        generation = self.generation(masks_VCT, len(codes_NCT), sampling, seeds)
        job = Job(material, generation, self.codec, (), clock, keep_codes=True)
        self.run(job, sampling, clock, progress)
        return job.codes()

    def restore(self, spool: Spool, target: Target) -> Audio:
        """Decoded audio, brought to its target, in memory."""
        blocks = list(restored(spool, self.codec.sample_rate_hz, target))
        return Audio(np.concatenate(blocks, axis=1), target.sample_rate_hz)

    def takes_windows(self, n_frames: int) -> bool:
        """Whether material of so many frames is generated in several coarse windows."""
        return len(self._stages(SamplingConfig())[0].spans(n_frames)) > 1

    @cached_property
    def weights_digest(self) -> str:
        """Says whether two models are the same, adapters included."""
        assert self.bundle.coarse is not None and self.bundle.c2f is not None
        return weights_digest((self.codec, self.bundle.coarse, self.bundle.c2f))

    def _stages(self, sampling: SamplingConfig) -> tuple[Stage, Stage]:
        rate_hz, hop = self.codec.sample_rate_hz, self.codec.hop
        coarse_frames = [seconds_to_frames(s, rate_hz, hop) for s in (COARSE_WINDOW_S, COARSE_CONTEXT_S)]
        c2f_frames = [seconds_to_frames(s, rate_hz, hop) for s in (C2F_WINDOW_S, C2F_CONTEXT_S)]
        alone = bool(self.compat)
        return (
            Stage("coarse", self.coarse, sampling.steps, *coarse_frames, like_reference=alone),
            Stage("c2f", self.c2f, sampling.c2f_steps, *c2f_frames, like_reference=alone),
        )


def load(
    name: str | os.PathLike[str] = "default",
    device: str = "auto",
    lora: Sequence[str | os.PathLike[str]] = (),
    compat: str = "",
    backend: str = "torch",
) -> VampNet:
    """Load a model: "default" (embedded), a folder, or OWNER/NAME on the hub.

    A folder or repository is a bundle, or holds the authors' `codec.pth`, `coarse.pth` and `c2f.pth`.

    `lora` names adapter files, each with an optional strength: "jazz.safetensors:0.5"; several add up.
    `compat="reference"` prepares and cuts audio as the authors' code does (see `vampnet.generation.reference_mode`).
    `backend="openvino"` has OpenVINO run the networks (see `vampnet.models.openvino`).
    Raises BundleError for a bundle or adapter that is missing, damaged or does not fit, SettingsError for a device or
    backend that is unknown or not there, DependencyError for a backend that is not installed.
    """
    check_backend(backend, select_device(device), check_compat(compat))  # before seconds of loading
    # Adapters are added to the weights as they were trained, in float32.
    bundle = load_bundle(name, torch.float32 if lora else _held_format(select_device(device), compat, backend))
    for text in lora:
        path, strength = parse_adapter(os.fspath(text))
        apply_adapter(bundle, read_adapter(path), strength, path)
    return VampNet(bundle, device, compat, backend)


def _number_format(device: torch.device, compat: str) -> torch.dtype:
    """What the networks compute in."""
    return torch.float32 if compat else inference_dtype(device)


def _held_format(device: torch.device, compat: str, backend: str) -> torch.dtype:
    """What their matrices are held in; OpenVINO makes its own from float32."""
    return torch.float32 if backend == "openvino" else _number_format(device, compat)


def _within(progress: Progress | None, request: Request) -> Callable[[int, int], None] | None:
    """Progress of one window as a part of all windows."""
    if progress is None:
        return None
    name, number, count = request.stage.name, request.number, request.n_windows
    return lambda done, total: progress(name, number * total + done, count * total)
