"""Requests and results of jobs, the same for Python, command line, HTTP, HARP, OSC and clusters.

A request says what is to be made, as a frozen dataclass that is checked when it is made and has one JSON form:

    {"task": "vamp", "input": "song.wav", "prompt": "periodic(7)", "sampling": {"steps": 4, "seed": 3}}

`request_from_json` reads it, `request_to_json` writes it with the defaults left out, `vampnet schema` prints the JSON
Schema. Where a service hands the audio over beside the request, `input` stays empty. Nothing here imports torch.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, ClassVar

from vampnet.beats.config import BeatsConfig
from vampnet.compression.config import CompressionConfig
from vampnet.config import check_settings, from_dict, json_schema, nearest, setting
from vampnet.controls.config import HumConfig, ReshapeConfig, SteeringConfig, TapConfig
from vampnet.controls.words import ControlWords
from vampnet.errors import PromptError, SettingsError
from vampnet.generation.config import MAX_VARIATIONS, SamplingConfig
from vampnet.jobs.elsewhere import refuse_words
from vampnet.models.choice import ModelChoice
from vampnet.prompts.grammar import parse_prompt
from vampnet.tasks.defaults import (
    CONTINUE_S,
    DEFAULT_PROMPT,
    DEFAULT_THEME,
    MAX_BARS,
    MAX_NEW_S,
    MAX_ROUNDS,
    MAX_STRETCH_FACTOR,
    ROUNDS,
    STRETCH_FACTOR,
)


@dataclass(frozen=True)
class OutputConfig:
    """Coding of output files."""

    format: str = ""
    """Container: wav, flac, ogg, opus, mp3, aiff; by default that of the output's name, or of the input."""
    subtype: str = ""
    """Coding of the samples, such as PCM_16, PCM_24 or FLOAT; by default that of the input."""
    tokens: bool = setting(False, flag="keep-tokens")
    """Keep an output's tokens beside it (OUT.tokens), to go on from; new audio then lies on the input's token grid."""

    def __post_init__(self) -> None:
        check_settings(self, "output.")


@dataclass(frozen=True, kw_only=True)
class Request:
    """Settings that all tasks have."""

    task: ClassVar[str]
    needs_input: ClassVar[bool] = True

    input: str = setting("", flag="-")
    """Path of the input; - is standard input. Empty where the audio is handed over beside the request."""
    tokens: str = ""
    """Tokens of the input that an earlier job kept (IN.tokens): it is not encoded, so what is kept stays as it is."""
    variations: int = setting(1, low=1, high=MAX_VARIATIONS)
    """Number of variations, 1 to 1000; variation k is drawn with seed + k - 1."""
    variation: int = setting(0, low=0, high=MAX_VARIATIONS)
    """Make this variation alone, counted from 1; 0 makes all."""
    sampling: SamplingConfig = SamplingConfig()
    """Settings of sampling."""
    model: ModelChoice = ModelChoice()
    """Model, device and number format."""
    output: OutputConfig = OutputConfig()
    """Coding of output files."""
    domain_warning: bool = True
    """Warn when the recording is out of the model's domain."""

    def __post_init__(self) -> None:
        check_settings(self)
        if self.variation > self.variations:
            raise SettingsError(
                f"variation is {self.variation}, but there are {self.variations} variations; raise `variations` too"
            )
        self._check()

    def _check(self) -> None:
        """Checks of the task's own fields."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of the variations that are made, from 1."""
        return (self.variation,) if self.variation else tuple(range(1, self.variations + 1))


@dataclass(frozen=True, kw_only=True)
class VampRequest(Request):
    """Vary a recording: tokens that the prompt keeps stay, the others are generated."""

    task: ClassVar[str] = "vamp"

    prompt: str = DEFAULT_PROMPT
    """Prompt, which says what is kept, such as 'beats(after=75ms) & codebooks(3)', or a preset (`vampnet prompts`)."""
    beats: BeatsConfig = BeatsConfig()
    """Beats: given, or how to track them."""
    steering: SteeringConfig = SteeringConfig()
    """Choice among several candidates."""
    reshape: ReshapeConfig = ReshapeConfig()
    """Pitch and tempo, to which the input is brought first."""
    compat: str = setting("", choices=("", "reference"))
    """'reference' prepares and cuts audio as the authors' code does."""

    def _check(self) -> None:
        check_prompt(self.prompt)


@dataclass(frozen=True, kw_only=True)
class InpaintRequest(Request):
    """Replace regions with generated music; all else stays bit for bit."""

    task: ClassVar[str] = "inpaint"

    regions: tuple[tuple[float, float | None], ...] = setting((), flag="region")
    """Regions [start, end] in seconds; an end of null is the end of the file."""
    prompt: str = "nothing"
    """Prompt within the regions."""
    theme: str = DEFAULT_THEME
    """Prompt of the theme (bars before a region, looped), where the prompt keeps nothing; 'nothing' leaves it free."""
    beats: BeatsConfig = BeatsConfig()
    """Beats: given, or how to track them."""
    steering: SteeringConfig = SteeringConfig()
    """Choice among several candidates."""

    def _check(self) -> None:
        if not self.regions:
            raise SettingsError("regions: none given; write what to fill in as [[start, end], ...] in seconds")
        for start_s, end_s in self.regions:
            if not 0 <= start_s < (float("inf") if end_s is None else end_s):
                end = "" if end_s is None else f"{end_s:g}"
                raise SettingsError(f"region {start_s:g}:{end} must begin at 0 s or later and end after it begins")
        check_prompt(self.prompt)
        check_prompt(self.theme)


