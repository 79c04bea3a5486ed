"""The command line: `vampnet COMMAND ...`.

Only the module of the command that is used is imported, and heavy libraries only once all that can be checked without
them is. Exit codes: 0 done, 2 something that the user can mend (stderr says what), 1 some files of several failed, or
a fault of this program, 130 interrupted. No traceback is printed, but with -v.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence

from synthcorpus.errors import CompositionError
from vampnet.apps.cli.commands import COMMANDS, Command, full_parser, help_text
from vampnet.apps.cli.parser import suggest
from vampnet.apps.cli.removed import refuse_removed
from vampnet.errors import Interrupted, SettingsError, VampnetError
from vampnet.storage import cause
from vampnet.version import __version__

_NO_MEMORY = "not enough memory; try fewer --variations, or a shorter input"
_ALLOCATION = ("allocate memory", "out of memory", "could not create a primitive")
"""Messages of PyTorch and oneDNN for a lack of memory."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    # PyTorch's threads else wait by spinning, which beside another busy program (a DAW) takes twice as long. It counts
    # only before PyTorch is loaded; who sets it otherwise is obeyed.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ["OMP_DYNAMIC"] = "FALSE"  # with TRUE, products of matrices in bfloat16 are wrong
    words = list(sys.argv[1:] if argv is None else argv)
    if "_ARGCOMPLETE" in os.environ:
        _complete()
    return _run(words)


def _run(words: list[str]) -> int:
    with _signals_as_interrupts():
        code = _run_command(words)
        try:
            sys.stdout.flush()
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                _print_error(f"cannot write to standard output: {cause(error)}", words)
                code = 2
            _drop_stdout()
    return code


def _run_command(words: list[str]) -> int:
    try:
        if not words or words[0] in ("-h", "--help", "help"):
            print(help_text(), flush=True)
            return 0 if words else 2
        if words[0] in ("-V", "--version"):
            print(f"vampnet {__version__}", flush=True)
            return 0
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
        _drop_stdout()
        return 0
    except MemoryError:
        _print_error(_NO_MEMORY, words)
        return 2
    except OSError as error:
        _print_error(f"{error.filename or 'system'}: {cause(error)}", words)
        return 2
    except Exception as error:  # a fault of ours: one line for the user, all of it with -v
        logging.getLogger("vampnet").info("traceback", exc_info=True)
        if isinstance(error, RuntimeError) and any(text in str(error) for text in _ALLOCATION):  # PyTorch's
            _print_error(_NO_MEMORY, words)
            return 2
        first = str(error).strip().splitlines()[0] if str(error).strip() else ""
        _print_error(f"{type(error).__name__}: {first} (a fault of vampnet; -v shows where, please report it)", words)
        return 1
    return 0


@contextlib.contextmanager
def _signals_as_interrupts() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the work as Ctrl-C does, but where the caller has them ignored (nohup)."""
    kinds = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {kind: signal.getsignal(kind) for kind in kinds}
    changed = {kind: handler for kind, handler in before.items() if handler == signal.SIG_DFL}
    try:
        for kind in changed:
            signal.signal(kind, signal.default_int_handler)
        yield
    finally:
        for kind, handler in changed.items():
            signal.signal(kind, handler)


def _drop_stdout() -> None:
    """Let what is still to be printed go nowhere: Python would try once more at its end, and complain."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
