"""Controls that HARP shows, and the request that their values stand for.

HARP 3.0.1 and its newer client understand few kinds of control: audio track, slider, text box, toggle and dropdown
(whose label must equal its value). Values come as a list in the order of the controls.
"""

from __future__ import annotations

import math
import secrets
from typing import Any

from vampnet.config import to_dict
from vampnet.controls.words import parse_words
from vampnet.errors import SettingsError
from vampnet.tasks.defaults import DEFAULT_PROMPT

VARY, LOOP, FILL, EXTEND, STRETCH, TAP, HUM, NEW = TASKS = (
    "vary", "vary as a loop", "fill a passage", "go on after the end", "stretch", "drums from tapping",
    "lead from humming", "new music to words",
)  # fmt: skip
BEATS = "beats(after=75ms)"

CARD = {
    "name": "VampNet",
    "description": "Varies, fills and extends recordings: some of the sound is kept, the rest is generated anew.",
    "author": "vampnet contributors",
    "tags": ["music", "variation", "inpainting", "loop"],
}


def _slider(label: str, low: float, high: float, step: float, value: float, info: str) -> dict[str, Any]:
    return {
        "type": "slider", "label": label, "minimum": low, "maximum": high, "step": step, "value": value, "info": info,
    }  # fmt: skip


INPUTS: tuple[dict[str, Any], ...] = (
    {
        "type": "audio_track", "label": "Input", "required": True,
        "info": "The recording. HARP wants one for new music too, which takes nothing of it.",
    },
    {
        "type": "dropdown", "label": "Task", "value": VARY, "choices": [[task, task] for task in TASKS],
        "info": "What is done with it.",
    },
    {
        "type": "text_box", "label": "Keep", "value": DEFAULT_PROMPT,
        "info": "What is kept: periodic(7) keeps every seventh frame; smaller numbers stay closer to the recording.",
    },
    {"type": "toggle", "label": "Keep the beat", "value": False, "info": "Also keep the sound right after each beat."},
    _slider("Steps", 1, 64, 1, 12, "Decoding steps: more take longer; 12 are good."),
    _slider("Temperature", 0, 2, 0.05, 0.9, "0 plays safe, above 1 is bold."),
    _slider("From (s)", 0, 600, 0.01, 0, "Fill a passage: where it begins."),
    _slider("To (s)", 0, 600, 0.01, 2, "Fill a passage: where it ends."),
    _slider("Seconds to add", 0.5, 60, 0.5, 8, "Go on after the end: how long."),
    {
        "type": "text_box", "label": "Follow", "value": "",
        "info": "Beats, rhythm, chords or melody: of several candidates the one that follows them best is kept.",
    },
    _slider("Best of", 2, 16, 1, 4, "Follow: how many candidates; each takes as long as one without."),
    {
        "type": "text_box", "label": "Words", "value": "",
        "info": "New music: bpm(96), key(D minor), chords(Dm7 | G7), bars(8), style(funk), instruments(piano).",
    },
    _slider("Stretch", 1, 4, 0.05, 1.5, "Stretch: times the length."),
    {
        "type": "text_box", "label": "Seed", "value": "",
        "info": "A whole number makes the same again; empty takes a new one, which the labels tell.",
    },
)  # fmt: skip
OUTPUTS: tuple[dict[str, Any], ...] = (
    {"type": "audio_track", "label": "Output", "required": True, "info": "What was made."},
    {"type": "json", "label": "Labels", "info": "What was kept and made, and the seed."},
)


def controls() -> dict[str, Any]:
    """Card, inputs and outputs, as HARP reads them."""
    return {"card": CARD, "inputs": list(INPUTS), "outputs": list(OUTPUTS)}


def request_data(values: Any) -> tuple[str, dict[str, Any]]:
    """The upload's path and the request (JSON data, without its input) of these values; the path is empty where nothing
    is taken of the upload. Raises SettingsError.
    """
    if not isinstance(values, list) or len(values) != len(INPUTS):
        given = len(values) if isinstance(values, list) else "no list of"
        raise SettingsError(f"{given} values came for {len(INPUTS)} controls; load the model again")
    named = {control["label"]: value for control, value in zip(INPUTS, values, strict=True)}
    task, keep = _choice(named["Task"]), _text(named, "Keep") or DEFAULT_PROMPT
    if _on(named["Keep the beat"]):
        keep = f"{keep} | {BEATS}"
    data: dict[str, Any] = {
        "sampling": {
            "steps": _whole(named, "Steps"),
            "temperature": _number(named, "Temperature"),
            "seed": _seed(_text(named, "Seed")),
        }
    }
    if (follow := _text(named, "Follow")) and task in (VARY, LOOP, FILL, EXTEND, NEW):
        data["steering"] = {"follow": follow, "best_of": _whole(named, "Best of")}
    if task in (VARY, LOOP):
        data |= {"task": "vamp" if task == VARY else "loop", "prompt": keep}
    elif task == FILL:
        data |= {"task": "inpaint", "regions": [[_number(named, "From (s)"), _number(named, "To (s)")]]}
    elif task == EXTEND:
        data |= {"task": "outpaint", "after_s": _number(named, "Seconds to add")}
    elif task == NEW:
        data |= {"task": "generate", "words": _words(_text(named, "Words"))}
        return "", data if keep == DEFAULT_PROMPT else {**data, "prompt": keep}
    elif task in (TAP, HUM):
        data |= {"task": "tap" if task == TAP else "hum"}
    else:
        data |= {"task": "stretch", "factor": _number(named, "Stretch")}
    return _track(named["Input"]), data


def _words(text: str) -> dict[str, Any]:
    """Words as JSON data."""
    words = parse_words(text)
    if words.is_empty:
        raise SettingsError("Words is empty; write for instance bpm(96), key(D minor), chords(Dm7 | G7), bars(8)")
    said = {name: value for name, value in to_dict(words).items() if value not in (None, ())}
    return said | ({"instruments": list(words.instruments)} if words.instruments else {})


def _track(value: Any) -> str:
    path = value.get("path") if isinstance(value, dict) else None
    if not isinstance(path, str):
        raise SettingsError("Input is empty; put a recording there")
    return path


def _choice(value: Any) -> str:
    if value not in TASKS:
        raise SettingsError(f"Task is {str(value)[:50]!r}, but must be one of {', '.join(TASKS)}")
    return value


def _text(named: dict[str, Any], label: str) -> str:
    value = named[label]
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise SettingsError(f"{label} is {str(value)[:50]!r}, but must be a text")
    return str(value).strip()


def _on(value: Any) -> bool:
    return value is True or value in (1, "1", "true")


def _number(named: dict[str, Any], label: str) -> float:
    """A slider's value within its range."""
    value, control = named[label], next(c for c in INPUTS if c["label"] == label)
    low, high = control["minimum"], control["maximum"]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise SettingsError(f"{label} is {str(value)[:50]!r}, but must be a number")
    if not low <= value <= high:
        raise SettingsError(f"{label} is {value:g}, but must lie in {low:g} to {high:g}")
    return float(value)


def _whole(named: dict[str, Any], label: str) -> int:
    return round(_number(named, label))  # HARP sends every number as a float


def _seed(text: str) -> int:
    if not text:
        return secrets.randbelow(2**31)
    number = text.removesuffix(".0")
    if not number.isdecimal() or int(number[:20]) >= 2**63:
        raise SettingsError(f"Seed is {text[:50]!r}, but must be a whole number from 0 to 2**63 - 1, or empty")
    return int(number)
