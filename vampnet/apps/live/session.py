"""Session: a looper with its model, device, keys, MIDI, OSC and files, from start to end."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vampnet.apps.live.commands import OUTER, LiveCommand, make_command
from vampnet.apps.live.config import LiveConfig, SessionFiles
from vampnet.apps.live.devices import Device, DeviceConfig, SoundCard, refresh_devices
from vampnet.apps.live.display import DeviceState, state_lines
from vampnet.apps.live.keyboard import HELP, Keyboard, listen
from vampnet.apps.live.looper import Looper, LooperConfig
from vampnet.apps.live.making import Maker, MakerStatus
from vampnet.apps.live.midi import MidiControls, MidiPorts
from vampnet.apps.live.model_process import ModelProcess, ProcessConfig
from vampnet.apps.live.osc_control import OscControl
from vampnet.apps.live.performance import Performance, PerformanceRecord
from vampnet.apps.live.player import BLOCK, Player
from vampnet.apps.live.priority import hurried
from vampnet.apps.live.recorders import FileThread, input_file, writing
from vampnet.apps.live.sets import capture_set, load_set, save_set
from vampnet.apps.live.takes import Take
from vampnet.apps.live.watched_device import WatchedDevice
from vampnet.audio.files import write
from vampnet.audio.samples import Audio, Samples
from vampnet.generation.config import SamplingConfig
from vampnet.models.choice import ModelChoice

MARGIN_S = 0.15
"""Input is taken this much later than it may come at the latest."""
SHOW_EVERY_S = 0.1
OFF = MakerStatus("off")


@dataclass
class LiveSession:
    """All that plays together. `run` blocks until it is told to end."""

    config: LiveConfig
    files: SessionFiles
    model: ModelChoice | None
    """None: nothing is varied."""
    sampling: SamplingConfig = SamplingConfig()
    device_config: DeviceConfig = field(default_factory=DeviceConfig)
    open_device: Callable[[DeviceConfig], Device] = SoundCard
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, show: Callable[[list[str]], Any], *, seconds: float | None = None) -> None:
        """Play until `quit`, or for some seconds; `show` takes lines of text ten times a second."""
        with contextlib.ExitStack() as stack:
            self._open(stack)
            stack.enter_context(hurried())
            stack.enter_context(listen(self.keyboard.press))
            end = None if seconds is None else time.monotonic() + seconds
            while not self.stopped.is_set() and (end is None or time.monotonic() < end):
                if self.player.error is not None:
                    raise self.player.error
                show(self.lines())
                self.stopped.wait(SHOW_EVERY_S)

    def _open(self, stack: contextlib.ExitStack) -> None:
        config, files = self.config, self.files
        device = self.device = WatchedDevice(self.open_device, self.device_config, refresh=refresh_devices)
        stack.callback(device.close)
        rate_hz = device.sample_rate_hz
        ahead = round(config.ahead * rate_hz)
        looper_config = LooperConfig(
            sample_rate_hz=rate_hz, channels=config.channels, delay=ahead + BLOCK + round(MARGIN_S * rate_hz),
            latency=device.latency + round(config.latency_ms / 1000 * rate_hz), n_loops=config.loops,
            prompt=config.prompt, sampling=self.sampling, max_loop_s=config.max_loop,
        )  # fmt: skip
        self.looper = Looper(looper_config)
        self.maker: Maker | None = None
        if self.model is not None:
            self.maker = ModelProcess(
                ProcessConfig(self.model, config.channels, int(config.max_loop * rate_hz) + 1, config.hang)
            )
            stack.callback(self.maker.close)
        self.record = PerformanceRecord(looper_config, self.model or ModelChoice()) if files.record else None
        self.performance = Performance(self.looper, self.maker, record=self.record)
        for number, path in enumerate(files.loops, 1):
            self.performance.load(number, path, bars=config.bars)
        for name, value in (("tempo", config.tempo if not files.loops else 0), ("bars", config.bars)):
            if value:
                self.performance.do(make_command(name, [value]))
        self.file_thread = FileThread(self._say)
        stack.callback(self.file_thread.close)
        sinks = self._sinks(stack, rate_hz)
        self.player = Player(self.performance, device, ahead=ahead, sinks=sinks)
        self._open_controls(stack)
        stack.callback(self._end_record)
        self.player.start()
        stack.callback(self.player.stop)

    def _sinks(self, stack: contextlib.ExitStack, rate_hz: int) -> tuple[Callable[[Samples, Samples], Any], ...]:
        sinks: list[Callable[[Samples, Samples], Any]] = []
        targets = [(self.files.write, 1), (input_file(self.files.record) if self.files.record else None, 0)]
        for path, which in targets:
            if path is None:
                continue
            writer = stack.enter_context(writing(path, rate_hz, self.config.channels, keep=True))
            thread = FileThread(self._say)
            stack.callback(thread.close)
            sinks.append(
                lambda block, out, w=writer, t=thread, k=which: t.do(lambda: w((block, out)[k]))  # type: ignore[misc]
            )
        return tuple(sinks)

    def _open_controls(self, stack: contextlib.ExitStack) -> None:
        files = self.files
        self.keyboard = Keyboard(self.give, lambda: self.looper.track(0).gain_db)
        self.midi = MidiControls(self.give, follow=files.follow, path=files.midi_map)
        if files.midi_in or files.midi_out:
            ports = MidiPorts(self.midi, files.midi_in, files.midi_out)
            stack.callback(ports.close)
            if files.midi_out:
                clock = threading.Thread(
                    target=ports.send_clock, args=(self.looper, self.player.heard, self.stopped), daemon=True
                )
                clock.start()
                stack.callback(clock.join, 2)
                stack.callback(self.stopped.set)
        if files.osc_port:
            osc = OscControl(
                self.give, self.messages, host=files.osc_host, port=files.osc_port, reply_port=files.osc_reply
            )
            stack.callback(osc.close)

    # Commands

    def give(self, command: LiveCommand) -> None:
        """Take a command from anywhere. Raises VampnetError where it cannot be begun."""
        if command.name not in OUTER:
            self.player.do(command)
        elif command.name == "quit":
            self.stopped.set()
        elif command.name == "learn":
            self.midi.learn(command.values[0])
        elif command.name == "save":
            folder = self._place(command.values[0])
            self.player.call(lambda: self._save(folder))
        elif command.name == "recall":
            folder = self._place(command.values[0])
            self.file_thread.do(lambda: self._recall(folder))
        elif command.name == "take":
            self.player.call(lambda: self._write_take(*command.values))

    def _place(self, name: str) -> Path:
        """A place in the folder of sets; no name leads out of it."""
        clean = "".join(c if c.isalnum() or c in "-_ " else "_" for c in name).strip() or "set"
        return self.files.sets / clean

    def _save(self, folder: Path) -> None:
        state = capture_set(self.looper)
        self.file_thread.do(lambda: (save_set(state, folder), self._say(f"saved in {folder}")))

    def _recall(self, folder: Path) -> None:
        loaded = load_set(folder, self.looper.config)
        self.player.call(lambda: self.performance.recall(loaded))

    def _write_take(self, name: str, loop: int) -> None:
        track = self.looper.track(loop)
        take = track.current
        if take is None or not take.is_complete:
            self._say("there is no complete take to write")
            return
        path = self._place(name or f"loop-{track.number}-take-{take.number}").with_suffix(".wav")
        self.file_thread.do(lambda: self._write(path, take, is_named=bool(name)))

    def _write(self, path: Path, take: Take, *, is_named: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not is_named:  # numbers of takes begin anew with each session
            tried = (path.with_stem(f"{path.stem}-{k}") if k > 1 else path for k in itertools.count(1))
            path = next(place for place in tried if not place.exists())
        write(path, Audio(take.samples, self.looper.config.sample_rate_hz), "FLOAT")
        self._say(f"written to {path}")

    def _say(self, text: str) -> None:
        self.performance.message = text

    def _end_record(self) -> None:
        if self.record is not None and self.files.record is not None:
            self.record.n_samples = self.looper.now
            self.record.model_id = getattr(self.maker, "model_id", "")
            self.record.save(self.files.record)

    # State

    def status(self) -> MakerStatus:
        """State of the model."""
        return OFF if self.maker is None else self.maker.status()

    def lines(self) -> list[str]:
        """The state as lines of text."""
        player, rate_hz = self.player, self.looper.config.sample_rate_hz
        state = DeviceState(
            self.device.n_empty,
            self.device.n_xruns,
            1000 * self.device.fill() / rate_hz,
            1000 * player.lowest / rate_hz,
        )
        message = self.device.text or self.keyboard.error or self.performance.message
        if self.midi.learning:
            message = f"move the control that is to be: {self.midi.learning}"
        lines = state_lines(
            self.looper, self.status(), state, message=message, n_repeats=self.performance.n_repeats,
            bpm=self.midi.bpm,
        )  # fmt: skip
        return [*lines, f":{self.keyboard.line}_"] if self.keyboard.line is not None else [*lines, *HELP]

    def summary(self) -> dict[str, Any]:
        """Counts of the whole session."""
        rate_hz, player = self.looper.config.sample_rate_hz, self.player
        return {
            "seconds": round(self.looper.now / rate_hz, 2), "swaps": self.looper.n_swaps,
            "repeated_turns": self.performance.n_repeats, "dropouts": self.device.n_empty,
            "late_blocks": self.device.n_xruns, "device_losses": self.device.n_losses,
            "lowest_ahead_ms": round(1000 * player.lowest / rate_hz, 1), "lost_input": player.n_lost,
            "slowest_tick_ms": round(1000 * player.slowest_s, 1),
            "model_restarts": getattr(self.maker, "n_restarts", 0),
        }  # fmt: skip

    def messages(self) -> list[tuple[str, list[Any]]]:
        """The state as OSC messages."""
        looper, status = self.looper, self.status()
        result: list[tuple[str, list[Any]]] = [
            ("/live/loop", [track.number, "playing" if track.is_playing else "stopped",
                            float(track.turn_at(looper.song)), track.place + 1, len(track.history),
                            int(bool(track.vary)), float(track.peak)])
            for track in looper.tracks if track.current is not None
        ]  # fmt: skip
        left_s = -1.0 if status.left_s is None else float(status.left_s)
        result.append(("/live/model", [status.state, float(status.share), left_s]))
        fill_ms = 1000 * self.device.fill() / looper.config.sample_rate_hz
        result.append(("/live/audio", [self.device.n_empty, self.device.n_xruns, float(fill_ms)]))
        return result
