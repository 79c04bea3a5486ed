"""How fast this machine's accelerator is, in one command of less than eight minutes: NVIDIA, Apple, or the CPU.

    python -m benchmarks.gpu [--device cuda] [-o gpu.md]

Needs nothing but the package. First it draws tokens on the CPU and on the device in float32, and on the device in its
fastest number format, with the same seeds: in float32 they have to agree but for rare near ties. Then, for the
embedded model and for one of the paper's size with random weights: milliseconds per coarse pass of 10 s by batch, the
rate and its share of what a large matrix product reaches in the same number format, memory, and whole vamps of 10 s
with encoding and decoding. "eager float32" is the authors' way of computing, re-implemented (`generation/eager.py`).
What would begin after `--minutes` is left out, and the table says so. Send the file with a report of slowness.

`--sizes tiny --repeats 1` is a quick look at whether it runs.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.generation.eager import EagerNetwork, fill_eagerly
from benchmarks.generation.make_full_size import C2F, COARSE, CODEC
from benchmarks.tables import report, table
from vampnet.audio.files import Audio
from vampnet.codec.config import DacConfig
from vampnet.codec.dac import DacCodec
from vampnet.device import inference_dtype, select_device
from vampnet.generation.config import SamplingConfig
from vampnet.generation.sampling import fill
from vampnet.models.bundle import load_bundle
from vampnet.models.config import ModelConfig
from vampnet.models.format import Bundle
from vampnet.models.transformer import MaskedTransformer
from vampnet.tasks.model import VampNet

SECONDS = 10.0
BATCHES = (1, 8, 64)
STEPS = (12, 36)
CHECKED_FRAMES = 173
"""Frames of the comparison of tokens: 3 s, which a CPU fills in seconds."""
TINY_CODEC = DacConfig(
    encoder_dim=4, encoder_rates=(4, 8, 8), decoder_dim=32, decoder_rates=(8, 8, 4), decoder_kernels=(3, 7, 11),
    latent_dim=16, n_codebooks=4, sample_rate_hz=8000,
)  # fmt: skip
TINY = (TINY_CODEC, ModelConfig(n_codebooks=2, dim=32, n_heads=2, n_layers=2),
        ModelConfig(n_codebooks=4, n_conditioning_codebooks=2, dim=32, n_heads=2, n_layers=1))  # fmt: skip
SIZES = ("embedded", "full", "tiny")
Row = dict[str, str]


@dataclass
class Machine:
    """The device, its clock and its memory."""

    device: torch.device
    repeats: int
    minutes: float
    batches: Sequence[int]
    started: float = field(default_factory=time.perf_counter)
    peaks: dict[torch.dtype, float] = field(default_factory=dict)

    @property
    def is_late(self) -> bool:
        """Whether nothing more is to begin."""
        return time.perf_counter() - self.started > 60 * self.minutes

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def seconds(self, run: Callable[[], object], repeats: int | None = None) -> float:
        """Of the fastest of several runs, after one to warm up."""
        times = []
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        for _ in range(1 + (self.repeats if repeats is None else repeats)):
            self.wait()
            begun = time.perf_counter()
            run()
            self.wait()
            times.append(time.perf_counter() - begun)
        return min(times[1:])

    @property
    def memory(self) -> str:
        """Peak of the device's memory during what was timed last, MiB; empty where PyTorch does not tell."""
        if self.device.type != "cuda":
            return ""
        return f"{torch.cuda.max_memory_allocated(self.device) / 2**20:.0f}"

    def peak_flops(self, dtype: torch.dtype) -> float:
        """Operations per second of a large matrix product, measured once."""
        if dtype not in self.peaks:
            size = 8192 if self.device.type == "cuda" else 1024
            a, b = (torch.randn(size, size, device=self.device).to(dtype) for _ in range(2))
            self.peaks[dtype] = 2 * size**3 / self.seconds(lambda: F.linear(a, b))
        return self.peaks[dtype]

    @property
    def name(self) -> str:
        """The device in words."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return f"{self.device.type} of {platform.processor() or platform.machine()}"


def bundle_of(size: str) -> Bundle:
    """The embedded bundle, or one with random weights."""
    if size == "embedded":
        return load_bundle("default")
    codec_config, coarse_config, c2f_config = (CODEC, COARSE, C2F) if size == "full" else TINY
    torch.manual_seed(0)
    codec = DacCodec(codec_config).eval()
    coarse, c2f = MaskedTransformer(coarse_config).eval(), MaskedTransformer(c2f_config).eval()
    for model in (coarse, c2f):
        model.set_codebooks(codec.codebooks()[: model.config.n_codebooks])
    return Bundle(Path(size), {}, codec, coarse, c2f)


def material(model: MaskedTransformer, n_frames: int, batch: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Random codes, and a mask that keeps every seventh frame."""
    c, generator = model.config, torch.Generator().manual_seed(0)
    codes_BCT = torch.randint(0, c.vocab_size, (1, c.n_codebooks, n_frames), generator=generator)
    keep_BCT = (torch.arange(n_frames) % 7 == 0).expand(codes_BCT.shape).clone()
    return tuple(x.repeat(batch, 1, 1).to(device) for x in (codes_BCT, keep_BCT))  # type: ignore[return-value]


