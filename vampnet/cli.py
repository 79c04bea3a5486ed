"""The command line: `vampnet SUBCOMMAND ...`. Parsing here, work in the functions that each subcommand names.

Heavy modules are imported inside the functions, so `vampnet --help` answers at once. Exit codes: 0 done, 2 something
that the user can mend (one line on stderr says what), 130 interrupted.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from vampnet import __version__, cli_compression, cli_evaluation, cli_experiments, cli_listen, cli_models, cli_tasks
from vampnet.cli_batch import is_batch, run_batch
from vampnet.cli_shared import (
    ProgressBar,
    add_beat_options,
    add_model_options,
    add_settings,
    add_warning_option,
    load_model,
    output_paths,
    parse_region,
    protect_input,
    rhythm_from,
    settings_from,
    warn_if_foreign,
)
from vampnet.config import Sampling
from vampnet.errors import Interrupted, PromptError, VampnetError

if TYPE_CHECKING:
    from vampnet.jobs import Timings
    from vampnet.pipeline import Drawn
    from vampnet.prompts import Prompt

log = logging.getLogger("vampnet")


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
    except VampnetError as error:
        print(f"vampnet: error: {error}", file=sys.stderr)
        return error.exit_code
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


# --- vamp ------------------------------------------------------------------------------------------------------------


def _vamp_options(parser: ArgumentParser) -> None:
    parser.add_argument("input", type=str, nargs="+", help="audio files: WAV, FLAC, OGG, MP3 or AIFF")
    parser.add_argument(
        "-o",
        "--output",
        type=str,
        required=True,
        help="audio file to write, its ending is the format; with several inputs, a folder",
    )
    add_model_options(parser)
    add_warning_option(parser)
    parser.add_argument(
        "--compat", type=str, default="", help="'reference': prepare and cut audio as the authors' code does"
    )
    parser.add_argument(
        "--variations", type=int, default=1, help="how many; above 1 they are numbered OUT-1, OUT-2, ..."
    )
    parser.add_argument(
        "--plot",
        type=str,
        default=None,
        help="PNG of input and output spectrogram and the kept tokens; a folder if -o is one",
    )
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")
    parser.add_argument(
        "--resume", action="store_true", help="go on where Ctrl-C stopped the same command; the result is the same"
    )
    parser.add_argument("--config", action="config", help="YAML file with any of these settings")
    group = parser.add_argument_group("Prompt: what is kept (nothing given: --periodic 7)")
    group.add_argument(
        "--prompt",
        type=str,
        default=None,
        help="any prompt or preset as text, such as 'vary | keep(0, 2)' or 'beats(after=75ms) & codebooks(3)', instead "
        "of the flags below; `vampnet prompts` lists what there is",
    )
    group.add_argument("--periodic", type=int, default=None, help="keep every N-th frame; 0 keeps none, 1 all")
    group.add_argument("--width", type=int, default=1, help="frames kept at each periodic place")
    group.add_argument("--random", type=float, default=None, help="keep each token with this probability, 0 to 1")
    group.add_argument(
        "--codebooks", type=int, default=None, help="of what the above keep, only the N coarsest codebooks"
    )
    group.add_argument("--keep", action="append", default=None, metavar="A:B", help="keep seconds A to B; repeatable")
    add_beat_options(parser)
    add_settings(parser, Sampling, "Sampling")


def run_vamp(options: Namespace) -> None:
    """`vampnet vamp`: variations of a recording."""
    prompt, sampling = _prompt_of(options), settings_from(Sampling, options)
    if options.plot:
        _check_plot(options)
    if is_batch(options.input, options.output):
        run_batch(options, prompt, sampling)
        return
    options.input = options.input[0]
    rhythm = rhythm_from(options)
    outputs = output_paths(options.output, options.variations)
    protect_input(options.input, outputs)
    with ProgressBar() as bar:
        bar.start("load")
        model = load_model(options, options.compat)
        warn_if_foreign(options, model, [options.input])
        log.info("device %s, %s, %s, prompt %s", model.device, model.dtype, model.backend, prompt)
        tokens, timings = model.vamp_file(options.input, outputs, prompt, sampling, bar.update, rhythm, options.resume)
    if options.plot:
        from vampnet.plot import plot_vamp

        plot_vamp(options.plot, options.input, outputs[0], tokens[0].mask_CT, str(prompt))
    _report_vamp(options, outputs, tokens, timings, prompt)


def _prompt_of(options: Namespace) -> Prompt:
    if options.prompt is None:
        return prompt_from(options.periodic, options.width, options.random, options.codebooks, options.keep or [])
    given = [name for name in ("periodic", "random", "codebooks", "keep") if options[name] is not None]
    if given:
        raise PromptError(f"--prompt says all that is kept; write --{given[0]} as a part of it")
    from vampnet.prompt_text import parse_prompt

    return parse_prompt(options.prompt)


def prompt_from(
    periodic: int | None, width: int, random: float | None, codebooks: int | None, keep: Sequence[str]
) -> Prompt:
    """The prompt that the flags spell: ((periodic | random) & codebooks) | keep regions."""
    from vampnet.prompts import Codebooks, Keep, Periodic, Random

    spread: Prompt | None = None
    if periodic is not None:
        spread = Periodic(periodic, width)
    if random is not None:
        spread = Random(random) if spread is None else spread | Random(random)
    if codebooks is not None:
        spread = Codebooks(codebooks) if spread is None else spread & Codebooks(codebooks)
    for text in keep:
        region = Keep(*parse_region(text, "keep"))
        spread = region if spread is None else spread | region
    return Periodic(7, width) if spread is None else spread


def _report_vamp(
    options: Namespace, outputs: list[Path], tokens: list[Drawn], timings: Timings, prompt: Prompt
) -> None:
    factor = timings.real_time_factor
    if options.json:
        kept = [1 - float(item.mask_CT.float().mean()) for item in tokens]
        done = [
            {"file": str(path), "seed": item.seed, "kept_share": round(share, 4)}
            for path, item, share in zip(outputs, tokens, kept, strict=True)
        ]
        report = {"input": options.input, "outputs": done, "prompt": str(prompt)}
        report |= {"timings": dataclasses.asdict(timings), "real_time_factor": round(factor, 3)}
        print(json.dumps(report, indent=1))
        return
    for path, item in zip(outputs, tokens, strict=True):
        print(f"{path}: {prompt}, seed {item.seed}")
    print(f"{timings.audio_s:.1f} s of audio in {timings.total_s:.1f} s: {factor:.2f} times real time")


def _check_plot(options: Namespace) -> None:
    from vampnet.plot import require_matplotlib

    require_matplotlib(options.plot, folder=is_batch(options.input, options.output))


# --- info ------------------------------------------------------------------------------------------------------------


def run_prompts(options: Namespace) -> None:
    """`vampnet prompts`: the parts and presets that a prompt can be made of."""
    import inspect

    from vampnet.presets import PRESETS
    from vampnet.prompt_text import PARTS

    print("Parts (a | b keeps what either keeps, a & b what both keep; times: 1.5, 75ms, 4f frames, 2b beats)\n")
    for name, kind in PARTS.items():
        fields = [f"{f.name}{'' if f.default is dataclasses.MISSING else f'={f.default}'}" for f in _fields(kind)]
        signature = f"{name}({', '.join(fields)})" if fields else name
        print(f"  {signature:<52}  {_first_line(inspect.getdoc(kind))}")
    print("\nPresets\n")
    for preset in PRESETS:
        print(f"  {preset.name:<18}  {preset.prompt:<32}  {preset.sentence}")


def _fields(kind: type) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(kind)


def _first_line(text: str | None) -> str:
    return (text or "").splitlines()[0]


def _info_options(parser: ArgumentParser) -> None:
    parser.add_argument("what", type=str, nargs="?", default="default", help="bundle, adapter, audio or .vamp file")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--verify", action="store_true", help="compare every weight file with its SHA-256")


def run_info(options: Namespace) -> None:
    """`vampnet info`: what a bundle, an adapter, an audio file or a compressed file is."""
    from vampnet.inform import adapter_info, audio_info, bundle_info, vamp_info

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
    ("vamp", "Make variations of a recording: some tokens are kept, the rest is generated.", _vamp_options, run_vamp),
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
    ("corpus", "Make music, or more diverse audio, to train on.", cli_models.corpus_options, cli_models.run_corpus),
    ("tokenize", "Encode a folder of audio into token shards.", cli_models.tokenize_options, cli_models.run_tokenize),
    ("train", "Train a codec or a masked model from a recipe.", cli_models.train_options, cli_models.run_train),
    (
        "finetune",
        "Fine-tune the model on a folder of music: a small LoRA adapter file.",
        cli_models.finetune_options,
        cli_models.run_finetune,
    ),
    ("bundle", "Pack training runs into a bundle.", cli_models.bundle_options, cli_models.run_bundle),
    (
        "import-reference",
        "Make a bundle of the VampNet authors' checkpoints (.pth) or of DAC weights.",
        cli_models.import_options,
        cli_models.run_import,
    ),
)


if __name__ == "__main__":
    sys.exit(main())
