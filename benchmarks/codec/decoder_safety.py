"""What the decoder makes of any codes: peaks, offset, spectrum and clicks, for codes that no music was encoded to.

    python -m benchmarks.codec.decoder_safety --audio FOLDER --excerpts 4 -o docs/results/codec/safety.md

Codes of real music (10 s from the middle of each file), the same frames shuffled in time, one frame held, uniformly
random codes, silence, codes that the bundle's models generate from nothing, and the originals themselves beside them.
All decoded in blocks; "block edges" compares that with one piece. Then what the product writes of each file.
`-o` writes Markdown, and JSON beside it. About 20 s of one core per excerpt, and 30 s for the generated one.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.tables import report, table
from vampnet.audio.files import Audio, read, write
from vampnet.audio.folders import audio_files_in
from vampnet.audio.limiter import limit_loop
from vampnet.audio.loudness import gain_to, measure
from vampnet.audio.output_format import RestoredSource
from vampnet.audio.sources import MemorySource
from vampnet.audio.spool import Spool
from vampnet.codec.base import Codec
from vampnet.codec.chunked import BLOCK_FRAMES
from vampnet.generation.config import SamplingConfig
from vampnet.generation.tokens import tokens_of
from vampnet.tasks.model import VampNet, load
from vampnet.training.data.wave_dataset import levelled_excerpt

SECONDS, N_FFT = 10.0, 2048
EDGE_SAMPLES = 8
LOUD_LUFS = -10.0
COLUMNS = """
- **peak**: largest absolute sample; full scale is 1.
- **offset**: mean, relative to full scale. **below 15 Hz**, **above 10 kHz**: share of the energy.
- **crest**: peak over RMS. **flatness**: geometric over arithmetic mean of the mean power spectrum; noise 1, a tone 0.
- **centroid**: of the mean magnitude spectrum.
- **block edges**: largest difference between decoding in blocks and in one piece; and the roughness (mean absolute
  second difference of the waveform) within 8 samples of the edges, over that of everywhere; a click makes it large.
