"""Flags of the task commands, the run of one or many files, and what is printed: shared by all tasks."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vampnet.apps.cli.engine import add_engine_flags, engine_of
from vampnet.apps.cli.inputs import PIPE, format_ending, is_folder, piped_files, plan_outputs, with_ending
from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.apps.cli.progress import PROGRESS_MODES, ProgressDisplay
from vampnet.apps.cli.requests import add_request_flags, request_data, request_of
from vampnet.errors import AudioError, BatchError, Interrupted, SettingsError, VampnetError
from vampnet.jobs.elsewhere import explain_word
from vampnet.jobs.flags import command_of, name_flags
from vampnet.jobs.request import Request
from vampnet.jobs.result import JobResult, result_to_json
from vampnet.models.check import check_choice
from vampnet.storage import make_folder

if TYPE_CHECKING:
    from vampnet.jobs.batch import Job, JobFailure
    from vampnet.jobs.task_engine import TaskEngine

log = logging.getLogger("vampnet")

Describe = Callable[[JobResult], list[str]]

MIN_TIMED_S = 1.0
"""Speed is printed from this length of audio on, seconds: for less, the start of the program is all there is."""


@dataclass(frozen=True)
class TaskCommand:
    """A command that makes something of a task's request."""

    name: str
    """Name of the command: that of the task, or "continue"."""
    input_help: str = "audio files, folders or quoted patterns; - reads standard input"
    """Description of the inputs; empty for a task without one."""
    output_help: str = "audio file to write, its ending is the format; a folder for several inputs; - writes to stdout"
    ending: str = ""
    """Ending of outputs in a folder; by default that of each input."""
    has_plot: bool = True
    describe: Describe = lambda result: []
    """Lines about a result, beside those that all tasks have."""
    examples: tuple[str, ...] = ()
    """Command lines for the help."""


def add_task_options(parser: CommandParser, command: TaskCommand) -> None:
    """Input, output, one flag per field of the request, and how to run and report."""
    if command.examples:
        parser.epilog = "examples:\n" + "\n".join(f"  {line}" for line in command.examples)
    parser.usage = f"%(prog)s {'INPUT ... ' if command.input_help else ''}-o OUT [FLAGS]"
    if command.input_help:
        parser.add_argument("input", nargs="+", metavar="INPUT", help=command.input_help)
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help=command.output_help)
    add_request_flags(parser, command.name)
    parser.explain = lambda flag: name_flags(explain_word(command.name, flag), command.name)
    group = parser.add_argument_group("This run")
    group.add_argument(
        "--config", metavar="FILE.yaml", help="YAML or JSON file with fields of the request (`vampnet schema`)"
    )
    if command.has_plot:
        group.add_argument(
            "--plot", metavar="PNG", help="picture of input, first output and kept tokens; a folder if -o is one"
        )
    if command.input_help:
        add_engine_flags(group)
    group.add_argument("--resume", action="store_true", help="go on where Ctrl-C stopped the same command")
    group.add_argument(
        "--json",
        action="store_true",
        help="print the result as JSON, of several inputs a line each (`vampnet schema --result`)",
    )
    group.add_argument(
        "--progress",
        choices=PROGRESS_MODES,
        default="auto",
        help="on stderr: a bar, JSON lines for programs, or nothing (auto: a bar on a terminal)",
    )


def run_task(command: TaskCommand, options: CommandOptions) -> None:
    """Run a task command. Raises VampnetError; BatchError when some of several files failed."""
    data = request_data(options, command.name)
    given = options.get("input") or []
    engine = engine_of(options) if command.input_help else None
    first = request_of(data, command.name, given[0] if given else "", options.config)  # checked before files are
    ending = command.ending or format_ending(first)
    if options.output == PIPE and len(first.numbers) > 1 and not getattr(first, "join", False):
        raise SettingsError("-o/--output is - (standard output), which holds one file; leave --variations out")
    with (
        _flags_named(command.name),
        ProgressDisplay(options.progress) as display,
        piped_files(given, options.output, ending) as (inputs, output),
    ):
        call = _TaskCall(command, options, display, tuple(given) == (PIPE,), data, engine)
        check_choice(first.model)
        sources = _expand(inputs, display)
        if not is_folder([str(path) for path in sources] or [""], output):
            if engine is not None:
                raise SettingsError("--engine is for many files: name a folder of them, and one for -o/--output")
            path = Path(output) if command.ending else with_ending(Path(output), ending)
            call.run_one(sources[0] if sources else None, path)
        elif not sources:
            raise AudioError(f"-o/--output is {output}, a folder; name a file in it")
        else:
            call.run_many(sources, Path(output), ending)


