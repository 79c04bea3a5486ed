"""Ways to compute a model of the paper's size on this CPU, in one table: the authors', float32, bfloat16, int8.

    python -m benchmarks.generation.speed_table [--threads 1] [--only coarse c2f codec] [-o table.md]

Figures are seconds of CPU time of all threads, the least of `--repeats` passes after one to warm up, the ways taking
turns: so they hold, as ratios, on a machine that does other work too. The weights are random. "eager float32" is the
authors' way of computing, re-implemented (`eager.py`); their codec works through all of the audio at once, here too.
Encoding and decoding are measured on `--seconds` of audio, once, and stated for 10 s. The last columns are sums: 10 s
encoded, every step of the coarse windows and two of each coarse-to-fine window, decoded.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.generation.eager import EagerNetwork
from benchmarks.generation.make_full_size import C2F, COARSE, CODEC
from benchmarks.tables import report, table
from vampnet.codec.dac import DacCodec
from vampnet.device import inference_dtype
from vampnet.errors import DependencyError
from vampnet.generation.pipeline import C2F_CONTEXT_S, C2F_WINDOW_S
from vampnet.generation.spans import windows
from vampnet.models.config import ModelConfig
from vampnet.models.integer import in_integers
from vampnet.models.openvino import OpenVinoNetwork
from vampnet.models.transformer import MaskedTransformer

SECONDS = 10.0
FRAMES = {"coarse": 575, "c2f": 173}
STEPS = (12, 36)
C2F_STEPS = 2
EAGER, FLOAT, BFLOAT, OPENVINO, INTEGER = (
    "eager float32 (the authors' way)", "PyTorch float32", "PyTorch bfloat16", "OpenVINO bfloat16", "PyTorch int8",
)  # fmt: skip
CODEC_OF = {EAGER: EAGER, FLOAT: FLOAT, BFLOAT: BFLOAT, OPENVINO: BFLOAT, INTEGER: BFLOAT}
"""Way of the networks -> that of the codec."""
Figures = dict[str, dict[str, float]]


def cpu_s(run: Callable[[], object]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started


def passes(config: ModelConfig, n_frames: int, repeats: int) -> dict[str, float]:
    """Way -> CPU seconds of a pass with every seventh frame kept."""
    torch.manual_seed(0)
    model = MaskedTransformer(config).eval()
    codes_BCT = torch.randint(0, config.vocab_size, (1, config.n_codebooks, n_frames))
    chosen_BPT = (torch.arange(n_frames) % 7 != 0).expand(1, config.n_predicted, n_frames)
    codes_BCT[:, config.n_conditioning_codebooks :][chosen_BPT] = config.mask_token
    ways: dict[str, Callable[[Tensor, Tensor], Tensor]] = {EAGER: lambda codes, _: EagerNetwork(model)(codes)}
    ways |= {FLOAT: model, INTEGER: in_integers(model, inference_dtype(torch.device("cpu")))}
    if inference_dtype(torch.device("cpu")) == torch.bfloat16:
        ways[BFLOAT] = model.in_format(torch.bfloat16)
        with contextlib.suppress(DependencyError):
            ways[OPENVINO] = OpenVinoNetwork(model, torch.bfloat16)
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, network in ways.items():
            took_s = cpu_s(lambda network=network: network(codes_BCT, chosen_BPT))
            if turn:
                found[name].append(took_s)
    return {name: min(times) for name, times in found.items()}


def coding(seconds: float) -> Iterator[tuple[str, str, float]]:
    """Way, "encode" or "decode", CPU seconds for SECONDS."""
    torch.manual_seed(0)
    codec = DacCodec(CODEC).eval()
    n_frames = round(seconds * codec.frames_per_s)
    audio_BS, share = 0.1 * torch.randn(1, n_frames * codec.hop), SECONDS / seconds
    codes_BCT = torch.randint(0, codec.codebook_size, (1, codec.n_codebooks, n_frames))
    forms = {FLOAT: codec, EAGER: codec}
    if inference_dtype(torch.device("cpu")) == torch.bfloat16:
        forms[BFLOAT] = codec.in_format(torch.bfloat16)
    for name, own in forms.items():
        with patch("vampnet.codec.dac.PIECE_ELEMENTS", 1 << 40 if name == EAGER else 1 << 20):
            own.decode(codes_BCT[:, :, :8])
            yield name, "encode", share * cpu_s(lambda own=own: own.encode(audio_BS))
            yield name, "decode", share * cpu_s(lambda own=own: own.decode(codes_BCT))


def with_sums(figures: Figures) -> Figures:
    """The same with whole vamps, where all parts are there."""
    n_c2f = sum(
        span.n_frames / FRAMES["c2f"]
        for span in windows(FRAMES["coarse"], FRAMES["c2f"], round(FRAMES["c2f"] * C2F_CONTEXT_S / C2F_WINDOW_S))
    )
    for name, row in figures.items():
        codec = figures.get(CODEC_OF[name], {})
        if "encode" in codec and {"coarse pass", "c2f pass"} <= row.keys():
            around_s = codec["encode"] + codec["decode"] + C2F_STEPS * n_c2f * row["c2f pass"]
            row |= {f"vamp, {steps} steps": around_s + steps * row["coarse pass"] for steps in STEPS}
    return figures


def shown(figures: Figures) -> str:
    """The table; in brackets how many times as fast as the first way."""
    columns = ["coarse pass", "c2f pass", "encode", "decode", *(f"vamp, {steps} steps" for steps in STEPS)]
    first = figures[EAGER]
    rows = {
        name: {
            column: f"{row[column]:.2f} ({first[column] / row[column]:.2f})" if column in row else ""
            for column in columns
        }
        for name, row in figures.items()
    }
    return table("CPU seconds (times as fast)", rows)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.0, help="of audio for the codec")
    parser.add_argument("--only", nargs="+", choices=("coarse", "c2f", "codec"), default=["coarse", "c2f", "codec"])
    parser.add_argument("--beside", type=Path, help="JSON of an earlier run, of the parts that are left out now")
    parser.add_argument("-o", "--output", type=Path, help="Markdown file; JSON is written beside it")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    figures: Figures = {name: {} for name in CODEC_OF}
    if options.beside:
        figures |= json.loads(options.beside.read_text())
    for part, config in (("coarse", COARSE), ("c2f", C2F)):
        if part in options.only:
            for name, took_s in passes(config, FRAMES[part], options.repeats).items():
                figures[name][f"{part} pass"] = took_s
            print(part, figures, flush=True)
    if "codec" in options.only:
        for name, what, took_s in coding(options.seconds):
            figures[name][what] = took_s
            print(name, what, took_s, flush=True)
    report(shown(with_sums(figures)), figures, options.output)


if __name__ == "__main__":
    main()
