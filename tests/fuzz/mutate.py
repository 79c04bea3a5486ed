"""Damage at random: bytes flipped, cut, repeated or moved, JSON whose values are replaced, text with noise."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

HOSTILE_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 3, 7, 255, 65536, 10**9, 2**31, 2**63, 10**400, 1e308, -1e308, 1e-320, 0.5),
    *("", "x", "0" * 16, "0" * 64, "../../x", "a" * 5000, "\0", "é", "nan", "1e9", [], {}, [1], [[]], {"a": 1}),
)
"""Values that settings and headers should never have where others are wanted."""


def mutated_bytes(data: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, cut, inserted, repeated, swapped or zeroed; now and then the same bytes again."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at = rng.randrange(len(changed)) if changed else 0
        length = min(rng.choice((1, 1, 2, 4, 8, 64, 1000)), len(changed) - at)
        how = rng.randrange(7)
        if how == 0 and changed:
            changed[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            changed[at : at + length] = rng.randbytes(length)
        elif how == 2:
            del changed[at : at + length]
        elif how == 3:
            changed[at:at] = rng.choice((rng.randbytes(length), b"\xff" * length, bytes(length)))
        elif how == 4:
            changed[at : at + length] = b"\xff" * length if rng.random() < 0.5 else bytes(length)
        elif how == 5:
            other = rng.randrange(len(changed)) if changed else 0
            changed[at:at] = changed[other : other + length]
        else:
            del changed[at:]
    return bytes(changed)


def mutated_json(value: Any, rng: random.Random) -> Any:
    """A copy of plain data in which some values are replaced, dropped, added or moved."""
    changed = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = _places(changed)
        if not places:
            return rng.choice(HOSTILE_VALUES)
        holder, key = rng.choice(places)
        how = rng.randrange(6)
        if how == 0 and isinstance(holder, dict):
            del holder[key]
        elif how == 1 and isinstance(holder, dict):
            holder[rng.choice(("x", "", "kind", "codec", str(key) + "_"))] = rng.choice(HOSTILE_VALUES)
        elif how == 2:
            other_holder, other_key = rng.choice(places)
            holder[key] = copy.deepcopy(other_holder[other_key])
        elif how == 3 and type(holder[key]) in (int, float):
            holder[key] = holder[key] * rng.choice((-1, 2, 0.5, 1000, 10**9)) + rng.choice((0, 1))
        else:
            holder[key] = copy.deepcopy(rng.choice(HOSTILE_VALUES))
    return changed


def mutated_json_text(value: Any, rng: random.Random) -> bytes:
    """Plain data as JSON, changed as data or as text: NaN and keys that come twice among it."""
    if rng.random() < 0.8:
        return json.dumps(mutated_json(value, rng)).encode()
    return mutated_bytes(json.dumps(value).encode(), rng)


def mutated_text(text: str, rng: random.Random, alphabet: str) -> str:
    """Text with pieces replaced, dropped, repeated and inserted from an alphabet."""
    changed = text
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(changed) + 1)
        end = min(len(changed), at + rng.choice((0, 0, 1, 1, 3, 10)))
        new = "".join(rng.choice(alphabet) for _ in range(rng.choice((0, 1, 1, 2, 6))))
        if rng.random() < 0.1:
            new = changed[at:end] * rng.choice((2, 3, 50))
        changed = changed[:at] + new + changed[end:]
    return changed


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every holder and key or index inside plain data."""
    places: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        holder = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        for key in keys:
            places.append((holder, key))
            waiting.append(holder[key])
    return places
