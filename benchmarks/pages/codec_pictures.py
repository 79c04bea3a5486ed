"""Draws docs/results/codec/*.png anew: spectrograms of four sounds, and of what the codec makes of them.

    python -m benchmarks.pages.codec_pictures [--bundle default] [--only sweep]

The sounds are made here and are the same every time: a drum hit by the project's synthesiser, a spoken sentence by
espeak-ng (left out where that is not installed), a dense mix by the project's composer, a sine sweep. Needs the extra
`plot`; half a minute of a core.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.pages.gallery import palette
from synthcorpus.compose.piece import ComposeConfig, compose
from synthcorpus.render.render import RenderConfig, render
from synthcorpus.synth.drums import DrumVoice
from vampnet.audio.files import Samples, read, resample
from vampnet.audio.loudness import gain_to, measure
from vampnet.audio.mel import log_mel
from vampnet.codec.base import Codec
from vampnet.models.bundle import load_codec

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "results" / "codec"
RATE_HZ, N_FFT, N_MELS = 44100, 2048, 160
TICKS_HZ = (100, 500, 1000, 2000, 5000, 10000, 20000)
SENTENCE = "A small model sings what it has heard."
MAX_BYTES = 150_000


def drum_hit() -> Samples:
    """A snare over a kick, after 0.2 s of silence; 1 s."""
    voice = DrumVoice(RATE_HZ, np.random.default_rng(5))
    hit = sum(voice.note(pitch, 110, int(0.8 * RATE_HZ))[0] for pitch in (36, 38))
    return np.pad(np.asarray(hit, np.float32), (int(0.2 * RATE_HZ), 0))


def voice() -> Samples | None:
    """A spoken sentence; None without espeak-ng."""
    if shutil.which("espeak-ng") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "voice.wav"
        subprocess.run(["espeak-ng", "-v", "en", "-s", "140", "-w", str(path), SENTENCE], check=True)
        spoken = read(path)
    return resample(spoken.samples.mean(axis=0, keepdims=True), spoken.sample_rate_hz, RATE_HZ)[0]


def dense_mix() -> Samples:
    """4 s from the middle of the first composed piece with at least eight tracks."""
    settings = ComposeConfig(min_duration_s=12.0, max_duration_s=20.0)
    pieces = (compose((2024, seed), settings) for seed in range(10_000))
    piece = next(p for p in pieces if len(p.tracks) >= 8)
    mono = render(piece, RenderConfig(RATE_HZ), np.random.default_rng(2024)).audio.mean(axis=0)
    middle = len(mono) // 2
    return mono[middle - 2 * RATE_HZ : middle + 2 * RATE_HZ]


def sine_sweep() -> Samples:
    """40 Hz to 20 kHz in 4 s, a constant number of octaves per second."""
    seconds, low_hz, high_hz = 4.0, 40.0, 20_000.0
    rate = np.log(high_hz / low_hz) / seconds
    time = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return np.sin(2 * np.pi * low_hz * np.expm1(rate * time) / rate).astype(np.float32)


SOUNDS: dict[str, Callable[[], Samples | None]] = {
    "drum": drum_hit,
    "voice": voice,
    "mix": dense_mix,
    "sweep": sine_sweep,
}


def draw(name: str, mono_S: Samples, codec: Codec, picture: Path) -> None:
    """Original, 14 and 4 codebooks, one above the other, on one scale of 80 dB."""
    mono_S = (mono_S * gain_to(measure(mono_S[None], RATE_HZ))).astype(np.float32)
    codes_1CT = codec.encode(torch.from_numpy(mono_S)[None])
    rows = {"original": mono_S}
    for n in (codec.n_codebooks, 4):
        rows[f"{n} codebooks"] = codec.decode(codes_1CT[:, :n])[0, : len(mono_S)].numpy()
    spectra = {
        label: log_mel(torch.from_numpy(audio)[None], RATE_HZ, N_FFT, N_MELS)[0].T for label, audio in rows.items()
    }
    top = max(float(spectrum.max()) for spectrum in spectra.values())
    figure = Figure(figsize=(9, 7.2), layout="constrained")
    axes: Any = figure.subplots(3, 1, sharex=True)
    for axis, (label, spectrum_MU) in zip(axes, spectra.items(), strict=True):
        extent = (0, len(mono_S) / RATE_HZ, 0, N_MELS)
        axis.imshow(
            spectrum_MU, aspect="auto", origin="lower", cmap="magma", vmin=top - 4, vmax=top, extent=extent,
            interpolation="nearest",
        )  # fmt: skip
        axis.set_yticks([_band(hz) for hz in TICKS_HZ], [f"{hz / 1000:g}" for hz in TICKS_HZ])
        axis.set_ylabel(f"{label}\nkHz")
    axes[0].set_title(
        f"{name}: original, and decoded from {codec.n_codebooks} and 4 codebooks", loc="left", fontsize=10
    )
    axes[-1].set_xlabel("seconds")
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large.png"
        figure.savefig(large, dpi=110)
        Image.open(large).convert("RGB").quantize(palette=palette(48), dither=Image.Dither.NONE).save(
            picture, optimize=True
        )
    if picture.stat().st_size > MAX_BYTES:
        raise SystemExit(f"{picture}: takes more than {MAX_BYTES} bytes; draw it smaller")


def _band(hz: float) -> float:
    """Where a frequency lies among the mel bands (Slaney's scale, of 0 Hz to half the rate)."""

    def mel(f: float) -> float:
        return 3 * f / 200 if f < 1000 else 15 + 27 * np.log(f / 1000) / np.log(6.4)

    return N_MELS * mel(hz) / mel(RATE_HZ / 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--only", nargs="+", choices=SOUNDS)
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    codec = load_codec(options.bundle)
    PICTURES.mkdir(exist_ok=True)
    for name in options.only or SOUNDS:
        sound = SOUNDS[name]()
        if sound is None:
            print(f"{name}: left out, espeak-ng is not installed")
            continue
        draw(name, sound, codec, PICTURES / f"{name}.png")
        print(f"{name}: {(PICTURES / f'{name}.png').stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    main()
