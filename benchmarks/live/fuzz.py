"""Commands by chance on a simulated looper, and each performance replayed to the same bytes.

    python -m benchmarks.live.fuzz --first 0 --sessions 60

Names and values are drawn by chance, legal and not; blocks have 1 to 5000 samples, variations are late or never come.
Prints the sessions whose replay differs, or that end by an error that no user's command should cause.
"""

from __future__ import annotations

import argparse
import json
import random
from typing import Any

import numpy as np

from vampnet.apps.live.commands import COMMANDS, Argument, LiveCommand, make_command
from vampnet.apps.live.looper import Looper, LooperConfig, MadeVariation, VariationRequest
from vampnet.apps.live.making import SimulatedMaker
from vampnet.apps.live.performance import Performance, PerformanceRecord, replay
from vampnet.errors import VampnetError
from vampnet.models.choice import ModelChoice

N_COMMANDS = 400
OFTEN = ("record", "vary", "overdub", "undo", "next", "tap", "back", "stop", "start")
TEXTS = ("periodic(7)", "nothing", "steps", "temperature", "top_p", "", "seed", "beats(after=75ms)", "x" * 50)


def draw_value(rng: random.Random, argument: Argument) -> Any:
    """A value of an argument, legal or not."""
    if argument.kind == "text":
        return rng.choice(TEXTS)
    if "|" in argument.kind:
        return rng.choice([*argument.kind.split("|"), "x"])
    low, high = argument.low, argument.high
    return rng.choice(
        [low, high, 0, 1, 2, -1, 0.5, float("nan"), 1e12, "x", rng.uniform(low, high), rng.randint(-2, 5)]
    )


def draw_command(rng: random.Random) -> LiveCommand | None:
    """A command by chance; None where its values are refused."""
    name = rng.choice(OFTEN) if rng.random() < 0.4 else rng.choice(list(COMMANDS))
    arguments = COMMANDS[name].arguments
    try:
        return make_command(name, [draw_value(rng, one) for one in arguments[: rng.randint(0, len(arguments))]])
    except VampnetError:
        return None


def make(request: VariationRequest) -> MadeVariation:
    """Noise of a variation's seed."""
    rng = np.random.default_rng(request.recipe.sampling.seed % 1000)
    samples = (0.1 * rng.standard_normal(request.source.samples.shape)).astype(np.float32)
    return MadeVariation(request.number, samples, np.zeros((1, 4, 9), np.int32), None)


def play(seed: int) -> tuple[int, int]:
    """One session and its replay; counts of refused commands and of swaps. AssertionError where the bytes differ."""
    rng = random.Random(seed)
    config = LooperConfig(
        sample_rate_hz=8000, channels=1, delay=rng.choice([256, 1000, 4000]), latency=rng.choice([0, -200, 300]),
        n_loops=3, max_loop_s=4,
    )  # fmt: skip
    record = PerformanceRecord(config, ModelChoice())
    maker = SimulatedMaker(make, lambda request: rng.choice([100, 4000, 20000, None]))
    performance = Performance(Looper(config), maker, record=record)
    looper, heard, played, n_refused = performance.looper, list[Any](), list[Any](), 0
    for number in range(N_COMMANDS):
        command = draw_command(rng)
        if command is None:
            n_refused += 1
        else:
            performance.do(command, rng.choice([None, looper.now, max(looper.now - 400, 0), 0]))
        performance.tend()
        n = rng.choice([1, 64, 512, 5000])
        heard.append((0.05 * np.random.default_rng(number).standard_normal((1, n))).astype(np.float32))
        played.append(performance.render(heard[-1]))
    record.n_samples, place = looper.now, 0
    whole, again = np.concatenate(heard, axis=1), list[Any]()

    def sound(n: int) -> Any:
        nonlocal place
        place += n
        return whole[:, place - n : place]

    replay(record, sound, make, again.append, block=777)
    assert np.array_equal(np.concatenate(played, axis=1), np.concatenate(again, axis=1)), "another output"
    return n_refused, looper.n_swaps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--sessions", type=int, default=60)
    options = parser.parse_args()
    counts, failed = [], 0
    for seed in range(options.first, options.first + options.sessions):
        try:
            counts.append(play(seed))
        except Exception as error:
            failed += 1
            print(f"session {seed}: {type(error).__name__} {error}", flush=True)
    refused, swaps = (sum(found) for found in zip(*counts, strict=True))
    print(json.dumps({"sessions": options.sessions, "failed": failed, "refused": refused, "swaps": swaps}))


if __name__ == "__main__":
    main()
