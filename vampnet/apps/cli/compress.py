"""Subcommands for small files: compress, decompress."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from vampnet.apps.cli.options import (
    ProgressBar,
    add_model_options,
    add_settings,
    load_model,
    output_paths,
    protect_input,
    settings_from,
)
from vampnet.compression.config import CompressionConfig
from vampnet.errors import SettingsError
from vampnet.generation.config import SamplingConfig

if TYPE_CHECKING:
    from vampnet.codec.base import Codec
    from vampnet.tasks.compress import CompressionReport

COMPRESS_SHARES = {"encode": 0.4, "code": 0.6}
DECOMPRESS_SHARES = {"uncode": 0.1, "encode": 0.0, "coarse": 0.55, "c2f": 0.25, "decode": 0.1}
UNCODE_SHARES = {"uncode": 0.7, "decode": 0.3}
"""Rough shares of the stages, for the progress bar: of opening a file with and without generation."""


def compress_options(parser: ArgumentParser) -> None:
    parser.add_argument("input", type=str, help="audio file: WAV, FLAC, OGG, MP3 or AIFF")
    parser.add_argument("-o", "--output", type=str, required=True, help="file to write; it ends in .vamp")
    add_model_options(parser)
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")
    add_settings(parser, CompressionConfig, "Compression")
    add_settings(parser, SamplingConfig, "Sampling: how the rest is generated when the file is opened")


def run_compress(options: Namespace) -> None:
    """`vampnet compress`: a small file of kept tokens."""
    settings, sampling = settings_from(CompressionConfig, options), settings_from(SamplingConfig, options)
    output = Path(options.output)
    protect_input(options.input, [output])
    from vampnet.tasks.compress import check_ending, compress_file, needs_model

    check_ending(output)
    model = _codec(options)
    if needs_model(settings, model):
        model = load_model(options)
    elif options.lora or sampling != SamplingConfig():
        raise SettingsError("these settings keep all tokens, so --lora and the sampling flags would change nothing")
    with ProgressBar(COMPRESS_SHARES) as bar:
        report = compress_file(options.input, output, model, settings, sampling, bar.update)
    if options.json:
        print(json.dumps({"input": options.input, "output": str(output), **facts(report)}, indent=1))
    else:
        print(f"{output}: {_sentence(report)}")


def decompress_options(parser: ArgumentParser) -> None:
    parser.add_argument("input", type=str, help="compressed file (.vamp)")
    parser.add_argument("-o", "--output", type=str, required=True, help="audio file to write; its ending is the format")
    add_model_options(parser)
    parser.add_argument(
        "--variations", type=int, default=1, help="how many, seed + k each; above 1 they are OUT-1, OUT-2, ..."
    )
    parser.add_argument("--seed", type=int, default=None, help="generate with this seed instead of the file's")
    parser.add_argument(
        "--any-model", action="store_true", help="accept another model than the file was made for: another result"
    )
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")


def run_decompress(options: Namespace) -> None:
    """`vampnet decompress`: audio from kept tokens, the rest generated."""
    from vampnet.audio.files import output_coding
    from vampnet.compression.container import read_header
    from vampnet.config import check
    from vampnet.tasks.compress import decompress_file

    outputs = output_paths(options.output, options.variations)
    protect_input(options.input, outputs)
    if options.seed is not None:
        check("seed", options.seed, 0, 2**63 - 1)
    for path in outputs:
        output_coding(path)
    generation = read_header(options.input).generation
    if generation is None and (options.lora or options.any_model):
        raise SettingsError(f"{options.input} holds all tokens: --lora and --any-model would change nothing")
    model = _codec(options) if generation is None else load_model(options)
    with ProgressBar(UNCODE_SHARES if generation is None else DECOMPRESS_SHARES) as bar:
        header = decompress_file(options.input, outputs, model, options.seed, options.any_model, bar.update)
    first = None if generation is None else generation.sampling.seed if options.seed is None else options.seed
    seeds = [None if first is None else (first + k) % 2**63 for k in range(len(outputs))]
    if options.json:
        done = [{"output": str(p), "seed": s} for p, s in zip(outputs, seeds, strict=True)]
        print(json.dumps({"input": options.input, "outputs": done, "seconds": round(header.duration_s, 6)}, indent=1))
        return
    for path, seed in zip(outputs, seeds, strict=True):
        print(f"{path}: {header.duration_s:g} s" + ("" if seed is None else f", seed {seed}"))


def _codec(options: Namespace) -> Codec:
    from vampnet.device import select_device
    from vampnet.models.bundle import load_codec

    return load_codec(options.bundle).to(select_device(options.device))


def facts(report: CompressionReport) -> dict[str, object]:
    """A report as plain data."""
    header, label = report.header, report.paper_label_bps
    return {
        "bytes": report.n_bytes,
        "seconds": round(report.duration_s, 6),
        "file_bps": round(report.file_bps, 1),
        "kept_tokens_bps": round(report.kept_bps, 1),
        "paper_label_bps": None if math.isinf(label) else round(label, 1),
        "codebooks": header.codebooks,
        "period": header.period,
        "entropy": header.entropy,
        "codec_id": header.codec_id,
        "generation": None if header.generation is None else dataclasses.asdict(header.generation),
    }


def _sentence(report: CompressionReport) -> str:
    header, label = report.header, report.paper_label_bps
    frames = "every frame" if header.period == 1 else f"one frame in {header.period}"
    named = "no label in the paper" if math.isinf(label) else f"label in the paper {label:.0f}"
    return (
        f"{header.codebooks} codebooks of {frames}, {report.n_bytes} bytes for {report.duration_s:.2f} s: "
        f"{report.file_bps:.0f} bit/s ({header.entropy} coding; kept tokens uncoded {report.kept_bps:.0f}, {named})"
    )
