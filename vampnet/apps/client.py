"""Client of a VampNet server, with the methods of the model.

    from vampnet import Client

    client = Client("http://127.0.0.1:8000")
    client.vamp("song.wav", prompt="periodic(7)").save("out.wav")

Calls wait until the job is done; Ctrl-C, and whatever `report` raises, cancels it. `submit` gives the job at once.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vampnet.beats.config import BeatsConfig
from vampnet.errors import Cancelled, ServerError, VampnetError, require
from vampnet.generation.config import SamplingConfig
from vampnet.generation.progress import Progress, Report
from vampnet.jobs.request import (
    GenerateRequest,
    InpaintRequest,
    LoopRequest,
    OutpaintRequest,
    Request,
    StretchRequest,
    TelephoneRequest,
    VampRequest,
    request_to_json,
)
from vampnet.models.choice import ModelChoice
from vampnet.tasks.defaults import CONTINUE_S, DEFAULT_PROMPT, DEFAULT_THEME, NEW_S, ROUNDS, STRETCH_FACTOR

if TYPE_CHECKING:
    import httpx2

    from vampnet.audio.files import Audio

_RETRIES = 5
_ENDED = ("done", "failed", "cancelled")
Regions = Sequence[tuple[float, float | None]]


class Client:
    """A connection to a server."""

    def __init__(
        self, address: str = "http://127.0.0.1:8000", *, key: str = "", timeout_s: float = 60.0, bundle: str = "default"
    ) -> None:
        """`key`: API key; `timeout_s`: longest time without an answer; `bundle`: model, of those that the server has.

        Raises DependencyError where the extra `studio` is not installed.
        """
        require("httpx2", "clients")
        import httpx2

        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx2.Client(base_url=address, headers=headers, timeout=timeout_s)
        self._model = ModelChoice(bundle=bundle)

    def __enter__(self) -> Client:
        """Give the client, for a `with` block that closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection. Jobs go on."""
        self._http.close()

    # Tasks

    def vamp(
        self, audio: Any, *, n: int = 1, prompt: str = DEFAULT_PROMPT, sampling: SamplingConfig = SamplingConfig(),
        beats: BeatsConfig = BeatsConfig(), report: Report | None = None,
    ) -> Any:  # fmt: skip
        """Vary a recording: tokens that the prompt keeps stay, the others are generated.

        `audio` is a path, `vampnet.Audio`, (samples, sample rate) or a variation that this server made. Gives one
        RemoteVariation, or a list of `n`. Raises VampnetError saying what is wrong, Cancelled.
        """
        settings = {"sampling": sampling, "variations": n, "model": self._model}
        return self._make(VampRequest(prompt=str(prompt), beats=beats, **settings), audio, n, report)

    def inpaint(
        self, audio: Any, *, regions: Regions, n: int = 1, prompt: str = "nothing",
        sampling: SamplingConfig = SamplingConfig(), beats: BeatsConfig = BeatsConfig(), report: Report | None = None,
    ) -> Any:  # fmt: skip
        """Regenerate regions (start and end in seconds; an end of None is the file's); all else stays bit for bit."""
        spans = tuple((float(start), None if end is None else float(end)) for start, end in regions)
        settings = {"sampling": sampling, "variations": n, "model": self._model}
        request = InpaintRequest(regions=spans, prompt=str(prompt), beats=beats, **settings)
        return self._make(request, audio, n, report)

    def outpaint(
        self, audio: Any, *, before_s: float = 0.0, after_s: float = 0.0, n: int = 1, theme: str = DEFAULT_THEME,
        sampling: SamplingConfig = SamplingConfig(), report: Report | None = None,
    ) -> Any:  # fmt: skip
        """Generate music before and after a recording, in its tempo and key."""
        settings = {"sampling": sampling, "variations": n, "model": self._model}
        request = OutpaintRequest(before_s=float(before_s), after_s=float(after_s), theme=str(theme), **settings)
        return self._make(request, audio, n, report)

    def continue_(self, audio: Any, *, seconds: float = CONTINUE_S, **settings: Any) -> Any:
        """Add music after a recording, in its tempo and key: `outpaint` with `after_s` alone."""
        return self.outpaint(audio, after_s=seconds, **settings)

    def generate(
        self, *, seconds: float = NEW_S, like: Any = None, n: int = 1, prompt: str = "", theme: str = "",
        sampling: SamplingConfig = SamplingConfig(), report: Report | None = None,
    ) -> Any:  # fmt: skip
        """Make new music, from nothing or in the style of a clip."""
        data = {"task": GenerateRequest.task, "seconds": float(seconds), "prompt": str(prompt), "theme": str(theme)}
        if like is None:
            settings = {"sampling": sampling, "variations": n, "model": self._model}
            request = GenerateRequest(seconds=float(seconds), theme=str(theme), **settings)
            return self._make(request, None, n, report)
        shared = request_to_json(VampRequest(sampling=sampling, variations=n, model=self._model))
        return self._wait(self.submit({**shared, **{k: v for k, v in data.items() if v != ""}}, like), n, report)

    def loop(
        self, audio: Any, *, bars: int = 0, n: int = 1, prompt: str = DEFAULT_PROMPT,
        sampling: SamplingConfig = SamplingConfig(), beats: BeatsConfig = BeatsConfig(), report: Report | None = None,
    ) -> Any:  # fmt: skip
        """Vary a loop so that every variation joins itself and each other without a seam."""
        settings = {"sampling": sampling, "variations": n, "model": self._model}
        request = LoopRequest(bars=bars, prompt=str(prompt), beats=beats, **settings)
        return self._make(request, audio, n, report)

    def stretch(
        self, audio: Any, *, factor: float = STRETCH_FACTOR, n: int = 1, sampling: SamplingConfig = SamplingConfig(),
        report: Report | None = None,
    ) -> Any:  # fmt: skip
        """Make a recording longer: its tokens are spread out and those between them generated."""
        settings = {"sampling": sampling, "variations": n, "model": self._model}
        return self._make(StretchRequest(factor=float(factor), **settings), audio, n, report)

    def telephone(
        self, audio: Any, *, rounds: int = ROUNDS, n: int = 1, prompt: str = DEFAULT_PROMPT,
        sampling: SamplingConfig = SamplingConfig(), beats: BeatsConfig = BeatsConfig(), report: Report | None = None,
    ) -> Any:  # fmt: skip
        """Vary repeatedly: every round's output is the next round's input."""
        settings = {"sampling": sampling, "variations": n, "model": self._model}
        request = TelephoneRequest(rounds=rounds, prompt=str(prompt), beats=beats, **settings)
        return self._make(request, audio, n, report)

    # Jobs

    def submit(self, request: Request | dict[str, Any], audio: Any = None) -> RemoteJob:
        """Submit a request (an object, or its JSON data), with its audio; gives the job without waiting.

        A call whose answer was lost is sent again under the same idempotency key, so no job is made twice.
        """
        data = request_to_json(request) if isinstance(request, Request) else dict(request)
        field = "like" if data.get("task") == "generate" else "input"
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        if audio is None or isinstance(audio, RemoteVariation):
            if audio is not None:
                data[field] = audio.reference
            answer = self._ask("POST", "/api/v1/jobs", json=data, headers=headers)
        else:
            name, content = _as_file(audio)
            files = {"audio": (name, content)}
            answer = self._ask("POST", "/api/v1/jobs", data={"request": json.dumps(data)}, files=files, headers=headers)
        return RemoteJob(self, answer.json()["id"])

    def job(self, job_id: str) -> RemoteJob:
        """A job by its id."""
        return RemoteJob(self, job_id)

    def jobs(self) -> list[dict[str, Any]]:
        """The newest jobs, as the server describes them."""
        return self._ask("GET", "/api/v1/jobs").json()["jobs"]

    def _make(self, request: Request, audio: Any, n: int, report: Report | None) -> Any:
        return self._wait(self.submit(request, audio), n, report)

    def _wait(self, job: RemoteJob, n: int, report: Report | None) -> Any:
        variations = job.wait(report)
        return variations[0] if n == 1 else variations

    def _ask(self, method: str, path: str, **content: Any) -> httpx2.Response:
        """Call the server; waits where it says when to come back, and tries again where it cannot be reached."""
        import httpx2

        for attempt in range(_RETRIES + 1):
            last = attempt == _RETRIES
            try:
                answer = self._http.request(method, path, **content)
            except httpx2.TransportError as error:
                if last:
                    address = str(self._http.base_url)
                    raise ServerError(f"no server answers at {address} ({error}); start one: vampnet serve") from None
                time.sleep(0.2 * 2**attempt)
                continue
            if answer.status_code == 429 and not last:
                time.sleep(min(float(answer.headers.get("retry-after", 1)), 60.0))
                continue
            if answer.is_error:
                raise ServerError(_sentence(answer))
            return answer
        raise AssertionError


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
                    if job["state"] in (*_ENDED, "deleted"):
                        return job
            except httpx2.TransportError:
                time.sleep(min(0.2 * (attempt + 1), 5.0))
            job = self.describe()  # the stream broke off: the server may have been started again
            if job["state"] in _ENDED:
                return job
        raise ServerError("the server breaks off again and again")

    def _events(self, last: str) -> Iterator[tuple[str, dict[str, Any]]]:
        headers = {"Last-Event-ID": last} if last else {}
        path = f"/api/v1/jobs/{self.id}/events"
        with self._client._http.stream("GET", path, headers=headers) as stream:
            if stream.is_error:
                stream.read()
                raise ServerError(_sentence(stream))
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


def _as_file(audio: Any) -> tuple[str, bytes]:
    """Name and bytes of audio: a file as it is, samples as a WAV file of floats."""
    if isinstance(audio, (str, os.PathLike)):
        path = Path(audio)
        try:
            return path.name, path.read_bytes()
        except OSError as error:
            raise VampnetError(f"{path}: cannot be read ({error.strerror})") from None
    import soundfile

    from vampnet.audio.inputs import as_audio

    made, buffer = as_audio(audio), io.BytesIO()
    soundfile.write(buffer, made.samples.T, made.sample_rate_hz, format="WAV", subtype="FLOAT")
    return "audio.wav", buffer.getvalue()


def _sentence(answer: httpx2.Response) -> str:
    """Message of an error answer."""
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"the server answered with status {answer.status_code}"
