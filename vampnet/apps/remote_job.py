"""Jobs on a server and what they made, as the Python client sees them."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vampnet.errors import Cancelled, ServerError
from vampnet.generation.progress import Progress, Report

if TYPE_CHECKING:
    import httpx2

    from vampnet.apps.client import Client
    from vampnet.audio.files import Audio

ENDED = ("done", "failed", "cancelled")
"""States in which a job stays."""


class RemoteJob:
    """A job on a server."""

    def __init__(self, client: Client, job_id: str) -> None:
        """Name a job; nothing is asked yet."""
        self._client, self.id = client, job_id

    def describe(self) -> dict[str, Any]:
        """State, progress, request and, when it is done, the result."""
        return self._client._ask("GET", f"/api/v1/jobs/{self.id}").json()

    def cancel(self) -> None:
        """Stop it within one decoding step."""
        self._client._ask("POST", f"/api/v1/jobs/{self.id}/cancel")

    def delete(self) -> None:
        """Delete it and what it made."""
        self._client._ask("DELETE", f"/api/v1/jobs/{self.id}")

    def wait(self, report: Report | None = None) -> list[RemoteVariation]:
        """Wait until it has ended; `report` hears Progress. Raises ServerError with its error, Cancelled."""
        try:
            job = self._follow(report)
        except BaseException:
            self._cancel_quietly()
            raise
        if job["state"] == "cancelled":
            raise Cancelled("the job was cancelled")
        if job["state"] != "done":
            raise ServerError(job["error"] or f"the job is {job['state']}")
        return [
            RemoteVariation(self._client, self.id, number, output["name"], made)
            for number, (output, made) in enumerate(
                zip(job["outputs"], job["result"]["outputs"], strict=True), 1
            )
        ]  # fmt: skip

    def _follow(self, report: Report | None) -> dict[str, Any]:
        import httpx2

        last = ""
        for attempt in range(1000):
            try:
                for number, job in self._events(last):
                    last = number
                    progress = job.get("progress") or {}
                    if report is not None and job["state"] == "running":
                        report(Progress(progress["stage"], progress["done"], progress["total"], progress["share"]))
                    if job["state"] in (*ENDED, "deleted"):
                        return job
            except httpx2.TransportError:
                time.sleep(min(0.2 * (attempt + 1), 5.0))
            job = self.describe()  # the stream broke off: the server may have been started again
            if job["state"] in ENDED:
                return job
        raise ServerError("the server breaks off again and again")

    def _events(self, last: str) -> Iterator[tuple[str, dict[str, Any]]]:
        headers = {"Last-Event-ID": last} if last else {}
        path = f"/api/v1/jobs/{self.id}/events"
        with self._client._http.stream("GET", path, headers=headers) as stream:
            if stream.is_error:
                stream.read()
                raise ServerError(error_sentence(stream))
            number = last
            for line in stream.iter_lines():
                if line.startswith("id: "):
                    number = line[4:]
                elif line.startswith("data: "):
                    yield number, json.loads(line[6:])

    def _cancel_quietly(self) -> None:
        try:
            self._client._http.post(f"/api/v1/jobs/{self.id}/cancel")
        except Exception:
            return  # what ended the waiting is the error to be told


@dataclass(frozen=True, eq=False)
class RemoteVariation:
    """One output of a job."""

    client: Client
    job_id: str
    number: int
    """Number among the job's outputs, from 1."""
    name: str
    """Its file name."""
    facts: dict[str, Any]
    """seed, kept_share, seconds and the command that makes it again."""

    @property
    def seed(self) -> int | None:
        """Seed that it was drawn with."""
        return self.facts["seed"]

    @property
    def kept_share(self) -> float | None:
        """Share of the tokens that the prompt kept."""
        return self.facts["kept_share"]

    @property
    def reference(self) -> str:
        """Text by which a request names it as its input."""
        return f"job:{self.job_id}/{self.number}"

    @cached_property
    def content(self) -> bytes:
        """The file's bytes."""
        path = f"/api/v1/jobs/{self.job_id}/outputs/{self.number}/audio"
        return self.client._ask("GET", path).content

    @property
    def audio(self) -> Audio:
        """The samples."""
        import soundfile

        from vampnet.audio.files import Audio

        samples, rate_hz = soundfile.read(io.BytesIO(self.content), dtype="float32", always_2d=True)
        return Audio(samples.T.copy(), rate_hz)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the file as the server made it."""
        from vampnet.storage import write_whole

        write_whole(path, self.content)
        return Path(path)


def error_sentence(answer: httpx2.Response) -> str:
    """Message of an error answer."""
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"the server answered with status {answer.status_code}"
