"""Keyboard: keys of the terminal as commands, one key each, or a line that begins with a colon."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from vampnet.apps.live.commands import LiveCommand, parse_command
from vampnet.apps.live.priority import hurry
from vampnet.errors import VampnetError

KEYS = {
    "r": "record", "o": "overdub", "v": "vary", "n": "next", "u": "undo", "y": "redo", "k": "keep", "b": "back",
    "m": "mute", "c": "clear", "t": "tap", "s": "start", "x": "stop", "p": "panic", "\x1b": "panic", "w": "take",
    "q": "quit", **{str(k): f"select {k}" for k in range(1, 10)},
}  # fmt: skip
"""Commands by key; + and - change the level of the selected loop."""
HELP = (
    "r record  o overdub  v vary  n next  u undo  y redo  k keep  b back  m mute  c clear  1-9 loop  + - level",
    "t tap  s start  x stop  p panic  w write take  : command  q quit",
)


class Keyboard:
    """Turns keys into commands."""

    def __init__(self, give: Callable[[LiveCommand], Any], gain_db: Callable[[], float]) -> None:
        """`give` takes commands; `gain_db` is the level of the selected loop."""
        self._give, self._gain_db = give, gain_db
        self.line: str | None = None
        """Line typed after a colon; None while keys are commands."""
        self.error = ""
        """Error of the last key or line."""

    def press(self, key: str) -> None:
        """Take a key."""
        self.error = ""
        try:
            if self.line is not None:
                self._type(key)
            elif key == ":":
                self.line = ""
            elif key in "+-":
                level = self._gain_db() + (1 if key == "+" else -1)
                self._give(parse_command(f"gain {min(max(level, -60), 12):g}"))
            elif key in KEYS:
                self._give(parse_command(KEYS[key]))
        except VampnetError as error:
            self.error = str(error).splitlines()[0]

    def _type(self, key: str) -> None:
        assert self.line is not None
        if key in "\r\n":
            line, self.line = self.line, None
            if line.strip():
                self._give(parse_command(line))
        elif key == "\x1b":
            self.line = None
        elif key in "\x7f\b":
            self.line = self.line[:-1]
        elif key.isprintable():
            self.line += key


@contextlib.contextmanager
def listen(press: Callable[[str], Any]) -> Iterator[None]:
    """Hand every key of the terminal over, while the block runs; nothing where there is no terminal."""
    if not sys.stdin.isatty():
        yield
        return
    stopped = threading.Event()
    with _raw() as read:

        def run() -> None:
            hurry()
            while not stopped.is_set():
                keys = read()
                if keys.startswith("\x1b") and len(keys) > 1:
                    continue  # an arrow or function key, not Escape
                for key in keys:
                    press(key)

        threading.Thread(target=run, name="vampnet-live-keys", daemon=True).start()
        try:
            yield
        finally:
            stopped.set()


@contextlib.contextmanager
def _raw() -> Iterator[Callable[[], str]]:
    """A function that gives the next keys, or nothing after a tenth of a second."""
    try:
        import select
        import termios
        import tty
    except ImportError:  # Windows
        import msvcrt
        import time

        def read_windows() -> str:
            if not msvcrt.kbhit():  # type: ignore[attr-defined]
                time.sleep(0.05)
                return ""
            return msvcrt.getwch()  # type: ignore[attr-defined]

        yield read_windows
        return

    def read_key() -> str:
        # Past Python's own buffer, in which keys would wait that `select` does not see.
        ready, _, _ = select.select([sys.stdin], [], [], 0.1)
        return os.read(sys.stdin.fileno(), 256).decode(errors="ignore") if ready else ""

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield read_key
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
