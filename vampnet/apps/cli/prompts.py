"""`vampnet prompts`: the parts and presets that a prompt can be made of."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

if TYPE_CHECKING:
    pass


# --- info ------------------------------------------------------------------------------------------------------------


def run_prompts(options: Namespace) -> None:
    """`vampnet prompts`: the parts and presets that a prompt can be made of."""
    import inspect

    from vampnet.prompts.grammar import PARTS
    from vampnet.prompts.presets import PRESETS

    print("Parts (a | b keeps what either keeps, a & b what both keep; times: 1.5, 75ms, 4f frames, 2b beats)\n")
    for name, kind in PARTS.items():
        fields = [f"{f.name}{'' if f.default is dataclasses.MISSING else f'={f.default}'}" for f in _fields(kind)]
        signature = f"{name}({', '.join(fields)})" if fields else name
        print(f"  {signature:<52}  {_first_line(inspect.getdoc(kind))}")
    print("\nPresets\n")
    for preset in PRESETS:
        print(f"  {preset.name:<18}  {preset.prompt:<32}  {preset.sentence}")


def _fields(kind: type) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(kind)


def _first_line(text: str | None) -> str:
    return (text or "").splitlines()[0]
