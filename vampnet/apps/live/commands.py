"""Commands: everything that keys, foot switches, MIDI, OSC and scripts can do to a looper, by name."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vampnet.config import nearest
from vampnet.errors import SettingsError
from vampnet.jobs.request import check_prompt

MAX_LOOPS = 16
UNITS = ("loop", "bar", "now")
"""Places where a new take is taken over."""


@dataclass(frozen=True)
class Argument:
    """One value of a command."""

    name: str
    low: float = 0
    high: float = 0
    default: Any = None
    """Default value; None: it must be given."""
    kind: str = "int"
    """int, float, text, or a list of words as text with | between them."""


LOOP = Argument("loop", 0, MAX_LOOPS, 0)
"""Number of the loop, from 1; 0 is the selected one."""


@dataclass(frozen=True)
class CommandKind:
    """A command and its values, in the order in which they are sent."""

    name: str
    summary: str
    arguments: tuple[Argument, ...] = (LOOP,)


COMMANDS = {
    command.name: command
    for command in (
        CommandKind("record", "Record a loop: bars after a count-in; 0: until it is sent again.",
                    (Argument("bars", 0, 256, -1), LOOP)),
        CommandKind("overdub", "Lay the input over the loop, until it is sent again."),
        CommandKind("vary", "Vary at every turn: 1 on, 0 off; otherwise the other of them.",
                    (Argument("on", -1, 1, -1), LOOP)),
        CommandKind("next", "Make one variation."),
        CommandKind("undo", "Back to the take before."),
        CommandKind("redo", "Forth again."),
        CommandKind("keep", "Let variations go on from the take that plays."),
        CommandKind("back", "Play the loop that variations are made of."),
        CommandKind("clear", "Forget a loop."),
        CommandKind("select", "Choose the loop that commands without a number mean.",
                    (Argument("loop", 1, MAX_LOOPS),)),
        CommandKind("gain", "Level of a loop, dB.", (Argument("db", -60, 12, kind="float"), LOOP)),
        CommandKind("mute", "Mute: 1 on, 0 off; otherwise the other.", (Argument("on", -1, 1, -1), LOOP)),
        CommandKind("prompt", "What variations keep.", (Argument("prompt", kind="text"), LOOP)),
        CommandKind("seed", "Seed of the next variation; each further one adds 1.",
                    (Argument("seed", 0, 2**53), LOOP)),
        CommandKind("set", "A setting of generation: steps, temperature, top_p, ...",
                    (Argument("name", kind="text"), Argument("value", -1e9, 1e9, kind="float"), LOOP)),
        CommandKind("swap", "Where new takes begin: at the end of the loop, at a bar, now.",
                    (Argument("unit", kind="|".join(UNITS)),)),
        CommandKind("tempo", "Tempo, bpm.", (Argument("bpm", 20, 400, kind="float"),)),
        CommandKind("meter", "Beats per bar.", (Argument("beats", 1, 32),)),
        CommandKind("tap", "Tap the tempo.", ()),
        CommandKind("bars", "Bars that `record` takes; 0: until it is sent again.", (Argument("bars", 0, 256),)),
        CommandKind("countin", "Bars of count-in.", (Argument("bars", 0, 8),)),
        CommandKind("click", "Click: 0 off, 1 while recording, 2 always.", (Argument("mode", 0, 2),)),
        CommandKind("start", "Play all loops from their beginning.", ()),
        CommandKind("stop", "Stop all loops.", ()),
        CommandKind("panic", "Silence, at once.", ()),
        CommandKind("clock", "Follow a clock: its tempo in bpm and its beat, from 0, at this moment.",
                    (Argument("bpm", 1, 1000, kind="float"), Argument("beat", -1e9, 1e9, kind="float"))),
        CommandKind("free", "Follow a clock no longer.", ()),
    )
}  # fmt: skip
"""All commands of a looper, by name."""

OUTER = {
    command.name: command
    for command in (
        CommandKind("save", "Save the set in a folder.", (Argument("name", kind="text"),)),
        CommandKind("recall", "Bring a saved set back.", (Argument("name", kind="text"),)),
        CommandKind("take", "Write the take that plays to a file.", (Argument("name", default="", kind="text"), LOOP)),
        CommandKind("learn", "Bind the next MIDI control to a command with its values.",
                    (Argument("command", kind="text"),)),
        CommandKind("quit", "End.", ()),
    )
}  # fmt: skip
"""Commands that concern files and the program, not the looper."""


@dataclass(frozen=True)
class LiveCommand:
    """A command with all its values, checked."""

    name: str
    values: tuple[Any, ...]

    def as_list(self) -> list[Any]:
        """Name and values, as JSON has them."""
        return [self.name, *self.values]

    @property
    def loop(self) -> int:
        """Number of the loop that it concerns, from 1; 0 is the selected one."""
        known = COMMANDS.get(self.name) or OUTER[self.name]
        places = [k for k, argument in enumerate(known.arguments) if argument.name == "loop"]
        return self.values[places[0]] if places else 0


def make_command(name: str, values: Sequence[Any] = ()) -> LiveCommand:
    """A command from its name and values. Raises SettingsError naming what is wrong."""
    known = COMMANDS.get(name) or OUTER.get(name)
    if known is None:
        near = nearest(name, [*COMMANDS, *OUTER])
        raise SettingsError(f"no command {name[:40]!r}{near}; known: {', '.join([*COMMANDS, *OUTER])}")
    if len(values) > len(known.arguments):
        raise SettingsError(f"{name} takes {len(known.arguments)} values, but {len(values)} are given")
    filled = []
    for k, argument in enumerate(known.arguments):
        if k < len(values):
            filled.append(_checked(name, argument, values[k]))
        elif argument.default is None:
            raise SettingsError(f"{name} needs {argument.name}; write {usage(known)}")
        else:
            filled.append(argument.default)
    if name == "prompt":
        check_prompt(filled[0])
    return LiveCommand(name, tuple(filled))


def parse_command(text: str) -> LiveCommand:
    """A command as it is typed: `gain -6 2`, `prompt "beats(after=75ms)"`. Raises SettingsError."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise SettingsError(f"command {text!r}: {error}") from None
    if not words:
        raise SettingsError("the command is empty")
    return make_command(words[0], words[1:])


def usage(command: CommandKind) -> str:
    """Usage of a command: `gain db [loop]`."""
    words = [a.name.upper() if a.default is None else f"[{a.name.upper()}]" for a in command.arguments]
    return " ".join([command.name, *words])


def _checked(name: str, argument: Argument, value: Any) -> Any:
    if argument.kind == "text":
        return str(value)
    if "|" in argument.kind:
        if value not in (words := argument.kind.split("|")):
            raise SettingsError(f"{argument.name} of {name} is {value!r}, but must be one of {', '.join(words)}")
        return value
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise SettingsError(f"{argument.name} of {name} is {str(value)[:40]!r}, but must be a number") from None
    in_range = argument.low <= number <= argument.high or number == argument.default
    if not (math.isfinite(number) and in_range):
        raise SettingsError(
            f"{argument.name} of {name} is {number:g}, but must lie in {argument.low:g} to {argument.high:g}"
        )
    if argument.kind == "float":
        return number
    if number != int(number):
        raise SettingsError(f"{argument.name} of {name} is {number:g}, but must be a whole number")
    return int(number)
