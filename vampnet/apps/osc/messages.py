"""Messages of the OSC service: what a patch sends becomes a request.

    /vamp id path key value ...                /loop, /stretch, /telephone, /continue, /outpaint: likewise
    /inpaint id path start end key value ...   one region, in seconds
    /tap, /hum id path key value ...           drums or a lead instead of what is tapped or hummed
    /generate id output key value ...          no input: the path names the output

Keys are the fields of the request's JSON, those of nested settings flat: `prompt`, `variations`, `steps`, `seed`,
`bpm`, `follow`, `seconds`; lists are one text with commas. Paths are relative to the service's folder. `output` names
the output, `reply_port` the answers' port.
Pure Data sends every number as a float of 24 bits: whole floats pass as whole numbers, and a seed may be sent as text.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vampnet.beats.events import TRACKERS
from vampnet.config import nearest, type_hints
from vampnet.errors import AudioError, SettingsError
from vampnet.jobs.elsewhere import explain_word
from vampnet.jobs.request import REQUESTS, Request, request_from_json
from vampnet.models.adapter_header import parse_adapter

TASKS = ("vamp", "loop", "inpaint", "outpaint", "continue", "generate", "stretch", "telephone", "tap", "hum")
"""Tasks that a patch can ask for."""
MAX_ARGUMENTS = 64
MAX_TEXT = 1000
"""Longest text in a message, characters."""
RENAMED = {"region": "regions", "before": "before_s", "after": "after_s"}
"""Keys that the command line calls otherwise than the JSON."""

Atom = int | float | str
"""An argument of a message."""


@dataclass(frozen=True)
class JobMessage:
    """A message that asks for a job."""

    id: Atom
    """The patch's own number or name for it, as it came."""
    key: str
    """The id as text: 1 and 1.0 are the same."""
    request: Request
    output: Path
    """Output of a single variation; several get numbers."""
    reply_port: int | None
    """Port that answers go to; None for the service's."""


def parse_job(task: str, arguments: Sequence[Any], folder: Path) -> JobMessage:
    """The job that a message asks for. Raises VampnetError for a message that does not make one."""
    atoms = check_atoms(arguments)
    n_leading = 4 if task == "inpaint" else 2
    if len(atoms) < n_leading or (len(atoms) - n_leading) % 2:
        shape = "/inpaint id path start end key value ..." if task == "inpaint" else f"/{task} id path key value ..."
        raise SettingsError(f"/{task} has {len(atoms)} arguments; send {shape}")
    id_, path = atoms[0], atoms[1]
    if not isinstance(path, str):
        raise SettingsError(f"path is {path!r}, but must be a text")
    settings = _pairs(atoms[n_leading:])
    reply_port = _whole(settings.pop("reply_port", None), "reply_port")
    if reply_port is not None and not 1 <= reply_port <= 65535:
        raise SettingsError(f"reply_port is {reply_port}, but must lie in 1 to 65535")
    named = settings.pop("output", None)
    data: dict[str, Any] = {"task": task}
    if task == "inpaint":
        data["regions"] = [[_number(atoms[2], "start"), _number(atoms[3], "end")]]
    if task == "generate":
        output = resolve_inside(folder, path)
    else:
        source = resolve_inside(folder, path)
        data["input"] = str(source)
        output = source.with_name(f"{source.stem}-{task}-{key_of(id_)}.wav")
    for name, value in settings.items():
        settings[name] = _local(name, value, folder)
    if named is not None:
        output = resolve_inside(folder, str(named))
    request = request_from_json(data | _nest(task, settings), f"/{task}")
    return JobMessage(id_, key_of(id_), request, output, reply_port)


def key_of(id_: Atom) -> str:
    """An id as text, usable in a file's name; whole floats are whole numbers."""
    text = str(int(id_)) if isinstance(id_, float) and id_.is_integer() else str(id_)
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in text)[:64] or "_"


