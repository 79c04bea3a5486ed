"""`vampnet prompts`: the parts and presets that a prompt can be made of."""

from __future__ import annotations

import dataclasses
import inspect

from vampnet.apps.cli.parser import CommandOptions, CommandParser


def prompts_options(parser: CommandParser) -> None:
    """Flags of `vampnet prompts`: none."""


def run_prompts(options: CommandOptions) -> None:
    """Print parts and presets, a line each."""
    from vampnet.prompts.grammar import PARTS
    from vampnet.prompts.presets import PRESETS

    print("Parts (a | b keeps what either keeps, a & b what both keep; times: 1.5, 75ms, 4f frames, 2b beats)\n")
    for name, kind in PARTS.items():
        fields = [
            f"{f.name}{'' if f.default is dataclasses.MISSING else f'={f.default}'}"
            for f in dataclasses.fields(kind)  # type: ignore[arg-type]
        ]
        signature = f"{name}({', '.join(fields)})" if fields else name
        print(f"  {signature:<52}  {(inspect.getdoc(kind) or '').splitlines()[0]}")
    print("\nPresets\n")
    for preset in PRESETS:
        print(f"  {preset.name:<18}  {preset.prompt:<32}  {preset.sentence}")
