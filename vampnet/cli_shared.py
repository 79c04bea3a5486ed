"""Settings dataclasses as command-line flags."""

from __future__ import annotations

import dataclasses
from typing import Any

from jsonargparse import ArgumentParser, Namespace


def add_settings(parser: ArgumentParser, kind: type, title: str) -> None:
    """One flag per field of a settings dataclass, its docstring the help."""
    from docstring_parser import parse_from_object

    documented = {p.arg_name: p.description or "" for p in parse_from_object(kind).params}
    group = parser.add_argument_group(title)
    for field in dataclasses.fields(kind):
        flag = "--" + field.name.replace("_", "-")
        help_text = documented.get(field.name, "").replace("\n", " ").replace("%", "%%")
        group.add_argument(flag, type=type(field.default), default=field.default, help=help_text)


def settings_from(kind: type, options: Namespace) -> Any:
    """The settings dataclass from parsed flags."""
    return kind(**{field.name: options[field.name] for field in dataclasses.fields(kind)})
