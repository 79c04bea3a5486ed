"""Devices: sound cards through PortAudio, with ring buffers that its audio thread drains in C.

No Python runs in the audio thread. The feeder writes ahead into a ring, and reads what came in from another one.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from vampnet.audio.samples import Samples
from vampnet.errors import DependencyError, SettingsError, require

INPUT_RING_S = 5.0
START_IN_S = 0.1
ANSWER_S = 0.5
"""An audio thread that has not answered for so long is not waited for."""


@dataclass(frozen=True)
class DeviceConfig:
    """Settings of an audio device."""

    output: str = ""
    """Name, part of a name or number of the output device; empty: the system's choice."""
    input: str = ""
    """The input device, likewise; '-' for none."""
    sample_rate_hz: int = 0
    """0: the device's own."""
    channels: int = 2
    """Channels of loops and of the output, 1 or 2."""
    output_channels: tuple[int, ...] = ()
    """Numbers of the device's output channels, from 1; by default the first ones."""
    input_channels: tuple[int, ...] = ()
    """Numbers of the device's input channels, from 1: one for mono, or one per channel. By default the first ones."""
    block: int = 0
    """Samples per block of the device; 0: its own choice."""
    ahead_s: float = 0.35
    """Audio rendered ahead, seconds: more is safer, less reacts sooner."""


class Device(Protocol):
    """Audio device: plays output and gives input, sample for sample."""

    sample_rate_hz: int
    latency: int
    """Samples from the output of a sound to its return at the input that the device does not make good itself."""
    output_latency: int
    """Samples between leaving the ring and being heard."""

    @property
    def n_empty(self) -> int:
        """Number of underflows: times that the ring was empty and output missing."""
        ...

    @property
    def n_xruns(self) -> int:
        """Late blocks that the device itself has counted."""
        ...

    @property
    def n_starts(self) -> int:
        """Number of starts: the first output written after one and the first input read belong together."""
        ...

    def fill(self) -> int:
        """Output samples that are written and not yet played."""
        ...

    def write(self, block: Samples) -> None:
        """Append output."""
        ...

    def read(self) -> Samples:
        """Input that came since the last call, (channels, n)."""
        ...

    def flush(self) -> int:
        """Drop output that is not played yet, at once; returns how many samples."""
        ...

    def close(self) -> None:
        """Release the device."""
        ...


