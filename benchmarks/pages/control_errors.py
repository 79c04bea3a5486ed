"""What is said of wrong control texts and files: docs/results/control-errors.md, made by the commands themselves.

python -m benchmarks.pages.control_errors > docs/results/control-errors.md
"""

from __future__ import annotations

import datetime
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

GENERATE = "generate -o out.wav"
COMMANDS = (
    f"{GENERATE} --bpm 20",
    f"{GENERATE} --bpm fast",
    f"{GENERATE} --key 'D mnor'",
    f"{GENERATE} --key Q",
    f"{GENERATE} --key a",
    f"{GENERATE} --key H",
    f"{GENERATE} --chords 'Dm7 | H7'",
    f"{GENERATE} --chords 'am7'",
    f"{GENERATE} --bpm 96 --bars 10000",
    f"{GENERATE} --chords 'Dm7 | Gsuss4'",
    f"{GENERATE} --chords ''",
    f"{GENERATE} --chords 'Dm7 | | G7'",
    f"{GENERATE} --chords '% | C'",
    f"{GENERATE} --bpm 96 --metre 9/8",
    f"{GENERATE} --bpm 96 --bars 0",
    f"{GENERATE} --bpm 96 --bars 8 --seconds 10",
    f"{GENERATE} --style funkk",
    f"{GENERATE} --style polka",
    f"{GENERATE} --instruments 'electric bas'",
    f"{GENERATE} --instruments drums --instruments 'no drums'",
    f"{GENERATE} --bpm 96 --like loop.wav",
    f"{GENERATE} --sketch only",
    f"{GENERATE} --best-of 4",
    f"{GENERATE} --bpm 96 --sketch only --best-of 4",
    "vamp loop.wav -o out.wav --follow drums",
    "vamp loop.wav -o out.wav --follow none.wav:beats",
    "vamp loop.wav -o out.wav --follow text.mid:chords",
    "vamp loop.wav -o out.wav --follow text.json:chords",
    "vamp loop.wav -o out.wav --follow list.json:chords",
    "vamp loop.wav -o out.wav --follow newer.json:chords",
    "vamp loop.wav -o out.wav --follow high.json:melody",
    "vamp loop.wav -o out.wav --best-of 2 --variations 4",
    "vamp loop.wav -o out.wav --best-of 2 --plot out.png",
    "vamp loop.wav -o out.wav --transpose 30",
    "vamp silence.wav -o out.wav --tempo 96",
    "tap silence.wav -o out.wav",
    "tap loop.wav -o out.wav --tightness 0.5",
    "hum silence.wav -o out.wav",
    "hum loop.wav -o out.wav --instrument drums",
    "hum loop.wav -o out.wav --key 'H mol'",
    "controls text.mid",
    "controls empty.wav",
    "controls loop.wav --plot out.gif",
)
LOOP = Path("examples/loop.wav")
HEAD = '"n_frames": 1, "sample_rate_hz": 44100, "hop": 768'


def write_files(folder: Path) -> None:
    """The inputs that the commands name."""
    import numpy as np
    import soundfile

    (folder / "loop.wav").write_bytes(LOOP.read_bytes())
    soundfile.write(folder / "silence.wav", np.zeros(44100), 44100)
    (folder / "empty.wav").write_bytes(b"")
    for name in ("text.mid", "text.json"):
        (folder / name).write_text("bpm(96)")
    (folder / "list.json").write_text("[1, 2]")
    (folder / "newer.json").write_text(f'{{"format": 99, {HEAD}}}')
    (folder / "high.json").write_text(f'{{"format": 1, {HEAD}, "melody": [999.0]}}')


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as place:
        write_files(Path(place))
        path = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": path}
        for command in COMMANDS:
            words = [sys.executable, "-m", "vampnet", *shlex.split(command)]
            done = subprocess.run(words, cwd=place, capture_output=True, text=True, env=environment)
            said = " ".join(done.stderr.replace("vampnet: error: ", "").split())
            assert done.returncode == 2 and "Traceback" not in said, (command, done.returncode, said)
            assert not (Path(place) / "out.wav").exists(), command
            rows.append((command, said))
            print(command, file=sys.stderr)
    print("# Wrong controls, and what is said of them\n")
    date = datetime.date.today().isoformat()
    print(f"Date: {date}. Model: none. Command: `python -m benchmarks.pages.control_errors`.\n")
    print(f"{len(rows)} wrong texts and files. Every line goes to stderr, the exit code is 2, nothing is written.")
    print("Tests: tests/unit/controls/test_words.py and test_reading.py try more of both.\n")
    print("| # | command | what it says |\n|---|---|---|")
    for number, (command, said) in enumerate(rows, 1):
        cells = [text.replace("|", "\\|") for text in (f"`vampnet {command}`", said)]
        print(f"| {number} | {cells[0]} | {cells[1]} |")


if __name__ == "__main__":
    main()
