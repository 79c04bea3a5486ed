"""The command line: `vampnet COMMAND ...`.

Only the module of the command that is used is imported, and heavy libraries only once all that can be checked without
them is. Exit codes: 0 done, 2 something that the user can mend (stderr says what), 1 some files of several failed, or
a fault of this program, 130 interrupted. No traceback is printed, but with -v.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

from synthcorpus.errors import CompositionError
from vampnet.apps.cli.commands import COMMANDS, Command, full_parser, help_text
from vampnet.apps.cli.parser import suggest
from vampnet.apps.cli.removed import refuse_removed
from vampnet.errors import Interrupted, SettingsError, VampnetError
from vampnet.version import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    # PyTorch's threads else wait by spinning, which beside another busy program (a DAW) takes twice as long. It counts
    # only before PyTorch is loaded; who sets it otherwise is obeyed.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    words = list(sys.argv[1:] if argv is None else argv)
    if "_ARGCOMPLETE" in os.environ:
        _complete()
    if not words or words[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0 if words else 2
    if words[0] in ("-V", "--version"):
        print(f"vampnet {__version__}")
        return 0
    return _run(words)


def _run(words: list[str]) -> int:
    try:
        command = _find(words[0])
        refuse_removed(command.name, words[1:])
        options = command.make_parser().parse_args(words[1:])
        _log_to_stderr(options.verbose, options.get("progress") == "json")
        command.run(options)
    except (VampnetError, CompositionError) as error:
        _print_error(str(error), words)
        return getattr(error, "exit_code", 2)
    except KeyboardInterrupt as interruption:
        text = str(interruption) if isinstance(interruption, Interrupted) else "interrupted; no output was written"
        _print_error(text, words, kind="")
        return 130
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        _print_error("not enough memory; try fewer --variations, or a shorter input", words)
        return 1
    except OSError as error:
        _print_error(f"{error.filename or 'system'}: {error.strerror or error}", words)
        return 2
    except Exception as error:  # a fault of ours: one line for the user, all of it with -v
        logging.getLogger("vampnet").info("traceback", exc_info=True)
        first = str(error).strip().splitlines()[0] if str(error).strip() else ""
        _print_error(f"{type(error).__name__}: {first} (a fault of vampnet; -v shows where, please report it)", words)
        return 1
    return 0


def _find(name: str) -> Command:
    for command in COMMANDS:
        if command.name == name:
            return command
    if name.startswith("-"):
        raise SettingsError(f"{name} stands before the command; write: vampnet COMMAND ... {name}")
    near = suggest(name, [command.name for command in COMMANDS])
    raise SettingsError(f"unknown command {name!r}{near} `vampnet --help` lists all")


def _print_error(text: str, words: Sequence[str], kind: str = "error: ") -> None:
    """An error on stderr: a line, or an event for programs that read those."""
    as_event = any(
        word == "--progress=json" or words[place : place + 2] == ["--progress", "json"]
        for place, word in enumerate(words)
    )
    if as_event:
        from vampnet.apps.cli.progress import print_event

        print_event("error" if kind else "interrupted", message=text)
    else:
        print(f"vampnet: {kind}{text}", file=sys.stderr)


class _LogFormatter(logging.Formatter):
    """Warnings as lines for users; what -v adds with its time."""

    def format(self, record: logging.LogRecord) -> str:
        if record.levelno >= logging.WARNING:
            return f"vampnet: {record.levelname.lower()}: {record.getMessage()}"
        return super().format(record)


class _EventHandler(logging.Handler):
    """Log records as JSON lines on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        from vampnet.apps.cli.progress import print_event

        print_event("warning" if record.levelno >= logging.WARNING else "log", message=record.getMessage())


def _log_to_stderr(verbose: bool, as_events: bool) -> None:
    handler = _EventHandler() if as_events else logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LogFormatter("%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S"))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler], force=True)


def _complete() -> None:
    """Answer the shell's completion; leaves the process."""
    import argcomplete

    argcomplete.autocomplete(full_parser(), always_complete_options="long")


if __name__ == "__main__":
    sys.exit(main())
