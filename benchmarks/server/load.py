"""Load on a server: many clients at once, every result compared with its seed alone; then kill -9 at random moments.

    python -m benchmarks.server.load -o out/trials/server                      # short
    python -m benchmarks.server.load -o out/trials/server --seconds 300 --clients 32 --kills 20

Parts that are in the output folder already are not measured again. Figures go into results.json.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil

from vampnet.apps.client import Client, RemoteJob
from vampnet.errors import VampnetError

SEEDS = 6
STEPS = 2
CLIP_S = 1.0


class ServerUnderTest:
    """A `vampnet serve` process that can be killed and started again on its port and data."""

    def __init__(self, data: Path, workers: int) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self._command = [
            sys.executable, "-m", "vampnet", "serve", "--port", str(self.port), "--data", str(data),
            "--rate", "1000000",
            "--workers", str(workers), "--max-queue", "1000000", "--lease-s", "10", "--grace-s", "0",
        ]  # fmt: skip
        self._log = data.parent / f"{data.name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stderr=log, stdout=log)

    def processes(self) -> dict[str, psutil.Process]:
        """The web process and its workers, by role."""
        assert self.process is not None
        found: dict[str, psutil.Process] = {}
        with contextlib.suppress(psutil.Error):
            web = psutil.Process(self.process.pid)
            found["web"] = web
            for child in web.children():
                with contextlib.suppress(psutil.Error):
                    role = "worker" if "vampnet.jobs.worker" in child.cmdline() else "probe"
                    found[f"{role}-{child.pid}"] = child
        return found

    def stop(self) -> None:
        """Stop it as an operator would."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(120)


def wait_for_answer(address: str, path: str, timeout_s: float = 900.0) -> float:
    """Seconds until a path answers 200."""
    began = time.monotonic()
    while time.monotonic() - began < timeout_s:
        with contextlib.suppress(httpx2.TransportError):
            if httpx2.get(address + path, timeout=60).status_code == 200:
                break
        time.sleep(0.02)
    return time.monotonic() - began


