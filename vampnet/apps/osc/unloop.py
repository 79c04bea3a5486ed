"""The positional messages of unloop, the live looper of the VampNet authors, so that its patch runs unchanged.

`/process` has 18 arguments: 0 query id, 1 client type, 2 path, 3 model name, 4 period, 5 dropout, 6 seed, 7 loop length
in ms, 8 typical filter on, 9 its mass, 10 its least tokens, 11 upper codebook mask, 12 onset width, 13 steps, 14
temperature, 15 top p, 16 beat width in ms, 17 feedback steps. The answer names two variations. Other than the patch's
own server, the input is left alone, outputs have its rate, and `/cleanup` removes outputs of this service only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vampnet.apps.osc.messages import JobMessage, check_atoms, key_of, resolve_inside
from vampnet.errors import SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.jobs.request import LoopRequest

N_ARGUMENTS = 18
N_VARIATIONS = 2
CLIENT = "vampnet"
ONSET_MS = 12.0
"""Length of a unit of the onset width: about a codec frame of 768 samples, rounded down, ms."""


def parse_process(arguments: Sequence[Any], folder: Path) -> tuple[JobMessage, float]:
    """The job of a `/process` message and the loop's length in seconds (0: the file). Raises VampnetError."""
    atoms = check_atoms(arguments)
    if len(atoms) != N_ARGUMENTS:
        raise SettingsError(f"/process has {len(atoms)} arguments, but must have {N_ARGUMENTS}")
    if atoms[1] != CLIENT:
        raise SettingsError(f"client type is {atoms[1]!r}; this service does '{CLIENT}' alone")
    numbers = [_number(atom, place) for place, atom in enumerate(atoms) if place not in (1, 2, 3)]
    id_, period, dropout, seed, loop_ms, typical, mass, least, upper, onset, steps, heat, top_p, beat_ms, _ = numbers
    source = resolve_inside(folder, _local(str(atoms[2]), folder))
    sampling = SamplingConfig(
        steps=int(steps),
        temperature=heat,
        top_p=top_p or 1.0,
        typical_mass=mass if typical else 1.0,
        typical_min_tokens=int(least),
        seed=int(seed),
    )
    prompt = build_prompt(int(period), dropout, int(upper), int(onset), beat_ms)
    request = LoopRequest(input=str(source), prompt=prompt, variations=N_VARIATIONS, sampling=sampling)
    output = source.with_name(f"{source.stem}-unloop-{key_of(atoms[0])}.wav")
    return JobMessage(atoms[0], f"unloop-{key_of(id_)}", request, output, None), loop_ms / 1000


def build_prompt(period: int, dropout: float, upper: int, onset: int, beat_ms: float) -> str:
    """The prompt text of unloop's dials: ((periodic | onsets | beats) & drop) & codebooks."""
    parts = [f"periodic({period})"] if period > 0 else []
    if onset > 0:
        parts.append(f"onsets(before={onset * ONSET_MS:g}ms, after={onset * ONSET_MS:g}ms)")
    if beat_ms > 0:
        parts.append(f"beats(after={beat_ms:g}ms)")
    prompt = " | ".join(parts) or "nothing"
    if dropout > 0:
        prompt = f"({prompt}) & drop({dropout:g})"
    return f"({prompt}) & codebooks({upper})" if upper > 0 else prompt


def _local(path: str, folder: Path) -> str:
    """The path that a patch sent, relative to the folder where it is an absolute one inside it."""
    place = Path(path)
    if place.is_absolute():
        try:
            return str(place.resolve().relative_to(folder.resolve()))
        except ValueError:
            return path
    return path


def _number(atom: Any, place: int) -> float:
    try:
        return float(atom)
    except ValueError:
        raise SettingsError(f"argument {place} of /process is {atom!r}, but must be a number") from None
