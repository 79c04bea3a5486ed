"""Labels over the waveform in HARP: passages that were kept or made, beats, and how to make the same again."""

from __future__ import annotations

import itertools
from typing import Any

KEPT, MADE, BEAT = 0xFF2E8B57, 0xFFD2691E, 0xFF4169E1
"""Colours, alpha above red, green and blue."""
_MOST_BEATS = 2000


def label_list(request: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """The labels of a finished job, from its request and result (both JSON data)."""
    output = result["outputs"][0]
    seconds = float(output["seconds"])
    labels = [
        _label(start, end - start, "kept" if kept else "generated", KEPT if kept else MADE)
        for start, end, kept in passages(request, result, seconds)
        if end > start
    ]
    beats = [float(t) for t in (result.get("facts") or {}).get("beats_s", []) if 0 <= float(t) <= seconds]
    labels += [_label(t, 0.0, "beat", BEAT) for t in beats[:_MOST_BEATS]]
    share = output.get("kept_share")
    again = f"seed {output['seed']}" + ("" if share is None else f", {share:.0%} of the tokens kept")
    labels.append(
        _label(0.0, 0.0, again, 0, kind="OutputLabel", description=str(output.get("command", ""))),
    )
    return {"meta": {"_type": "pyharp.LabelList"}, "labels": labels}


def passages(request: dict[str, Any], result: dict[str, Any], seconds: float) -> list[tuple[float, float, bool]]:
    """The output from its beginning to its end as (start, end, kept), seconds."""
    task = request.get("task")
    if task == "inpaint":
        regions = sorted((start, seconds if end is None else min(end, seconds)) for start, end in request["regions"])
    elif task == "outpaint":
        before = float(request.get("before_s", 0.0))
        after = float(request.get("after_s", 0.0))
        regions = [(0.0, before), (max(before, seconds - after), seconds)]
    else:
        kept = [(0.0, 0.0), *result["outputs"][0].get("kept_s", ()), (seconds, seconds)]
        regions = [(end, start) for (_, end), (start, _) in itertools.pairwise(kept) if start > end]
    found, position = list[tuple[float, float, bool]](), 0.0
    for start, end in regions:
        start = max(start, position)
        if start > position:
            found.append((position, min(start, seconds), True))
        if end > start:
            found.append((start, end, False))
            position = end
    if position < seconds:
        found.append((position, seconds, True))
    return found


def _label(
    start_s: float, seconds: float, text: str, color: int, *, kind: str = "AudioLabel", description: str = ""
) -> dict[str, Any]:
    # HARP reads the colour as a signed 32-bit number.
    signed = color - (1 << 32) if color >= 1 << 31 else color
    label = {
        "label_type": kind, "t": round(start_s, 4), "label": text, "duration": round(seconds, 4),
        "description": description or None, "color": signed, "link": None,
    }  # fmt: skip
    return label | ({"amplitude": None} if kind == "AudioLabel" else {})
