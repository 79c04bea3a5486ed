"""The table of subcommands: name, group, summary, and the module that is imported when it is used."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from vampnet.apps.cli.parser import CommandParser

GROUPS = {
    "make": "Make music",
    "edit": "Edit recordings",
    "compress": "Make them small",
    "train": "Train models",
    "measure": "Measure and listen",
    "serve": "Play in a browser, serve other programs",
    "help": "Look up",
}
"""Titles of groups of commands, in the order of the help."""


@dataclass(frozen=True)
class Command:
    """A subcommand. Its module has the functions `NAME_options(parser)` and `run_NAME(options)`."""

    name: str
    """Name as it is typed; in functions with _ for -."""
    group: str
    """Key of GROUPS."""
    summary: str
    """One line for `vampnet --help`."""
    module: str
    """Module below vampnet.apps."""

    def make_parser(self) -> CommandParser:
        """The parser of this command's flags."""
        parser = CommandParser(prog=f"vampnet {self.name}", description=self.summary)
        self.add_to(parser)
        return parser

    def add_to(self, parser: CommandParser) -> None:
        """Add this command's flags to a parser."""
        self._function("{}_options")(parser)
        parser.add_argument("-v", "--verbose", action="store_true", help="log what is done to stderr")

    def run(self, options: Any) -> None:
        """Run the command with its parsed options."""
        self._function("run_{}")(options)

    def _function(self, name: str) -> Callable[[Any], None]:
        module = import_module(f"vampnet.apps.{self.module}")
        return getattr(module, name.format(self.name.replace("-", "_")))


COMMANDS = (
    Command("vamp", "make", "Vary a recording: some tokens are kept, the rest is generated.", "cli.vamp"),
    Command("loop", "make", "Vary a loop so that all variations join without a seam.", "cli.loop"),
    Command("live", "make", "Play loops that the model varies at every turn.", "cli.live"),
    Command("generate", "make", "Make new music, from nothing or in the style of a clip.", "cli.generate"),
    Command("tap", "make", "Turn a tapped or beatboxed rhythm into drums.", "cli.tap"),
    Command("hum", "make", "Turn a hummed line into a lead instrument.", "cli.hum"),
    Command("telephone", "make", "Vary repeatedly: each output is the next input.", "cli.telephone"),
    Command("inpaint", "edit", "Replace regions with generated music, all else bit for bit.", "cli.inpaint"),
    Command("outpaint", "edit", "Add music before and after.", "cli.outpaint"),
    Command("continue", "edit", "Add music after a recording, in its tempo and key.", "cli.continue_"),
    Command("stretch", "edit", "Make a recording longer: spread its tokens, fill the gaps.", "cli.stretch"),
    Command("compress", "compress", "Make a small .vamp file of some of the tokens.", "cli.compress"),
    Command("decompress", "compress", "Open a .vamp file; what it does not hold is generated.", "cli.decompress"),
    Command("make-model", "train", "Make a model of your own from a folder of audio.", "cli.make_model"),
    Command("finetune", "train", "Fine-tune the model on a folder of music: a small LoRA adapter.", "cli.finetune"),
    Command("train", "train", "Train a codec or a masked model from a recipe.", "cli.train"),
    Command("train-session", "train", "Render audio and train on it, within a given time.", "cli.train_session"),
    Command("train-beats", "train", "Train the beat tracker on composed music.", "cli.train_beats"),
    Command("corpus", "train", "Make music, or more diverse audio, to train on.", "cli.corpus"),
    Command("tokenize", "train", "Encode a folder of audio into token shards.", "cli.tokenize"),
    Command("bundle", "train", "Pack training runs into a bundle.", "cli.bundle"),
    Command("push", "train", "Upload a bundle to the Hugging Face hub.", "cli.push"),
    Command("import-reference", "train", "Bundle the VampNet authors' checkpoints.", "cli.import_reference"),
    Command("info", "measure", "Describe a recording, a .vamp file, an adapter or a bundle.", "cli.info"),
    Command("controls", "measure", "Detect tempo, key, chords, beats and melody.", "cli.controls"),
    Command("embed", "measure", "Write files as vectors of a model's layer, one table (Parquet).", "cli.embed"),
    Command("similar", "measure", "Find the files of such a table that sound like a recording.", "cli.similar"),
    Command("distance", "measure", "Compare audio with other audio: mel, FAD, KAD, beats, chroma, ...", "cli.distance"),
    Command("evaluate", "measure", "Run the paper's experiments on a model, with verdicts.", "cli.evaluate"),
    Command("listen", "measure", "Make, serve and analyse listening tests.", "cli.listen"),
    Command("studio", "serve", "Open the studio: a page to vary, fill and extend music.", "cli.studio"),
    Command("serve", "serve", "Serve jobs over HTTP, and a DAW through HARP.", "cli.serve"),
    Command("osc", "serve", "Serve patches in Max, Pure Data and SuperCollider by OSC.", "cli.osc"),
    Command("prompts", "help", "List the parts and presets of prompts.", "cli.prompts"),
    Command("guide", "help", "Read the guides: one page per task.", "cli.guide"),
    Command("schema", "help", "Print the JSON Schema of requests or results.", "cli.schema"),
    Command("completion", "help", "Print the completion script of a shell.", "cli.completion"),
)
"""All subcommands, in the order of the help. A new one is a line here and a module."""


def full_parser() -> argparse.ArgumentParser:
    """One parser with all subcommands, for shell completion."""
    parser = argparse.ArgumentParser(prog="vampnet")
    subparsers = parser.add_subparsers(dest="command", parser_class=CommandParser)
    for command in COMMANDS:
        command.add_to(subparsers.add_parser(command.name, help=command.summary))
    return parser


def help_text() -> str:
    """Text of `vampnet --help`."""
    width = max(len(command.name) for command in COMMANDS)
    lines = [
        "usage: vampnet COMMAND ...   (vampnet COMMAND --help lists its flags; vampnet --version)",
        "",
        "Masked acoustic token modelling of music: vary, fill and extend recordings.",
    ]
    for group, title in GROUPS.items():
        commands = [command for command in COMMANDS if command.group == group]
        if commands:
            lines += ["", f"{title}:", *(f"  {c.name:<{width}}  {c.summary}" for c in commands)]
    return "\n".join([*lines, "", "first steps: vampnet vamp song.mp3 -o out.wav", "more: vampnet guide first-vamp"])
