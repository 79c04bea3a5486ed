"""Words for music that a task has no use for: why not, and which setting or task has it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from vampnet.errors import SettingsError

_HARMONY = ("chords", "style", "instruments", "metre")
_KEPT = ("inpaint", "outpaint", "continue")
"""Tasks whose outputs hold the input as it is."""


def explain_word(task: str, name: str) -> str:
    """One sentence about a word that a task does not take, such as `chords` for vamp; empty for any other name."""
    name = name.removeprefix("--").replace("-", "_")
    if name == "words":
        return f"{task} takes no words; generate makes music to words"
    if task == "generate":
        return {
            "tempo": "generate takes the tempo of new music in `bpm`",
            "transpose": "generate has no input to transpose; say the key of new music in `key`",
        }.get(name, "")
    if name in _HARMONY:
        if task == "hum" and name == "instruments":
            return "hum plays one line on one `instrument`"
        return (
            f"{task} takes no {name}: its input has its own; generate makes music to words, and vamp keeps to the "
            "chords of a file with `follow` (FILE:chords)"
        )
    if name in ("tempo", "transpose", "key"):
        if task == "tap":
            return "tap plays hits where they are heard, without pitch; bring the recording to another tempo first"
        if task in _KEPT:
            return (
                f"{task} leaves its input as it is, so what is added has the input's key and tempo; bring the input to "
                "another one first, with vamp or loop"
            )
        return f"{task} takes no {name}; vamp and loop bring their input to another key, pitch and tempo"
    if name == "bpm":
        return f"{task} takes no bpm: it goes on in the tempo of its input" if task in _KEPT else ""
    if name == "bars":
        if task in ("outpaint", "continue"):
            return f"{task} counts in seconds; loop cuts bars, and generate makes them"
        return f"{task} keeps the length of its input; loop cuts bars, and generate makes them"
    return ""


def refuse_words(task: str, names: Iterable[str], request: type, where: str) -> None:
    """Raise SettingsError for a name that is no field of the task's request, but a word for music elsewhere."""
    known = {field.name for field in dataclasses.fields(request)}
    for name in names:
        if name not in known and (told := explain_word(task, name)):
            raise SettingsError(f"{where}: {told}")
