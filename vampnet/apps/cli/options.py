"""Settings dataclasses as flags, for commands that make no request."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TypeVar

from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.config import descriptions
from vampnet.errors import SettingsError

T = TypeVar("T")


def add_settings(parser: CommandParser, kind: type, title: str) -> None:
    """One flag per field of a settings dataclass whose default is a number, a text or a truth value."""
    described = descriptions(kind)
    group = parser.add_argument_group(title)
    for field in dataclasses.fields(kind):
        flag, text = "--" + field.name.replace("_", "-"), described.get(field.name, "").replace("%", "%%")
        if isinstance(field.default, bool):
            default = "on" if field.default else "off"
            group.add_argument(
                flag,
                nargs="?",
                const=True,
                default=field.default,
                type=_truth,
                metavar="true|false",
                help=f"{text.rstrip('.')} (default: {default})",
            )
            continue
        group.add_argument(
            flag,
            type=type(field.default),
            default=field.default,
            choices=field.metadata.get("choices") or None,
            metavar=None if field.metadata.get("choices") else {int: "N", float: "X"}.get(type(field.default), "TEXT"),
            help=f"{text.rstrip('.')} (default: {field.default})" if field.default != "" else text,
        )


def _truth(text: str) -> bool:
    try:
        return {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}[text.lower()]
    except KeyError:
        raise SettingsError(f"{text!r} is neither true nor false") from None


def settings_from(kind: type[T], options: CommandOptions) -> T:
    """The settings dataclass from parsed flags. Raises SettingsError that names the flag."""
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    try:
        return kind(**{name: options[name] for name in names})
    except SettingsError as error:
        first, space, rest = str(error).partition(" ")
        flag = "--" + first.replace("_", "-")
        raise SettingsError(f"{flag if first in names else first}{space}{rest}") from None


def add_actions(parser: CommandParser) -> argparse._SubParsersAction[CommandParser]:
    """Actions of a command, such as `vampnet listen create`; the chosen one is `options.action`."""
    return parser.add_subparsers(required=True, dest="action", metavar="ACTION", parser_class=CommandParser)
