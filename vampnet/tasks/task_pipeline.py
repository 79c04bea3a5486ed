"""Base of models with tasks: runs a task once per variation, makes and opens .vamp files."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal, overload

import torch

from vampnet.audio.inputs import AudioLike, as_audio
from vampnet.audio.sources import MemorySource
from vampnet.compression.config import CompressionConfig
from vampnet.compression.container import VampReader, open_vamp
from vampnet.errors import SettingsError
from vampnet.generation.config import SamplingConfig, check_draws
from vampnet.generation.pipeline import Pipeline
from vampnet.generation.progress import Report
from vampnet.generation.run import Run, run_all
from vampnet.storage import write_whole
from vampnet.tasks.compress import CompressionReport, compress, decode_whole, decompress
from vampnet.tasks.task import Session, Variation, Workspace

Variations = Variation | list[Variation]
"""One variation where n is 1, else a list of n."""


class TaskPipeline(Pipeline):
    """A pipeline that runs tasks, compresses and decompresses; the base of `VampNet`."""

    def compress(
        self,
        audio: AudioLike,
        path: str | os.PathLike[str],
        *,
        compression: CompressionConfig = CompressionConfig(),
        sampling: SamplingConfig = SamplingConfig(),
        report: Report | None = None,
    ) -> CompressionReport:
        """Write a .vamp file of some of the tokens; the others are generated when it is opened.

        >>> model.compress("song.wav", "song.vamp", compression=vampnet.CompressionConfig(codebooks=3))
        """
        file = io.BytesIO()
        made = compress(MemorySource(as_audio(audio)), file, self, compression, sampling, report)
        write_whole(Path(path), file.getvalue())
        return made

    @overload
    def decompress(self, path: str | os.PathLike[str], *, n: Literal[1] = 1, seed: int | None = ...,
                   any_model: bool = ..., report: Report | None = ...) -> Variation: ...  # fmt: skip
    @overload
    def decompress(self, path: str | os.PathLike[str], *, n: int, seed: int | None = ..., any_model: bool = ...,
                   report: Report | None = ...) -> list[Variation]: ...  # fmt: skip
    def decompress(
        self,
        path: str | os.PathLike[str],
        *,
        n: int = 1,
        seed: int | None = None,
        any_model: bool = False,
        report: Report | None = None,
    ) -> Variations:
        """Open a .vamp file; tokens that it does not hold are generated, with its own seed or `seed`.

        >>> model.decompress("song.vamp").save("song.wav")
        """
        with open_vamp(path) as file:
            reader = VampReader(file, str(path))
            generation = reader.header.generation
            if generation is None:
                if seed is not None or n != 1:
                    raise SettingsError(f"{path} holds all tokens, so a seed or variations would change nothing")
                with Workspace(self, SamplingConfig()) as space:
                    sound = decode_whole(reader, self.codec, space.spool(reader.header.channels), report)
                    keep_CT = torch.ones(self.codec.n_codebooks, 0, dtype=torch.bool)
                    return Variation(sound, 0, keep_CT, frames_per_s=self.codec.frames_per_s).in_memory()
            sampling = generation.sampling
            if seed is not None:
                sampling = SamplingConfig(**{**vars(sampling), "seed": seed})
            return self._run(n, sampling, report, lambda session: decompress(session, reader, any_model=any_model))

    def _run(
        self,
        n: int,
        sampling: SamplingConfig,
        report: Report | None,
        task: Callable[[Session], Run[Variation]],
    ) -> Variations:
        """Run a task once per variation."""
        check_draws(n, sampling)
        with Workspace(self, sampling, n, report=report) as space:
            runs = [task(space.session(number)) for number in range(1, n + 1)]
            made = [one.in_memory() for one in run_all(runs, self.fill, at_once=self.runs_at_once)]
        return made[0] if n == 1 else made
