"""Progress of a variation at work: steps, encoded and decoded frames as shares, and what can be heard so far."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor

from vampnet.audio.files import Samples
from vampnet.audio.output_format import OutputFormat, RestoredSource
from vampnet.audio.spool import Spool
from vampnet.audio.units import resampled_length
from vampnet.generation.decoding import DecodeStream
from vampnet.generation.progress import Clock
from vampnet.generation.run import WindowRequest
from vampnet.generation.tokens import TokenStream

if TYPE_CHECKING:
    from vampnet.tasks.task import Session


class SessionWatcher:
    """Turns steps, encoded and decoded frames of one generation into progress and seconds."""

    def __init__(self, session: Session, n_steps: int) -> None:
        self._session, self._n_steps = session, n_steps
        self._done = self._within = 0

    def step(self, request: WindowRequest, done: int) -> None:
        """A decoding step of a window is done."""
        n_frames = request.codes_BCT.shape[2]
        self._within = done * n_frames
        self._tell(request.stage.name, done, request.stage.steps)

    def filled(self, request: WindowRequest, seconds: float) -> None:
        """A window is filled."""
        self._session.workspace.clock.seconds[request.stage.name] += seconds

    def advanced(self, request: WindowRequest) -> None:
        """The run has the codes of a window."""
        self._done += request.stage.steps * request.codes_BCT.shape[2]
        self._within = 0
        self._tell(request.stage.name, request.stage.steps, request.stage.steps)

    def encoded(self, done: int, total: int) -> None:
        """So many frames are encoded."""
        self._tell("encode", done, total)

    def decoded(self, done: int, total: int) -> None:
        """So many frames are decoded."""
        self._tell("decode", done, total)

    def _tell(self, stage: str, done: int, total: int) -> None:
        share = min((self._done + self._within) / max(self._n_steps, 1), 1.0)
        self._session.tell(stage, done, total, share)


class TimedTokens(TokenStream):
    """A token stream whose encoding is timed and reported."""

    def __init__(self, tokens: TokenStream, clock: Clock, watcher: SessionWatcher) -> None:
        def encode() -> Iterator[Tensor]:
            blocks, done = tokens.blocks(), 0
            while True:
                with clock.stage("encode"):
                    block = next(blocks, None)
                if block is None:
                    return
                done += block.shape[2]
                watcher.encoded(done, tokens.n_frames)
                yield block

        super().__init__(tokens.n_frames, tokens.n_items, encode, tokens.output)


class DecodedSoFar:
    """The part of an output that is decoded, as a source."""

    def __init__(self, decoder: DecodeStream, spool: Spool, codec_hz: int, hop: int, output: OutputFormat) -> None:
        self._decoder, self._spool, self._codec_hz, self._hop, self._output = decoder, spool, codec_hz, hop, output
        self.sample_rate_hz, self.channels = output.sample_rate_hz, output.channels

    @property
    def n_samples(self) -> int:
        """Samples that are decoded so far."""
        n_codec = self._decoder.n_decoded * self._hop
        if not n_codec:
            return 0
        return min(resampled_length(n_codec, self._codec_hz, self.sample_rate_hz), self._output.n_samples)

    def blocks(self, first: int = 0, exact: bool = False) -> Iterator[Samples]:
        """Blocks (channels, samples) from sample `first` on."""
        output = self._output.first(self.n_samples)
        return RestoredSource(self._spool, self._codec_hz, output).blocks(first, exact)