def measure_start(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds from the start of the process to its first answer, to a ready model and to a first result."""
    server = ServerUnderTest(folder / "data-start", 1)
    server.start()
    try:
        answer_s = wait_for_answer(server.address, "/health")
        answer_cpu_s = sum(server.processes()["web"].cpu_times()[:2])
        ready_s = answer_s + wait_for_answer(server.address, "/ready")
        ready_cpu_s = sum(sum(p.cpu_times()[:2]) for role, p in server.processes().items() if role != "web")
        began = time.monotonic()
        with Client(server.address) as client:
            client.submit(request(0), options.clip).wait()
        first_s = time.monotonic() - began
        mb = {role.split("-")[0]: round(p.memory_info().rss / 1e6) for role, p in server.processes().items()}
    finally:
        server.stop()
    return {
        "first_answer_s": answer_s, "first_answer_cpu_s": answer_cpu_s, "model_ready_s": ready_s,
        "worker_cpu_s": ready_cpu_s, "first_result_s": first_s, "load_average": os.getloadavg()[0], "memory_mb": mb,
    }  # fmt: skip


def request(seed: int) -> dict[str, Any]:
    """The request that all clients send, with their seeds."""
    sampling = {"steps": STEPS, "c2f_steps": 1, "seed": seed}
    return {"task": "vamp", "sampling": sampling, "domain_warning": False}


def reference(folder: Path, options: argparse.Namespace) -> dict[int, bytes]:
    """What each seed gives alone, without a server."""
    from vampnet.jobs.request import request_from_json
    from vampnet.jobs.runner import load_model, run_job

    made, model = {}, None
    for seed in range(SEEDS):
        alone = request_from_json({**request(seed), "input": str(options.clip)})
        model = model or load_model(alone)
        output = folder / f"alone-{seed}.wav"
        run_job(alone, [output], model=model)
        made[seed] = output.read_bytes()
    return made


class _Clients:
    """Clients that submit, wait and compare until told to stop."""

    def __init__(self, address: str, clip: Path, expected: dict[int, bytes], n: int) -> None:
        self._address, self._clip, self._expected = address, clip, expected
        self.stopping = threading.Event()
        self.latencies_s: list[float] = []
        self.ended: list[tuple[str, str]] = []
        """Id and end of every job: right, wrong, or an error's sentence."""
        self._threads = [threading.Thread(target=self._work, args=(k,)) for k in range(n)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self.stopping.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        client, chance = Client(self._address, timeout_s=300), random.Random(number)
        while not self.stopping.is_set():
            seed, began = chance.randrange(SEEDS), time.monotonic()
            job: RemoteJob | None = None
            try:
                submitted: RemoteJob = _patiently(lambda seed=seed: client.submit(request(seed), self._clip))
                job = submitted
                (made,) = _patiently(submitted.wait)
                how = "right" if _patiently(lambda made=made: made.content) == self._expected[seed] else "wrong"
                self.latencies_s.append(time.monotonic() - began)
            except VampnetError as error:
                how = str(error)
            self.ended.append(("" if job is None else job.id, how))


def _patiently(call: Any) -> Any:
    """Call until a server answers: it may be starting again."""
    for _ in range(300):
        try:
            return call()
        except VampnetError as error:
            if "no server answers" not in str(error):
                raise
        except httpx2.TransportError:
            pass
        time.sleep(1.0)
    raise VampnetError("no server answered for five minutes")


def measure_load(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Clients at work for some time: results compared, latencies, memory."""
    expected = reference(folder, options)
    server = ServerUnderTest(folder / "data-load", options.workers)
    server.start()
    memory: list[dict[str, float]] = []
    try:
        wait_for_answer(server.address, "/ready")
        clients = _Clients(server.address, options.clip, expected, options.clients)
        began = time.monotonic()
        clients.start()
        while time.monotonic() - began < options.seconds:
            memory.append({role: p.memory_info().rss / 1e6 for role, p in server.processes().items()})
            time.sleep(min(5.0, options.seconds / 10))
        clients.stop()
        took_s = time.monotonic() - began
    finally:
        server.stop()
    return _summary(clients, took_s) | {"memory_mb": _memory(memory)}


def measure_kills(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Kill -9 of a random process of the server, again and again: every job must end, right or with a sentence."""
    expected = reference(folder, options)
    server, chance = ServerUnderTest(folder / "data-kills", options.workers), random.Random(0)
    server.start()
    killed: dict[str, int] = {}
    try:
        wait_for_answer(server.address, "/ready")
        clients = _Clients(server.address, options.clip, expected, min(options.clients, 8))
        began = time.monotonic()
        clients.start()
        for _ in range(options.kills):
            time.sleep(chance.uniform(1.0, options.kill_pause_s))
            living = server.processes()
            role = chance.choice(sorted(living))
            with contextlib.suppress(ProcessLookupError):
                os.kill(living[role].pid, signal.SIGKILL)
            killed[role.split("-")[0]] = killed.get(role.split("-")[0], 0) + 1
            if role == "web" and server.process is not None:
                server.process.wait()
                server.start()
        clients.stop()
        took_s = time.monotonic() - began
        with Client(server.address) as client:
            states = [job["state"] for job in client.jobs()]
    finally:
        server.stop()
    return _summary(clients, took_s) | {"killed": killed, "unfinished": sum(s in ("queued", "running") for s in states)}


def _summary(clients: _Clients, took_s: float) -> dict[str, Any]:
    errors = sorted({how for _, how in clients.ended} - {"right", "wrong"})
    times = sorted(clients.latencies_s)
    return {
        "load_average": os.getloadavg()[0],
        "jobs": len(clients.ended),
        "right": sum(how == "right" for _, how in clients.ended),
        "wrong": sum(how == "wrong" for _, how in clients.ended),
        "errors": errors,
        "seconds": took_s,
        "p50_s": statistics.median(times) if times else None,
        "p95_s": times[int(0.95 * (len(times) - 1))] if times else None,
    }


def _memory(samples: list[dict[str, float]]) -> dict[str, list[float]]:
    """Memory of each kind of process at the start, in the middle and at the end, megabytes, the largest of its kind."""
    rows: list[dict[str, float]] = []
    for sample in samples:
        largest: dict[str, float] = {}
        for role, mb in sample.items():
            kind = role.split("-")[0]
            largest[kind] = max(largest.get(kind, 0.0), mb)
        rows.append(largest)
    picked = [rows[0], rows[len(rows) // 2], rows[-1]] if rows else []
    return {kind: [round(row.get(kind, 0.0)) for row in picked] for kind in ("web", "worker", "probe")}


def parts(options: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """Name and function of each part that is asked for."""
    yield "start", measure_start
    yield f"load-{options.clients}x{options.seconds:g}s-{options.workers}w", measure_load
    if options.kills:
        yield f"kills-{options.kills}-{options.workers}w", measure_kills


def main() -> None:
    """Measure what is not in the output folder yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument(
        "--clip", type=Path, default=None, help="audio that is varied; by default a second of the example"
    )
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--kill-pause-s", type=float, default=15.0, help="longest pause between two kills")
    options = parser.parse_args()
    folder: Path = options.output.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if options.clip is None:
        options.clip = folder / "clip.wav"
        _cut_example(options.clip)
    results_file = folder / "results.json"
    results = json.loads(results_file.read_text()) if results_file.exists() else {}
    for name, measure in parts(options):
        if name not in results:
            results[name] = measure(folder, options)
            results_file.write_text(json.dumps(results, indent=1))
        print(name, json.dumps(results[name]), flush=True)


def _cut_example(path: Path) -> None:
    from vampnet.audio.files import Audio, read, write

    audio = read(Path(__file__).parents[2] / "examples" / "loop.wav")
    n = int(CLIP_S * audio.sample_rate_hz)
    write(path, Audio(audio.samples[:, :n], audio.sample_rate_hz))


if __name__ == "__main__":
    main()
