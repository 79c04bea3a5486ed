"""Subcommands that make models: corpora, tokens, training, fine-tuning, bundles."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from vampnet.cli_shared import add_settings, settings_from
from vampnet.config import FinetuneSettings
from vampnet.errors import CorpusError

if TYPE_CHECKING:
    from vampnet.data.corpus import Material


def corpus_options(parser: ArgumentParser) -> None:
    parser.add_argument("folder", type=str, help="folder to write FLAC files and index.jsonl, or token shards, to")
    parser.add_argument("--hours", type=float, default=1.0, help="hours of audio, or of tokens")
    parser.add_argument(
        "--tokens",
        type=str,
        default=None,
        metavar="BUNDLE",
        help="write tokens of this bundle's codec in the place of audio ('default', or a folder)",
    )
    parser.add_argument(
        "--versions",
        type=int,
        default=1,
        help="with --tokens: encode each piece so often, with other channels and at other speeds",
    )
    parser.add_argument(
        "--material",
        type=str,
        default="music",
        help="music: composed pieces; diverse: for codecs, also solos, drums, textures, speech, song (with espeak-ng)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the whole corpus")
    parser.add_argument("--split", type=str, default="train", help="train, validation or test: disjoint pieces")
    parser.add_argument(
        "--soundfont", type=str, default=None, help="General MIDI sound font (.sf2); none: synthesis only"
    )
    parser.add_argument(
        "--style", action="append", default=None, help="compose in this style alone; repeatable (default: all)"
    )
    parser.add_argument("--scores", type=float, default=0.0, help="share of tunes in the public domain, 0 to 1")
    parser.add_argument("--workers", type=int, default=None, help="processes; all cores when not given")


def run_corpus(options: Namespace) -> None:
    """`vampnet corpus`: make music, or diverse audio, to train on, or its tokens."""
    from vampnet.data.corpus import write_corpus
    from vampnet.data.token_corpus import write_token_corpus

    if options.tokens is None and options.versions != 1:
        raise CorpusError("--versions is for tokens; give --tokens too")
    what = {"seed": options.seed, "split": options.split, "workers": options.workers, "soundfont": options.soundfont}
    if options.tokens is None:
        write_corpus(options.folder, options.hours, settings=_material(options), **what)
        return
    report = write_token_corpus(
        options.folder, options.hours, options.tokens, options.versions, settings=_material(options), **what
    )
    print(
        f"{report.hours:.2f} h of tokens in {options.folder}; {report.made_hours:.2f} h made in "
        f"{report.elapsed_s:.0f} s, {report.hours_per_hour:.0f} hours per hour"
    )


def _material(options: Namespace) -> Material:
    from vampnet.data.compose import ComposeSettings
    from vampnet.data.corpus import CorpusSettings
    from vampnet.data.diverse.pieces import DiverseSettings
    from vampnet.data.diverse.speech import PROGRAM, version

    if options.material == "music":
        compose = ComposeSettings(styles_only=tuple(options.style or ()), score_share=options.scores)
        return CorpusSettings(compose=compose)
    if options.material != "diverse":
        raise CorpusError(f"material {options.material!r} is unknown; it must be music or diverse")
    if options.style or options.scores:
        raise CorpusError("--style and --scores choose among composed music; leave them out with --material diverse")
    spoken = version()
    if spoken is None:
        print(f"{PROGRAM} is not on PATH: speech and song are left out", file=sys.stderr)
    return DiverseSettings(espeak_ng=spoken)


def tokenize_options(parser: ArgumentParser) -> None:
    parser.add_argument("folder", type=str, help="folder of audio")
    parser.add_argument("-o", "--output", type=str, required=True, help="folder for the token shards")
    parser.add_argument("--bundle", type=str, default="default", help="bundle whose codec encodes")


def run_tokenize(options: Namespace) -> None:
    """`vampnet tokenize`: a folder of audio as token shards."""
    from vampnet.checkpoint import load_codec
    from vampnet.data.tokens import tokenize_folder

    report = tokenize_folder(options.folder, options.output, load_codec(options.bundle))
    print(
        f"{report.n_files} files, {report.audio_s / 3600:.2f} h in {options.output}, {report.audio_s_per_s:.0f} s per s"
    )
    for line in report.skipped:
        print(f"left out: {line}", file=sys.stderr)


def train_options(parser: ArgumentParser) -> None:
    parser.add_argument("recipe", type=str, help="recipe, a YAML file")
    parser.add_argument("-o", "--output", type=str, required=True, help="folder of the run; what is there is resumed")
    parser.add_argument("--steps", type=int, default=None, help="steps in all, instead of the recipe's")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop cleanly after so many minutes")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--devices", type=int, default=1, help="devices to train on together")
    parser.add_argument("--threads", type=int, default=None, help="CPU threads")
    parser.add_argument("--start-from", type=str, default=None, help="finished run whose weights a new run begins with")
    parser.add_argument("--fresh", action="store_true", help="start anew instead of resuming")


def run_train(options: Namespace) -> None:
    """`vampnet train`: run a recipe."""
    import torch

    from vampnet.training.start import train

    if options.threads:
        torch.set_num_threads(options.threads)
    figures = train(
        options.recipe,
        options.output,
        steps=options.steps,
        device=options.device,
        devices=options.devices,
        stop_after_s=60 * options.minutes,
        resume=not options.fresh,
        start_from=options.start_from,
    )
    for name, value in figures.items():
        print(f"{name}: {value:.4f}")


def bundle_options(parser: ArgumentParser) -> None:
    parser.add_argument("-o", "--output", type=str, required=True, help="bundle folder to write")
    parser.add_argument("--codec", type=str, required=True, help="codec run, or a bundle to take the codec from")
    parser.add_argument("--coarse", type=str, default=None, help="run of the coarse model, or a bundle")
    parser.add_argument("--c2f", type=str, default=None, help="run of the coarse-to-fine model, or a bundle")
    parser.add_argument("--storage", type=str, default="int8", help="float32, bfloat16 or int8")
    parser.add_argument("--card", type=str, default=None, help="Markdown file that becomes the bundle's model card")
    parser.add_argument(
        "--surprise-limit",
        type=float,
        default=None,
        help="nats per token above which a recording is called foreign (benchmarks/surprise.py); none: no such warning",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the folder if it exists")


def run_bundle(options: Namespace) -> None:
    """`vampnet bundle`: training runs -> a bundle that `vampnet.load` takes."""
    from vampnet.training.export import write_bundle

    write_bundle(
        options.output,
        codec=options.codec,
        coarse=options.coarse,
        c2f=options.c2f,
        storage=options.storage,
        card=options.card,
        surprise_limit=options.surprise_limit,
        overwrite=options.overwrite,
    )
    print(f"wrote {options.output}")


def finetune_options(parser: ArgumentParser) -> None:
    parser.add_argument("folder", type=str, help="folder of audio, a few minutes are enough")
    parser.add_argument("-o", "--output", type=str, required=True, help="adapter file to write (.safetensors)")
    parser.add_argument("--bundle", type=str, default="default", help="model: 'default', a folder, or OWNER/NAME")
    parser.add_argument("--run", type=str, default=None, help="working folder, resumed (default: OUTPUT.run)")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda or mps")
    add_settings(parser, FinetuneSettings, "Fine-tuning")


def run_finetune(options: Namespace) -> None:
    """`vampnet finetune`: LoRA adapters for one's own music."""
    from vampnet.training.lora import finetune

    settings, run = settings_from(FinetuneSettings, options), options.run or f"{options.output}.run"

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    try:
        report = finetune(options.folder, options.output, options.bundle, settings, run, options.device, say)
    except KeyboardInterrupt:
        say(f"vampnet: interrupted; the same command goes on from the last checkpoint in {run}")
        raise SystemExit(130) from None
    for line in report.left_out:
        say(f"left out: {line}")
    print(
        f"trained on {report.train_s / 60:.1f} min ({len(report.train_files)} files), "
        f"held out {report.held_out_s / 60:.1f} min ({len(report.held_out_files)} files)"
    )
    what = "held-out cross-entropy" if report.held_out_files else "cross-entropy of the file itself, nothing held out:"
    for part, change in report.changes.items():
        kept = (
            f"step {report.steps[part]} kept" if report.steps[part] else "nothing gained, this model is left as it is"
        )
        print(f"{part}: {what} {change} ({kept})")
    print(f"listen: original.wav, before.wav, after.wav in {run}/samples")
    print(f"wrote {options.output}; use it with: vampnet vamp IN -o OUT --lora {options.output}")


