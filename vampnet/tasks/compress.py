"""Audio <-> .vamp: the compression prompt of the paper as a file.

Kept tokens (the N_k coarsest codebooks of every P-th frame) are stored. On opening, the models make the others: the
coarse one those of its codebooks that are missing, the coarse-to-fine one the rest, with the prompt
`periodic(P) & codebooks(N_k)` and the seed and settings in the file. Where nothing is missing, no model is needed and
a codec does. The result is a function of the file and the model alone, on one machine.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from vampnet.audio.integrity import quoted
from vampnet.audio.output_format import OutputFormat, RestoredSource
from vampnet.audio.sources import Source
from vampnet.audio.spool import Spool
from vampnet.codec.base import Codec
from vampnet.compression.config import CompressionConfig
from vampnet.compression.container import Generation, Header, VampReader
from vampnet.compression.tokens import block_frames_of, choose_entropy, n_frames_of, read_blocks, write_tokens
from vampnet.errors import SettingsError, VampFileError
from vampnet.generation.config import SamplingConfig
from vampnet.generation.decoding import DecodeStream
from vampnet.generation.pipeline import Pipeline
from vampnet.generation.progress import Clock, Progress, Report
from vampnet.generation.run import Run
from vampnet.generation.tokens import encode, tokens_of_codes
from vampnet.prompts.parts import Codebooks, Periodic, Prompt
from vampnet.tasks.task import Session, Variation

ENDING = ".vamp"
DEFAULT = CompressionConfig()
LONG_S = 2 * 3600
"""Length times channels beyond which opening a file begins with a warning of its length, seconds."""

log = logging.getLogger("vampnet")


@dataclass(frozen=True)
class CompressionReport:
    """Contents, size and rates of a compressed file. Rates are those of all channels together."""

    n_bytes: int
    """Size of the file."""
    duration_s: float
    header: Header
    kept_bps: float
    """Kept tokens at log2(V) bits each: frames/s * N_k * 10 / P per channel."""
    paper_label_bps: float
    """The paper's label B / (P (N - N_k)) per channel, B being the codec's full rate; infinite where N_k = N."""

    @property
    def file_bps(self) -> float:
        """The file's true rate, all of it counted."""
        return 8 * self.n_bytes / self.duration_s


def compress(
    source: Source,
    file: BinaryIO,
    model: Pipeline | Codec,
    config: CompressionConfig = DEFAULT,
    sampling: SamplingConfig = SamplingConfig(),
    report: Report | None = None,
) -> CompressionReport:
    """Write a .vamp file of a source. A codec instead of a model will do where `config` keeps all tokens.

    Memory does not grow with the source, codes apart. Raises SettingsError for settings that do not fit the codec.
    """
    codec, generation = codec_of(model), None
    if needs_model(config, codec):
        generation = Generation(_require_model(model, "compressing with less than all tokens").id, sampling)
    encoded = encode(source, codec, _staged(report, "encode", 0.0, 0.4))
    header = Header(
        choose_entropy(codec),
        config.codebooks,
        config.period,
        source.sample_rate_hz,
        source.n_samples,
        source.channels,
        float(np.float32(encoded.lufs)),
        float(np.float32(encoded.gain)),
        block_frames_of(codec, source.channels, config.codebooks, config.period),
        codec.id,
        generation,
    )
    write_tokens(file, header, encoded.codes_NCT, codec, _staged(report, "code", 0.4, 1.0))
    return report_of(header, file.tell(), codec)


def decompress(session: Session, reader: VampReader, *, any_model: bool = False) -> Run[Variation]:
    """One variation of a .vamp file, of its rate, channels, length and loudness; its tokens are read once for all.

    With `any_model` the models may be others than those that the file was made for, as long as their codec is the same;
    the result then is another one. Raises VampFileError for a file that is damaged or made with another model.
    """
    header, model = reader.header, session.model
    generation = header.generation
    assert generation is not None
    if model.compat:
        raise SettingsError(f"opening {reader.name} takes a model without compat: a file does not say how to cut")
    if not any_model and model.id != generation.model_id:
        raise reader.fail(
            f"made for model {generation.model_id}, but the bundle has model {model.id}, which would generate another "
            "result; choose its bundle and adapters, or accept that with --any-model"
        )
    codes_NCT = session.workspace.once("vamp tokens", lambda: _spread_tokens(reader, model.codec))
    tokens = tokens_of_codes(codes_NCT, output_of(header))
    keep_CT = session.keep(kept_prompt(header.codebooks, header.period), tokens.n_frames)
    return (yield from session.generate(tokens, keep_CT, draft=lambda so_far: so_far))


