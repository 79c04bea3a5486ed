"""`vampnet live`: a looper whose loops the model varies while they play."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vampnet.apps.cli.options import add_settings, settings_from
from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.errors import SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.models.choice import ModelChoice
from vampnet.storage import read_text

if TYPE_CHECKING:
    from vampnet.apps.live.config import LiveConfig
    from vampnet.apps.live.devices import DeviceConfig
    from vampnet.apps.live.simulation import Cue


_TEXTS = {
    "model": (
        ("--bundle", "NAME", "default", "model: 'default' (embedded), a folder, or OWNER/NAME"),
        ("--compute", "DEVICE", "auto", "auto, cpu, cuda, cuda:N or mps"),
    ),
    "sound device": (
        ("--output-device", "NAME", "", "name, part of it, or number"),
        ("--input-device", "NAME", "", "likewise; - for none"),
        ("--input-channels", "N[,N]", "", "the device's input channels, from 1"),
        ("--output-channels", "N[,N]", "", "its output channels"),
    ),
    "control": (
        ("--midi-in", "PORT", "", "MIDI port of foot switch, dials and clock"),
        ("--midi-out", "PORT", "", "MIDI port that our clock is sent to"),
        ("--midi-map", "FILE", "live-midi.json", "file of what was learnt"),
        ("--osc-host", "HOST", "127.0.0.1", "address to listen at, by default this machine alone"),
    ),
    "files": (
        ("--write", "FILE", "", "record the output"),
        ("--record", "FILE", "", "record the performance (.json), and its input beside it"),
        ("--replay", "FILE", "", "play a performance again, to --write"),
        ("--sets", "DIR", "sets", "folder of sets and takes"),
    ),
    "without a device": (
        ("--microphone", "FILE", "", "what the microphone hears in a simulation"),
        ("--cues", "FILE", "", "commands of a simulation: lines such as '2.5 gain -6 1'"),
    ),
}
_NUMBERS = {
    "sound device": (
        ("--rate", int, 0, "sample rate, Hz; 0: the device's"),
        ("--block", int, 0, "samples per block of the device; 0: its own choice"),
    ),
    "control": (
        ("--osc-port", int, 0, "take OSC messages at this port; 0: none"),
        ("--osc-reply", int, 8013, "port of the answers"),
    ),
    "without a device": (
        ("--simulate", float, None, "play so many seconds on a virtual clock, to --write"),
        ("--model-seconds", float, 2.0, "seconds of that clock that a variation takes"),
        ("--seconds", float, None, "end after so many seconds, device or not"),
    ),
}


def live_options(parser: CommandParser) -> None:
    """Flags of `vampnet live`."""
    from vampnet.apps.live.config import LiveConfig

    add_settings(parser, LiveConfig, "loops")
    add_settings(parser, SamplingConfig, "variations")
    groups = {title: parser.add_argument_group(title) for title in _TEXTS}
    for title, group in groups.items():
        for flag, metavar, default, text in _TEXTS[title]:
            shown = f" (default: {default})" if default else ""
            group.add_argument(flag, default=default, metavar=metavar, help=text + shown)
        for flag, kind, number, text in _NUMBERS.get(title, ()):
            shown = f" (default: {number})" if number else ""
            group.add_argument(flag, type=kind, default=number, metavar="N", help=text + shown)
    groups["model"].add_argument("--lora", action="append", default=[], metavar="FILE[:X]", help="adapter and strength")
    groups["model"].add_argument("--no-variation", action="store_true", help="no model: a plain looper")
    for flag, text in (
        ("--list-devices", "list sound devices and MIDI ports, and end"),
        ("--calibrate", "measure the way from output to input with clicks, and end"),
    ):
        groups["sound device"].add_argument(flag, action="store_true", help=text)
    groups["control"].add_argument("--follow", action="store_true", help="follow the clock of --midi-in")
    groups["files"].add_argument(
        "--input", action="append", default=[], metavar="FILE", help="a loop to begin with; again for the next one"
    )


def run_live(options: CommandOptions) -> None:
    """Play, simulate, replay, calibrate or list devices."""
    from vampnet.apps.live.config import LiveConfig
    from vampnet.audio.samples import MAX_RATE_HZ, MIN_RATE_HZ
    from vampnet.config import check
    from vampnet.jobs.request import check_prompt

    config, sampling = settings_from(LiveConfig, options), settings_from(SamplingConfig, options)
    check_prompt(config.prompt)
    if options.rate:
        check("--rate", options.rate, MIN_RATE_HZ, MAX_RATE_HZ)
    for name in ("input", "microphone", "cues", "replay"):
        for path in [options[name]] if isinstance(options[name], str) else options[name]:
            if path and not Path(path).is_file():
                raise SettingsError(f"--{name}: there is no file {path}")
    if options.list_devices:
        _list_devices()
    elif options.calibrate:
        _calibrate(options, config)
    elif options.replay:
        _replay(options)
    elif options.simulate is not None:
        _simulate(options, config, sampling)
    else:
        _play(options, config, sampling)


def _choice(options: CommandOptions) -> ModelChoice:
    return ModelChoice(options.bundle, tuple(options.lora), options.compute)


def _device_config(options: CommandOptions, config: LiveConfig) -> DeviceConfig:
    from vampnet.apps.live.devices import DeviceConfig

    return DeviceConfig(
        output=options.output_device, input=options.input_device, sample_rate_hz=options.rate,
        channels=config.channels, output_channels=_channels(options.output_channels, "--output-channels"),
        input_channels=_channels(options.input_channels, "--input-channels"), block=options.block,
        ahead_s=config.ahead,
    )  # fmt: skip


def _channels(text: str, flag: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise SettingsError(f"{flag} is {text!r}, but must be numbers such as 1,2") from None


def _list_devices() -> None:
    from vampnet.apps.live.devices import device_lines
    from vampnet.apps.live.midi import port_lines
    from vampnet.errors import DependencyError

    lines = list(device_lines())
    print("\n".join(lines) if lines else "there are no sound devices")
    try:
        print("\n".join(port_lines()) or "there are no MIDI ports")
    except DependencyError as error:
        print(f"MIDI: {error}")


def _calibrate(options: CommandOptions, config: LiveConfig) -> None:
    import time

    from vampnet.apps.live.calibration import measure_latency
    from vampnet.apps.live.devices import SoundCard

    device = SoundCard(_device_config(options, config))
    try:
        if not device.has_input:
            raise SettingsError("the device has no input to measure with")
        lag, spread = measure_latency(device, config.channels, lambda n: time.sleep(n / device.sample_rate_hz))
    finally:
        device.close()
    ms, spread_ms = 1000 * lag / device.sample_rate_hz, 1000 * spread / device.sample_rate_hz
    than = "more than the device says" if ms >= 0 else "less than the device says"
    print(f"a sound takes {abs(ms):.2f} ms {than} (spread {spread_ms:.2f} ms)")
    print(f"play with: vampnet live --latency-ms {ms:.2f}")


def _play(options: CommandOptions, config: LiveConfig, sampling: SamplingConfig) -> None:
    import contextlib

    from vampnet.apps.live.config import SessionFiles
    from vampnet.apps.live.display import screen
    from vampnet.apps.live.session import LiveSession

    files = SessionFiles(
        loops=tuple(map(Path, options.input)), write=_path(options.write), record=_path(options.record),
        sets=Path(options.sets), midi_in=options.midi_in, midi_out=options.midi_out, midi_map=Path(options.midi_map),
        follow=options.follow, osc_port=options.osc_port, osc_reply=options.osc_reply, osc_host=options.osc_host,
    )  # fmt: skip
    model = None if options.no_variation else _choice(options)
    session = LiveSession(config, files, model, sampling, _device_config(options, config))
    with screen() as show, contextlib.suppress(KeyboardInterrupt):
        session.run(show, seconds=options.seconds)
    print(json.dumps(session.summary()))


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _output(options: CommandOptions) -> Path:
    if not options.write:
        raise SettingsError("--write is missing: name the file that the output goes to")
    return Path(options.write)


def _simulate(options: CommandOptions, config: LiveConfig, sampling: SamplingConfig) -> None:
    from vampnet.apps.live.commands import make_command
    from vampnet.apps.live.looper import Looper, LooperConfig
    from vampnet.apps.live.making import ModelMaker, SimulatedMaker
    from vampnet.apps.live.performance import Performance, PerformanceRecord
    from vampnet.apps.live.recorders import input_file, writing
    from vampnet.apps.live.sets import fit_audio
    from vampnet.apps.live.simulation import simulate
    from vampnet.audio.files import probe
    from vampnet.config import check

    check("--simulate", options.simulate, 0.001, 86400)
    check("--model-seconds", options.model_seconds, 0, 86400)
    output, cues = _output(options), _read_cues(options.cues)
    first = next((path for path in (*options.input, options.microphone) if path), None)
    info = None if first is None else probe(first)
    rate_hz = options.rate or (44100 if info is None else info.sample_rate_hz)
    channels = config.channels if info is None else min(info.channels, 2)
    looper_config = LooperConfig(
        sample_rate_hz=rate_hz, channels=channels, delay=round(config.ahead * rate_hz) + 4096,
        latency=round(config.latency_ms * rate_hz / 1000), n_loops=config.loops, prompt=config.prompt,
        sampling=sampling, max_loop_s=config.max_loop,
    )  # fmt: skip
    choice = _choice(options)
    maker, made = None, ModelMaker(lambda: _load(choice))
    if not options.no_variation:
        maker = SimulatedMaker(made, lambda request: round(options.model_seconds * rate_hz))
    record = PerformanceRecord(looper_config, choice) if options.record else None
    performance = Performance(Looper(looper_config), maker, record=record)
    for number, path in enumerate(options.input, 1):
        performance.load(number, Path(path), bars=config.bars)
    if config.tempo and not options.input:
        performance.do(make_command("tempo", [config.tempo]))
    if maker is not None and not cues:
        performance.do(make_command("vary", [1]))
    heard = fit_audio(Path(options.microphone), looper_config) if options.microphone else None

    def sound(start: int, n: int) -> Any:
        import numpy as np

        block = np.zeros((channels, n), np.float32)
        if heard is not None:
            part = heard[:, start : start + n]
            block[:, : part.shape[1]] = part
        return block

    n_samples = round(options.simulate * rate_hz)
    with writing(output, rate_hz, channels) as write:
        simulate(performance, n_samples, write, cues=cues, sound=None if heard is None else sound)
    if record is not None:
        record.n_samples = n_samples
        record.model_id = made.model_id if performance.looper.n_swaps else ""
        record.save(Path(options.record))
        with writing(input_file(Path(options.record)), rate_hz, channels) as write:
            lead = looper_config.delay + looper_config.latency
            for start in range(-lead, n_samples - lead, 1 << 16):
                n = min(1 << 16, n_samples - lead - start)
                write(_silence_before(sound, start, n, channels))
    if performance.message:
        print(f"vampnet: {performance.message}", file=sys.stderr)
    looper = performance.looper
    swaps = [round(place / rate_hz, 4) for place, _, _ in looper.swaps]
    print(json.dumps({"output": str(output), "seconds": options.simulate, "swaps": looper.n_swaps,
                      "repeated_turns": performance.n_repeats, "swap_s": swaps}))  # fmt: skip


def _silence_before(sound: Any, start: int, n: int, channels: int) -> Any:
    import numpy as np

    silent = min(max(-start, 0), n)
    block = np.zeros((channels, n), np.float32)
    if silent < n:
        block[:, silent:] = sound(start + silent, n - silent)
    return block


def _load(choice: ModelChoice) -> Any:
    from vampnet.tasks.model import load

    return load(
        choice.bundle, device=choice.device, lora=choice.lora, backend=choice.backend, precision=choice.precision
    )


def _read_cues(path: str) -> list[Cue]:
    from vampnet.apps.live.commands import OUTER, parse_command
    from vampnet.apps.live.simulation import Cue

    cues = []
    for number, line in enumerate(read_text(path, SettingsError).splitlines() if path else [], 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        moment, _, command = text.partition(" ")
        try:
            cue = Cue(_seconds(moment), parse_command(command))
            if cue.command.name in OUTER:
                raise SettingsError(
                    f"{cue.command.name} is for a session with a device; a simulation ends by --simulate"
                )
            cues.append(cue)
        except (ValueError, SettingsError) as error:
            raise SettingsError(f"{path}, line {number}: {error}") from None
    return cues


def _seconds(text: str) -> float:
    """A moment of a cue. Raises ValueError for a text that is none."""
    seconds = float(text)
    if not 0 <= seconds <= 86400:
        raise ValueError(f"the moment is {text}, but must lie in 0 to 86400 s")
    return seconds


def _replay(options: CommandOptions) -> None:
    from vampnet.apps.live.making import ModelMaker
    from vampnet.apps.live.performance import PerformanceRecord, replay
    from vampnet.apps.live.recorders import input_file, writing
    from vampnet.apps.live.simulation import InputBlocks
    from vampnet.audio.files import AudioReader

    path, output = Path(options.replay), _output(options)
    record = PerformanceRecord.load(path)
    made = ModelMaker(lambda: _load(record.model))
    rate_hz, channels = record.looper.sample_rate_hz, record.looper.channels
    with AudioReader(input_file(path)) as reader, writing(output, rate_hz, channels) as write:
        warnings = replay(record, InputBlocks(reader, channels).take, made, write, folder=path.parent)
    for warning in warnings:
        print(f"vampnet: {warning}", file=sys.stderr)
    print(json.dumps({"output": str(output), "seconds": record.n_samples / rate_hz, "warnings": len(warnings)}))
