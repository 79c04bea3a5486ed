"""Model process: makes variations beside the music, in a process of its own, and is watched.

Samples pass through shared memory: one place for the turn that is varied and three for variations, each free, being
written or ready; the newest ready one is taken. A process that ends, or shows no sign of life for `hang_s`, is replaced
by a new one, after a pause that grows; meanwhile loops repeat.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vampnet.apps.live.looper import MadeVariation, VariationRequest
from vampnet.apps.live.making import Failure, MakerStatus, make_variation
from vampnet.apps.live.priority import hurry
from vampnet.errors import Cancelled, VampnetError
from vampnet.models.choice import ModelChoice

N_SLOTS = 3
FREE, WRITTEN, READY = 0, 1, 2
MAX_RESTARTS = 6
"""Restarts in a row without a variation; then the model is given up."""
_WANTED, _BEAT, _SHARE = range(3)


@dataclass(frozen=True)
class ProcessConfig:
    """Settings of the model process."""

    model: ModelChoice = ModelChoice()
    channels: int = 2
    max_samples: int = 120 * 48000
    """Longest turn."""
    hang_s: float = 120.0
    """Without a sign of life for so long while it works, it is replaced."""
    load_s: float = 1800.0
    """Loading the model may take so long; it may have to be fetched first."""
    threads: int = 0
    """Threads of the networks; 0: one less than there are cores."""
    niceness: int = 5


class ModelProcess:
    """A maker in another process. All its work with that process is done in a thread of its own."""

    def __init__(self, config: ProcessConfig, *, target: Any = None) -> None:
        """`target`: what runs there; a test puts its own in."""
        self.config = config
        self._target = target or serve_requests
        self._context = multiprocessing.get_context("spawn")
        n_bytes = 4 * config.channels * config.max_samples
        self._memory = [SharedMemory(create=True, size=n_bytes) for _ in range(1 + N_SLOTS)]
        self._control = self._context.Array("d", 3, lock=False)
        self._slots = self._context.Array("i", N_SLOTS, lock=False)
        self._lock = threading.Lock()
        self._wanted: VariationRequest | None = None
        self._sent: VariationRequest | None = None
        self._answers: deque[MadeVariation | Failure] = deque(maxlen=8)
        self._state, self._text = "loading", ""
        self._began = 0.0
        self.pid: int | None = None
        """Number of the process."""
        self.model_id = ""
        """Id of the model, once it is loaded."""
        self.n_restarts = 0
        """Number of times that the process was replaced."""
        self._in_a_row = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vampnet-live-model", daemon=True)
        self._thread.start()

    def submit(self, request: VariationRequest) -> None:
        """Begin to make a variation, instead of the one before."""
        with self._lock:
            self._wanted, self._sent = request, None
            self._control[_WANTED] = request.number

    def cancel(self) -> None:
        """Stop what is at work, within a decoding step."""
        with self._lock:
            self._wanted = None
            self._control[_WANTED] = 0

    def poll(self, output: int) -> MadeVariation | Failure | None:
        """Result of the last request; answers to earlier ones are dropped."""
        return self._answers.popleft() if self._answers else None

    def status(self) -> MakerStatus:
        """State of the process."""
        share = self._control[_SHARE]
        if self._state != "working":
            return MakerStatus(self._state, self._text)
        passed = time.monotonic() - self._began
        return MakerStatus("working", self._text, share, passed / share - passed if share > 0.05 else None)

    def close(self) -> None:
        """End the process."""
        self._closed.set()
        self._control[_WANTED] = 0
        self._thread.join(20)
        for memory in self._memory:
            with contextlib.suppress(OSError, BufferError):
                memory.close()
                memory.unlink()

    # The thread beside the process

    def _run(self) -> None:
        hurry()
        while not self._closed.is_set():
            try:
                self._tend()
            except (EOFError, OSError, BrokenPipeError):
                self._text = self._text or "the model process ended"
            if self._closed.is_set():
                return
            self.n_restarts += 1
            self._in_a_row += 1
            self._fail_current()
            if self._in_a_row > MAX_RESTARTS:
                self._state = "failed"
                self._text = f"{self._text}; given up after {MAX_RESTARTS} restarts, loops go on as they are"
                return
            self._state = "restarting"
            self._closed.wait(min(0.25 * 2**self._in_a_row, 10.0))

    def _tend(self) -> None:
        """One process, from its start to its end."""
        here, there = self._context.Pipe()
        for k in range(N_SLOTS):
            self._slots[k] = FREE
        self._control[_BEAT], self._control[_SHARE] = time.monotonic(), 0.0
        names = [memory.name for memory in self._memory]
        arguments = (there, names, self._control, self._slots, self.config)
        process = self._context.Process(target=self._target, args=arguments, name="vampnet-model", daemon=True)
        process.start()
        self.pid = process.pid
        there.close()
        is_loaded = False
        try:
            while not self._closed.is_set():
                while here.poll(0.01):
                    is_loaded = self._hear(here.recv()) or is_loaded
                if not process.is_alive():
                    raise EOFError
                self._watch(is_loaded)
                if is_loaded:
                    self._send(here)
        except EOFError:
            process.join(1)
            self._text = self._text or f"the model process ended (code {process.exitcode})"
            raise
        finally:
            here.close()
            _end(process)

    def _hear(self, message: tuple[Any, ...]) -> bool:
        """Take up a message; True for the one that says that the model is loaded."""
        kind = message[0]
        if kind == "loaded":
            self._state, self._text, self.model_id = "ready", "", message[1]
        elif kind == "refused":  # the model cannot be loaded at all
            self._text, self._in_a_row = message[1], MAX_RESTARTS
            raise EOFError
        elif kind == "made":
            self._take(*message[1:])
        elif kind == "failed":
            self._answer(Failure(message[1], message[2], True))
        elif self._wanted is None:  # cancelled, and nothing else is to be done
            self._state = "ready"
        return kind == "loaded"

    def _take(self, number: int, slot: int, shape: tuple[int, int], codes: Any, kept: Any, seconds: float) -> None:
        samples = _array(self._memory[1 + slot], shape).copy()
        self._slots[slot] = FREE
        self._in_a_row, self._text = 0, ""
        self._answer(MadeVariation(number, samples, codes, kept, seconds))

    def _answer(self, answer: MadeVariation | Failure) -> None:
        with self._lock:
            if self._sent is not None and answer.number == self._sent.number:
                self._state, self._sent, self._wanted = "ready", None, None
                self._answers.append(answer)

    def _send(self, here: Any) -> None:
        with self._lock:
            request = self._wanted
            if request is None or request is self._sent:
                return
            self._sent = request
        samples = request.source.samples
        # The process reads this place only between two messages, so it is not overwritten under its hands.
        _array(self._memory[0], samples.shape)[:] = samples
        self._began = time.monotonic()
        self._control[_BEAT], self._control[_SHARE] = self._began, 0.0
        self._state = "working"
        here.send(
            (request.number, samples.shape, request.sample_rate_hz, request.recipe, request.beats, request.source.codes,
             request.seam)
        )  # fmt: skip

    def _watch(self, is_loaded: bool) -> None:
        silent_s = time.monotonic() - self._control[_BEAT]
        if self._state == "working" and silent_s > self.config.hang_s:
            self._text = f"the model gave no sign of life for {silent_s:.0f} s and was replaced"
            raise OSError
        if not is_loaded and silent_s > self.config.load_s:
            self._text = f"the model was not loaded within {self.config.load_s:.0f} s"
            raise OSError

    def _fail_current(self) -> None:
        with self._lock:
            request, self._sent = self._sent or self._wanted, None
            if request is not None:
                self._wanted = None
                self._answers.append(Failure(request.number, self._text, False))


def _array(memory: SharedMemory, shape: tuple[int, int]) -> NDArray[np.float32]:
    return np.ndarray(shape, np.float32, memory.buf)


def _end(process: Any) -> None:
    if process.is_alive():
        process.terminate()
        process.join(2)
    if process.is_alive():
        process.kill()
        process.join(2)


# In the process


def serve_requests(pipe: Any, names: list[str], control: Any, slots: Any, config: ProcessConfig) -> None:
    """Load the model and answer requests until the pipe is closed. Runs in the process of the model."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the looper's
    try:
        model = _load(config)
    except VampnetError as error:
        pipe.send(("refused", str(error).splitlines()[0]))
        return
    memory = [SharedMemory(name=name) for name in names]
    with contextlib.suppress(OSError, AttributeError):  # only now: on a busy machine loading would take for ever
        os.nice(config.niceness)
    pipe.send(("loaded", model.id))
    with contextlib.suppress(EOFError, OSError):
        while True:
            serve_one(pipe, memory, control, slots, lambda *values, **more: make_variation(model, *values, **more))


