"""Audio <-> .vamp: the compression prompt of the paper as a file.

Kept tokens (the N_k coarsest codebooks of every P-th frame) are stored. On opening, the models make the others: the
coarse one those of its codebooks that are missing, the coarse-to-fine one the rest, with the prompt
`periodic(P) & codebooks(N_k)` and the seed and settings in the file. Where nothing is missing, no model is needed and
a codec does. The result is a function of the file and the model alone, on one machine.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from vampnet.audio.files import Audio, AudioWriter
from vampnet.audio.integrity import quoted, reason
from vampnet.audio.output_format import Target, restored
from vampnet.audio.sources import FileSource, MemorySource, Source
from vampnet.audio.spool import Spool
from vampnet.codec.base import Codec
from vampnet.compression.config import CompressionConfig
from vampnet.compression.container import Generation, Header, VampReader, open_vamp
from vampnet.compression.tokens import block_frames_of, n_frames_of, possible_entropies, read_tokens, write_tokens
from vampnet.errors import SettingsError, VampFileError
from vampnet.generation.config import SamplingConfig
from vampnet.generation.pipeline import VampNet
from vampnet.generation.stream import Job
from vampnet.generation.timings import Clock, Progress
from vampnet.generation.tokens import encode, material_of_codes
from vampnet.prompts.parts import Codebooks, Periodic, Prompt

ENDING = ".vamp"
DEFAULT = CompressionConfig()


@dataclass(frozen=True)
class CompressionReport:
    """What a file holds and costs. Rates are those of all channels together."""

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
    audio: Audio,
    model: VampNet | Codec,
    settings: CompressionConfig = DEFAULT,
    sampling: SamplingConfig = SamplingConfig(),
) -> bytes:
    """The bytes of a .vamp file. A codec instead of a model will do where `settings` keep all tokens."""
    file = io.BytesIO()
    _compress(MemorySource(audio), file, model, settings, sampling, None)
    return file.getvalue()


def decompress(
    data: bytes, model: VampNet | Codec, seed: int | None = None, any_model: bool = False, variations: int = 1
) -> list[Audio]:
    """The audio of a .vamp file's bytes, one item per variation; see `decompress_file`."""
    reader = VampReader(io.BytesIO(data), "the compressed data")
    with contextlib.ExitStack() as stack:
        spools = [stack.enter_context(Spool(reader.header.channels)) for _ in range(variations)]
        target = _decompress(reader, spools, model, seed, any_model, None)
        made = [list(restored(spool, _codec_of(model).sample_rate_hz, target)) for spool in spools]
    return [Audio(np.concatenate(blocks, axis=1), target.sample_rate_hz) for blocks in made]


def compress_file(
    input_path: str | os.PathLike[str],
    output_path: str | os.PathLike[str],
    model: VampNet | Codec,
    settings: CompressionConfig = DEFAULT,
    sampling: SamplingConfig = SamplingConfig(),
    progress: Progress | None = None,
) -> CompressionReport:
    """Compress an audio file; the output appears whole or not at all. Memory does not grow with it, codes apart.

    Raises AudioError for input that cannot be read, SettingsError for settings that do not fit the codec,
    VampFileError for an output that cannot be written.
    """
    source, target = FileSource(Path(input_path)), Path(output_path)
    check_ending(target)
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        with open(temporary, "xb") as file:
            report = _compress(source, file, model, settings, sampling, progress)
        os.replace(temporary, target)
    except OSError as error:
        raise VampFileError(f"cannot write {quoted(target)}: {reason(error)}") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return report


def decompress_file(
    path: str | os.PathLike[str],
    output_paths: Sequence[Path],
    model: VampNet | Codec,
    seed: int | None = None,
    any_model: bool = False,
    progress: Progress | None = None,
) -> Header:
    """Open a .vamp file into one audio file per output path, of its rate, channels, length and loudness.

    Variation k is generated with the file's seed + k, or `seed` + k. With `any_model` the models may be others than
    those that the file was made for, as long as their codec is the same; the result then is another one.
    Raises VampFileError for a file that is damaged, cut short or made with another codec or model, and SettingsError
    for a seed or several variations where the file holds all tokens, so that there is nothing to vary.
    """
    with open_vamp(path) as file:
        reader = VampReader(file, quoted(path))
        header = reader.header
        with contextlib.ExitStack() as stack:
            # Opened first: an output that cannot be written should fail before minutes of work.
            writers = [
                stack.enter_context(AudioWriter(out, header.sample_rate_hz, header.channels)) for out in output_paths
            ]
            folder = Path(output_paths[0]).absolute().parent
            spools = [stack.enter_context(Spool(header.channels, folder=folder)) for _ in writers]
            target = _decompress(reader, spools, model, seed, any_model, progress)
            for writer, spool in zip(writers, spools, strict=True):
                for block in restored(spool, _codec_of(model).sample_rate_hz, target):
                    writer.write(block)
    return header


def check_ending(path: Path) -> None:
    """VampFileError for an output that does not end in .vamp."""
    if path.suffix.lower() != ENDING:
        raise VampFileError(f"cannot write {quoted(path)}: compressed files end in {ENDING}")