@dataclass(frozen=True, kw_only=True)
class OutpaintRequest(Request):
    """Generate music before and after a recording, in its tempo and key."""

    task: ClassVar[str] = "outpaint"

    before_s: float = setting(0.0, low=0.0, high=MAX_NEW_S, flag="before")
    """Seconds to add before the audio, 0 to 3600."""
    after_s: float = setting(0.0, low=0.0, high=MAX_NEW_S, flag="after")
    """Seconds to add after it, 0 to 3600."""
    theme: str = DEFAULT_THEME
    """Prompt of the theme: the bars next to the new music, looped below it; 'nothing' leaves it free."""
    steering: SteeringConfig = SteeringConfig()
    """Choice among several candidates."""

    def _check(self) -> None:
        if self.before_s + self.after_s == 0:
            raise SettingsError("before_s and after_s are both 0; give seconds to add before or after the audio")
        check_prompt(self.theme)


@dataclass(frozen=True, kw_only=True)
class GenerateRequest(Request):
    """Make new music: from nothing, in the style of a clip, or to words."""

    task: ClassVar[str] = "generate"
    needs_input: ClassVar[bool] = False

    words: ControlWords = ControlWords()
    """Tempo, key, chords, metre, bars, style and instruments; a sketch to them is re-imagined."""
    seconds: float | None = setting(None, low=0.1, high=MAX_NEW_S)
    """Length of the new audio, 0.1 to 3600 s; by default 10, with words 8 bars, which loop."""
    like: str = ""
    """Path of a clip to follow in style."""
    prompt: str = ""
    """Prompt: of the clip, by default 'periodic(32) | beats(after=75ms)'; of the sketch likewise, with periodic(13)."""
    sketch: str = setting("", choices=("", "only", "keep"))
    """With words: 'only' writes the sketch as it is, 'keep' writes it beside the output (OUT.sketch.wav)."""
    theme: str = ""
    """Without a clip, beyond 10 s: what is kept of the opening's bars, looped; by default that of continue."""
    steering: SteeringConfig = SteeringConfig()
    """Choice among several candidates."""

    def _check(self) -> None:
        if self.input and not self.like:
            raise SettingsError("generate takes no input; name a clip whose style is taken up in `like`")
        if not self.words.is_empty:
            self._check_words()
        elif self.sketch:
            raise SettingsError(f"sketch is {self.sketch!r}, but there are no words to sketch; give `bpm` or `chords`")
        elif self.prompt and not self.like:
            raise PromptError("prompt says what is kept of a clip or a sketch; name the clip in `like`, or give words")
        if self.theme and self.like:
            raise PromptError("theme is for music from nothing; what is kept of a clip says `prompt`")
        for text in (self.prompt, self.theme):
            if text:
                check_prompt(text)
        if self.steering.is_on and not self.steering.split()[0] and not self.like and self.words.is_empty:
            raise SettingsError(
                "music from nothing has no input that candidates could follow; name a file in `follow` "
                "(FILE:beats,chords), a clip in `like`, or give words"
            )

    def _check_words(self) -> None:
        for name, value in (("like", self.like), ("theme", self.theme)):
            if value:
                raise SettingsError(f"{name} is {value!r}, but music to words begins with a sketch; leave one out")
        if self.words.bars is not None and self.seconds is not None:
            raise SettingsError(
                f"bars is {self.words.bars} and `seconds` is {self.seconds:g}, but only one of them can be given"
            )


@dataclass(frozen=True, kw_only=True)
class LoopRequest(Request):
    """Vary a loop so that every variation joins itself and each other without a seam."""

    task: ClassVar[str] = "loop"

    prompt: str = DEFAULT_PROMPT
    """Prompt, which says what is kept."""
    bars: int = setting(0, low=0, high=MAX_BARS)
    """Cut this many bars first, from the first downbeat on; 0: the file is the loop."""
    beats: BeatsConfig = BeatsConfig()
    """Beats: given, or how to track them."""
    steering: SteeringConfig = SteeringConfig()
    """Choice among several candidates."""
    reshape: ReshapeConfig = ReshapeConfig()
    """Pitch and tempo, to which the input is brought first."""
    join: bool = False
    """Write all variations into one file, one after the other."""
    loop_points: bool = False
    """Mark the loop in WAV files for samplers and DAWs."""

    def _check(self) -> None:
        check_prompt(self.prompt)


@dataclass(frozen=True, kw_only=True)
class StretchRequest(Request):
    """Make a recording longer: its tokens are spread out and those between them generated."""

    task: ClassVar[str] = "stretch"

    factor: float = setting(STRETCH_FACTOR, low=1.0, high=MAX_STRETCH_FACTOR)
    """Times the length, 1 to 16."""