def check_tokens(machine: Machine, model: MaskedTransformer) -> Iterator[tuple[str, Row]]:
    """Share of tokens that the device draws as the CPU does in float32, in one pass and in 12."""
    expected: dict[int, Tensor] = {}
    formats = dict.fromkeys((torch.float32, inference_dtype(machine.device)))
    places = [("CPU", torch.device("cpu"), torch.float32), *((machine.name, machine.device, f) for f in formats)]
    for name, device, dtype in places:
        network, row = model.in_format(dtype).to(device), Row()
        codes_BCT, keep_BCT = material(model, CHECKED_FRAMES, 1, device)
        for steps in (1, 12):
            made_BCT = fill(network, codes_BCT, keep_BCT, SamplingConfig(), [0], steps).cpu()
            same = (made_BCT == expected.setdefault(steps, made_BCT))[~keep_BCT.cpu()]
            row[f"{steps} step{'s' * (steps > 1)}"] = f"{same.float().mean():.2%}"
        yield f"{name}, {str(dtype).removeprefix('torch.')}", row
    model.to("cpu")


def operations(model: MaskedTransformer, n_frames: int) -> float:
    """Of a pass over one item, counted without doing them; the classifier on all tokens."""
    with torch.device("meta"):
        blank = MaskedTransformer(model.config).eval()
        codes_BCT = torch.zeros(1, model.config.n_codebooks, n_frames, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        blank(codes_BCT)
    return float(counter.get_total_flops())


def measure_passes(machine: Machine, model: MaskedTransformer, n_frames: int) -> Iterator[tuple[str, Row]]:
    """One coarse pass: the eager loop's, then this package's in float32 and in the device's fastest format."""
    work, fastest = operations(model, n_frames), inference_dtype(machine.device)
    network = model.to(machine.device)
    cases: list[tuple[str, torch.dtype, int]] = [("eager float32", torch.float32, 1)]
    cases += [(str(f).removeprefix("torch."), f, 1) for f in dict.fromkeys((torch.float32, fastest))]
    cases += [(str(fastest).removeprefix("torch."), fastest, batch) for batch in machine.batches if batch > 1]
    for name, dtype, batch in cases:
        label = f"coarse pass, {name}, batch {batch}"
        if machine.is_late:
            yield label, left_out()
            continue
        codes_BCT, keep_BCT = material(model, n_frames, batch, machine.device)
        masked_BCT = codes_BCT.masked_fill(~keep_BCT, model.config.mask_token)
        chosen_BPT, own = ~keep_BCT[:, model.config.n_conditioning_codebooks :], network.in_format(dtype)
        run = lambda own=own, m=masked_BCT, c=chosen_BPT: own(m, c)  # noqa: E731
        if name.startswith("eager"):
            run = lambda m=masked_BCT: EagerNetwork(network)(m)  # noqa: E731
        with torch.no_grad():
            took_s = machine.seconds(run)
            rate, memory = batch * work / took_s, machine.memory
            share = rate / machine.peak_flops(dtype)
            yield label, {"ms": f"{1000 * took_s:.1f}", "ms per item": f"{1000 * took_s / batch:.2f}",
                          "TFLOP/s": f"{rate / 1e12:.2f}", "of peak": f"{share:.0%}", "MiB": memory,
                          "times real time": ""}  # fmt: skip
        del own
    model.to("cpu")


def left_out() -> Row:
    return {"ms": "left out: time"}


def measure_vamps(machine: Machine, bundle: Bundle) -> Iterator[tuple[str, Row]]:
    """Whole vamps of SECONDS, several variations at once, and the eager loop's coarse tokens beside them."""
    model = VampNet(bundle, str(machine.device))
    rng, rate_hz = np.random.default_rng(0), bundle.codec.sample_rate_hz
    audio = Audio((0.1 * rng.standard_normal((1, int(SECONDS * rate_hz)))).astype(np.float32), rate_hz)
    for steps in STEPS:
        sampling = SamplingConfig(steps=steps)
        for batch in machine.batches:
            label = f"vamp, {steps} steps, {batch} variation{'s' * (batch > 1)}, {model.precision}"
            if machine.is_late:
                yield label, left_out()
                continue
            model.runs_at_once = batch
            run = lambda n=batch, s=sampling: model.vamp(audio, n=n, prompt="nothing", sampling=s)  # noqa: E731
            took_s = machine.seconds(run, 1)
            yield label, vamp_row(took_s, batch, machine.memory)
        label = f"eager float32, {steps} coarse steps alone, no codec"
        if machine.is_late:
            yield label, left_out()
            continue
        assert isinstance(bundle.coarse, MaskedTransformer)
        n_frames = model.stages(sampling)[0].window_frames
        network = EagerNetwork(bundle.coarse.to(machine.device))
        codes_BCT, keep_BCT = material(bundle.coarse, n_frames, 1, machine.device)
        took_s = machine.seconds(lambda: fill_eagerly(network, codes_BCT, keep_BCT, steps), 1)  # noqa: B023
        yield label, vamp_row(took_s, 1, machine.memory)


def vamp_row(took_s: float, batch: int, memory: str) -> Row:
    return {"ms": f"{1000 * took_s:.0f}", "ms per item": f"{1000 * took_s / batch:.0f}", "MiB": memory,
            "times real time": f"{SECONDS * batch / took_s:.1f}"}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="auto, cuda, cuda:N, mps or cpu")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["embedded", "full"])
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=6.5, help="nothing begins after so many")
    parser.add_argument("-o", "--output", type=Path, help="Markdown file; JSON is written beside it")
    options = parser.parse_args(arguments)
    machine = Machine(select_device(options.device), options.repeats, options.minutes, options.batches)
    parts = [f"{machine.name}, PyTorch {torch.__version__}"]
    figures: dict[str, dict[str, Row]] = {}
    for size in options.sizes:
        bundle = bundle_of(size)
        assert bundle.coarse is not None
        n_frames = round(SECONDS * bundle.codec.frames_per_s) + 1
        same = dict(check_tokens(machine, bundle.coarse))
        found: dict[str, Row] = {}
        for label, row in (*measure_passes(machine, bundle.coarse, n_frames), *measure_vamps(machine, bundle)):
            found[label] = row
            print(size, label, row, flush=True)
        figures[f"{size}, same tokens"], figures[size] = same, found
        parts += [f"## {size}: {n_frames} frames", table("same tokens as", same), table("", found)]
    parts.append(f"{time.perf_counter() - machine.started:.0f} s in all")
    report("\n\n".join(parts) + "\n", figures, options.output)


if __name__ == "__main__":
    main()