def import_options(parser: ArgumentParser) -> None:
    parser.add_argument("-o", "--output", type=str, required=True, help="bundle folder to write")
    parser.add_argument(
        "--codec", type=str, required=True, help="codec.pth, a .pth of Descript, or a transformers DacModel folder"
    )
    parser.add_argument("--coarse", type=str, default=None, help="coarse.pth; without both networks: the codec alone")
    parser.add_argument("--c2f", type=str, default=None, help="c2f.pth")
    parser.add_argument("--lora", type=str, default=None, help="LoRA .pth for the coarse model; replaces its pairs")
    parser.add_argument("--lora-c2f", type=str, default=None, help="the same for the coarse-to-fine model")
    parser.add_argument(
        "--keep-lora", action="store_true", help="keep LoRA pairs in BUNDLE/lora.safetensors, for --lora, unmerged"
    )
    parser.add_argument("--licence", type=str, default=None, help="licence text for the card (default: the authors')")
    parser.add_argument("--storage", type=str, default="float32", help="float32, bfloat16 or int8")
    parser.add_argument("--overwrite", action="store_true", help="replace the folder if it exists")


def run_import(options: Namespace) -> None:
    """`vampnet import-reference`: the authors' checkpoints as a bundle."""
    from vampnet.convert import import_reference

    done = import_reference(
        options.output,
        options.codec,
        options.coarse,
        options.c2f,
        lora=options.lora,
        lora_c2f=options.lora_c2f,
        keep_lora=options.keep_lora,
        licence=options.licence,
        storage=options.storage,
        overwrite=options.overwrite,
    )
    print(f"wrote {done.folder}, codec {done.codec_id}; its README.md states the licence of the weights")
    if done.kept_lora:
        print(f"{done.n_pairs} LoRA pairs are in {done.kept_lora} and count only with --lora {done.kept_lora}")
    elif done.n_pairs:
        print(f"{done.n_pairs} LoRA pairs were added to the weights")
