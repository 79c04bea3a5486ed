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
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vampnet.apps.remote_job import RemoteJob, RemoteVariation, error_sentence
from vampnet.beats.config import BeatsConfig
from vampnet.controls.config import HumConfig, ReshapeConfig, SteeringConfig, TapConfig
from vampnet.controls.words import ControlWords, parse_words
from vampnet.errors import ServerError, VampnetError, require
from vampnet.generation.config import SamplingConfig
from vampnet.generation.progress import Report
from vampnet.jobs.request import (
    GenerateRequest,
    HumRequest,
    InpaintRequest,
    LoopRequest,
    OutpaintRequest,
    Request,
    StretchRequest,
    TapRequest,
    TelephoneRequest,
    VampRequest,
    request_to_json,
)
from vampnet.models.choice import ModelChoice
from vampnet.tasks.defaults import CONTINUE_S, DEFAULT_PROMPT, DEFAULT_THEME, NEW_S, ROUNDS, STRETCH_FACTOR

if TYPE_CHECKING:
    import httpx2


_CLIP = "clip"
_RETRIES = 5
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
        beats: BeatsConfig = BeatsConfig(), steering: SteeringConfig = SteeringConfig(),
        reshape: ReshapeConfig = ReshapeConfig(), report: Report | None = None,
    ) -> Any:  # fmt: skip
        """Vary a recording: tokens that the prompt keeps stay, the others are generated.

        `audio` is a path, `vampnet.Audio`, (samples, sample rate) or a variation that this server made. `steering` says
        what variations follow, `reshape` the key and tempo to begin with. Gives one RemoteVariation, or a list of `n`.
        Raises VampnetError saying what is wrong, Cancelled.
        """
        settings = {"sampling": sampling, "variations": n, "model": self._model, "steering": steering}
        request = VampRequest(prompt=str(prompt), beats=beats, reshape=reshape, **settings)
        return self._make(request, audio, n, report)

    def inpaint(
        self, audio: Any, *, regions: Regions, n: int = 1, prompt: str = "nothing",
        sampling: SamplingConfig = SamplingConfig(), beats: BeatsConfig = BeatsConfig(),
        steering: SteeringConfig = SteeringConfig(), report: Report | None = None,
    ) -> Any:  # fmt: skip
        """Regenerate regions (start and end in seconds; an end of None is the file's); all else stays bit for bit."""
        spans = tuple((float(start), None if end is None else float(end)) for start, end in regions)
        settings = {"sampling": sampling, "variations": n, "model": self._model, "steering": steering}
        request = InpaintRequest(regions=spans, prompt=str(prompt), beats=beats, **settings)
        return self._make(request, audio, n, report)

    def outpaint(
        self, audio: Any, *, before_s: float = 0.0, after_s: float = 0.0, n: int = 1, theme: str = DEFAULT_THEME,
        sampling: SamplingConfig = SamplingConfig(), steering: SteeringConfig = SteeringConfig(),
        report: Report | None = None,
    ) -> Any:  # fmt: skip
        """Generate music before and after a recording, in its tempo and key."""
        settings = {"sampling": sampling, "variations": n, "model": self._model, "steering": steering}
        request = OutpaintRequest(before_s=float(before_s), after_s=float(after_s), theme=str(theme), **settings)
        return self._make(request, audio, n, report)

    def continue_(self, audio: Any, *, seconds: float = CONTINUE_S, **settings: Any) -> Any:
        """Add music after a recording, in its tempo and key: `outpaint` with `after_s` alone."""
        return self.outpaint(audio, after_s=seconds, **settings)

    def generate(
        self, *, seconds: float | None = None, like: Any = None, words: ControlWords | str = ControlWords(), n: int = 1,
        prompt: str = "", theme: str = "", sketch: str = "", sampling: SamplingConfig = SamplingConfig(),
        steering: SteeringConfig = SteeringConfig(), report: Report | None = None,
    ) -> Any:  # fmt: skip
        """Make new music, from nothing, in the style of a clip, or to words, an object or its text.

        >>> client.generate(words="bpm(96), key(D minor), chords(Dm7 | G7), bars(8)")

        By default 10 s, and with words 8 bars, which loop; a `sketch` of "only" is what the words are made of.
        """
        said = parse_words(words) if isinstance(words, str) else words
        if seconds is None and said.is_empty:
            seconds = NEW_S
        shared: dict[str, Any] = {"sampling": sampling, "variations": n, "model": self._model, "steering": steering}
        length = None if seconds is None else float(seconds)
        request = GenerateRequest(
            seconds=length, words=said, prompt=str(prompt), theme=str(theme), sketch=sketch,
            like=_CLIP if like is not None else "", **shared,
        )  # fmt: skip
        data = request_to_json(request)
        if like is not None:
            del data["like"]  # which is named by the audio that is handed over
        return self._wait(self.submit(data, like), n, report)

    def tap(
        self, audio: Any, *, config: TapConfig = TapConfig(), n: int = 1, prompt: str = "",
        sampling: SamplingConfig = SamplingConfig(), steering: SteeringConfig = SteeringConfig(),
        report: Report | None = None,
    ) -> Any:  # fmt: skip
        """Turn a tapped or beatboxed rhythm into drums of the same length; with a prompt the model varies them."""
        settings = {"sampling": sampling, "variations": n, "model": self._model, "steering": steering}
        return self._make(TapRequest(tap=config, prompt=str(prompt), **settings), audio, n, report)

    def hum(
        self, audio: Any, *, config: HumConfig = HumConfig(), n: int = 1, prompt: str = "",
        sampling: SamplingConfig = SamplingConfig(), steering: SteeringConfig = SteeringConfig(),
        report: Report | None = None,
    ) -> Any:  # fmt: skip
        """Turn a hummed line into a lead instrument of the same length; with a prompt the model varies it."""
        settings = {"sampling": sampling, "variations": n, "model": self._model, "steering": steering}
        return self._make(HumRequest(hum=config, prompt=str(prompt), **settings), audio, n, report)

    def loop(
        self, audio: Any, *, bars: int = 0, n: int = 1, prompt: str = DEFAULT_PROMPT,
        sampling: SamplingConfig = SamplingConfig(), beats: BeatsConfig = BeatsConfig(),
        steering: SteeringConfig = SteeringConfig(), reshape: ReshapeConfig = ReshapeConfig(),
        report: Report | None = None,
    ) -> Any:  # fmt: skip
        """Vary a loop so that every variation joins itself and each other without a seam."""
        settings = {"sampling": sampling, "variations": n, "model": self._model, "steering": steering}
        request = LoopRequest(bars=bars, prompt=str(prompt), beats=beats, reshape=reshape, **settings)
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
                raise ServerError(error_sentence(answer))
            return answer
        raise AssertionError


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