def check_atoms(arguments: Sequence[Any]) -> list[Atom]:
    """The arguments themselves. Raises SettingsError for types and sizes that no patch of ours sends."""
    if len(arguments) > MAX_ARGUMENTS:
        raise SettingsError(f"the message has {len(arguments)} arguments, but at most {MAX_ARGUMENTS} are taken")
    for argument in arguments:
        if isinstance(argument, bool) or not isinstance(argument, (int, float, str)):
            raise SettingsError(
                f"argument {str(argument)[:40]!r} is of type {type(argument).__name__}; send numbers or texts"
            )
        if isinstance(argument, float) and not math.isfinite(argument):
            raise SettingsError(f"argument {argument} is no number")
        if isinstance(argument, str) and (len(argument) > MAX_TEXT or "\0" in argument):
            raise SettingsError(f"a text has {len(argument)} characters, or a zero byte; at most {MAX_TEXT} are taken")
    return list(arguments)


def resolve_inside(folder: Path, name: str) -> Path:
    """A path below the folder, links followed. Raises AudioError for any other."""
    base = folder.resolve()
    place = (base / name).resolve()
    if not name or place == base or base not in place.parents:
        raise AudioError(f"path {name!r} must be relative to the folder of the service, and inside it")
    return place


def _pairs(atoms: Sequence[Atom]) -> dict[str, Atom]:
    settings: dict[str, Atom] = {}
    for key, value in zip(atoms[::2], atoms[1::2], strict=True):
        if not isinstance(key, str):
            raise SettingsError(f"key is {key!r}, but must be a text such as prompt or seed")
        if key in settings:
            raise SettingsError(f"{key} is given twice")
        settings[RENAMED.get(key, key)] = value
    return settings


def _local(name: str, value: Atom, folder: Path) -> Atom:
    """A setting with the paths that it names resolved. Raises AudioError for one outside of the folder."""
    if not isinstance(value, str) or not value:
        return value
    if name in ("like", "file") or (name == "tracker" and value not in TRACKERS):
        return str(resolve_inside(folder, value))
    if name == "follow" and ":" in value:
        file, _, controls = value.rpartition(":")
        return f"{resolve_inside(folder, file)}:{controls}"
    if name == "lora":
        adapters = [parse_adapter(text.strip()) for text in value.split(",")]
        return ",".join(f"{resolve_inside(folder, file)}:{strength:g}" for file, strength in adapters)
    return value


def _nest(task: str, settings: dict[str, Atom]) -> dict[str, Any]:
    """Flat keys as the request's JSON has them, each of its field's type."""
    own = _fields(REQUESTS["outpaint" if task == "continue" else task])
    groups = {name: hint for name, hint in own.items() if isinstance(hint, type) and dataclasses.is_dataclass(hint)}
    fields = {name: (None, hint) for name, hint in own.items() if name not in (*groups, "input", "regions")}
    for group, hint in groups.items():
        fields |= {name: (group, inner) for name, inner in _fields(hint).items() if name not in fields}
    if task == "continue":
        fields["seconds"] = (None, float)
    result: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in fields and (told := explain_word(task, key)):
            raise SettingsError(f"/{task}: {told}")
        if key not in fields:
            raise SettingsError(f"/{task} has no key {key!r}{nearest(key, fields)}; known: {', '.join(fields)}")
        group, hint = fields[key]
        place = result if group is None else result.setdefault(group, {})
        place[key] = _as_type(value, hint, key)
    return result


def _fields(kind: type) -> dict[str, Any]:
    hints = type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _as_type(value: Atom, hint: Any, key: str) -> Any:
    """A value of a message as its field wants it."""
    if typing.get_origin(hint) is tuple:
        return [text.strip() for text in str(value).split(",") if text.strip()]
    options = typing.get_args(hint) or (hint,)
    if bool in options:
        return bool(_whole(value, key))
    if int in options:
        return _whole(value, key)
    if float in options:
        return _number(value, key)
    return str(value)


def _whole(value: Any, key: str) -> Any:
    if value is None:
        return None
    number = _number(value, key) if not isinstance(value, str) or not value.lstrip("+-").isdecimal() else int(value)
    if number != int(number):
        raise SettingsError(f"{key} is {value!r}, but must be a whole number")
    return int(number)


def _number(value: Any, key: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise SettingsError(f"{key} is {value!r}, but must be a number") from None
    if not math.isfinite(number):
        raise SettingsError(f"{key} is {value!r}, but must be a number")
    return number