class SoundCard:
    """A device of PortAudio, with rtmixer's ring buffers."""

    def __init__(self, config: DeviceConfig) -> None:
        """Open it. Raises DependencyError without the extra `live` or the PortAudio library, SettingsError."""
        sounddevice = portaudio()
        require("rtmixer", "loops played live")
        import rtmixer

        self.config = config
        output = _find(sounddevice, config.output, "output")
        inputs = None if config.input == "-" else _find(sounddevice, config.input, "input", missing_ok=not config.input)
        self.sample_rate_hz = config.sample_rate_hz or int(sounddevice.query_devices(output)["default_samplerate"])
        self._out_map = list(config.output_channels or range(1, config.channels + 1))
        _check_map("output", self._out_map, sounddevice.query_devices(output)["max_output_channels"])
        n_in = 0 if inputs is None else sounddevice.query_devices(inputs)["max_input_channels"]
        self._in_map = list(config.input_channels or range(1, min(config.channels, n_in) + 1))
        if inputs is not None:
            _check_map("input", self._in_map, n_in)
        common: dict[str, Any] = {"samplerate": self.sample_rate_hz, "blocksize": config.block, "latency": "low"}
        try:
            if inputs is None:
                self._mixer: Any = rtmixer.Mixer(device=output, channels=max(self._out_map), **common)
            else:
                self._mixer = rtmixer.MixerAndRecorder(
                    device=(inputs, output), channels=(max(self._in_map), max(self._out_map)), **common
                )
        except (sounddevice.PortAudioError, ValueError) as error:
            raise SettingsError(
                f"the sound device cannot be opened: {error}; see vampnet live --list-devices"
            ) from None
        self.has_input = inputs is not None
        latency: Any = self._mixer.latency
        self.output_latency = round((latency[1] if self.has_input else latency) * self.sample_rate_hz)
        # Playing and recording begin at one moment by the device's own times, which make good what it knows of.
        self.latency = 0
        self.n_empty = self.n_xruns = self.n_starts = 0
        n_ring = 1 << int(np.ceil(np.log2(2 * config.ahead_s * self.sample_rate_hz + 8192)))
        n_input = 1 << int(np.ceil(np.log2(INPUT_RING_S * self.sample_rate_hz)))
        self._out = rtmixer.RingBuffer(4 * config.channels, n_ring)
        self._in = rtmixer.RingBuffer(4 * max(len(self._in_map), 1), n_input)
        self._play: Any = None
        self._record: Any = None
        self._stats: Any = None
        self._checked_at = 0.0
        self._mixer.start()

    def fill(self) -> int:
        """Output samples that are written and not yet played."""
        return self._out.read_available

    def write(self, block: Samples) -> None:
        """Append output; the first one starts the device's playing, and its recording at the same sample."""
        self._out.write(np.ascontiguousarray(block.T, np.float32))
        if self._play is None:
            self._begin()
        elif self._play not in self._mixer.actions:  # the ring ran empty: the audio thread gave up on it
            self.n_empty += 1
            self._begin()
        self._count()

    def read(self) -> Samples:
        """Input that came since the last call."""
        n = self._in.read_available
        channels = len(self._in_map)
        if not n or not self.has_input:
            return np.zeros((self.config.channels, 0), np.float32)
        data = np.frombuffer(self._in.read(n), np.float32).reshape(-1, channels).T
        return np.repeat(data, self.config.channels, axis=0) if channels < self.config.channels else data

    def flush(self) -> int:
        """Silence at once: what is written is dropped."""
        if self._play is not None and self._play in self._mixer.actions and not self._cancel(self._play):
            return 0  # the audio thread does not answer, and may still read the ring
        n = self._out.read_available
        self._out.read(n)
        self._play = None
        return n

    def close(self) -> None:
        """Stop the device."""
        with contextlib.suppress(Exception):
            self._mixer.abort()  # stop would wait for a device that may be gone
        self._mixer.close()

    def _begin(self) -> None:
        self.n_starts += 1
        at = self._mixer.time + START_IN_S
        if self.has_input:
            if self._record is not None and self._record in self._mixer.actions:
                self._cancel(self._record)
            self._in.read(self._in.read_available)
            self._record = self._mixer.record_ringbuffer(self._in, channels=self._in_map, start=at)
        self._play = self._mixer.play_ringbuffer(self._out, channels=self._out_map, start=at)

    def _cancel(self, action: Any) -> bool:
        """End an action of the audio thread; False where it does not answer, as when the device is gone."""
        cancelling, until = self._mixer.cancel(action), time.monotonic() + ANSWER_S
        while cancelling in self._mixer.actions:
            if time.monotonic() > until:
                return False
            time.sleep(0.002)
        return True

    def _count(self) -> None:
        """Fetch the device's own counts, once a second."""
        if self._stats is not None and self._stats not in self._mixer.actions:
            found, self._stats = self._stats.stats, None
            self.n_xruns += int(found.output_underflows + found.input_overflows)
        if self._stats is None and time.monotonic() - self._checked_at > 1.0:
            self._checked_at = time.monotonic()
            self._stats = self._mixer.fetch_and_reset_stats()


def portaudio() -> Any:
    """The module sounddevice. Raises DependencyError where it, or the PortAudio library, is missing."""
    try:
        import sounddevice
    except ImportError:
        require("sounddevice", "loops played live")
        raise
    except OSError:
        raise DependencyError(
            "the PortAudio library is missing; install it (Debian and Ubuntu: apt install libportaudio2)"
        ) from None
    return sounddevice


