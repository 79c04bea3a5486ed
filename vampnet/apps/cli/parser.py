"""Argument parser of the subcommands: argparse whose errors name the flag as it was typed and the nearest known one."""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from vampnet.config import nearest
from vampnet.errors import SettingsError

_TYPE_WORDS = {"int": "a whole number", "float": "a number", "str": "a text"}


class CommandOptions(argparse.Namespace):
    """Parsed options; `options.name` and `options["name"]` are the same."""

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def get(self, name: str, default: Any = None) -> Any:
        """An option, or a default where the command has none of this name."""
        return getattr(self, name, default)


class CommandParser(argparse.ArgumentParser):
    """Parser of one subcommand. What cannot be parsed raises SettingsError; --help prints and leaves."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", _HelpFormatter)
        super().__init__(allow_abbrev=False, **settings)
        self.explain: Callable[[str], str] = lambda flag: ""
        """One sentence about a flag that this command does not have but others do; empty where there is none."""

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> CommandOptions:
        """Options of a command line. Inputs may stand before and after flags."""
        options, rest = self.parse_known_args(args, namespace or CommandOptions())
        unknown = [word for word in rest if word.startswith("-") and word != "-"]
        if unknown:
            name = unknown[0].partition("=")[0]
            if told := self.explain(name):
                raise SettingsError(f"{told}; {self._hint()}")
            raise SettingsError(f"unknown flag {name}{suggest(name, self.known_flags())} {self._hint()}")
        several = [action.dest for action in self._actions if not action.option_strings and action.nargs == "+"]
        if rest and not several:
            raise SettingsError(f"too many arguments: {' '.join(rest)}; {self._hint()}")
        if rest:
            setattr(options, several[0], [*getattr(options, several[0]), *rest])
        return options

    def known_flags(self) -> list[str]:
        """All flags, those of actions (`vampnet listen ACTION`) too."""
        flags = [flag for action in self._actions for flag in action.option_strings]
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                flags += [flag for parser in set(action.choices.values()) for flag in parser.known_flags()]
        return flags

    def error(self, message: str) -> NoReturn:
        """Raise a parser's message as SettingsError."""
        raise SettingsError(self._plain(message))

    def _hint(self) -> str:
        return f"`{self.prog} --help` lists what there is"

    def _plain(self, message: str) -> str:
        """Argparse's message in the words of this package's other errors."""
        if found := re.match(r"the following arguments are required: (.*)", message):
            names = found[1].split(", ")
            verb = "are" if len(names) > 1 else "is"
            return f"{' and '.join(names)} {verb} missing; {self._hint()}"
        if found := re.match(r"argument (\S+): (.*)", message, re.DOTALL):
            name, cause = found[1], found[2]
            if "expected" in cause and "argument" in cause:
                return f"{name} needs a value; one that begins with - is written {name.split('/')[-1]}=-..."
            if bad := re.match(r"invalid (\w+) value: (.*)", cause):
                return f"{name} is {bad[2]}, but must be {_TYPE_WORDS.get(bad[1], bad[1])}"
            if bad := re.match(r"invalid choice: '?(.*?)'? \(choose from (.*)\)", cause):
                known = bad[2].replace("'", "")
                near = nearest(bad[1], known.split(", "))
                return f"{name} is {bad[1]!r}, but must be one of {known}{near}"
            return f"{name}: {cause}"
        return message


def suggest(name: str, known: Sequence[str]) -> str:
    """ "; did you mean X?" or ";", so that a sentence can follow."""
    return nearest(name, known) or ";"


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal, flags in a column of at most 34 characters."""

    def __init__(self, prog: str) -> None:
        width = min(shutil.get_terminal_size().columns, 120) - 2
        super().__init__(prog, max_help_position=34, width=width)
