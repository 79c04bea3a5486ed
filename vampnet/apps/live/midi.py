"""MIDI: foot switches and dials that are bound to commands, a clock to follow, and a clock of our own."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vampnet.apps.live.commands import COMMANDS, LiveCommand, make_command, parse_command
from vampnet.apps.live.looper import Looper
from vampnet.apps.live.midi_clock import ClockReader, ClockSender
from vampnet.apps.live.priority import hurry
from vampnet.errors import DependencyError, SettingsError, VampnetError, require
from vampnet.storage import read_json, write_whole

DIAL = "*"
"""Stands in a binding for the value that a dial turns: `gain * 2`, `set temperature *`."""
DIAL_RANGES = {"db": (-60.0, 6.0), "bpm": (60.0, 187.0), "temperature": (0.2, 2.0), "top_p": (0.05, 1.0),
               "typical_mass": (0.05, 1.0), "value": (1.0, 128.0), "seed": (0.0, 127.0)}  # fmt: skip
"""Values of a dial at 0 and at 127, where they are not those of the command."""
ON = 64
"""A controller at this value or above is pressed."""
HORIZON_S = 0.03


class MidiControls:
    """Turns MIDI messages into commands. `give` takes the commands; messages come from any thread."""

    def __init__(self, give: Callable[[LiveCommand], Any], *, follow: bool = False, path: Path | None = None) -> None:
        """`follow`: go along with the clock. `path`: file of the bindings, read now and written when one is learnt."""
        self._give, self._follow, self._path = give, follow, path
        self.bindings: dict[str, str] = {}
        """Commands by control, as they are typed."""
        self.learning = ""
        """LiveCommand that the next control is bound to."""
        self.bpm: float | None = None
        """Tempo of the clock."""
        self._reader = ClockReader()
        self._down: set[str] = set()
        self._starts = False
        if path is not None and path.exists():
            self.load(path)

    def load(self, path: Path) -> None:
        """Read bindings. Raises SettingsError for a file that has none."""
        data = read_json(path, SettingsError)
        if not isinstance(data, dict) or not all(isinstance(text, str) for text in data.values()):
            raise SettingsError(
                f"{path} is no file of MIDI bindings; it holds an object such as {{'cc 1 64': 'record'}}"
            )
        for key, text in data.items():
            check_binding(text)
            self.bindings[key] = text

    def learn(self, text: str) -> None:
        """Bind the next control to a command. Raises SettingsError for what is none."""
        check_binding(text)
        self.learning = text

    def handle(self, message: Any, time_s: float | None = None) -> None:
        """Take a message of mido; `time_s` by time.monotonic. What is wrong with it is dropped."""
        time_s = time.monotonic() if time_s is None else time_s
        kind = message.type
        if kind in ("clock", "start", "stop", "continue", "songpos"):
            self._clock(kind, message, time_s)
        elif kind == "note_on" and message.velocity > 0:
            self._control(f"note {message.channel + 1} {message.note}", 127)
        elif kind in ("note_on", "note_off"):
            self._down.discard(f"note {message.channel + 1} {message.note}")
        elif kind == "control_change":
            self._control(f"cc {message.channel + 1} {message.control}", message.value)
        elif kind == "program_change":
            self._control(f"program {message.channel + 1} {message.program}", 127)
            self._down.discard(f"program {message.channel + 1} {message.program}")

    def _control(self, key: str, value: int) -> None:
        if self.learning:
            self.bindings[key], self.learning = self.learning, ""
            self._down.add(key)
            if self._path is not None:
                write_whole(self._path, json.dumps(self.bindings, indent=1))
            return
        binding = self.bindings.get(key)
        if binding is None:
            return
        try:
            if (turned := turn_dial(binding, value)) is not None:
                self._give(turned)
            elif value >= ON and key not in self._down:
                self._down.add(key)
                self._give(parse_command(binding))
            elif value < ON:
                self._down.discard(key)
        except VampnetError:
            return

    def _clock(self, kind: str, message: Any, time_s: float) -> None:
        if not self._follow:
            return
        if kind == "clock":
            self._reader.tick(time_s)
            if self._starts:
                self._starts = False
                self._give(make_command("start"))
            read = self._reader.read(time_s)
            if read is not None and self._reader.is_sixteenth:
                self.bpm = read[0]
                self._give(make_command("clock", [min(max(read[0], 1.0), 1000.0), read[1]]))
        elif kind == "start":
            self._reader.locate(0)
            self._starts = True
        elif kind == "continue":
            self._starts = True
        elif kind == "stop":
            self._give(make_command("stop"))
        else:
            self._reader.locate(message.pos)


def check_binding(text: str) -> None:
    """Raise SettingsError for a text that no control can be bound to."""
    if turn_dial(text, 64) is None:
        parse_command(text)


def turn_dial(text: str, value: int) -> LiveCommand | None:
    """The command of a dial at a value, 0 to 127; None for a binding that is a switch."""
    words = text.split()
    if DIAL not in words or words[0] not in COMMANDS:
        return None
    place = words.index(DIAL)
    arguments = COMMANDS[words[0]].arguments
    if place > len(arguments):
        return None
    argument = arguments[place - 1]
    name = words[1] if words[0] == "set" and words[1] in DIAL_RANGES else argument.name
    low, high = DIAL_RANGES.get(name, (argument.low, argument.high))
    number: float = low + (high - low) * value / 127
    if argument.kind == "int" or name == "value":
        number = round(number)
    return make_command(words[0], [*words[1:place], number, *words[place + 1 :]])


class MidiPorts:
    """Open MIDI ports: one that controls, and one that hears our clock."""

    def __init__(self, controls: MidiControls, input_name: str = "", output_name: str = "") -> None:
        """Open them by name, or part of a name. Raises DependencyError, SettingsError."""
        backend = midi_backend()
        self._input = self._output = None
        if input_name:
            name = _port(backend.get_input_names(), input_name, "input")
            self._input = backend.open_input(name, callback=controls.handle)
        if output_name:
            self._output = backend.open_output(_port(backend.get_output_names(), output_name, "output"))

    def send_clock(self, looper: Looper, heard: Callable[[], int], stopped: threading.Event) -> None:
        """Send ticks, start and stop along with a looper, until `stopped`; blocks."""
        import mido

        assert self._output is not None
        hurry()
        sender, was_playing = ClockSender(), False
        while not stopped.is_set():
            grid, rate_hz = looper.grid, looper.config.sample_rate_hz
            plays = any(track.is_playing for track in looper.tracks)
            if plays != was_playing:
                self._output.send(mido.Message("start" if plays else "stop"))
                was_playing = plays
            if grid.beat is None:
                stopped.wait(0.05)
                continue
            rate = looper.transport.last.rate
            beat = (looper.transport.song_at(heard()) - grid.zero) / grid.beat
            began = time.monotonic()
            for wait_s in sender.due(beat, rate * rate_hz / grid.beat, HORIZON_S):
                stopped.wait(max(began + wait_s - time.monotonic(), 0.0))
                self._output.send(mido.Message("clock"))
            stopped.wait(0.005)

    def close(self) -> None:
        """Close the ports."""
        for port in (self._input, self._output):
            if port is not None:
                port.close()


def midi_backend() -> Any:
    """mido with the ports of python-rtmidi. Raises DependencyError."""
    require("rtmidi", "MIDI ports")
    import mido

    cause = ""
    # Where ALSA's sequencer is missing, JACK's MIDI may be there.
    for name in ("mido.backends.rtmidi", "mido.backends.rtmidi/UNIX_JACK"):
        try:
            backend = mido.Backend(name)
            backend.get_input_names()
            return backend
        except Exception as error:  # rtmidi's own errors derive from several bases
            cause = cause or str(error)
    raise DependencyError(f"this system's MIDI cannot be used: {cause}")


def port_lines() -> list[str]:
    """One line per MIDI port. Raises DependencyError."""
    backend = midi_backend()
    return [
        *(f"MIDI in   {name}" for name in backend.get_input_names()),
        *(f"MIDI out  {name}" for name in backend.get_output_names()),
    ]


def _port(names: list[str], wanted: str, kind: str) -> str:
    found = [name for name in names if wanted.lower() in name.lower()]
    if not found:
        known = ", ".join(names) or "none"
        raise SettingsError(f"no MIDI {kind} {wanted!r}; there are: {known}")
    return found[0]
