"""The OSC service: takes messages by UDP, does jobs, and answers.

Answers: `/queued id position`, `/progress id share`, `/done id path seed seconds` per output, `/error id text`,
`/pong`, `/status n_waiting id`, `/prompts name text ...`, `/models name ...`. A message that is sent again with the
same id and arguments is the same job: its state is answered again. So lost packets are mended by sending again.
"""

from __future__ import annotations

import logging
import math
import socket
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vampnet.apps.osc.messages import TASKS, Atom, JobMessage, check_atoms, key_of, parse_job, resolve_inside
from vampnet.apps.osc.table_worker import TableWorker
from vampnet.apps.osc.unloop import parse_process
from vampnet.apps.osc.worker import JobWorker, WorkerJob
from vampnet.audio.files import read, write
from vampnet.audio.samples import Audio
from vampnet.errors import SettingsError, VampnetError
from vampnet.jobs.check import output_paths
from vampnet.prompts.presets import PRESETS

log = logging.getLogger("vampnet")

MAX_PACKET = 8192
"""Longest message, bytes."""
MAX_KNOWN = 1000
"""Jobs that are remembered for repeated messages."""
PROGRESS_GAP_S = 0.05
"""Progress is answered at most this often."""
UNLOOP_STATUS = "Status.PROCESSING"
UNLOOP_FINISHED = "Status.FINISHED"


@dataclass(eq=False)
class _Voice:
    """A job as a patch sees it: where answers go, and the last of them."""

    message: JobMessage
    arguments: tuple[Any, ...]
    address: tuple[str, int]
    service: OscService
    is_unloop: bool = False
    rest: Audio | None = None
    """Audio after the loop in unloop's file, appended to the outputs."""
    last: list[tuple[str, list[Any]]] = field(default_factory=list)
    job: WorkerJob | None = None
    told_at: float = 0.0

    def progress(self, share: float) -> None:
        if time.monotonic() - self.told_at < PROGRESS_GAP_S and share < 1:
            return
        self.told_at = time.monotonic()
        self.service.send(
            self.address, "/progress", [self.message.id, UNLOOP_STATUS if self.is_unloop else float(share)]
        )

    def done(self, outputs: list[tuple[Path, int | None, float]]) -> None:
        if self.rest is not None:
            outputs = [(_glue(path, self.rest), seed, seconds) for path, seed, seconds in outputs]
        self.service.own_outputs.update(path.resolve() for path, _, _ in outputs)
        id_ = self.message.id
        if self.is_unloop:
            self._answer(
                [("/progress", [id_, UNLOOP_FINISHED]), ("/process-result", [id_, *(str(p) for p, _, _ in outputs)])]
            )
            return
        answers: list[tuple[str, list[Any]]] = [("/progress", [id_, 1.0])]
        for path, seed, seconds in outputs:
            # A seed beyond 24 bits does not fit into the floats of Pure Data.
            drawn = -1 if seed is None else seed if abs(seed) < 1 << 24 else str(seed)
            answers.append(("/done", [id_, self.service.shown(path), drawn, float(seconds)]))
        self._answer(answers)

    def failed(self, error: str) -> None:
        self._answer([("/error", [f"{error}"] if self.is_unloop else [self.message.id, error])])

    def _answer(self, answers: list[tuple[str, list[Any]]]) -> None:
        self.last = answers
        self.job = None
        for address, values in answers:
            self.service.send(self.address, address, values)