def refresh_devices() -> None:
    """Have PortAudio look for devices anew; it knows only those that were there when it began. None may be open."""
    if (sounddevice := sys.modules.get("sounddevice")) is not None:
        sounddevice._terminate()
        sounddevice._initialize()


def device_lines() -> Iterator[str]:
    """One line per device of this machine. Raises DependencyError."""
    sounddevice = portaudio()
    apis = [api["name"] for api in sounddevice.query_hostapis()]
    chosen = list(sounddevice.default.device)
    for number, device in enumerate(sounddevice.query_devices()):
        mark = "".join(c if number == k else " " for c, k in zip("><", chosen, strict=True))
        rate_hz = device["default_samplerate"]
        yield (
            f"{mark} {number:3d}  {device['name']}  ({apis[device['hostapi']]}; {device['max_input_channels']} in, "
            f"{device['max_output_channels']} out, {rate_hz:g} Hz)"
        )


def _find(sounddevice: Any, name: str, kind: str, *, missing_ok: bool = False) -> int | None:
    """Number of a device. Raises SettingsError."""
    devices = list(sounddevice.query_devices())
    key = f"max_{kind}_channels"
    usable = [k for k, device in enumerate(devices) if device[key] > 0]
    if not name:
        default = sounddevice.default.device[kind == "output"]
        if default in usable:
            return default
        if usable:
            return usable[0]
        if missing_ok:
            return None
        raise SettingsError(f"there is no sound device with {kind}s; --simulate plays without one")
    if name.isdecimal():
        found = [k for k in usable if k == int(name)]
    else:
        found = [k for k in usable if name.lower() in devices[k]["name"].lower()]
    if not found:
        raise SettingsError(f"no {kind} device {name!r}; vampnet live --list-devices lists them")
    return found[0]


def _check_map(kind: str, channels: list[int], most: int) -> None:
    wrong = [channel for channel in channels if not 1 <= channel <= most]
    if wrong:
        raise SettingsError(f"{kind} channel {wrong[0]} is not there; the device has {most}, counted from 1")


class SimulatedDevice:
    """A device on a virtual clock: `advance` plays what is written. Its microphone can hear its output."""

    def __init__(self, sample_rate_hz: int, channels: int, *, latency: int = 0, hears_itself: float = 0.0) -> None:
        """`latency`: samples until a sound is back at the input; `hears_itself`: gain of that way."""
        self.sample_rate_hz, self.channels, self.latency, self.output_latency = sample_rate_hz, channels, latency, 0
        self.n_empty, self.n_xruns, self.n_starts = 0, 0, 1
        self.played: list[Samples] = []
        self._gain = hears_itself
        self._ring = np.zeros((channels, 0), np.float32)
        self._air = np.zeros((channels, latency), np.float32)
        self._in = np.zeros((channels, 0), np.float32)

    def advance(self, n: int) -> None:
        """Let so many samples of time pass."""
        ready = self._ring[:, :n]
        if ready.shape[1] < n:
            self.n_empty += 1
            ready = np.pad(ready, ((0, 0), (0, n - ready.shape[1])))
        self._ring = self._ring[:, n:]
        self.played.append(ready)
        self._air = np.concatenate([self._air, self._gain * ready], axis=1)
        self._in = np.concatenate([self._in, self._air[:, :n]], axis=1)
        self._air = self._air[:, n:]

    def fill(self) -> int:
        """Output samples that are written and not yet played."""
        return self._ring.shape[1]

    def write(self, block: Samples) -> None:
        """Append output."""
        self._ring = np.concatenate([self._ring, block], axis=1)

    def read(self) -> Samples:
        """Input that came since the last call."""
        block, self._in = np.asarray(self._in, np.float32), self._in[:, :0]
        return block

    def flush(self) -> int:
        """Drop output that is not played yet."""
        n, self._ring = self._ring.shape[1], self._ring[:, :0]
        return n

    def close(self) -> None:
        """Nothing is left to be released."""
