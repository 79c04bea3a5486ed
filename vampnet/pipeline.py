"""Vampnet: encode, prompt, coarse, coarse-to-fine, decode, for audio of any length, rate and channel count.

Long material is generated in windows (10 s coarse, 3 s coarse-to-fine). Each window but the first begins with frames
that are already generated and sees them as context, so what is continued knows what came before and there is no seam.
Audio streams through in blocks; only the codes of a file, 1.6 kB per second and channel, are held in memory.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vampnet.adapters import apply_adapter, parse_adapter, read_adapter
from vampnet.audio import Audio, AudioWriter, Samples
from vampnet.checkpoint import Bundle, load_bundle
from vampnet.compat import check_compat, encode_like_reference, reference_chunk, reference_windows
from vampnet.config import Sampling, check
from vampnet.device import inference_dtype, select_device
from vampnet.errors import BundleError
from vampnet.frames import samples_to_seconds, seconds_to_frames, windows
from vampnet.model import MaskedTransformer
from vampnet.prompts import Periodic, Prompt, PromptContext, resolve
from vampnet.rhythm import Rhythm, find_rhythm
from vampnet.sampling import fill
from vampnet.streams import Encoded, FileSource, MemorySource, Source, Spool, decode_blocks, encode

COARSE_WINDOW_S, COARSE_CONTEXT_S = 10.0, 2.5
"""Length of a coarse window and of the generated context it begins with, seconds (paper: 10 s)."""
C2F_WINDOW_S, C2F_CONTEXT_S = 3.0, 0.75
"""The same for the coarse-to-fine model (paper: 3 s)."""
DEFAULT_PROMPT = Periodic(7)
"""Keeps every seventh frame: a variation that stays close to the input's rhythm and harmony."""

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total); stage is "encode", "coarse", "c2f" or "decode"."""


@dataclass(frozen=True)
class Timings:
    """Seconds spent."""

    encode_s: float
    coarse_s: float
    c2f_s: float
    decode_s: float
    audio_s: float
    """Audio that was made, all variations together."""

    @property
    def total_s(self) -> float:
        return self.encode_s + self.coarse_s + self.c2f_s + self.decode_s

    @property
    def real_time_factor(self) -> float:
        """Seconds of audio made per second of work; above 1 is faster than real time."""
        return self.audio_s / max(self.total_s, 1e-9)


@dataclass(frozen=True, eq=False)
class Tokens:
    """One variation in codes. N is the number of channels, which share prompt and seed."""

    codes_NCT: Tensor
    """The new codes, int32."""
    mask_CT: Tensor
    """bool, True where tokens were regenerated."""
    seed: int
    """The seed that this variation was drawn with."""


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


class Vampnet:
    """A loaded bundle on a device."""

    def __init__(self, bundle: Bundle, device: str = "auto", compat: str = "") -> None:
        """`compat="reference"` prepares and cuts audio as the authors' code does, in float32 (see `vampnet.compat`).

        Raises BundleError for a bundle that holds only a codec, SettingsError for a device that is not there.
        """
        self.compat = check_compat(compat)
        if bundle.coarse is None or bundle.c2f is None:
            raise BundleError(f"{bundle.folder}: holds only a codec; vamping needs a coarse and a c2f model too")
        self.device = select_device(device)
        self.dtype = torch.float32 if self.compat else inference_dtype(self.device)
        self.bundle = bundle
        self.codec = bundle.codec.to(self.device)
        self.coarse, self.c2f = bundle.coarse.to(self.device), bundle.c2f.to(self.device)

    def vamp(
        self,
        audio: Audio,
        prompt: Prompt = DEFAULT_PROMPT,
        sampling: Sampling = Sampling(),  # noqa: B008  (frozen)
        progress: Progress | None = None,
        rhythm: Rhythm | None = None,
    ) -> Result:
        """One variation of `audio`: tokens that the prompt keeps stay, the others are generated.

        `rhythm` says where beats are; without it, a prompt that needs them has them found in the audio.
        The result is a function of (audio, prompt, sampling) alone. Raises VampnetError for unusable input.
        """
        return self.variations(audio, 1, prompt, sampling, progress, rhythm)[0]

    def variations(
        self,
        audio: Audio,
        n: int,
        prompt: Prompt = DEFAULT_PROMPT,
        sampling: Sampling = Sampling(),  # noqa: B008
        progress: Progress | None = None,
        rhythm: Rhythm | None = None,
    ) -> list[Result]:
        """`n` variations, generated as one batch; number k equals `vamp` with seed + k."""
        source = MemorySource(audio)
        clock = _Clock()
        encoded, tokens = self._tokens(source, n, prompt, sampling, progress, clock, rhythm)
        audios = []
        with clock.stage("decode"):
            for number, item in enumerate(tokens):
                blocks = list(self._decoded(item, encoded, source.channels))
                audios.append(Audio(np.concatenate(blocks, axis=1), encoded.sample_rate_hz))
                if progress is not None:
                    progress("decode", number + 1, n)
        timings = clock.timings(n * audio.duration_s)
        pairs = zip(audios, tokens, strict=True)
        return [Result(made, item.codes_NCT, item.mask_CT, item.seed, timings) for made, item in pairs]

    def vamp_file(
        self,
        input_path: str | os.PathLike[str],
        output_paths: list[Path],
        prompt: Prompt = DEFAULT_PROMPT,
        sampling: Sampling = Sampling(),  # noqa: B008
        progress: Progress | None = None,
        rhythm: Rhythm | None = None,
    ) -> tuple[list[Tokens], Timings]:
        """One variation of a file per output path, in memory that does not grow with the audio (codes apart).

        An output file appears whole or not at all. Raises AudioError naming the file and the cause.
        """
        source = FileSource(Path(input_path))
        with contextlib.ExitStack() as stack:
            # Opened first: an output that cannot be written should fail before minutes of work.
            writers = [
                stack.enter_context(AudioWriter(path, source.sample_rate_hz, source.channels, like=source.info))
                for path in output_paths
            ]
            clock = _Clock()
            encoded, tokens = self._tokens(source, len(writers), prompt, sampling, progress, clock, rhythm)
            with clock.stage("decode"):
                for number, (item, writer) in enumerate(zip(tokens, writers, strict=True)):
                    for block in self._decoded(item, encoded, source.channels):
                        writer.write(block)
                    if progress is not None:
                        progress("decode", number + 1, len(writers))
        audio_s = len(writers) * samples_to_seconds(source.n_samples, source.sample_rate_hz)
        return tokens, clock.timings(audio_s)

    def _tokens(
        self,
        source: Source,
        n: int,
        prompt: Prompt,
        sampling: Sampling,
        progress: Progress | None,
        clock: _Clock,
        rhythm: Rhythm | None,
    ) -> tuple[Encoded, list[Tokens]]:
        check("number of variations", n, 1, 1000)
        with clock.stage("encode"):
            if self.compat:
                encoded = encode_like_reference(source, self.codec)
            else:
                encoded = encode(source, self.codec, _staged(progress, "encode"))
        seeds = [(sampling.seed + k) % 2**63 for k in range(n)]
        heard = Listener(source, rhythm)
        masks_VCT = torch.stack([self.mask(prompt, encoded.codes_NCT.shape[2], seed, heard.events) for seed in seeds])
        codes_VNCT = self.generate(encoded.codes_NCT, masks_VCT, sampling, seeds, progress, clock)
        items = zip(codes_VNCT, masks_VCT, seeds, strict=True)
        return encoded, [Tokens(codes, mask, seed) for codes, mask, seed in items]

    def mask(
        self, prompt: Prompt, n_frames: int, seed: int, find_events: Callable[[str], Sequence[float]] | None = None
    ) -> Tensor:
        """The mask (C, T), True = regenerate, that a prompt gives for material of `n_frames` frames.

        `find_events` gives the moments (seconds) of "beats", "downbeats" and "onsets" to prompts that need them.
        """
        generator = torch.Generator().manual_seed(derive_seed(seed, "prompt", 0))
        context = PromptContext(
            self.codec.n_codebooks,
            n_frames,
            self.codec.sample_rate_hz,
            self.codec.hop,
            generator=generator,
            find_events=find_events,
        )
        return resolve(prompt, context)

    def generate(
        self,
        codes_NCT: Tensor,
        masks_VCT: Tensor,
        sampling: Sampling,
        seeds: list[int],
        progress: Progress | None = None,
        clock: _Clock | None = None,
    ) -> Tensor:
        """Codes of N channels, V masks and seeds -> new codes (V, N, C, T), int32, on the CPU."""
        n_variations, n_channels = len(masks_VCT), len(codes_NCT)
        clock = clock or _Clock()
        codes_BCT = codes_NCT.repeat(n_variations, 1, 1)
        mask_BCT = masks_VCT.repeat_interleave(n_channels, dim=0)
        seeds_B = [seed for seed in seeds for _ in range(n_channels)]
        for stage in self._stages(sampling):
            with clock.stage(stage.name):
                codes_BCT = self._fill_windows(stage, codes_BCT, mask_BCT, sampling, seeds_B, progress)
        return codes_BCT.unflatten(0, (n_variations, n_channels))

    def _stages(self, sampling: Sampling) -> tuple[_Stage, _Stage]:
        rate_hz, hop = self.codec.sample_rate_hz, self.codec.hop
        coarse_frames = [seconds_to_frames(s, rate_hz, hop) for s in (COARSE_WINDOW_S, COARSE_CONTEXT_S)]
        c2f_frames = [seconds_to_frames(s, rate_hz, hop) for s in (C2F_WINDOW_S, C2F_CONTEXT_S)]
        return (
            _Stage("coarse", self.coarse, sampling.steps, *coarse_frames),
            _Stage("c2f", self.c2f, sampling.c2f_steps, *c2f_frames),
        )

    def _fill_windows(
        self,
        stage: _Stage,
        codes_BCT: Tensor,
        mask_BCT: Tensor,
        sampling: Sampling,
        seeds: list[int],
        progress: Progress | None,
    ) -> Tensor:
        """Run one model over all windows; returns all codebooks, those the model predicts filled in."""
        n_read, codes_BCT = stage.model.config.n_codebooks, codes_BCT.clone()
        n_frames = codes_BCT.shape[2]
        if self.compat:
            spans = reference_windows(n_frames, stage.window_frames)
        else:
            spans = windows(n_frames, stage.window_frames, stage.context_frames)
        for number, span in enumerate(spans):
            window = codes_BCT[:, :n_read, span.start : span.stop].to(self.device, torch.int64)
            # What earlier windows generated is context now, as much as what the prompt keeps.
            masked = mask_BCT[:, :n_read, span.start : span.stop].clone()
            masked[:, :, : span.n_context] = False
            if self.compat:
                n_given = stage.model.config.n_conditioning_codebooks
                window, masked = reference_chunk(window, masked, n_given, stage.window_frames)
            window_seeds = [derive_seed(seed, stage.name, number) for seed in seeds]
            report = _within(progress, stage.name, number, len(spans))
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
                filled = fill(stage.model, window, masked.to(self.device), sampling, window_seeds, stage.steps, report)
            codes_BCT[:, :n_read, span.start : span.stop] = filled[:, :, : span.n_frames].to("cpu", torch.int32)
        return codes_BCT

    def _decoded(self, item: Tokens, encoded: Encoded, channels: int) -> Iterator[Samples]:
        n_decoded = len(item.codes_NCT)
        with Spool(n_decoded, encoded.sample_rate_hz) as spool:
            for block in decode_blocks(item.codes_NCT, self.codec, encoded.sample_rate_hz, encoded.n_samples):
                spool.add(block)
            for block in spool.levelled(encoded):
                yield np.repeat(block, channels // n_decoded, axis=0)  # mono alone with compat


def load(
    name: str | os.PathLike[str] = "default",
    device: str = "auto",
    lora: Sequence[str | os.PathLike[str]] = (),
    compat: str = "",
) -> Vampnet:
    """Load a model: "default" (embedded), a folder, or OWNER/NAME on the hub.

    A folder or repository is a bundle, or holds the authors' `codec.pth`, `coarse.pth` and `c2f.pth`.

    `lora` names adapter files, each with an optional strength: "jazz.safetensors:0.5"; several add up.
    `compat="reference"` prepares and cuts audio as the authors' code does (see `vampnet.compat`).
    Raises BundleError for a bundle or adapter that is missing, damaged or does not fit.
    """
    bundle = load_bundle(name)
    for text in lora:
        path, strength = parse_adapter(os.fspath(text))
        apply_adapter(bundle, read_adapter(path), strength, path)
    return Vampnet(bundle, device, compat)


def derive_seed(seed: int, stage: str, number: int) -> int:
    """A seed of its own for each stage and window: equal windows of a file shall not come out equal."""
    words = (seed, *stage.encode(), number)
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))


@dataclass(frozen=True, eq=False)
class _Stage:
    """One of the two models and how it runs over long material."""

    name: str
    model: MaskedTransformer
    steps: int
    """Passes per window."""
    window_frames: int
    context_frames: int
    """Frames at the start of a window that are generated already."""


class Listener:
    """Finds events in a source when first asked, and only what it was not told."""

    def __init__(self, source: Source, rhythm: Rhythm | None) -> None:
        self.source, self.given, self.found = source, rhythm, None

    def events(self, kind: str) -> Sequence[float]:
        given = self.given.events(kind) if self.given is not None else ()
        if given:
            return given
        if self.found is None:
            self.found = find_rhythm(self.source.blocks(), self.source.sample_rate_hz, self.source.n_samples)
        return self.found.events(kind)


class _Clock:
    """Adds up the seconds of named stages."""

    def __init__(self) -> None:
        self.seconds = {"encode": 0.0, "coarse": 0.0, "c2f": 0.0, "decode": 0.0}

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - started

    def timings(self, audio_s: float) -> Timings:
        s = self.seconds
        return Timings(s["encode"], s["coarse"], s["c2f"], s["decode"], audio_s)


def _staged(progress: Progress | None, stage: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(stage, done, total)


def _within(progress: Progress | None, stage: str, number: int, count: int) -> Callable[[int, int], None] | None:
    """Progress of one window as a part of all windows."""
    if progress is None:
        return None
    return lambda done, total: progress(stage, number * total + done, count * total)
