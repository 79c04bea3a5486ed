"""Probe: looks into audio files in a process of its own, so that a file made to harm cannot end the server.

The process imports numpy and libsndfile, not torch. One that dies or does not answer in time is replaced.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from vampnet.errors import AudioError, VampnetError
from vampnet.storage import write_whole

TIMEOUT_S = 60.0
MAX_BINS = 20000


class Probe:
    """Asks a helper process about files."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._pool: concurrent.futures.ProcessPoolExecutor | None = None

    def facts(self, path: Path) -> dict[str, Any]:
        """Rate, channels, length and coding of an audio file. Raises AudioError."""
        return self.ask(audio_facts, str(path))

    def peaks(self, path: Path, bins: int, start_s: float = 0.0, end_s: float | None = None) -> dict[str, Any]:
        """Lowest and highest sample of each of `bins` equal parts of a file, or of a stretch. Raises VampnetError."""
        return self.ask(audio_peaks, str(path), bins, start_s, end_s)

    def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in the helper process. Raises what it raises, AudioError when it dies or takes too long."""
        pool = self._living()
        try:
            return pool.submit(function, *arguments).result(self._timeout_s)
        except (BrokenProcessPool, concurrent.futures.TimeoutError):
            self._replace(pool)
            raise AudioError(
                "the file cannot be read: reading it crashed or took too long; convert it to WAV"
            ) from None

    def close(self) -> None:
        """End the process."""
        with self._lock:
            pool, self._pool = self._pool, None
        _end(pool)

    def _living(self) -> concurrent.futures.ProcessPoolExecutor:
        with self._lock:
            if self._pool is None:
                context = multiprocessing.get_context("spawn")
                self._pool = concurrent.futures.ProcessPoolExecutor(1, mp_context=context, initializer=_prepare)
            return self._pool

    def _replace(self, pool: concurrent.futures.ProcessPoolExecutor) -> None:
        with self._lock:
            if self._pool is pool:
                self._pool = None
        _end(pool)


def _end(pool: concurrent.futures.ProcessPoolExecutor | None) -> None:
    if pool is None:
        return
    processes = list((getattr(pool, "_processes", None) or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()


def _prepare() -> None:
    """Let Ctrl-C be the server's business alone, and end with the server when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def audio_facts(path: str) -> dict[str, Any]:
    """Rate, channels, length and coding of an audio file."""
    from vampnet.audio.files import probe

    info = probe(path)
    return {
        "sample_rate_hz": info.sample_rate_hz,
        "channels": info.channels,
        "n_samples": info.n_samples,
        "seconds": info.duration_s,
        "format": info.format,
        "subtype": info.subtype,
    }


def audio_peaks(path: str, bins: int, start_s: float = 0.0, end_s: float | None = None) -> dict[str, Any]:
    """Lowest and highest sample over all channels in `bins` equal parts of a file, or of a stretch of it.

    Those of whole files are kept beside the file for the next time. Raises AudioError, SettingsError for a stretch
    outside the file.
    """
    import numpy as np

    from vampnet.audio.files import AudioReader
    from vampnet.errors import SettingsError

    is_whole = start_s == 0.0 and end_s is None
    kept = Path(path).with_name(f".{Path(path).name}.peaks-{bins}.json")
    if is_whole:
        with contextlib.suppress(OSError, ValueError):  # not there, or damaged: then it is made anew
            return json.loads(kept.read_text())
    with AudioReader(path) as reader:
        rate_hz, n_all = reader.info.sample_rate_hz, reader.info.n_samples
        first = round(start_s * rate_hz)
        n = (n_all if end_s is None else min(round(end_s * rate_hz), n_all)) - first
        if n <= 0:
            raise SettingsError(
                f"start_s is {start_s:g}, but must lie before end_s and the end, {reader.info.duration_s:g} s"
            )
        bins = min(bins, n)
        low, high = np.zeros(bins), np.zeros(bins)
        empty, start = np.ones(bins, bool), 0
        reader.skip(first)
        for whole in reader:
            block = whole[:, : n - start]
            bin_of = (np.arange(start, start + block.shape[1]) * bins) // n
            begins = np.flatnonzero(np.diff(bin_of, prepend=bin_of[0] - 1))
            which = bin_of[begins]
            lows, highs = np.minimum.reduceat(block.min(0), begins), np.maximum.reduceat(block.max(0), begins)
            low[which] = np.where(empty[which], lows, np.minimum(low[which], lows))
            high[which] = np.where(empty[which], highs, np.maximum(high[which], highs))
            empty[which] = False
            start += block.shape[1]
            if start >= n:
                break
        seconds = n / rate_hz
    result = {"seconds": seconds, "low": [round(float(x), 4) for x in low], "high": [round(float(x), 4) for x in high]}
    if is_whole:
        with contextlib.suppress(VampnetError):  # it is made anew the next time
            write_whole(kept, json.dumps(result))
    return result


def check_work(work: dict[str, Any], output: str) -> list[str]:
    """Check all of a job that can be checked without its model; returns the paths of its outputs.

    Raises VampnetError.
    """
    from vampnet.jobs.check import check_job, output_paths
    from vampnet.jobs.request import request_from_json

    request = request_from_json(work)
    outputs = output_paths(Path(output), request)
    check_job(request, outputs)
    return [str(path) for path in outputs]
