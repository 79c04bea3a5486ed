"""The command line: `vampnet SUBCOMMAND ...`. Parsing here, work in the functions that each subcommand names.

Heavy modules are imported inside the functions, so `vampnet --help` answers at once. Exit codes: 0 done, 2 something
that the user can mend (one line on stderr says what), 130 interrupted.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from synthcorpus.errors import CompositionError
from vampnet.apps.cli import (
    compress as cli_compression,
    distance as cli_evaluation,
    evaluate as cli_experiments,
    listen as cli_listen,
    tasks as cli_tasks,
    train as cli_models,
)
from vampnet.apps.cli.bundle import bundle_options, run_bundle
from vampnet.apps.cli.corpus import corpus_options, run_corpus
from vampnet.apps.cli.finetune import finetune_options, run_finetune
from vampnet.apps.cli.import_reference import import_options, run_import
from vampnet.apps.cli.prompts import run_prompts
from vampnet.apps.cli.tokenize import run_tokenize, tokenize_options
from vampnet.apps.cli.train_beats import run_train_beats, train_beats_options
from vampnet.apps.cli.train_session import run_train_session, train_session_options
from vampnet.apps.cli.vamp import run_vamp, vamp_options
from vampnet.errors import Interrupted, VampnetError
from vampnet.version import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    # PyTorch's threads else wait by spinning, which beside another busy program (a DAW) takes twice as long. It counts
    # only before PyTorch is loaded; who sets it otherwise is obeyed.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    parser, runners = build_parser()
    arguments = parser.parse_args(argv)
    command = arguments.command
    options = arguments[command]
    level = logging.INFO if options.get("verbose") else logging.WARNING
    logging.basicConfig(stream=sys.stderr, level=level, format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S")
    try:
        runners[command](options)
    except (VampnetError, CompositionError) as error:
        print(f"vampnet: error: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 2)
    except KeyboardInterrupt as interruption:
        said = interruption if isinstance(interruption, Interrupted) else "interrupted; no output was written"
        print(f"vampnet: {said}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


def build_parser() -> tuple[ArgumentParser, dict[str, Callable[[Namespace], None]]]:
    """The parser and the function of each subcommand."""
    parser = ArgumentParser(
        prog="vampnet", description="Masked acoustic token modelling of music: vary, fill and extend recordings."
    )
    parser.add_argument("--version", action="version", version=f"vampnet {__version__}")
    subcommands = parser.add_subcommands(required=True, dest="command", metavar="SUBCOMMAND")
    runners: dict[str, Callable[[Namespace], None]] = {}
    for name, help_text, add_options, run in COMMANDS:
        sub = ArgumentParser(description=help_text)
        subcommands.add_subcommand(name, sub, help=help_text)  # before its options: they may be subcommands themselves
        add_options(sub)
        sub.add_argument("-v", "--verbose", action="store_true", help="log what is done to stderr")
        runners[name] = run
    return parser, runners


def _info_options(parser: ArgumentParser) -> None:
    parser.add_argument("what", type=str, nargs="?", default="default", help="bundle, adapter, audio or .vamp file")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--verify", action="store_true", help="compare every weight file with its SHA-256")


def run_info(options: Namespace) -> None:
    """`vampnet info`: what a bundle, an adapter, an audio file or a compressed file is."""
    from vampnet.apps.cli.info import adapter_info, audio_info, bundle_info, vamp_info

    what = Path(options.what)
    if what.is_file():
        readers = {".safetensors": adapter_info, ".vamp": vamp_info}
        facts = readers.get(what.suffix.lower(), audio_info)(what)
    else:
        facts = bundle_info(options.what, options.verify)
    if options.json:
        print(json.dumps(facts, indent=1))
        return
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")


COMMANDS = (
    ("vamp", "Make variations of a recording: some tokens are kept, the rest is generated.", vamp_options, run_vamp),
    ("inpaint", "Generate regions of a recording anew.", cli_tasks.inpaint_options, cli_tasks.run_inpaint),
    ("outpaint", "Generate music before and after.", cli_tasks.outpaint_options, cli_tasks.run_outpaint),
    ("continue", "Let a recording go on.", cli_tasks.continue_options, cli_tasks.run_continue),
    ("loop", "Variations of a loop that join themselves and each other.", cli_tasks.loop_options, cli_tasks.run_loop),
    ("generate", "Make new music, from nothing or like a clip.", cli_tasks.generate_options, cli_tasks.run_generate),
    ("stretch", "Make it longer, new music between the old.", cli_tasks.stretch_options, cli_tasks.run_stretch),
    ("telephone", "Vamp the vamp of the vamp.", cli_tasks.telephone_options, cli_tasks.run_telephone),
    (
        "compress",
        "Make a small file of kept tokens.",
        cli_compression.compress_options,
        cli_compression.run_compress,
    ),
    (
        "decompress",
        "Open a compressed file; what it does not hold is generated.",
        cli_compression.decompress_options,
        cli_compression.run_decompress,
    ),
    ("info", "Say what a bundle, an adapter or an audio file is.", _info_options, run_info),
    (
        "distance",
        "Say how far audio is from other audio: file by file and as sets (mel, FAD, KAD, beats, chroma, ...).",
        cli_evaluation.distance_options,
        cli_evaluation.run_distance,
    ),
    ("prompts", "List the parts and presets that a prompt can be made of.", lambda parser: None, run_prompts),
    (
        "evaluate",
        "The paper's experiments on a model, and which of its findings hold.",
        cli_experiments.evaluate_options,
        cli_experiments.run_evaluate,
    ),
    ("listen", "Listening tests: make, serve, analyse.", cli_listen.listen_options, cli_listen.run_listen),
    ("corpus", "Make music, or more diverse audio, to train on.", corpus_options, run_corpus),
    ("tokenize", "Encode a folder of audio into token shards.", tokenize_options, run_tokenize),
    ("train", "Train a codec or a masked model from a recipe.", cli_models.train_options, cli_models.run_train),
    (
        "train-session",
        "Render audio and train codec and models on it, within a given time (for an accelerator).",
        train_session_options,
        run_train_session,
    ),
    ("train-beats", "Train the beat tracker on composed music.", train_beats_options, run_train_beats),
    (
        "finetune",
        "Fine-tune the model on a folder of music: a small LoRA adapter file.",
        finetune_options,
        run_finetune,
    ),
    ("bundle", "Pack training runs into a bundle.", bundle_options, run_bundle),
    (
        "import-reference",
        "Make a bundle of the VampNet authors' checkpoints (.pth) or of DAC weights.",
        import_options,
        run_import,
    ),
)


if __name__ == "__main__":
    sys.exit(main())