class OscService:
    """Takes messages and answers them; `serve` listens, `handle` takes one message."""

    def __init__(
        self,
        folder: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 8001,
        reply_port: int = 8003,
        unloop: bool = False,
        worker: JobWorker | TableWorker | None = None,
    ) -> None:
        """`folder`: where paths of messages lie; nothing else is read or written. `unloop`: take its messages too.
        `worker`: what does the jobs; by default a model of this process.

        Raises SettingsError for a folder that is not there, DependencyError without the extra `live`.
        """
        if not folder.is_dir():
            raise SettingsError(f"folder {folder} is not there; make it, or name another with --folder")
        from vampnet.errors import require

        require("pythonosc", "OSC messages")
        self.folder, self.host, self.port, self.reply_port, self.unloop = folder, host, port, reply_port, unloop
        self.worker = worker or JobWorker()
        self.own_outputs: set[Path] = set()
        """Files that this service wrote, which `/cleanup` may remove."""
        self.n_refused = 0
        """Messages that were no message of ours."""
        self._voices: OrderedDict[tuple[str, str], _Voice] = OrderedDict()
        self._sender: socket.socket | None = None
        """Answers go out by one socket, whoever asks: each port that a message names would else cost a handle."""
        self._lock = threading.RLock()
        self._server: Any = None

    def serve(self) -> None:
        """Listen until `close`. Raises SettingsError where the port is taken."""
        from pythonosc.dispatcher import Dispatcher
        from pythonosc.osc_server import BlockingOSCUDPServer

        dispatcher = Dispatcher()
        dispatcher.set_default_handler(lambda client, address, *values: self.handle(address, values, client[0]), True)
        service = self

        class Server(BlockingOSCUDPServer):
            """A server that outlives every packet."""

            max_packet_size = MAX_PACKET

            def verify_request(self, request: Any, client_address: Any) -> bool:
                """Refuse what is no OSC packet, or too long."""
                if len(request[0]) >= MAX_PACKET or not super().verify_request(request, client_address):
                    service.n_refused += 1
                    return False
                return True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Count a packet that cannot be read, and go on."""
                service.n_refused += 1

        try:
            self._server = Server((self.host, self.port), dispatcher)
        except OSError as error:
            raise SettingsError(
                f"port {self.port} on {self.host}: {error.strerror}; choose another with --port"
            ) from None
        self.port = self._server.server_address[1]
        with self._server:
            self._server.serve_forever(poll_interval=0.1)

    def close(self) -> None:
        """Stop listening and working."""
        if self._server is not None:
            self._server.shutdown()
        self.worker.close()
        with self._lock:
            if self._sender is not None:
                self._sender.close()
                self._sender = None

    def handle(self, address: str, values: tuple[Any, ...], host: str = "127.0.0.1") -> None:
        """Take one message. Whatever is wrong with it is answered or counted, never raised."""
        name = address.lstrip("/")
        reply = (host, self.reply_port)
        try:
            with self._lock:
                self._take(name, values, host)
        except VampnetError as error:
            id_ = (
                [values[0]]
                if values and isinstance(values[0], (int, float, str)) and name in (*TASKS, "cancel")
                else []
            )
            self.send(reply, "/error", [*id_, str(error).splitlines()[0]])
        except Exception as error:  # no message may end the service
            self.n_refused += 1
            log.exception("message %s", name[:40])
            self.send(reply, "/error", [f"internal error: {type(error).__name__}"])

    def send(self, to: tuple[str, int], address: str, values: list[Any]) -> None:
        """Send an answer; one that cannot be sent is dropped."""
        from pythonosc.osc_message_builder import OscMessageBuilder

        builder = OscMessageBuilder(address)
        for value in values:
            builder.add_arg(value)
        packet = builder.build().dgram
        try:
            with self._lock:
                if self._sender is None:
                    self._sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                self._sender.sendto(packet, to)
        except OSError as error:
            log.warning("answer %s to %s:%d was dropped: %s", address, *to, error)

    def shown(self, path: Path) -> str:
        """A path as answers have it: relative to the folder."""
        try:
            return path.resolve().relative_to(self.folder.resolve()).as_posix()
        except ValueError:
            return str(path)

    def _take(self, name: str, values: tuple[Any, ...], host: str) -> None:
        reply = (host, self.reply_port)
        if name in TASKS:
            self._job(name, values, host)
        elif name == "cancel" and values:
            self._cancel(values[0])
        elif name == "ping":
            self.send(reply, "/pong", list(values[:1]))
        elif name == "status":
            current = [
                v.message.id for v in self._voices.values() if v.job is not None and v.job is self.worker.current
            ]
            self.send(reply, "/status", [self.worker.n_waiting, *(current or [""])])
        elif name == "prompts":
            self.send(reply, "/prompts", [text for preset in PRESETS for text in (preset.name, preset.prompt)])
        elif name == "models":
            self.send(reply, "/models", ["default", *sorted(self.shown(p) for p in self.folder.glob("*.safetensors"))])
        elif self.unloop and name in ("process", "heartbeat", "cleanup"):
            self._take_unloop(name, values, host)
        else:
            known = [*TASKS, "cancel", "ping", "status", "prompts", "models"]
            raise SettingsError(f"no message /{name[:40]}; known: /{', /'.join(known)}")

    def _job(self, task: str, values: tuple[Any, ...], host: str) -> None:
        message = parse_job(task, values, self.folder)
        address = (host, message.reply_port or self.reply_port)
        if not self._repeat(host, message.key, (task, *values), address):
            self._begin(_Voice(message, (task, *values), address, self), host)

    def _repeat(self, host: str, key: str, arguments: tuple[Any, ...], address: tuple[str, int]) -> bool:
        """Answer a message that came before with its job's state; whether it did."""
        voice = self._voices.get((host, key))
        if voice is None or voice.arguments != arguments:
            if voice is not None and voice.job is not None:
                raise SettingsError(f"id {key} is at work with other arguments; cancel it, or choose another id")
            return False
        voice.address = address
        for name, answer in voice.last or [("/queued", [voice.message.id, self.worker.n_waiting])]:
            self.send(address, name, answer)
        return True

    def _begin(self, voice: _Voice, host: str) -> None:
        outputs = output_paths(voice.message.output, voice.message.request)
        voice.job, position = self.worker.submit(voice.message.request, outputs, voice)
        self._voices[host, voice.message.key] = voice
        while len(self._voices) > MAX_KNOWN:
            self._voices.popitem(last=False)
        if not voice.is_unloop:
            self.send(voice.address, "/queued", [voice.message.id, position])

    def _cancel(self, id_: Atom) -> None:
        found = [v for (_, key), v in self._voices.items() if key == key_of(id_) and v.job is not None]
        if not found:
            raise SettingsError(f"no job {id_} is waiting or at work")
        for voice in found:
            if voice.job is not None:
                voice.job.cancelled.set()

    def _take_unloop(self, name: str, values: tuple[Any, ...], host: str) -> None:
        reply = (host, self.reply_port)
        if name == "heartbeat":
            self.send(reply, "/heartbeat", ["pong"])
        elif name == "cleanup":
            named = next((str(atom) for atom in check_atoms(values)), "")
            place = Path(named).resolve()
            if place not in self.own_outputs:
                raise SettingsError(f"{named}: is no output of this service, so it is left alone")
            place.unlink(missing_ok=True)
            self.own_outputs.discard(place)
        else:
            self._process(values, host)

    def _process(self, values: tuple[Any, ...], host: str) -> None:
        message, loop_s = parse_process(values, self.folder)
        address = (host, self.reply_port)
        if self._repeat(host, message.key, ("process", *values), address):
            return
        voice = _Voice(message, ("process", *values), address, self, is_unloop=True)
        source = Path(message.request.input)
        audio = read(source)
        n_loop = min(math.floor(loop_s * audio.sample_rate_hz), audio.n_samples) if loop_s > 0 else audio.n_samples
        if 0 < n_loop < audio.n_samples:
            voice.rest = Audio(np.ascontiguousarray(audio.samples[:, n_loop:]), audio.sample_rate_hz)
            cut = resolve_inside(self.folder, f".{source.stem}-{message.key}-loop.wav")
            write(cut, Audio(np.ascontiguousarray(audio.samples[:, :n_loop]), audio.sample_rate_hz), "FLOAT")
            request = type(message.request)(**{**vars(message.request), "input": str(cut)})
            voice.message = JobMessage(message.id, message.key, request, message.output, None)
            self.own_outputs.add(cut)
        self._begin(voice, host)


def _glue(path: Path, rest: Audio) -> Path:
    """Append the rest of unloop's file to an output."""
    made = read(path)
    write(path, Audio(np.concatenate([made.samples, rest.samples], axis=1), made.sample_rate_hz))
    return path
