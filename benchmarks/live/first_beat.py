"""Time from `vary` to the first varied beat of loops of 2, 4 and 8 s, with the embedded model.

    python -m benchmarks.live.first_beat loop2.wav loop4.wav loop8.wav

A loop repeats until a variation is there and its turn is over: so the time is that of the model, rounded up to the next
end of the loop, or of a bar with `swap bar`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from pathlib import Path

from vampnet.apps.live.commands import make_command
from vampnet.apps.live.looper import Looper, LooperConfig
from vampnet.apps.live.making import ModelMaker
from vampnet.apps.live.sets import fit_audio
from vampnet.audio.files import probe
from vampnet.tasks.model import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--channels", type=int, default=2)
    parser.add_argument("--steps", type=int, nargs="+", default=[12, 4])
    options = parser.parse_args()
    maker = ModelMaker(load)
    print(json.dumps({"model": maker.model_id, "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}))
    for name in options.files:
        for steps in options.steps:
            config = LooperConfig(sample_rate_hz=probe(name).sample_rate_hz, channels=options.channels)
            looper = Looper(config)
            looper.load(1, fit_audio(Path(name), config), bars=max(round(probe(name).duration_s / 2), 1))
            looper.do(make_command("set", ["steps", steps]))
            looper.do(make_command("vary", [1]))
            seconds, cpu = [], []
            for _ in range(3):  # the first one makes the seam too
                asked = looper.ask()
                assert asked is not None
                began, began_cpu = time.monotonic(), time.process_time()
                made = maker(asked)
                seconds.append(time.monotonic() - began)
                cpu.append(time.process_time() - began_cpu)
                looper.offer(made)
                looper.tracks[0].swap = None
            turn_s = probe(name).duration_s
            bar_s = turn_s / looper.tracks[0].bars
            print(json.dumps({
                "loop_s": round(turn_s, 2), "channels": options.channels, "steps": steps,
                "model_s": [round(s, 2) for s in seconds], "cpu_s": [round(s, 2) for s in cpu],
                "first_beat_at_loop_end_s": round(math.ceil(seconds[0] / turn_s) * turn_s, 2),
                "first_beat_at_bar_s": round(math.ceil(seconds[0] / bar_s) * bar_s, 2),
                "load": round(os.getloadavg()[0], 1),
            }), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