def decode_whole(reader: VampReader, codec: Codec, spool: Spool, report: Report | None = None) -> RestoredSource:
    """The audio of a .vamp file that holds all tokens; nothing is generated, so a codec will do.

    It is read and decoded block by block: memory does not grow with its length.
    """
    header = reader.header
    if header.codec_id == codec.id and (header.period > 1 or header.codebooks < codec.n_codebooks):
        raise reader.fail("damaged: tokens are missing, but it does not say how to generate them")
    _say_length(reader)
    stream = DecodeStream(codec, spool, n_frames_of(header, codec), Clock())
    for block_NCT in read_blocks(reader, codec, _staged(report, "decode", 0.0, 1.0)):
        stream.add(block_NCT)
    return RestoredSource(spool, codec.sample_rate_hz, output_of(header))


def _say_length(reader: VampReader) -> None:
    """Say how long a long file's audio will be: a few bytes can ask for days of work."""
    header = reader.header
    if header.duration_s * header.channels > LONG_S:
        hours = header.duration_s / 3600
        log.warning("%s: says that it holds %.1f h of audio, channels: %d", reader.name, hours, header.channels)


def output_of(header: Header) -> OutputFormat:
    """Rate, length and loudness of a .vamp file's audio."""
    return OutputFormat(header.sample_rate_hz, header.channels, header.n_samples, header.gain, header.lufs)


def _spread_tokens(reader: VampReader, codec: Codec) -> Tensor:
    """Codes (channels, C, T), int32, with those that the file holds in their places; all of it is checked."""
    header = reader.header
    _say_length(reader)
    blocks, first = read_blocks(reader, codec), 0
    begin_NKF = next(blocks)  # before the memory is taken
    codes_NCT = torch.zeros(header.channels, codec.n_codebooks, n_frames_of(header, codec), dtype=torch.int32)
    for block_NKF in itertools.chain([begin_NKF], blocks):
        stop = first + block_NKF.shape[2] * header.period
        codes_NCT[:, : header.codebooks, first : stop : header.period] = block_NKF
        first = stop
    return codes_NCT


def check_ending(path: Path) -> None:
    """VampFileError for an output that does not end in .vamp."""
    if path.suffix.lower() != ENDING:
        raise VampFileError(f"cannot write {quoted(path)}: compressed files end in {ENDING}")


def needs_model(config: CompressionConfig, codec: Codec) -> bool:
    """Whether tokens will have to be generated. Raises SettingsError where the codec has too few codebooks."""
    if config.codebooks > codec.n_codebooks:
        raise SettingsError(f"codebooks is {config.codebooks}, but the codec has {codec.n_codebooks}")
    return config.period > 1 or config.codebooks < codec.n_codebooks


def report_of(header: Header, n_bytes: int, codec: Codec) -> CompressionReport:
    """The rates of a file."""
    flat_bps = codec.frames_per_s * math.log2(codec.codebook_size) * header.channels
    left = codec.n_codebooks - header.codebooks
    label_bps = flat_bps * codec.n_codebooks / (header.period * left) if left else math.inf
    kept_bps = flat_bps * header.codebooks / header.period
    return CompressionReport(n_bytes, header.duration_s, header, kept_bps, label_bps)


def kept_prompt(codebooks: int, period: int) -> Prompt:
    """The prompt that keeps what a file keeps."""
    return Periodic(period) & Codebooks(codebooks)


def rates_of(report: CompressionReport) -> dict[str, Any]:
    """Size and rates of a file as plain data, for results."""
    header, label = report.header, report.paper_label_bps
    return {
        "bytes": report.n_bytes,
        "file_bps": round(report.file_bps, 1),
        "kept_tokens_bps": round(report.kept_bps, 1),
        "paper_label_bps": None if math.isinf(label) else round(label, 1),
        "codebooks": header.codebooks,
        "period": header.period,
        "entropy": header.entropy,
        "codec_id": header.codec_id,
    }


def _staged(report: Report | None, stage: str, start: float, stop: float) -> Callable[[int, int], None] | None:
    """A callback for (done, total) of one stage, which spans a part of the whole job."""
    if report is None:
        return None
    return lambda done, total: report(Progress(stage, done, total, start + (stop - start) * done / max(total, 1)))


def codec_of(model: Pipeline | Codec) -> Codec:
    """The codec of a model, or the codec itself."""
    return model.codec if isinstance(model, Pipeline) else model


def _require_model(model: Pipeline | Codec, what: str) -> Pipeline:
    if not isinstance(model, Pipeline):
        raise SettingsError(f"{what} needs a model that can generate the others, not a codec alone")
    if model.compat:
        raise SettingsError(f"{what} takes a model without compat, since a file does not say how to cut")
    return model
