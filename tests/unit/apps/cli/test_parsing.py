"""Parsing of command lines: requests, removed flags, errors that name the flag, help."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from tests.support.tiny import tone
from tests.unit.jobs.test_flags import TEXTS, requests
from vampnet.apps.cli.commands import COMMANDS, GROUPS, Command, full_parser, help_text
from vampnet.apps.cli.main import main
from vampnet.apps.cli.parser import CommandOptions
from vampnet.apps.cli.removed import refuse_removed
from vampnet.apps.cli.requests import request_data, request_of
from vampnet.audio.files import write
from vampnet.errors import SettingsError
from vampnet.jobs.flags import as_single, command_of, flags_of
from vampnet.jobs.request import REQUESTS, OutpaintRequest, Request, request_to_json

BY_NAME = {command.name: command for command in COMMANDS}
TASKS = [*REQUESTS, "continue"]


def parse(words: list[str]) -> tuple[Request, CommandOptions]:
    """The request of a command line without `vampnet`."""
    command: Command = BY_NAME[words[0]]
    options = command.make_parser().parse_args(words[1:])
    source = (options.get("input") or [""])[0]
    return request_of(request_data(options, command.name), command.name, source, options.config), options


@settings(max_examples=60, deadline=None)
@given(requests(), st.one_of(st.just("-"), TEXTS))
def test_the_printed_command_is_parsed_to_the_same_request(request: Request, output: str) -> None:
    words = shlex.split(command_of(request, output))
    again, options = parse(words[1:])
    assert again == as_single(request) and options.output == output


def test_continue_makes_an_outpaint_request() -> None:
    assert parse(["continue", "a.wav", "-o", "b.wav"])[0] == OutpaintRequest(input="a.wav", after_s=8.0)
    request, _ = parse(["continue", "a.wav", "-o", "b.wav", "--seconds", "3.5", "--theme", "nothing"])
    assert request == OutpaintRequest(input="a.wav", after_s=3.5, theme="nothing")


def test_inputs_may_stand_around_flags() -> None:
    _, options = parse(["vamp", "a.wav", "-o", "out/", "b.wav", "--steps", "3", "c.wav"])
    assert options.input == ["a.wav", "b.wav", "c.wav"]


def test_a_settings_file_holds_fields_of_the_request_and_flags_count_more(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("prompt: periodic(3)\nsampling:\n  seed: 9\n  steps: 4\nmodel: {lora: [a.safetensors]}\n")
    request, _ = parse(["vamp", "a.wav", "-o", "b.wav", "--config", str(path), "--steps", "5"])
    assert request_to_json(request) == {
        "task": "vamp",
        "input": "a.wav",
        "prompt": "periodic(3)",
        "sampling": {"seed": 9, "steps": 5},
        "model": {"lora": ["a.safetensors"]},
    }
    path.write_text('{"task": "continue", "seconds": 3}')
    assert parse(["continue", "a.wav", "-o", "b.wav", "--config", str(path)])[0] == OutpaintRequest(
        input="a.wav", after_s=3
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("promt: vary", "unknown setting promt; did you mean prompt"),
        ("sampling: {steps: 0}", "c.yaml: steps is 0"),
        ("sampling: 3", "sampling"),
        ("- 1", "must hold settings"),
        ("a: [", "not YAML"),
        ("task: loop", "is for the task 'loop', but the command is vamp"),
    ],
)
def test_errors_of_a_settings_file_name_it(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as error:
        parse(["vamp", "a.wav", "-o", "b.wav", "--config", str(path), "--top-p", "0.5"])
    assert words in str(error.value) and "c.yaml" in str(error.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("vmap a.wav", "unknown command 'vmap'; did you mean vamp?"),
        ("-v vamp a.wav", "-v stands before the command"),
        ("vamp a.wav", "-o/--output is missing"),
        ("vamp -o b.wav", "INPUT is missing"),
        ("vamp a.wav -o b.wav --stpes 3", "unknown flag --stpes; did you mean --steps?"),
        ("vamp a.wav -o b.wav --step 3", "unknown flag --step; did you mean --steps?"),
        ("vamp a.wav -o b.wav --steps", "--steps needs a value"),
        ("vamp a.wav -o b.wav --steps x", "--steps is 'x', but must be a whole number"),
        ("vamp a.wav -o b.wav --steps 0", "--steps is 0, but must lie in 1 to 1000"),
        ("vamp a.wav -o b.wav --backend opnvino", "one of torch, openvino; did you mean openvino?"),
        ("vamp a.wav -o b.wav --device coda", "--device is 'coda', but must be auto, cpu, cuda, cuda:N or mps"),
        ("vamp a.wav -o b.wav --prompt 'peridic(7)'", "--prompt: unknown part 'peridic'; did you mean periodic?"),
        ("outpaint a.wav -o b.wav --after 1 --theme ''", "--theme: the prompt is empty"),
        ("outpaint a.wav -o b.wav", "--before and --after are both 0"),
        ("vamp a.wav -o b.wav --variation 2", "raise --variations too"),
        ("vamp a.wav -o b.wav --downbeat 1", "give --bpm too"),
        ("vamp a.wav -o b.wav --beats x.txt --bpm 90", "--beats and --bpm both say where beats are"),
        ("vamp a.wav -o b.wav --progress bra", "--progress is 'bra'"),
        ("vamp a.wav -o b.wav --format wva", "--format is 'wva', but must be one of wav,"),
        ("vamp a.wav -o b.wav --format flac", "--format is flac, but -o/--output b.wav ends in .wav"),
        ("decompress a.vamp -o b.wav --steps 2", "--steps is stored in the .vamp file; only --seed can be chosen"),
        ("vamp a.wav -o - --variations 2", "-o/--output is - (standard output), which holds one file"),
        ("vamp a.wav -o b.wav --bundle no/where/here", "--bundle is 'no/where/here', which is no folder"),
        ("vamp a.wav -o b.wav --lora no.safetensors", "--lora: no.safetensors: no such adapter file"),
        ("vamp a.wav -o b.wav --config no.yaml", "--config no.yaml: cannot be read"),
        ("inpaint a.wav -o b.wav", "--region is missing"),
        ("inpaint a.wav -o b.wav --region 3:1", "--region is '3:1', but its end must lie after its start"),
        ("inpaint a.wav -o b.wav --region 3", "--region is '3'"),
        ("generate a.wav -o b.wav", "too many arguments: a.wav"),
        ("generate -o b.wav --prompt vary", "name the clip in --like"),
        ("corpus x --hours many", "--hours is 'many', but must be a number"),
        ("listen craete", "did you mean create?"),
        ("listen create x -o y --kidn abx", "unknown flag --kidn; did you mean --kind?"),
        ("completion csh", "must be one of bash, zsh, fish"),
    ],
)
def test_errors_name_the_flag_as_it_is_typed(
    words: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(words)) == 2
    error = capsys.readouterr().err
    assert error.startswith("vampnet: error: ") and said in error and "Traceback" not in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "prompt"),
    [
        ("--periodic 5", "periodic(5)"),
        ("--periodic 7 --width 2 --random 0.3 --codebooks 3", "(periodic(7, 2) | random(0.3)) & codebooks(3)"),
        ("--codebooks=2 --keep 0:2 --keep 3.5:", "codebooks(2) | keep(0, 2) | keep(3.5, inf)"),
        ("--keep 0:1", "keep(0, 1)"),
        ("--width 3", "periodic(7, 3)"),
    ],
)
def test_removed_flags_show_the_prompt_to_write(flags: str, prompt: str) -> None:
    with pytest.raises(SettingsError) as error:
        refuse_removed("vamp", ["a.wav", *flags.split(), "-o", "b.wav"])
    assert f"write --prompt '{prompt}'" in str(error.value)
    request, _ = parse(["vamp", "a.wav", "-o", "b.wav", "--prompt", prompt])
    assert getattr(request, "prompt") == prompt  # noqa: B009
    refuse_removed("vamp", ["-o", "b.wav", "--", "--keep"])
    refuse_removed("compress", ["a.wav", "--codebooks", "3"])
    with pytest.raises(SettingsError, match="--order is gone"):
        refuse_removed("loop", ["a.wav", "--order", "halton"])


def test_help_lists_every_command_in_its_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0 and main(["--version"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {command.name} " in out for command in COMMANDS) and out.splitlines()[-1].startswith("vampnet ")
    assert {command.group for command in COMMANDS} <= set(GROUPS) and "Make music:" in help_text()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_help_without_types_and_nulls(command: Command) -> None:
    text = command.make_parser().format_help()
    assert "(type:" not in text and "null" not in text and command.summary.split()[0] in text
    if command.name in TASKS:
        assert all(flag.name in text for flag in flags_of(command.name))


def test_completion_knows_choices_and_presets() -> None:
    actions = {flag: action for action in BY_NAME["vamp"].make_parser()._actions for flag in action.option_strings}
    assert actions["--backend"].completer() == ["torch", "openvino"]  # type: ignore[attr-defined]
    assert "keep-the-beat" in actions["--prompt"].completer()  # type: ignore[attr-defined]


def test_completion_knows_commands_and_flags(capsys: pytest.CaptureFixture[str]) -> None:
    parser = full_parser()
    assert parser.parse_args(["stretch", "a.wav", "-o", "b.wav", "--factor", "3"]).factor == 3.0
    for shell in ("bash", "zsh", "fish"):
        assert main(["completion", shell]) == 0
        assert "vampnet" in capsys.readouterr().out


def test_bad_command_lines_import_neither_torch_nor_numpy() -> None:
    lines = ["--help", "vamp --help", "vamp a.wav -o b.wav --steps 0", "inpaint a.wav -o b.wav --region 3:1", "schema"]
    code = (
        "import sys; from vampnet.apps.cli.main import main\n"
        f"for line in {lines!r}:\n"
        "    try: main(line.split())\n"
        "    except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'librosa', 'soundfile'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["continue", "a.wav", "--seconds", "0"], "--seconds is 0, but must lie above 0 up to 3600"),
        (["vamp", "a.wav", "--config", "a.wav"], "--config a.wav: not a text file"),
        (["vamp", "a.wav", "--beats", "none.txt"], "cannot read the beats in 'none.txt': no such file"),
        (["generate", "--seconds", "20", "--bars", "3"], "--bars is 3 and --seconds is 20, but only one"),
        (["vamp", "a.wav", "--prompt", "keep(100, 200)"], "--prompt: keep(100s, 200s) lies outside the recording"),
        (["inpaint", "a.wav", "--region", "0.1:9"], "--region is 0.1 to 9 s, but the recording ends at 0.50 s"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write("a.wav", tone(0.5))
    assert main([*words, "-o", "out.wav"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"vampnet: error: {said}") and error.count("\n") == 1
    assert not Path("out.wav").exists()


def test_help_of_a_negated_flag_says_what_the_flag_does() -> None:
    flag = next(flag for flag in flags_of("vamp") if flag.name == "--no-domain-warning")
    assert flag.help.startswith("Do not warn")