def needs_model(settings: CompressionConfig, codec: Codec) -> bool:
    """Whether tokens will have to be generated. Raises SettingsError where the codec has too few codebooks."""
    if settings.codebooks > codec.n_codebooks:
        raise SettingsError(f"codebooks is {settings.codebooks}, but the codec has {codec.n_codebooks}")
    return settings.period > 1 or settings.codebooks < codec.n_codebooks


def model_id(model: VampNet) -> str:
    """What decides how tokens are generated: the beginning of a digest of all weights, 16 hexadecimal digits."""
    return model.weights_digest[:16]


def report_of(header: Header, n_bytes: int, codec: Codec) -> CompressionReport:
    """The rates of a file."""
    flat_bps = codec.frames_per_s * math.log2(codec.codebook_size) * header.channels
    left = codec.n_codebooks - header.codebooks
    label_bps = flat_bps * codec.n_codebooks / (header.period * left) if left else math.inf
    kept_bps = flat_bps * header.codebooks / header.period
    return CompressionReport(n_bytes, header.duration_s, header, kept_bps, label_bps)


def _compress(
    source: Source,
    file: BinaryIO,
    model: VampNet | Codec,
    settings: CompressionConfig,
    sampling: SamplingConfig,
    progress: Progress | None,
) -> CompressionReport:
    codec, generation = _codec_of(model), None
    if needs_model(settings, codec):
        generation = Generation(model_id(_required(model, "compressing with less than all tokens")), sampling)
    encoded = encode(source, codec, _staged(progress, "encode"))
    header = Header(
        "flat" if settings.entropy == "auto" else settings.entropy,
        settings.codebooks,
        settings.period,
        source.sample_rate_hz,
        source.n_samples,
        source.channels,
        float(np.float32(encoded.lufs)),
        float(np.float32(encoded.gain)),
        block_frames_of(codec, source.channels, settings.codebooks, settings.period),
        codec.id,
        generation,
    )
    tried = possible_entropies(codec) if settings.entropy == "auto" else ()
    header = write_tokens(file, header, encoded.codes_NCT, codec, tried, _staged(progress, "code"))
    return report_of(header, file.tell(), codec)


def _decompress(
    reader: VampReader,
    spools: Sequence[Spool],
    model: VampNet | Codec,
    seed: int | None,
    any_model: bool,
    progress: Progress | None,
) -> Target:
    """Decode one variation into each spool. All of the file is read and checked before anything is generated."""
    header, codec = reader.header, _codec_of(model)
    if header.generation is None and (seed is not None or len(spools) != 1):
        raise SettingsError(f"{reader.name} holds all tokens, so a seed or variations would change nothing")
    kept_NKF = read_tokens(reader, codec, _staged(progress, "uncode"))
    target = Target(header.sample_rate_hz, header.channels, header.n_samples, header.gain, header.lufs)
    if header.generation is not None:
        _generate(reader, kept_NKF, spools, model, header.generation, seed, any_model, target, progress)
        return target
    if header.period > 1 or header.codebooks < codec.n_codebooks:
        raise reader.fail("damaged: tokens are missing, but it does not say how to generate them")
    for block in codec.decode_blocks(kept_NKF.long()):
        spools[0].add(block.float().cpu().numpy())
        if progress is not None:
            progress("decode", spools[0].n_samples // codec.hop, kept_NKF.shape[2])
    return target


def _generate(
    reader: VampReader,
    kept_NKF: Tensor,
    spools: Sequence[Spool],
    model: VampNet | Codec,
    generation: Generation,
    seed: int | None,
    any_model: bool,
    target: Target,
    progress: Progress | None,
) -> None:
    """Decode a file that holds some of the tokens."""
    header, full = reader.header, _required(model, f"opening {reader.name}, which holds less than all tokens,")
    if not any_model and (own := model_id(full)) != generation.model_id:
        raise reader.fail(
            f"made for model {generation.model_id}, but the bundle has model {own}, which would generate something "
            "else; choose its bundle and adapters, or accept that with --any-model"
        )
    n_frames = n_frames_of(header, full.codec)
    codes_NCT = torch.zeros(header.channels, full.codec.n_codebooks, n_frames, dtype=torch.int32)
    codes_NCT[:, : header.codebooks, :: header.period] = kept_NKF
    first = generation.sampling.seed if seed is None else seed
    seeds = [(first + k) % 2**63 for k in range(len(spools))]
    mask_CT = full.mask(kept_prompt(header.codebooks, header.period), n_frames, first)
    filling = full.generation(mask_CT.repeat(len(spools), 1, 1), header.channels, generation.sampling, seeds)
    job = Job(material_of_codes(codes_NCT, target), filling, full.codec, spools, Clock(), progress)
    full.run(job, generation.sampling, Clock(), progress)


def kept_prompt(codebooks: int, period: int) -> Prompt:
    """The prompt that keeps what a file keeps."""
    return Periodic(period) & Codebooks(codebooks)


def _staged(progress: Progress | None, stage: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(stage, done, total)


def _codec_of(model: VampNet | Codec) -> Codec:
    return model.codec if isinstance(model, VampNet) else model


def _required(model: VampNet | Codec, what: str) -> VampNet:
    if not isinstance(model, VampNet):
        raise SettingsError(f"{what} needs a model that can generate the others, not a codec alone")
    if model.compat:
        raise SettingsError(f"{what} takes a model without compat, since a file does not say how to cut")
    return model
