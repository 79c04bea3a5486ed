"""Code that makes an output again: as a command line, in Python, as JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from vampnet.config import to_dict
from vampnet.generation.config import SamplingConfig
from vampnet.jobs.flags import as_single
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

_METHODS: dict[type[Request], tuple[str, tuple[str, ...]]] = {
    VampRequest: ("vamp", ("prompt",)),
    InpaintRequest: ("inpaint", ("regions", "prompt", "theme")),
    OutpaintRequest: ("outpaint", ("before_s", "after_s", "theme")),
    GenerateRequest: ("generate", ("seconds", "like", "prompt", "theme")),
    LoopRequest: ("loop", ("bars", "prompt")),
    StretchRequest: ("stretch", ("factor",)),
    TelephoneRequest: ("telephone", ("rounds", "prompt")),
}
"""Methods of the model, and the fields of requests that they take."""
_ALWAYS = ("input", "sampling", "model", "output", "domain_warning")


def python_of(request: Request, output: str) -> str:
    """A Python program that makes an output of a request again; `request.variation` says which."""
    request = as_single(request)
    method, fields = _METHODS.get(type(request), ("", ()))
    changed = [f.name for f in dataclasses.fields(request) if getattr(request, f.name) != f.default]
    if not method or set(changed) - {*fields, *_ALWAYS} or _changed(request.output):
        return _as_job(request, output)
    arguments = [repr(request.input)] if request.input else []
    arguments += [f"{name}={getattr(request, name)!r}" for name in fields if name in changed]
    if sampling := _changed(request.sampling):
        arguments.append(f"sampling={_call('vampnet.SamplingConfig', sampling)}")
    model = _changed(request.model)
    bundle = repr(model.pop("bundle")) if "bundle" in model else ""
    loaded = _call("vampnet.load", model, bundle)
    return f"import vampnet\n\nmodel = {loaded}\nmodel.{method}({', '.join(arguments)}).save({output!r})\n"


def _as_job(request: Request, output: str) -> str:
    """A program that runs the request itself, for settings that the methods of the model do not have."""
    data = json.loads(json.dumps(request_to_json(request)))
    return (
        "from pathlib import Path\n\nfrom vampnet.jobs.request import request_from_json\n"
        f"from vampnet.jobs.runner import run_job\n\nrequest = {data!r}\n"
        f"run_job(request_from_json(request), [Path({output!r})])\n"
    )


def summarise(request: Request, seed: int | None) -> str:
    """A request in a line: its task, what is kept, and the seed."""
    words = [request.task]
    for name in ("prompt", "regions", "before_s", "after_s", "seconds", "factor", "rounds", "bars", "words"):
        value = getattr(request, name, None)
        default = next((f.default for f in dataclasses.fields(request) if f.name == name), None)
        if name == "prompt" and value:
            words.append(str(value)[:200])
        elif name == "regions" and value:
            shown = (f"{start:g}-{'end' if end is None else f'{end:g}'} s" for start, end in value)
            words.append(" and ".join(shown))
        elif value != default and value is not None:
            words.append(f"{name.removesuffix('_s')} {value}")
    return ", ".join([*words, *([] if seed is None else [f"seed {seed}"])])


def _changed(settings: Any) -> dict[str, Any]:
    default = SamplingConfig() if isinstance(settings, SamplingConfig) else type(settings)()
    return {name: value for name, value in to_dict(settings).items() if value != to_dict(default)[name]}


def _call(name: str, keywords: dict[str, Any], *first: str) -> str:
    given = [*(text for text in first if text), *(f"{key}={value!r}" for key, value in keywords.items())]
    return f"{name}({', '.join(given)})"