@dataclass(frozen=True, kw_only=True)
class TelephoneRequest(Request):
    """Vary repeatedly: every round's output is the next round's input."""

    task: ClassVar[str] = "telephone"

    rounds: int = setting(ROUNDS, low=1, high=MAX_ROUNDS)
    """Number of rounds, 1 to 1000; the result of each is the input of the next."""
    prompt: str = DEFAULT_PROMPT
    """Prompt of every round."""
    beats: BeatsConfig = BeatsConfig()
    """Beats of the first round: given, or how to track them; later rounds track their own input."""

    def _check(self) -> None:
        check_prompt(self.prompt)


@dataclass(frozen=True, kw_only=True)
class PlayedRequest(Request):
    """Settings of tasks that turn what is played into a sketch, which the model may vary."""

    prompt: str = ""
    """Prompt with which the model varies the sketch; by default it stays as synthesised."""
    steering: SteeringConfig = SteeringConfig()
    """Choice among several candidates; what is followed is the sketch."""

    def _check(self) -> None:
        if self.prompt:
            check_prompt(self.prompt)


@dataclass(frozen=True, kw_only=True)
class TapRequest(PlayedRequest):
    """Turn a tapped or beatboxed rhythm into drums of the same length."""

    task: ClassVar[str] = "tap"
    tap: TapConfig = TapConfig()
    """Settings of the drums."""


@dataclass(frozen=True, kw_only=True)
class HumRequest(PlayedRequest):
    """Turn a hummed, sung or whistled line into a lead instrument of the same length."""

    task: ClassVar[str] = "hum"
    hum: HumConfig = HumConfig()
    """Settings of the lead."""


@dataclass(frozen=True, kw_only=True)
class CompressRequest(Request):
    """Make a small .vamp file of some of the tokens; the others are generated when it is opened."""

    task: ClassVar[str] = "compress"
    compression: CompressionConfig = CompressionConfig()
    """Stored tokens and their coding."""

    def _check(self) -> None:
        if self.variations != 1:
            raise SettingsError("variations is for opening a .vamp file (decompress); a file is compressed once")


@dataclass(frozen=True, kw_only=True)
class DecompressRequest(Request):
    """Open a .vamp file; tokens that it does not hold are generated."""

    task: ClassVar[str] = "decompress"

    seed: int | None = setting(None, low=0, high=2**63 - 1)
    """Generate with this seed instead of the file's."""
    any_model: bool = False
    """Accept another model than the file was made for, which gives another result."""

    def _check(self) -> None:
        if self.sampling != SamplingConfig():
            raise SettingsError("sampling is stored in the .vamp file; only `seed` can be chosen when it is opened")


REQUESTS: dict[str, type[Request]] = {
    kind.task: kind
    for kind in (
        VampRequest,
        InpaintRequest,
        OutpaintRequest,
        GenerateRequest,
        LoopRequest,
        StretchRequest,
        TelephoneRequest,
        TapRequest,
        HumRequest,
        CompressRequest,
        DecompressRequest,
    )
}
"""Every task's request by the task's name."""


def steering_of(request: Request) -> SteeringConfig:
    """Choice among a request's candidates; None for tasks that keep what they make."""
    return getattr(request, "steering", SteeringConfig())


def check_prompt(text: str) -> None:
    """Raise PromptError for a text that is no prompt."""
    parse_prompt(text)


def request_from_json(data: Any, where: str = "request") -> Request:
    """The request of a JSON object (parsed); `continue` is an outpaint. Raises SettingsError, PromptError."""
    if not isinstance(data, dict):
        raise SettingsError(f"{where}: expected an object, found {type(data).__name__}")
    fields = dict(data)
    task = fields.pop("task", None)
    if task == "continue":
        task, fields = "outpaint", {"after_s": fields.pop("seconds", CONTINUE_S), **fields}
    if not isinstance(task, str) or task not in REQUESTS:
        near = nearest(str(task), REQUESTS)
        raise SettingsError(f"{where}: task is {task!r}, but must be one of {', '.join([*REQUESTS, 'continue'])}{near}")
    refuse_words(task, fields, REQUESTS[task], where)
    return from_dict(REQUESTS[task], fields, where)


def request_to_json(request: Request) -> dict[str, Any]:
    """A request as plain data, with `task` first and settings that have their default left out."""
    return {"task": request.task, **_changed(request)}


def _changed(settings: Any) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if value == field.default:
            continue
        result[field.name] = _changed(value) if dataclasses.is_dataclass(value) else json.loads(json.dumps(value))
    return result


def request_schema() -> dict[str, Any]:
    """JSON Schema of all requests: one of the tasks, told apart by `task`."""
    variants = []
    for task, kind in REQUESTS.items():
        schema = json_schema(kind)
        schema["properties"] = {"task": {"const": task}, **schema["properties"]}
        schema["required"] = ["task", *schema.get("required", [])]
        variants.append({"title": kind.__name__, "description": (kind.__doc__ or "").splitlines()[0], **schema})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Request", "oneOf": variants}
