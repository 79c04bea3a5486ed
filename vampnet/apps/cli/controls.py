"""`vampnet controls`: what is heard in a recording, or read from MIDI: tempo, key, chords, beats, melody, levels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.errors import AudioError

if TYPE_CHECKING:
    from vampnet.controls.signals import Controls

SHOWN_CHORDS = 32
"""Chords that are printed; --json has all."""


def controls_options(parser: CommandParser) -> None:
    """Flags of `vampnet controls`."""
    parser.epilog = "examples:\n  vampnet controls song.wav --plot song.png\n  vampnet controls song.mid --json"
    parser.add_argument("file", metavar="FILE", help="recording, MIDI file (.mid), or JSON that --json printed")
    parser.add_argument("--plot", metavar="PNG", help="picture of all that is heard")
    parser.add_argument("--json", action="store_true", help="print all controls, frame by frame, as JSON")
    parser.add_argument("--voice", action="store_true", help="the recording is one voice alone: trace its exact pitch")


def run_controls(options: CommandOptions) -> None:
    """Print what is heard in a file."""
    path = Path(options.file)
    if options.plot:
        from vampnet.jobs.check import check_plot

        try:
            check_plot(Path(options.plot))
        except AudioError as error:
            raise AudioError(f"--plot: {error}") from None
    from vampnet.controls.reading import read_controls

    controls = read_controls(path, is_voice=bool(options.voice))
    if options.plot:
        from vampnet.controls.plot import plot_controls

        plot_controls(options.plot, controls, path.name)
    if options.json:
        print(json.dumps({"file": str(path), **controls.to_dict()}))
        return
    facts = describe_controls(controls)
    width = max(len(name) for name in facts)
    for name, value in {"file": str(path), **facts}.items():
        print(f"{name:<{width}}  {'-' if value is None else value}")


def describe_controls(controls: Controls) -> dict[str, Any]:
    """Facts about controls for people; None for what is not heard."""
    from vampnet.controls.melody import split_notes
    from vampnet.controls.timeline import read_beats, read_onsets

    def count(phase: Any) -> int | None:
        return None if phase is None else len(read_beats(phase, controls.times_s))

    facts: dict[str, Any] = {
        "seconds": round(controls.duration_s, 2),
        "tempo_bpm": None if controls.tempo_bpm is None else round(controls.tempo_bpm, 1),
        "metre": controls.metre,
        "key": controls.key,
        "beats": count(controls.beat_phase),
        "bars": count(controls.bar_phase),
    }
    if controls.onset_low is not None and controls.onset_high is not None:
        facts["onsets"] = len(read_onsets(controls.onset_low, controls.onset_high, controls.times_s))
    if controls.melody is not None:
        facts["melody_notes"] = len(split_notes(controls.times_s, controls.melody))
    spans = controls.chords or ()
    shown = [f"{span.start_s:.1f} {span.label}" for span in spans[:SHOWN_CHORDS]]
    more = f" ... and {len(spans) - SHOWN_CHORDS} more" if len(spans) > SHOWN_CHORDS else ""
    return facts | {"chords": "  ".join(shown) + more if shown else None}
