"""Settings: frozen dataclasses, checked when made; unknown keys are errors.

The same objects serve Python, the command line, services, recipes and the JSON inside a bundle. Units stand in the
names: `_s` seconds, `_hz` hertz, `_db` decibels, `_frames` codec frames. A field made by `setting` states its range or
its choices once: `check_settings` enforces them, the command line's help and the JSON Schema print them.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import difflib
import math
import types
import typing
from functools import cache
from typing import Any, TypeVar

from vampnet.errors import SettingsError

T = TypeVar("T")


def check(name: str, value: float, low: float, high: float, hint: str = "") -> None:
    """Raise SettingsError unless `low <= value <= high`; a NaN, or what is no number, never passes."""
    try:
        passes = bool(low <= value <= high)
    except (TypeError, ValueError, RuntimeError):  # a text, a list, an array
        raise SettingsError(f"{name} is {value!r}, but must be a number in {low} to {high}") from None
    if not passes:
        raise SettingsError(f"{name} is {value}, but must lie in {low} to {high}{'; ' + hint if hint else ''}")


def setting(
    default: Any = dataclasses.MISSING,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: collections.abc.Sequence[str] = (),
    flag: str = "",
) -> Any:
    """A dataclass field with its allowed range or choices.

    `flag` names the command-line option where it is not the field's name with hyphens; "-" means that it has none.
    """
    metadata = {"low": low, "high": high, "choices": tuple(choices), "flag": flag}
    return dataclasses.field(default=default, metadata=metadata)


def check_settings(settings: Any, where: str = "") -> None:
    """Check type, range and choices of every field of a settings dataclass. Raises SettingsError naming the field."""
    hints = type_hints(type(settings))
    for field in dataclasses.fields(settings):
        name, value = f"{where}{field.name}", getattr(settings, field.name)
        check_type(name, value, hints[field.name])
        meta = field.metadata
        if meta.get("choices") and value not in meta["choices"]:
            near = nearest(str(value), meta["choices"])
            raise SettingsError(f"{name} is {value!r}, but must be one of {', '.join(meta['choices'])}{near}")
        if meta.get("low") is not None or meta.get("high") is not None:
            low = -math.inf if meta["low"] is None else meta["low"]
            high = math.inf if meta["high"] is None else meta["high"]
            if value is not None:
                check(name, value, low, high)


def nearest(name: str, known: collections.abc.Iterable[str]) -> str:
    """ "; did you mean X?" for the known name closest to a mistyped one, or nothing."""
    close = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f"; did you mean {close[0]}?" if close else ""


@cache
def type_hints(kind: type) -> dict[str, Any]:
    """The resolved type of each field."""
    return typing.get_type_hints(kind)


def to_dict(settings: Any) -> dict[str, Any]:
    """A settings dataclass as plain data for JSON or YAML."""
    return dataclasses.asdict(settings)


def from_dict(kind: type[T], data: Any, where: str) -> T:
    """Build settings of class `kind` from plain data; `where` names the source in the error message.

    Nested settings are built from nested objects, tuples from lists. Raises SettingsError for an unknown or missing key
    and for a value of the wrong type.
    """
    if not isinstance(data, dict):
        raise SettingsError(f"{where}: expected settings, found {type(data).__name__}")
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(map(str, data)) - set(fields))
    if unknown:
        near = nearest(unknown[0], fields)
        raise SettingsError(f"{where}: unknown setting {', '.join(unknown)}{near}; known: {', '.join(fields)}")
    hints, values = type_hints(kind), dict[str, Any]()
    for name, value in data.items():
        values[name] = _built(value, hints[name], f"{where}: {name}")
        check_type(f"{where}: {name}", values[name], hints[name])
    try:
        return kind(**values)
    except TypeError as error:
        raise SettingsError(f"{where}: {error}") from None


def _built(value: Any, hint: Any, where: str) -> Any:
    """A plain value as the field's type wants it: nested settings, and tuples of plain values."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return value if isinstance(value, hint) else from_dict(hint, value, where)
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        inner = [option for option in typing.get_args(hint) if option is not type(None)]
        return value if value is None or len(inner) != 1 else _built(value, inner[0], where)
    if typing.get_origin(hint) is tuple and isinstance(value, (list, tuple)):
        arguments = typing.get_args(hint)
        of_each = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(of_each) != len(value):
            raise SettingsError(f"{where} is {value!r}, but must have {len(of_each)} entries")
        return tuple(_built(entry, of, where) for entry, of in zip(value, of_each, strict=True))
    return float(value) if hint is float and type(value) is int and abs(value) < 2**53 else value


def check_type(name: str, value: Any, hint: Any) -> None:
    """Raise SettingsError unless a value is of a field's type; whole numbers pass as floats, bools as nothing else."""
    if not _fits(value, hint):
        raise SettingsError(f"{name} is {value!r}, but must be {_words(hint)}")


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return any(_fits(value, option) for option in arguments)
    if origin is tuple:
        if not isinstance(value, (tuple, list)):
            return False
        of_each = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        return len(of_each) == len(value) and all(map(_fits, value, of_each))
    if hint in (bool, str, type(None)):
        return isinstance(value, hint)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, hint) if isinstance(hint, type) else True


def _words(hint: Any) -> str:
    """A type in a user's words."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_words(option) for option in arguments)
    if origin is tuple:
        return f"a list, each entry {_words(arguments[0])}"
    simple = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", type(None): "nothing"}
    return simple.get(hint, f"an object of settings ({getattr(hint, '__name__', hint)})")


@cache
def descriptions(kind: type) -> dict[str, str]:
    """The docstring of each field of a settings dataclass, those of its base classes included, on one line each."""
    from docstring_parser import parse_from_object  # needed for help and schemas alone

    found: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        found |= {p.arg_name: " ".join((p.description or "").split()) for p in parse_from_object(base).params}
    return found


def json_schema(kind: type) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a settings dataclass: types, ranges, choices, defaults, descriptions."""
    described = descriptions(kind)
    hints, properties, required = type_hints(kind), dict[str, Any](), []
    for field in dataclasses.fields(kind):
        entry = _schema_of(hints[field.name])
        meta = field.metadata
        if meta.get("choices"):
            entry["enum"] = list(meta["choices"])
        entry |= {
            key: meta[name] for key, name in (("minimum", "low"), ("maximum", "high")) if meta.get(name) is not None
        }
        if described.get(field.name):
            entry["description"] = described[field.name]
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            required.append(field.name)
        elif field.default is not dataclasses.MISSING:
            default = field.default
            entry["default"] = to_dict(default) if dataclasses.is_dataclass(default) else default
        properties[field.name] = entry
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | ({"required": required} if required else {})


def _schema_of(hint: Any) -> dict[str, Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return json_schema(hint)
    if origin in (types.UnionType, typing.Union):
        return {"anyOf": [_schema_of(option) for option in arguments]}
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return {"type": "array", "items": _schema_of(arguments[0])}
        return {"type": "array", "prefixItems": [_schema_of(a) for a in arguments], "minItems": len(arguments),
                "maxItems": len(arguments)}  # fmt: skip
    if origin is dict:
        return {"type": "object"}
    names = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
    return {"type": names[hint]}