def serve_one(pipe: Any, memory: list[SharedMemory], control: Any, slots: Any, make: Any) -> None:
    """Answer one request by `make`, which takes what `make_variation` takes after the model."""
    message = pipe.recv()
    while pipe.poll():
        message = pipe.recv()
    number, shape, rate_hz, recipe, beats, codes, seam = message
    samples = _array(memory[0], shape).copy()

    def report(progress: Any) -> None:
        control[_BEAT], control[_SHARE] = time.monotonic(), progress.share

    began = time.monotonic()
    try:
        new, new_codes, kept = make(
            samples, rate_hz, recipe, beats=beats, codes=codes, seam=seam, report=report,
            cancelled=lambda: control[_WANTED] != number,
        )  # fmt: skip
    except Cancelled:
        pipe.send(("cancelled", number))
        return
    except VampnetError as error:
        pipe.send(("failed", number, str(error).splitlines()[0]))
        return
    slot = next(k for k in range(N_SLOTS) if slots[k] == FREE)
    slots[slot] = WRITTEN
    _array(memory[1 + slot], new.shape)[:] = new
    slots[slot] = READY
    pipe.send(("made", number, slot, new.shape, new_codes, kept, time.monotonic() - began))


def _load(config: ProcessConfig) -> Any:
    import torch

    from vampnet.generation.pipeline import Pipeline, load_pipeline

    cores = os.cpu_count() or 1
    torch.set_num_threads(config.threads or max(cores - 1, 1))
    choice = config.model
    return load_pipeline(
        choice.bundle, Pipeline, device=choice.device, lora=choice.lora, backend=choice.backend,
        precision=choice.precision,
    )  # fmt: skip
