"""Prompts as data: the parts of a prompt, and the parts of the language with their arguments."""

from __future__ import annotations

import dataclasses
import inspect
import math
from typing import Any, Literal

from pydantic import BaseModel, Field

from vampnet.config import descriptions
from vampnet.prompts.grammar import PARTS
from vampnet.prompts.painted import Erase, Paint
from vampnet.prompts.parts import Intersection, Prompt, Union
from vampnet.prompts.presets import PRESETS
from vampnet.prompts.rhythmic import WHICH
from vampnet.prompts.time import MAX_FRAMES

_RANGES: dict[tuple[str, str], dict[str, Any]] = {
    ("periodic", "period"): {"kind": "integer", "low": 0, "high": MAX_FRAMES},
    ("periodic", "width"): {"kind": "integer", "low": 1, "high": MAX_FRAMES},
    ("periodic", "offset"): {"kind": "integer", "low": -MAX_FRAMES, "high": MAX_FRAMES, "choices": ["random"]},
    ("codebooks", "n"): {"kind": "integer", "low": 0, "high": 64},
    ("beats", "every"): {"kind": "integer", "low": 1, "high": 10**6},
    ("beats", "which"): {"kind": "choice", "choices": list(WHICH)},
    ("random", "rate"): {"kind": "number", "low": 0.0, "high": 1.0},
    ("drop", "share"): {"kind": "number", "low": 0.0, "high": 1.0},
    ("paint", "strokes"): {"kind": "strokes"},
    ("erase", "strokes"): {"kind": "strokes"},
}
"""Kinds and ranges of arguments; all others are times."""


class ArgumentView(BaseModel):
    """An argument of a part."""

    name: str
    kind: Literal["integer", "number", "time", "choice", "strokes"]
    default: int | float | str | None = None
    """Null where it has to be given."""
    low: float | None = None
    high: float | None = None
    choices: list[str] = []
    sentence: str


class PartView(BaseModel):
    """A part of the prompt language."""

    name: str
    sentence: str
    arguments: list[ArgumentView]


class PresetView(BaseModel):
    """A named prompt."""

    name: str
    prompt: str
    sentence: str


class PromptsView(BaseModel):
    """Parts and presets of prompts."""

    presets: list[PresetView]
    parts: list[PartView]


class LeafView(BaseModel):
    """A part within a prompt, with all of its arguments."""

    name: str
    arguments: dict[str, Any]


class ParsedView(BaseModel):
    """A prompt, taken apart."""

    prompt: str = Field(examples=["periodic(7) & codebooks(3)"])
    """The same prompt in its plain form."""
    parts: list[LeafView]
    """Its parts from left to right."""
    tree: dict[str, Any]
    """Structure of the parts: a part, or {"op": "|" or "&", "parts": [...]}."""


def list_prompts() -> PromptsView:
    """Presets and parts of the language."""
    presets = [PresetView(name=p.name, prompt=p.prompt, sentence=p.sentence) for p in PRESETS]
    return PromptsView(presets=presets, parts=[_part_view(name, kind) for name, kind in PARTS.items()])


def parse_view(prompt: Prompt) -> ParsedView:
    """A prompt, taken apart."""
    leaves: list[LeafView] = []
    tree = _tree(prompt, leaves)
    return ParsedView(prompt=str(prompt), parts=leaves, tree=tree)


def _tree(prompt: Prompt, leaves: list[LeafView]) -> dict[str, Any]:
    if isinstance(prompt, (Union, Intersection)):
        op = "|" if isinstance(prompt, Union) else "&"
        return {"op": op, "parts": [_tree(part, leaves) for part in prompt.parts]}
    leaf = LeafView(name=type(prompt).__name__.lower(), arguments=_arguments(prompt))
    leaves.append(leaf)
    return leaf.model_dump()


def _arguments(prompt: Prompt) -> dict[str, Any]:
    if isinstance(prompt, (Paint, Erase)):
        return {"strokes": [str(stroke) for stroke in prompt.strokes]}
    return {field.name: _plain(getattr(prompt, field.name)) for field in dataclasses.fields(prompt)}  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    """A number or a word as it is, a time as its text."""
    if isinstance(value, float) and math.isinf(value):
        return "inf"
    return value if isinstance(value, (int, float, str)) else str(value)


def _part_view(name: str, kind: type[Prompt]) -> PartView:
    texts = descriptions(kind)
    arguments = [
        ArgumentView(
            name=field.name,
            default=None if field.default is dataclasses.MISSING else _plain(field.default),
            sentence=" ".join(texts.get(field.name, "").split()),
            **_RANGES.get((name, field.name), {"kind": "time", "low": 0.0}),
        )
        for field in dataclasses.fields(kind)  # type: ignore[arg-type]
    ]
    return PartView(name=name, sentence=(inspect.getdoc(kind) or "").splitlines()[0], arguments=arguments)
