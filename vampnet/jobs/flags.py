"""Command-line flags of requests: one table, from which the command line parses and results print their command.

Every field of a task's request that can be chosen has one flag. Its name, type, range, choices and help are those of
the field (`vampnet.config.setting`). `command_of` writes a request as a command line; the command line builds an equal
request from it.
"""

from __future__ import annotations

import dataclasses
import math
import re
import shlex
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from vampnet.config import check, descriptions, nearest, type_hints
from vampnet.errors import PromptError, SettingsError
from vampnet.generation.config import variation_seed
from vampnet.jobs.request import REQUESTS, DecompressRequest, OutpaintRequest, Request
from vampnet.prompts.time import parse_region
from vampnet.tasks.defaults import CONTINUE_S

GROUPS = {
    "": "What to make",
    "words": "Words",
    "tap": "Drums",
    "hum": "Lead",
    "variations": "Variations",
    "beats": "Beats",
    "reshape": "Input",
    "steering": "Choosing",
    "compression": "Compression",
    "sampling": "Sampling",
    "model": "Model",
    "output": "Output",
}
"""Titles of groups of flags, in the order of the help."""
_SHARED = {"variations": "variations", "variation": "variations", "domain_warning": "model", "tokens": "output"}
"""Groups of the fields that all tasks have."""
_WITHOUT_FLAG: dict[str, tuple[str, ...]] = {
    "generate": ("tokens",),
    "tap": ("tokens",),
    "hum": ("tokens",),
    "compress": ("tokens", "variations", "variation", "output", "domain_warning"),
    "decompress": ("tokens", "sampling", "domain_warning"),
    "continue": ("before_s",),
}
"""Fields, or objects of fields, that change nothing in a command, or that it does not let one choose."""
_CHANGED_BY_COMMAND = {("continue", "after_s"): ("--seconds", "Seconds to go on for, above 0 to 3600.", CONTINUE_S)}
_HELP = {
    "--region": "What to generate anew: seconds (3:5.5; 12: to the end) or clock times (0:02-0:05).",
    "--no-domain-warning": "Do not warn when the recording is out of the model's domain.",
}
"""Help where the field's docstring is about its JSON, or says the opposite of the flag."""
_METAVARS = {"region": "A:B", "lora": "FILE[:STRENGTH]", "beats": "FILE", "like": "FILE", "tokens": "FILE"}


@dataclass(frozen=True)
class Flag:
    """A command-line option that sets one field of a request."""

    name: str
    """As it is typed, with its hyphens."""
    path: tuple[str, ...]
    """Names that lead to the field, such as ("sampling", "steps")."""
    hint: Any
    """Type of the field."""
    default: Any
    help: str
    """The field's docstring, on one line."""
    group: str
    """Key of GROUPS."""
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None

    @property
    def is_switch(self) -> bool:
        """Whether the flag takes no value: it sets the opposite of the default."""
        return self.hint is bool

    @property
    def is_repeatable(self) -> bool:
        """Whether the flag may be given several times."""
        return typing.get_origin(self.hint) is tuple

    @property
    def metavar(self) -> str:
        """Name of the value in the help."""
        kind = {int: "N", float: "X"}.get(self._value_type, "TEXT")
        return _METAVARS.get(self.name.removeprefix("--"), kind)

    @property
    def _value_type(self) -> Any:
        """Type of one value: that of the entries of a tuple, and that beside None."""
        arguments = typing.get_args(self.hint)
        if typing.get_origin(self.hint) in (types.UnionType, typing.Union):
            return next(option for option in arguments if option is not type(None))
        return arguments[0] if arguments else self.hint

    def parse(self, text: str) -> Any:
        """The value that a text stands for. Raises SettingsError that names the flag."""
        kind = self._value_type
        if typing.get_origin(kind) is tuple:
            return _parse_region(text, self.name)
        if kind in (int, float):
            try:
                value = kind(text)
            except ValueError:
                words = "a whole number" if kind is int else "a number"
                raise SettingsError(f"{self.name} is {text!r}, but must be {words}") from None
            if self.low is not None and self.high is not None:
                check(self.name, value, self.low, self.high)
            return value
        known = tuple(choice for choice in self.choices if choice)
        if known and text not in self.choices:
            raise SettingsError(
                f"{self.name} is {text!r}, but must be {'one of ' if len(known) > 1 else ''}{', '.join(known)}"
                f"{nearest(text, known)}"
            )
        return text

    def words(self, value: Any) -> list[str]:
        """The flag as words of a command line, none for the default."""
        if value == self.default:
            return []
        if self.is_switch:
            return [self.name]
        values = value if self.is_repeatable else (value,)
        return [word for entry in values for word in self._pair(_text_of(entry))]

    def _pair(self, text: str) -> list[str]:
        return [f"{self.name}={text}"] if text.startswith("-") else [self.name, text]


