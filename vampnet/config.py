"""Settings: frozen dataclasses, checked when made; unknown keys are errors.

The same objects serve Python, the command line, recipes and the JSON inside a bundle. Units stand in the names:
`_s` seconds, `_hz` hertz, `_db` decibels, `_frames` codec frames.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from vampnet.errors import SettingsError

T = TypeVar("T")


def check(name: str, value: float, low: float, high: float, hint: str = "") -> None:
    """Raise SettingsError unless `low <= value <= high`; a NaN never passes."""
    if not (low <= value <= high):
        raise SettingsError(f"{name} is {value}, but must lie in {low} to {high}{'; ' + hint if hint else ''}")


def to_dict(settings: Any) -> dict[str, Any]:
    """A settings dataclass as plain data for JSON or YAML."""
    return dataclasses.asdict(settings)


def from_dict(kind: type[T], data: Any, where: str) -> T:
    """Build settings of class `kind` from plain data; `where` names the source in the error message.

    Raises SettingsError for an unknown or missing key and for a value of the wrong type.
    """
    if not isinstance(data, dict):
        raise SettingsError(f"{where}: expected settings, found {type(data).__name__}")
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(data) - set(fields))
    if unknown:
        raise SettingsError(f"{where}: unknown setting {', '.join(unknown)}; known: {', '.join(fields)}")
    for name, value in data.items():
        _check_type(f"{where}: {name}", value, fields[name])
    try:
        return kind(**data)
    except TypeError as error:
        raise SettingsError(f"{where}: {error}") from None


def _check_type(name: str, value: Any, field: dataclasses.Field[Any]) -> None:
    default = field.default
    if default is dataclasses.MISSING or default is None:
        return
    numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
    good = {
        bool: isinstance(value, bool),
        int: isinstance(value, int) and not isinstance(value, bool),
        float: numeric,
        str: isinstance(value, str),
    }.get(type(default), True)
    if not good:
        raise SettingsError(f"{name} is {value!r}, but must be of type {type(default).__name__}")
