"""Requests from a command line: flags, a settings file, and one request for each input."""

from __future__ import annotations

import argparse
from typing import Any

from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.errors import PromptError, SettingsError, VampnetError
from vampnet.jobs.flags import GROUPS, Flag, flags_of, name_flags
from vampnet.jobs.request import Request, check_prompt, request_from_json
from vampnet.prompts.presets import PRESETS
from vampnet.storage import MAX_YAML_BYTES, cause, parse_yaml, read_bytes
from vampnet.tasks.defaults import CONTINUE_S

_PROMPTS = ("prompt", "theme")


def add_request_flags(parser: CommandParser, command: str) -> None:
    """One flag per field of the command's request, in groups."""
    groups: dict[str, argparse._ArgumentGroup] = {}
    for flag in flags_of(command):
        if flag.group not in groups:
            groups[flag.group] = parser.add_argument_group(GROUPS[flag.group])
        _add_flag(groups[flag.group], flag)


def _add_flag(group: argparse._ArgumentGroup, flag: Flag) -> None:
    shared: dict[str, Any] = {"dest": ".".join(flag.path), "default": argparse.SUPPRESS}
    if flag.is_switch:
        group.add_argument(flag.name, action="store_const", const=not flag.default, help=_escaped(flag.help), **shared)
        return
    known = [choice for choice in flag.choices if choice]
    metavar = "{" + ",".join(known) + "}" if known else flag.metavar
    default = "" if flag.default in ("", None, (), 0) else f" (default: {flag.default})"
    action = group.add_argument(
        flag.name,
        action="append" if flag.is_repeatable else "store",
        type=_parser_of(flag),
        metavar=metavar,
        help=_escaped(flag.help.rstrip(".") + ("; repeatable" if flag.is_repeatable else "") + default),
        **shared,
    )
    names = [preset.name for preset in PRESETS] if flag.path[-1] == "prompt" else known
    if names:
        action.completer = lambda **_: names  # type: ignore[attr-defined]  # argcomplete asks for it


def _parser_of(flag: Flag) -> Any:
    def parse(text: str) -> Any:
        value = flag.parse(text)
        if flag.path[-1] in _PROMPTS:
            try:
                check_prompt(value)
            except PromptError as error:
                raise PromptError(f"{flag.name}: {str(error).removeprefix('prompt: ')}") from None
        return value

    return parse


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def request_data(options: CommandOptions, command: str) -> dict[str, Any]:
    """The JSON form of the request that --config and the flags, which count more, stand for; not checked yet."""
    task = "outpaint" if command == "continue" else command
    data = _read_config(options.config, command) if options.config else {}
    for flag in flags_of(command):
        value = options.get(".".join(flag.path), argparse)  # a default that no flag has
        if value is argparse:
            continue
        place = data
        for name in flag.path[:-1]:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                raise SettingsError(f"{options.config}: {name} must be an object of settings")
        place[flag.path[-1]] = value
    if command == "inpaint" and not data.get("regions"):
        raise SettingsError("--region is missing: what to fill in, seconds, such as --region 3:5.5")
    if command == "continue":
        data["after_s"] = data.pop("seconds", data.get("after_s", CONTINUE_S))
        if data["after_s"] == 0:
            raise SettingsError("--seconds is 0, but must lie above 0 up to 3600")
    return {**data, "task": task}


def _read_config(path: str, command: str) -> dict[str, Any]:
    try:
        data = parse_yaml(read_bytes(path, SettingsError, MAX_YAML_BYTES))
    except SettingsError as error:
        raise SettingsError(f"--config {path}: cannot be read ({str(error).rpartition(': ')[2]})") from None
    except (ValueError, RecursionError) as error:
        if "not UTF-8" in str(error):
            raise SettingsError(
                f"--config {path}: not a text file; it must hold settings such as 'prompt: vary'"
            ) from None
        raise SettingsError(f"--config {path}: not YAML ({cause(error)})") from None
    if not isinstance(data, dict):
        raise SettingsError(f"--config {path}: must hold settings such as 'prompt: periodic(7)'")
    task = data.pop("task", command)
    if task not in (command, "outpaint" if command == "continue" else command):
        raise SettingsError(f"--config {path}: is for the task {task!r}, but the command is {command}")
    return data


def request_of(data: dict[str, Any], command: str, source: str, config: str | None = None) -> Request:
    """The request for one input. Raises VampnetError that names flags, or the settings file and its field."""
    where = f"--config {config}" if config else "request"
    if source:
        data = {**data, "input": source}
    try:
        return request_from_json(data, where)
    except VampnetError as error:
        text = str(error).removeprefix("request: ")
        text = text if not config or text.startswith(where) else f"{where}: {text}"
        raise type(error)(text if config else name_flags(text, command)) from None
