"""`vampnet finetune`: a LoRA adapter from a folder of music."""

from __future__ import annotations

import sys

from vampnet.apps.cli.options import add_settings, settings_from
from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.training.finetune_config import FinetuneConfig


def finetune_options(parser: CommandParser) -> None:
    """Flags of `vampnet finetune`."""
    parser.add_argument("folder", type=str, help="folder of audio, a few minutes are enough")
    parser.add_argument("-o", "--output", type=str, required=True, help="adapter file to write (.safetensors)")
    parser.add_argument("--bundle", type=str, default="default", help="model: 'default', a folder, or OWNER/NAME")
    parser.add_argument("--run", type=str, default=None, help="working folder, resumed (default: OUTPUT.run)")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda or mps")
    add_settings(parser, FinetuneConfig, "Fine-tuning")


def run_finetune(options: CommandOptions) -> None:
    """`vampnet finetune`: train LoRA adapters on a folder of music."""
    from vampnet.audio.files import Audio
    from vampnet.models.format import Bundle
    from vampnet.tasks.model import VampNet
    from vampnet.training.finetune import finetune

    settings, run = settings_from(FinetuneConfig, options), options.run or f"{options.output}.run"

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def vamp(bundle: Bundle, audio: Audio) -> Audio:
        return VampNet(bundle, options.device).vamp(audio).audio

    try:
        report = finetune(options.folder, options.output, options.bundle, settings, run, options.device, say, vamp)
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
