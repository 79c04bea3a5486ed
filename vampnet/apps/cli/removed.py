"""Flags that a command does not have any more, or not at all, and what to write in their place."""

from __future__ import annotations

from collections.abc import Sequence

from vampnet.errors import SettingsError
from vampnet.jobs.flags import flags_of

_PROMPT_FLAGS = ("--periodic", "--width", "--random", "--codebooks", "--keep")
_UNORDERED = ("--order", "--remask")


def refuse_removed(command: str, words: Sequence[str]) -> None:
    """Raise SettingsError for a flag of 0.1 that is gone; the message shows the prompt that says the same.

    Also for flags of sampling where a .vamp file is opened, which holds them.
    """
    words = words[: words.index("--")] if "--" in words else words
    names = [word.partition("=")[0] for word in words]
    if command == "decompress":
        stored = [flag.name for flag in flags_of("vamp") if flag.group == "sampling" and flag.name != "--seed"]
        for name in sorted(set(names) & set(stored)):
            raise SettingsError(f"{name} is stored in the .vamp file; only --seed can be chosen when it is opened")
    for name in _UNORDERED:
        if name in names:
            raise SettingsError(f"{name} is gone: no other order of unmasking was better; leave it out")
    given = [name for name in _PROMPT_FLAGS if name in names]
    if command != "vamp" or not given:
        return
    values: dict[str, list[str]] = {name: [] for name in _PROMPT_FLAGS}
    for place, name in enumerate(names):
        if name in values:
            _, equals, text = words[place].partition("=")
            following = words[place + 1] if place + 1 < len(words) else "N"
            values[name].append(text if equals else following)
    raise SettingsError(f"{given[0]} is gone: the prompt says it; write --prompt '{_prompt_of(values)}'")


def _prompt_of(values: dict[str, list[str]]) -> str:
    """The prompt that the flags of 0.1 spelled: ((periodic | random) & codebooks) | keep regions."""
    periodic, width, random, codebooks, keep = (values[name] for name in _PROMPT_FLAGS)
    parts = []
    if periodic or (width and not random):
        parts.append(f"periodic({', '.join([*(periodic[-1:] or ['7']), *width[-1:]])})")
    parts += [f"random({random[-1]})"] if random else []
    prompt = " | ".join(parts)
    if codebooks:
        prompt = f"({prompt})" if len(parts) > 1 else prompt
        prompt = " & ".join([*([prompt] if prompt else []), f"codebooks({codebooks[-1]})"])
    regions = []
    for text in keep:
        start, _, end = text.partition(":")
        regions.append(f"keep({start or 0}, {end or 'inf'})")
    return " | ".join([*([prompt] if prompt else []), *regions])
