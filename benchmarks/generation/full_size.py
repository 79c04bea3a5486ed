"""Loading, memory and speed of a model of the paper's size, next to the machine's own matrix multiplication.

    python -m benchmarks.generation.make_full_size /tmp/full
    python -m benchmarks.generation.full_size /tmp/full/bundle-float32 --threads 2

prints a table of the coarse pass over 10 s (575 frames), the coarse-to-fine pass over 3 s (173 frames), encoding and
decoding of 10 s and the whole vamp of 10 s, each in float32 and, where the CPU computes it, bfloat16, with PyTorch and,
where it is installed, OpenVINO: milliseconds, GFLOP/s, and the share of what a large matrix multiplication in the same
number format reached in the same run. Then the share of tokens that agree with PyTorch in float32.

`--only` takes parts of the names of rows. Every figure is the best of `--repeats` runs after one to warm up, but for
decoding and the whole vamp, which run once.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vampnet.audio.files import Audio, write
from vampnet.audio.sources import MemorySource
from vampnet.codec.dac import DacCodec
from vampnet.device import inference_dtype
from vampnet.errors import DependencyError
from vampnet.generation.config import SamplingConfig
from vampnet.generation.run import run_all
from vampnet.generation.sampling import TokenNetwork, fill
from vampnet.models.bundle import load_bundle
from vampnet.models.format import Bundle
from vampnet.models.openvino import OpenVinoNetwork
from vampnet.models.transformer import MaskedTransformer
from vampnet.prompts.parts import Nothing
from vampnet.tasks.model import VampNet, load
from vampnet.tasks.task import Workspace
from vampnet.tasks.vamp import vamp as vamp_task

COARSE_FRAMES, C2F_FRAMES, SECONDS = 575, 173, 10.0
FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Row:
    """Something to time."""

    name: str
    format: str
    """"fp32" or "bf16"."""
    run: Callable[[], object]
    gflop: float
    once: bool = False


def best_s(run: Callable[[], object], repeats: int, once: bool = False) -> float:
    """Seconds of the fastest run."""
    times = []
    if not once:
        run()  # to warm up; OpenVINO compiles now
    for _ in range(1 if once else repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)


def peak_gflops(dtype: torch.dtype, repeats: int) -> float:
    """GFLOP/s of a large matrix multiplication."""
    a, b = (torch.randn(2048, 2048, dtype=dtype) for _ in range(2))
    return 2 * 2048**3 / 1e9 / best_s(lambda: F.linear(a, b), repeats)


def gflop_of(run: Callable[[], object]) -> float:
    """GFLOP of matrix products and convolutions, counted without doing them."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 1e9


def network_gflop(model: MaskedTransformer, n_frames: int) -> float:
    with torch.device("meta"):
        blank = MaskedTransformer(model.config).eval()
        codes_BCT = torch.zeros(1, model.config.n_codebooks, n_frames, dtype=torch.int64)
    return gflop_of(lambda: blank(codes_BCT))


def codec_gflop(codec: DacCodec) -> tuple[float, float]:
    """To encode and to decode SECONDS."""
    n_frames = n_frames_of(codec)
    with torch.device("meta"):
        blank = DacCodec(codec.config).eval()
        audio_BS, latent_BTL = torch.zeros(1, n_frames * codec.hop), torch.zeros(1, n_frames, codec.config.latent_dim)
    return gflop_of(lambda: blank.encoder(audio_BS)), gflop_of(lambda: blank.decoder(latent_BTL))


def n_frames_of(codec: DacCodec) -> int:
    return round(SECONDS * codec.frames_per_s) + 1


def masked_codes(model: MaskedTransformer, n_frames: int) -> Tensor:
    """Random codes, every predicted one but each seventh frame masked."""
    generator = torch.Generator().manual_seed(0)
    config = model.config
    codes_BCT = torch.randint(0, config.vocab_size, (1, config.n_codebooks, n_frames), generator=generator)
    masked_T = torch.arange(n_frames) % 7 != 0
    codes_BCT[:, config.n_conditioning_codebooks :, masked_T] = config.mask_token
    return codes_BCT