@cache
def flags_of(command: str) -> tuple[Flag, ...]:
    """Flags of a command: a task's name, or "continue"."""
    kind: type[Request] = OutpaintRequest if command == "continue" else REQUESTS[command]
    found = list(_flags_in(kind, command, ()))
    order = list(GROUPS)
    return tuple(sorted(found, key=lambda flag: order.index(flag.group)))


def _flags_in(kind: type, command: str, path: tuple[str, ...]) -> Iterator[Flag]:
    hints, described = type_hints(kind), descriptions(kind)
    for field in dataclasses.fields(kind):
        given = field.metadata.get("flag", "")
        if given == "-" or (not path and field.name in _WITHOUT_FLAG.get(command, ())):
            continue
        here, hint = (*path, field.name), hints[field.name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            yield from _flags_in(hint, command, here)
            continue
        name = given or field.name.replace("_", "-")
        name = f"--no-{name}" if hint is bool and field.default else f"--{name}"
        help_text, default = _HELP.get(name, described.get(field.name, "")), field.default
        if not path:
            name, help_text, default = _CHANGED_BY_COMMAND.get((command, field.name), (name, help_text, default))
        yield Flag(
            name,
            here,
            hint,
            default,
            help_text,
            path[0] if path else _SHARED.get(field.name, ""),
            field.metadata.get("choices", ()),
            field.metadata.get("low"),
            field.metadata.get("high"),
        )


def _parse_region(text: str, name: str) -> tuple[float, float | None]:
    """Start and end of a region in seconds; the end is None where it is that of the file."""
    try:
        start_s, end_s = parse_region(text, name)
    except PromptError as error:
        raise SettingsError(str(error)) from None
    return start_s, None if math.isinf(end_s) else end_s


def _text_of(value: Any) -> str:
    if isinstance(value, tuple):  # a region, whose end may be that of the file
        start, end = (None if side is None else f"{Decimal(repr(float(side))):f}" for side in value)
        return f"{start}:{end or ''}"
    return repr(value) if isinstance(value, float) else str(value)


def command_of(request: Request, output: Path | str) -> str:
    """The command line, POSIX-quoted, that makes an output of a request: `vampnet TASK INPUT -o OUTPUT ...`.

    Where several variations are made and `request.variation` is one of them, the command makes that one alone.
    """
    request = as_single(request)
    inputs, target = [request.input] if request.input else [], str(output)
    hidden = inputs != ["-"] and request.input.startswith("-")  # taken for a flag, but behind --
    words = ["vampnet", request.task, *([] if hidden else inputs)]
    words += [f"--output={target}"] if target.startswith("-") and target != "-" else ["-o", target]
    for flag in flags_of(request.task):
        words += flag.words(value_at(request, flag.path))
    return shlex.join([*words, "--", *inputs] if hidden else words)


def as_single(request: Request) -> Request:
    """The plainest request that makes the same output as one of several variations.

    Variation k of most tasks is drawn with seed + k - 1 alone, so that seed says it. The variations of a loop share
    their seam, and the seed of a .vamp file lies in the file: these keep their number.
    """
    if not request.variation:
        return request
    if request.variations == 1:
        return dataclasses.replace(request, variation=0)
    further = request.variation - 1
    if request.task == "loop":
        return request
    if isinstance(request, DecompressRequest):
        if request.seed is None:
            return request
        return dataclasses.replace(request, variations=1, variation=0, seed=variation_seed(request.seed, further))
    sampling = dataclasses.replace(request.sampling, seed=variation_seed(request.sampling.seed, further))
    return dataclasses.replace(request, variations=1, variation=0, sampling=sampling)


def value_at(settings: Any, path: tuple[str, ...]) -> Any:
    """The value of a field of nested settings."""
    for name in path:
        settings = getattr(settings, name)
    return settings


def name_flags(message: str, command: str) -> str:
    """An error message about fields of a request, with the names of the command's flags in their place."""
    names = {".".join(flag.path): flag.name for flag in flags_of(command)}
    message = re.sub(r"^region(?= )", "--region", message)
    first = re.match(r"[a-z0-9_.]+", message)
    for field, flag in sorted(names.items(), key=lambda pair: -len(pair[0])):
        last = field.rpartition(".")[2]
        message = message.replace(f"`{last}`", flag)
        if "." in field or "_" in field:
            message = re.sub(rf"(?<![\w.-]){re.escape(field)}(?![\w.])", flag, message)
        if first and first[0] == last:
            message = re.sub(rf"^{re.escape(last)}(?![\w.-])", flag, message)
    return message