- **bad**: samples that are not finite.
"""


def kinds(codec: Codec, codes_1CT: Tensor, generator: torch.Generator) -> Iterator[tuple[str, Tensor]]:
    """What is made of one excerpt's codes."""
    n_frames = codes_1CT.shape[2]
    random_1CT = torch.randint(codec.codebook_size, codes_1CT.shape, generator=generator)
    yield "real", codes_1CT
    yield "real, 4 codebooks", codes_1CT[:, :4]
    yield "shuffled in time", codes_1CT[:, :, torch.randperm(n_frames, generator=generator)]
    yield "one frame held", codes_1CT[:, :, n_frames // 2, None].expand_as(codes_1CT).contiguous()
    yield "random", random_1CT
    yield "random, 4 codebooks", random_1CT[:, :4]
    yield "coarse real, fine random", torch.cat([codes_1CT[:, :4], random_1CT[:, 4:]], dim=1)
    silent_T = torch.zeros(n_frames, dtype=torch.bool)
    silent_T[n_frames // 3 : n_frames // 2] = True
    yield "real, a part masked", torch.where(silent_T, codec.codebook_size, codes_1CT)


def generated(model: VampNet, seed: int) -> Tensor:
    """Codes (1, C, T) from nothing."""
    made = model.generate(seconds=SECONDS, sampling=SamplingConfig(seed=seed)).codes
    assert made is not None
    return made.long()


def statistics(audio_S: Tensor, whole_S: Tensor, edges: list[int], rate_hz: int) -> dict[str, float]:
    """Figures of one waveform; `whole_S`: the same decoded in one piece; `edges`: samples at which blocks begin."""
    bad = int((~audio_S.isfinite()).sum())
    audio_S = audio_S.nan_to_num()
    power_F = torch.stft(
        audio_S, N_FFT, N_FFT // 4, window=torch.hann_window(N_FFT), return_complex=True
    ).abs().square().mean(1).double()  # fmt: skip
    hz_F = torch.arange(len(power_F)) * rate_hz / N_FFT
    fine_F = torch.fft.rfft(audio_S.double()).abs().square()
    fine_hz_F = torch.arange(len(fine_F)) * rate_hz / len(audio_S)
    rms, peak = float(audio_S.square().mean().sqrt()), float(audio_S.abs().max())
    rough_S = audio_S.double().diff(n=2).abs()
    near = torch.cat([rough_S[e - EDGE_SAMPLES : e + EDGE_SAMPLES] for e in edges])
    magnitude_F = power_F.sqrt()
    return {
        "peak": peak,
        "offset": abs(float(audio_S.mean())),
        "rms": rms,
        "crest_db": _db(peak / max(rms, 1e-9)),
        "flatness": float((power_F + 1e-12).log().mean().exp() / (power_F + 1e-12).mean()),
        "centroid_hz": float((hz_F * magnitude_F).sum() / magnitude_F.sum().clamp_min(1e-12)),
        "below_15_hz": float(fine_F[fine_hz_F < 15].sum() / fine_F.sum().clamp_min(1e-12)),
        "above_10_khz": float(power_F[hz_F > 10_000].sum() / power_F.sum().clamp_min(1e-12)),
        "blocks": float((audio_S - whole_S).abs().max()),
        "edge_roughness": float(near.mean() / rough_S.mean().clamp_min(1e-12)),
        "bad": float(bad),
    }


def of_codes(codec: Codec, codes_1CT: Tensor) -> dict[str, float]:
    """Figures of what codes decode to."""
    audio_S = torch.cat(list(codec.decode_blocks(codes_1CT, BLOCK_FRAMES)), dim=1)[0].float().cpu()
    whole_S = next(iter(codec.decode_blocks(codes_1CT, codes_1CT.shape[2])))[0].float().cpu()
    edges = list(range(BLOCK_FRAMES * codec.hop, len(audio_S), BLOCK_FRAMES * codec.hop))
    return statistics(audio_S, whole_S, edges, codec.sample_rate_hz)


def worst(rows: list[dict[str, float]]) -> dict[str, float]:
    """Of several excerpts: the largest where large is bad, else the mean."""
    most = ("peak", "offset", "crest_db", "below_15_hz", "blocks", "edge_roughness", "bad")
    return {
        name: (max if name in most else lambda v: math.fsum(v) / len(v))([row[name] for row in rows])
        for name in rows[0]
    }


def written(codec: Codec, path: Path, lufs: float | None) -> dict[str, str]:
    """Through codec and levels as the product does it, from a file's first seconds, at its own loudness or another."""
    audio = read(path)
    samples = audio.samples[:, : int(SECONDS * audio.sample_rate_hz)]
    if lufs is not None:
        gain = np.float32(gain_to(measure(samples, audio.sample_rate_hz), lufs))
        samples = limit_loop(samples * gain, audio.sample_rate_hz)
    tokens = tokens_of(MemorySource(Audio(samples, audio.sample_rate_hz)), codec)
    target, codes_NCT = tokens.output, tokens.codes()
    assert target.lufs is not None
    with Spool(tokens.n_items) as spool:
        for block in codec.decode_blocks(codes_NCT.long()):
            spool.add(block.float().cpu().numpy())
        decoded = np.concatenate(list(spool.blocks()), axis=1)
        out = np.concatenate(list(RestoredSource(spool, codec.sample_rate_hz, target).blocks()), axis=1)
    before = float(np.abs(decoded).max()) * gain_to(measure(decoded, codec.sample_rate_hz), target.lufs)
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        for ending in ("wav", "mp3", "ogg"):
            place = Path(folder) / f"out.{ending}"
            write(place, Audio(out, audio.sample_rate_hz))
            peaks[f"peak in .{ending}"] = f"{np.abs(read(place).samples).max():.3f}"
    return {
        "LUFS in": f"{target.lufs:.1f}",
        "peak in": f"{np.abs(samples).max():.3f}",
        "peak decoded, at that loudness": f"{before:.3f}",
        "LUFS out": f"{measure(out, audio.sample_rate_hz):.1f}",
        **peaks,
    }


def shown(row: dict[str, float]) -> dict[str, str]:
    return {
        "peak": f"{row['peak']:.3f}",
        "offset": f"{row['offset']:.1e}",
        "RMS": f"{_db(row['rms']):.1f} dB",
        "crest": f"{row['crest_db']:.1f} dB",
        "flatness": f"{row['flatness']:.4f}",
        "centroid": f"{row['centroid_hz']:.0f} Hz",
        "below 15 Hz": f"{row['below_15_hz']:.1e}",
        "above 10 kHz": f"{row['above_10_khz']:.1e}",
        "block edges": f"{row['blocks']:.1e}; {row['edge_roughness']:.2f}",
        "bad": f"{row['bad']:.0f}",
    }


def _db(ratio: float) -> float:
    return 20 * math.log10(max(ratio, 1e-9))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, required=True, help="folder of music to encode")
    parser.add_argument("--excerpts", type=int, default=4)
    parser.add_argument("--bundle", default="default")
    parser.add_argument("-o", "--output", type=Path, help="Markdown file; JSON is written beside it")
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    model = load(options.bundle, device="cpu")
    codec, generator = model.codec, torch.Generator().manual_seed(0)
    found: dict[str, list[dict[str, float]]] = {"original": []}
    files = audio_files_in(options.audio)[: options.excerpts]
    for path in files:
        audio_1S = torch.from_numpy(levelled_excerpt(path, codec.sample_rate_hz, SECONDS))[None]
        edges = list(range(BLOCK_FRAMES * codec.hop, audio_1S.shape[1], BLOCK_FRAMES * codec.hop))
        found["original"].append(statistics(audio_1S[0], audio_1S[0], edges, codec.sample_rate_hz))
        for name, codes_1CT in kinds(codec, codec.encode(audio_1S), generator):
            found.setdefault(name, []).append(of_codes(codec, codes_1CT))
        print(path.name, flush=True)
    found["generated from nothing"] = [of_codes(codec, generated(model, 1))]
    silence_1S = torch.zeros(1, int(SECONDS * codec.sample_rate_hz))
    found["silence"] = [of_codes(codec, codec.encode(silence_1S))]
    figures = {name: worst(rows) for name, rows in found.items()}
    command = f"python -m benchmarks.codec.decoder_safety --audio FOLDER --excerpts {len(files)}"
    text = f"# What the decoder makes of any codes\n\n`{command}`\n\nCodec {codec.id}, {SECONDS:g} s each, levelled to"
    text += (
        f" -24 LUFS; of {len(files)} excerpts the worst peak, offset, crest, share below 15 Hz and block edges, else"
    )
    text += f" means.\n{COLUMNS}\n{table('codes', {name: shown(row) for name, row in figures.items()})}"
    levels = {}
    for path in files:
        levels[path.name] = written(codec, path, None)
        levels[f"{path.name}, made loud"] = written(codec, path, LOUD_LUFS)
    text += (
        f"\n## What is written\n\nThe first {SECONDS:g} s of each file through encoder, decoder and limiter, as it is"
    )
    text += (
        f" and brought to {LOUD_LUFS:g} LUFS before (its peaks bent, so a little less); files as `vampnet` writes them,"
    )
    text += f" read again.\n\n{table('file', levels)}"
    report(
        text,
        {"codec_id": codec.id, "files": [f.name for f in files], "figures": figures, "written": levels},
        options.output,
    )


if __name__ == "__main__":
    main()
