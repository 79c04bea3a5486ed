"""`vampnet live` for some minutes on JACK's dummy driver, with the embedded model beside it.

    jackd -R -P 80 -d dummy -r 44100 -p 512 &
    python -m benchmarks.live.jack --seconds 300 --input loop.wav

Needs jackd and the extra `live`. Prints the session's counts and the model's times.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import time
from pathlib import Path

from vampnet.apps.live.commands import parse_command
from vampnet.apps.live.config import LiveConfig, SessionFiles
from vampnet.apps.live.session import LiveSession
from vampnet.generation.config import SamplingConfig
from vampnet.models.choice import ModelChoice

TEXTS = ("gain -3", "gain 0", "undo", "vary 1", "vary 1", "keep", "vary 1", "mute 1", "mute 0")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--input", required=True)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--no-model", action="store_true")
    parser.add_argument("--abuse", action="store_true", help="kill the model at a third, stop it at two thirds")
    parser.add_argument("--hang", type=float, default=30.0)
    options = parser.parse_args()
    files = SessionFiles(loops=(Path(options.input),), write=Path("jack-output.wav"))
    model = None if options.no_model else ModelChoice()
    session = LiveSession(LiveConfig(hang=options.hang), files, model, SamplingConfig(steps=options.steps))
    signals = [(1 / 3, signal.SIGKILL), (2 / 3, signal.SIGSTOP)] if options.abuse else []
    texts: list[str] = []
    rng, begun, shown, states = random.Random(0), time.monotonic(), [0], set()

    def show(lines: list[str]) -> None:
        shown[0] += 1
        states.add(session.status().state)
        if shown[0] == 5:
            session.give(parse_command("vary 1"))
        if shown[0] % 70 == 0:
            session.give(parse_command(rng.choice(TEXTS)))
        pid = getattr(session.maker, "pid", None)
        if signals and time.monotonic() - begun > signals[0][0] * options.seconds and pid:
            os.kill(pid, signals.pop(0)[1])
        if (text := session.status().text) and text not in texts:
            texts.append(text)
        if shown[0] % 300 == 1:
            print("\n".join(lines), flush=True)

    session.run(show, seconds=options.seconds)
    told = {"wall_s": round(time.monotonic() - begun, 1), "states": sorted(states), "said": texts}
    print(json.dumps({**session.summary(), **told, "load": round(os.getloadavg()[0], 1), "cores": os.cpu_count()}))


if __name__ == "__main__":
    main()