def formats() -> list[str]:
    return ["fp32", "bf16"] if inference_dtype(torch.device("cpu")) == torch.bfloat16 else ["fp32"]


def networks(bundle: Bundle, part: str) -> Iterator[tuple[str, str, TokenNetwork]]:
    """Backend, number format, network; one after the other, so that only one is in memory."""
    model = getattr(bundle, part)
    for name in formats():
        yield "torch", name, model.in_format(FORMATS[name])
    for name in formats():
        try:
            yield "openvino", name, OpenVinoNetwork(model, FORMATS[name])
        except DependencyError:
            return


def rows(bundle: Bundle, folder: str, steps: int) -> Iterator[Row]:
    codec = bundle.codec
    assert isinstance(codec, DacCodec)
    for part, n_frames in (("coarse", COARSE_FRAMES), ("c2f", C2F_FRAMES)):
        model = getattr(bundle, part)
        gflop, codes_BCT = network_gflop(model, n_frames), masked_codes(model, n_frames)
        for backend, name, network in networks(bundle, part):
            yield Row(f"{part} pass, {n_frames} frames, {backend}", name, lambda n=network, c=codes_BCT: n(c), gflop)
    encode_gflop, decode_gflop = codec_gflop(codec)
    audio_BS = torch.from_numpy(noise().samples)
    codes_BCT = torch.randint(0, codec.codebook_size, (1, codec.n_codebooks, n_frames_of(codec)))
    yield Row("encode 10 s, torch", "fp32", lambda: codec.encode(audio_BS), encode_gflop)
    for name in formats():
        decoder = codec.in_format(FORMATS[name])
        yield Row("decode 10 s, torch", name, lambda c=decoder: c.decode(codes_BCT), decode_gflop, once=True)
    for backend in ("torch", "openvino"):
        name = formats()[-1]
        model = None  # the one before may go first
        try:
            model = load(folder, device="cpu", backend=backend)
        except DependencyError:
            continue
        yield Row(f"vamp 10 s, {steps} steps, {backend}", name, lambda m=model: vamp(m, noise(), steps), 0.0, once=True)


def noise() -> Audio:
    """SECONDS of it."""
    samples = 0.1 * np.random.default_rng(0).standard_normal((1, int(SECONDS * 44100)))
    return Audio(samples.astype(np.float32), 44100)


def vamp(model: VampNet, audio: Audio, steps: int) -> None:
    """All tokens anew, with as many coarse-to-fine steps as the authors take."""
    with Workspace(model, SamplingConfig(steps=steps, c2f_steps=2)) as space:
        run_all([vamp_task(space.session(1), MemorySource(audio), Nothing())], model.fill)
        timings = space.clock.timings(audio.duration_s)
    print(f"  encode {timings.encode_s:.1f} s, coarse {timings.coarse_s:.1f} s, c2f {timings.c2f_s:.1f} s, ", end="")
    print(f"decode {timings.decode_s:.1f} s")


def agreement(bundle: Bundle, steps: int = 12) -> Iterator[str]:
    """Share of coarse tokens that each network draws as PyTorch in float32 does, with the same seed."""
    model = bundle.coarse
    assert model is not None
    codes_BCT = masked_codes(model, COARSE_FRAMES)
    keep_BCT = codes_BCT != model.config.mask_token
    drawn: dict[int, Tensor] = {}
    for backend, name, network in networks(bundle, "coarse"):
        shares = []
        for n_steps in (1, steps):
            tokens_BCT = fill(network, codes_BCT, keep_BCT, SamplingConfig(), [0], n_steps)
            expected_BCT = drawn.setdefault(n_steps, tokens_BCT)  # the first network is PyTorch in float32
            shares.append(f"{float((tokens_BCT == expected_BCT)[~keep_BCT].float().mean()):7.1%}")
        yield f"{backend + ' ' + name:<16}{shares[0]:>12}{shares[1]:>12}"


