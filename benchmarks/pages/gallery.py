"""Make docs/gallery.md, its pictures and sounds again: what each task does to the example loop.

    python -m benchmarks.pages.gallery [--bundle default] [--only inpaint loop]

Needs the extra `plot`. The pictures are those of `--plot`, made smaller; the sounds are MP3 files, mixed to mono. It
takes a few minutes on a CPU.
"""

from __future__ import annotations

import argparse
import datetime
import os
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path

import soundfile
from matplotlib import colormaps
from PIL import Image

from vampnet.apps.cli.main import main as vampnet
from vampnet.audio.files import probe, read
from vampnet.audio.plot import plot_vamp
from vampnet.audio.units import samples_to_frames
from vampnet.tasks.compress import kept_prompt
from vampnet.tasks.model import load

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "gallery"
WIDTH, MAX_BYTES = 720, 60_000
"""Of a picture: pixels, and what it may take in the repository."""
HEAD = """# Gallery

Date: {date}. Model: {model}. Command: `python -m benchmarks.pages.gallery`.

What each task does to [the example loop](../examples/loop.wav), with the embedded model; `--plot` draws such pictures.
Above: kept tokens dark, generated ones white. Below: mel spectrograms of input and output, with their beats.
[Listen to the loop](gallery/input.mp3) first. The sounds here are mixed to mono and coded as MP3.
"""


@dataclass(frozen=True)
class Shown:
    """One task of the gallery."""

    name: str
    says: str
    command: str
    """Without the seed and the plot."""


SHOWN = (
    Shown("vamp", "A variation: every seventh frame is kept.", "vamp examples/loop.wav -o out.wav"),
    Shown(
        "keep-the-beat",
        "The moments of the beats and the first two seconds are kept.",
        'vamp examples/loop.wav -o out.wav --prompt "beats(after=75ms) | keep(0, 2)" --bpm 120',
    ),
    Shown(
        "inpaint",
        "A passage is generated again; all else stays bit for bit.",
        "inpaint examples/loop.wav -o out.wav --region 6:9",
    ),
    Shown("outpaint", "Music before and after.", "outpaint examples/loop.wav -o out.wav --before 4 --after 4"),
    Shown("continue", "How it could go on.", "continue examples/loop.wav -o out.wav --seconds 8"),
    Shown(
        "loop",
        "Two variations one after the other, which join themselves and each other.",
        "loop examples/loop.wav -o out.wav --variations 2 --join",
    ),
    Shown("stretch", "Tokens spread out, the gaps generated.", "stretch examples/loop.wav -o out.wav --factor 1.5"),
    Shown(
        "telephone",
        "The vamp of the vamp of the vamp of the vamp.",
        "telephone examples/loop.wav -o out.wav --rounds 4",
    ),
    Shown("generate", "From nothing.", "generate -o out.wav --seconds 12"),
    Shown("generate-like", "In the style of a clip.", "generate -o out.wav --seconds 16 --like examples/loop.wav"),
)
SMALL = Shown(
    "compress",
    "Four codebooks of every second frame in a file; what it does not hold is generated when it is opened.",
    "compress examples/loop.wav -o out.vamp --codebooks 4 --period 2",
)


def draw(shown: Shown, bundle: str, folder: Path, picture: Path) -> None:
    """Run the command of a task, its plot into `picture`."""
    arguments = shlex.split(shown.command)
    arguments[arguments.index("-o") + 1] = str(folder / "out.wav")
    run([*arguments, "--seed", "1", "--plot", str(picture), "--bundle", bundle])


def draw_small(bundle: str, folder: Path, picture: Path) -> None:
    """The same of the two commands that compress and open, which draw no plot themselves."""
    small, out = folder / "out.vamp", folder / "out.wav"
    arguments = shlex.split(SMALL.command)
    arguments[arguments.index("-o") + 1] = str(small)
    run([*arguments, "--seed", "1", "--bundle", bundle])
    run(["decompress", str(small), "-o", str(out), "--bundle", bundle])
    model, prompt = load(bundle), kept_prompt(4, 2)
    n_frames = samples_to_frames(probe(out).n_samples, model.codec.hop)
    keep_CT, loop = model.keep(prompt, n_frames, 1), ROOT / "examples" / "loop.wav"
    plot_vamp(picture, loop, out, keep_CT, f"compress, decompress: {prompt}", model.codec.frames_per_s)


def run(arguments: list[str]) -> None:
    if vampnet(arguments):
        raise SystemExit(f"failed: vampnet {shlex.join(arguments)}")


def write_sound(source: Path, target: Path) -> None:
    """Audio as a small MP3 file, mixed to mono."""
    audio = read(source)
    mono, rate_hz = audio.samples.mean(axis=0), audio.sample_rate_hz
    soundfile.write(target, mono, rate_hz, format="MP3", bitrate_mode="VARIABLE", compression_level=0.7)


def shrink(picture: Path, target: Path) -> None:
    """A picture of WIDTH and few enough colours for MAX_BYTES, so that the repository stays small."""
    image = Image.open(picture).convert("RGB")
    image = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)
    for n_colours in (56, 40, 28, 20, 14, 10):
        image.quantize(palette=palette(n_colours), dither=Image.Dither.NONE).save(target, optimize=True)
        if target.stat().st_size <= MAX_BYTES:
            return
    raise SystemExit(f"{target}: takes more than {MAX_BYTES} bytes even in few colours")


def palette(n_colours: int) -> Image.Image:
    """Colours of the spectrograms, greys of the rest, and the blue of beats."""
    colours = [colormaps["magma"](k / (n_colours - 1))[:3] for k in range(n_colours)]
    colours += [(k / 7, k / 7, k / 7) for k in range(1, 8)]
    colours += [(0.25, 0.6, 0.7), (0.6, 0.9, 0.95)]
    found = Image.new("P", (1, 1))
    found.putpalette([round(255 * value) for colour in colours for value in colour])
    return found


def page(model: str) -> str:
    """The text of docs/gallery.md, of the model with this id."""
    parts = [HEAD.format(date=f"{datetime.date.today():%Y-%m-%d}", model=model)]
    for shown in (*SHOWN, SMALL):
        commands = f"vampnet {shown.command} --seed 1"
        commands += "\n    vampnet decompress out.vamp -o out.wav" if shown is SMALL else " --plot out.png"
        parts.append(
            f"## {shown.name}\n\n{shown.says} [Listen](gallery/{shown.name}.mp3)\n\n    {commands}\n\n"
            f"![{shown.name}](gallery/{shown.name}.png)\n"
        )
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--only", nargs="+", default=None, metavar="NAME")
    options = parser.parse_args()
    os.chdir(ROOT)
    PICTURES.mkdir(exist_ok=True)
    write_sound(ROOT / "examples" / "loop.wav", PICTURES / "input.mp3")
    for shown in (*SHOWN, SMALL):
        if options.only is not None and shown.name not in options.only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            picture = Path(folder) / "plot.png"
            if shown is SMALL:
                draw_small(options.bundle, Path(folder), picture)
            else:
                draw(shown, options.bundle, Path(folder), picture)
            shrink(picture, PICTURES / f"{shown.name}.png")
            write_sound(Path(folder) / "out.wav", PICTURES / f"{shown.name}.mp3")
        print(f"{shown.name}: {(PICTURES / f'{shown.name}.png').stat().st_size} bytes", flush=True)
    (ROOT / "docs" / "gallery.md").write_text(page(load(options.bundle).id), encoding="utf-8")


if __name__ == "__main__":
    main()