@contextlib.contextmanager
def _flags_named(command: str) -> Iterator[None]:
    """Errors about fields of a request, outputs and pictures name the flags."""
    try:
        yield
    except VampnetError as error:
        text = name_flags(str(error), command)
        if text.startswith("cannot write ") or "choose another output" in text:
            text = f"-o/--output: {text}"
        elif "a plot is written as" in text:
            text = f"--plot: {text}"
        raise type(error)(text) from None


def _expand(inputs: Sequence[str], display: ProgressDisplay) -> list[Path]:
    """Files that the inputs name; says how many there are when it is not plain."""
    from vampnet.audio.folders import expand_inputs

    found = expand_inputs(inputs)
    if len(found.files) != len(inputs) or found.left_out:
        for line in found.describe():
            display.say(f"vampnet: {line}")
    return list(found.files)


@dataclass(frozen=True)
class _TaskCall:
    """One run of a task command."""

    command: TaskCommand
    options: CommandOptions
    display: ProgressDisplay
    is_piped: bool
    """Whether the input is standard input, copied to a file."""
    data: dict[str, Any]
    engine: TaskEngine | None = None

    def run_one(self, source: Path | None, output: Path) -> None:
        """One request, to a file per variation."""
        from vampnet.jobs.check import check_job, output_paths

        request, plot = self._request(source), self._plot()
        outputs = output_paths(output, request)
        check_job(request, outputs, plot=plot)
        log.info("%s", command_of(request, output))
        from vampnet.jobs.runner import run_job

        result = run_job(request, outputs, resume=self.options.resume, plot=plot, report=self.display.report)
        self._print(self._as_given(result, request))

    def run_many(self, sources: Sequence[Path], folder: Path, ending: str) -> None:
        """One request per file; failures are listed at the end."""
        from vampnet.jobs.check import check_job, output_paths

        if len(sources) > 1 and self.data.get("beats", {}).get("file"):
            raise SettingsError("--beats is the file of one input's beats; leave it out and those of each are found")
        folder, plots = _make_folder(folder), self._plot_folder()
        first = self._request(sources[0])
        planned = plan_outputs(sources, folder, ending, lambda path: output_paths(path, first))
        jobs, failures = [], list[tuple[str, VampnetError]]()
        for source, outputs in zip(sources, planned, strict=True):
            request = self._request(source)
            try:
                check_job(request, outputs)
                jobs.append((request, outputs))
            except VampnetError as error:
                failures.append((str(source), error))
                self._print_failure(str(source), error)
        if failures and not jobs and len(sources) == 1:
            raise failures[0][1]
        if jobs:
            self._run_jobs(jobs, plots, len(sources), failures)
        if failures:
            lines = [f"  {_with_name(name, error)}" for name, error in failures]
            raise BatchError("\n".join([f"{len(failures)} of {len(sources)} files failed:", *lines]))

    def _run_jobs(
        self,
        jobs: list[Job],
        plots: Path | None,
        n_files: int,
        failures: list[tuple[str, VampnetError]],
    ) -> None:
        from vampnet.jobs.result import JobResult

        n_done = 0
        log.info("%d files, %s", len(jobs), command_of(jobs[0][0], jobs[0][1][0].parent))
        try:
            for result in self._results(jobs, plots):
                if isinstance(result, JobResult):
                    n_done += 1
                    self._print(result, as_line=True)
                else:
                    failures.append((result.request.input, result.error))
                    self._print_failure(result.request.input, result.error)
        except KeyboardInterrupt:
            raise Interrupted(
                f"interrupted; {n_done} of {n_files} files are done; the same command with --resume does the others"
            ) from None

    def _results(self, jobs: list[Job], plots: Path | None) -> Iterator[JobResult | JobFailure]:
        """Results of jobs, done by this process or by the engine that was asked for."""

        def plot_of(request: Request, outputs: Sequence[Path]) -> Path | None:
            return None if plots is None else plots / f"{outputs[0].stem}.png"

        resume, report = self.options.resume, self.display.report
        if self.engine is not None:
            from vampnet.jobs.spread import run_jobs_on

            return run_jobs_on(self.engine, jobs, resume=resume, report=report, plot_of=plot_of)
        from vampnet.jobs.batch import run_jobs
        from vampnet.jobs.runner import load_model

        model = load_model(jobs[0][0])
        return run_jobs(jobs, model=model, resume=resume, report=report, n_jobs=len(jobs), plot_of=plot_of)

    def _request(self, source: Path | None) -> Request:
        return request_of(self.data, self.command.name, "" if source is None else str(source), self.options.config)

    def _plot(self) -> Path | None:
        plot = self.options.get("plot")
        return Path(plot) if plot else None

    def _plot_folder(self) -> Path | None:
        plot = self._plot()
        return None if plot is None else _make_folder(plot)

    def _as_given(self, result: JobResult, request: Request) -> JobResult:
        """The result with pipes in the place of their temporary files."""
        to_stdout = self.options.output == PIPE
        if not self.is_piped and not to_stdout:
            return result
        request = dataclasses.replace(request, input=PIPE) if self.is_piped else request
        outputs = []
        for output in result.outputs:
            file = PIPE if to_stdout else output.file
            single = request if len(result.outputs) == 1 else dataclasses.replace(request, variation=output.variation)
            outputs.append(dataclasses.replace(output, file=file, command=command_of(single, file)))
        facts = result.input and dataclasses.replace(result.input, file=PIPE if self.is_piped else result.input.file)
        return dataclasses.replace(result, outputs=tuple(outputs), input=facts)

    def _print(self, result: JobResult, as_line: bool = False) -> None:
        stream = sys.stderr if self.options.output == PIPE else sys.stdout
        if self.options.json:
            print(json.dumps(result_to_json(result), indent=None if as_line else 1), file=stream, flush=True)
            return
        if stream is sys.stderr and not self.options.verbose:
            return
        lines = describe_result(result)[: len(result.outputs)] if as_line else describe_result(result)
        for line in [*lines, *self.command.describe(result)]:
            print(line, file=stream, flush=True)

    def _print_failure(self, source: str, error: VampnetError) -> None:
        if self.options.json:
            print(json.dumps({"input": source, "error": str(error)}), flush=True)