def memory_mib() -> dict[str, int]:
    """This process's peak, and its present anonymous and mapped memory (Linux)."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return {}
    return {name: int(kib) // 1024 for name, kib in re.findall(r"(VmHWM|RssAnon|RssFile):\s+(\d+)", status)}


def report_loading(folder: str) -> None:
    """Seconds and memory to load the model as a vamp does; first of all, as the peak is that of the whole process."""
    before, started = memory_mib(), time.perf_counter()
    model = load(folder, device="cpu")
    took_s, after = time.perf_counter() - started, memory_mib()
    files_mib = sum(p.stat().st_size for p in Path(folder).iterdir() if p.suffix in (".pth", ".safetensors")) / 2**20
    print(f"loaded {files_mib:.0f} MiB of weights in {took_s:.1f} s, networks in {str(model.dtype).split('.')[1]}")
    if before:
        grown = after["VmHWM"] - before["VmHWM"]
        print(
            f"peak memory {after['VmHWM']} MiB, of which loading {grown} MiB = {grown / files_mib:.0%} of the files; "
            f"then {after['RssAnon']} MiB of its own and {after['RssFile']} MiB mapped"
        )


def print_row(name: str, form: str, n_threads: int, took_s: float, gflop: float, peak: float) -> None:
    rate = f"{gflop:8.0f}{gflop / took_s:9.0f}{gflop / took_s / peak:8.0%}" if gflop else ""
    print(f"{name:<40}{form:>7}{n_threads:>8}{1000 * took_s:9.0f}{rate}", flush=True)


def report_cold_start(folder: str) -> None:
    """Seconds from the start of `vampnet vamp` on SECONDS of noise to its first sign of life and first progress."""
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "in.wav"
        write(source, noise())
        command = [sys.executable, "-m", "vampnet.apps.cli.main", "vamp", str(source), "-o", f"{scratch}/out.wav"]
        started = time.perf_counter()
        process = subprocess.Popen(
            [*command, "--bundle", folder, "--steps", "1", "--progress", "json"], stderr=subprocess.PIPE
        )
        assert process.stderr is not None
        seen, moments = b"", {}
        while len(moments) < 2 and (piece := os.read(process.stderr.fileno(), 4096)):
            seen += piece
            for word in (b"load", b"encode"):
                if word in seen:
                    moments.setdefault(word.decode(), time.perf_counter() - started)
        process.kill()
        process.wait()
    print("cold start: " + ", ".join(f"{word!r} after {moment:.1f} s" for word, moment in moments.items()))


def report_speed(folder: str, threads: list[int], only: list[str], repeats: int, steps: int) -> None:
    print(f"\n{'':<40}{'format':>7}{'threads':>8}{'ms':>9}{'GFLOP':>8}{'GFLOP/s':>9}{'of peak':>8}")
    for n_threads in threads:
        torch.set_num_threads(n_threads)
        peaks = {name: peak_gflops(FORMATS[name], repeats) for name in formats()}
        for name, peak in peaks.items():
            print(
                f"{'matrix product of 2048 x 2048':<40}{name:>7}{n_threads:>8}{2 * 2048**3 / 1e6 / peak:9.0f}", end=""
            )
            print(f"{2 * 2048**3 / 1e9:8.0f}{peak:9.0f}{1:8.0%}")
        for row in rows(load_bundle(folder), folder, steps):
            if only and not any(part in row.name for part in only):
                continue
            took_s = best_s(row.run, repeats, row.once)
            print_row(row.name, row.format, n_threads, took_s, row.gflop, peaks[row.format])


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", help="folder of a bundle, or of the authors' .pth files")
    parser.add_argument("--threads", type=int, nargs="+", default=[torch.get_num_threads()])
    parser.add_argument(
        "--only", nargs="+", default=[], help="parts of row names, such as coarse decode vamp; cold, agree"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=36, help="coarse steps of the whole vamp")
    options = parser.parse_args()
    report_loading(options.bundle)
    if not options.only or "cold" in options.only:
        report_cold_start(options.bundle)
    report_speed(options.bundle, options.threads, options.only, options.repeats, options.steps)
    if not options.only or "agree" in options.only:
        print("\nsame tokens as torch fp32   1 step    12 steps")
        for line in agreement(load_bundle(options.bundle)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