def describe_result(result: JobResult) -> list[str]:
    """A line per output, then how fast the work was."""
    lines = []
    for output in result.outputs:
        parts = [f"{output.seconds:.6g} s"]
        if result.prompt:
            parts.append(result.prompt)
        if output.kept_share is not None:
            parts.append(f"{output.kept_share:.1%} of the tokens kept")
        if output.seed is not None:
            parts.append(f"seed {output.seed}")
        lines.append(f"{output.file}: {', '.join(parts)}" + (" (done before)" if result.done_before else ""))
    timings = result.timings
    made_s = sum(output.seconds for output in result.outputs)
    if timings is not None and timings.total_s > 0 and made_s >= MIN_TIMED_S:
        lines.append(
            f"{made_s:.1f} s of audio in {timings.total_s:.1f} s: {timings.real_time_factor:.2f} times real time"
        )
    return lines


def _with_name(name: str, error: VampnetError) -> str:
    text = str(error)
    return text if name in text else f"{name}: {text}"


def _make_folder(folder: Path) -> Path:
    from vampnet.audio.formats import BY_ENDING

    if folder.suffix.lower() in (*BY_ENDING, ".vamp", ".png") and not folder.is_dir():
        raise AudioError(f"{folder} is a file's name, but what several inputs give goes into a folder, such as out/")
    if folder.exists() and not folder.is_dir():
        raise AudioError(f"{folder} is a file, but what several inputs give goes into a folder, such as out/")
    return make_folder(folder, AudioError)
