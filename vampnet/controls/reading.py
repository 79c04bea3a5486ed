"""Controls of a file: heard in a recording, read from MIDI or from JSON of `vampnet controls --json`."""

from __future__ import annotations

import os
from pathlib import Path

from vampnet.controls.signals import Controls
from vampnet.errors import AudioError, SettingsError
from vampnet.storage import parse_json, read_text

MIDI_ENDINGS = (".mid", ".midi", ".smf", ".kar")
JSON_ENDING = ".json"
MAX_JSON_BYTES = 200_000_000


def read_controls(path: str | os.PathLike[str], *, is_voice: bool = False) -> Controls:
    """Controls of a recording, a MIDI file or a JSON file, over its whole length.

    is_voice: the recording is one voice alone, whose exact pitch is traced.

    Raises AudioError for a file that cannot be read, SettingsError for JSON that holds no controls.
    """
    place = Path(path)
    if place.suffix.lower() == JSON_ENDING:
        return _read_json(place)
    if place.suffix.lower() in MIDI_ENDINGS:
        from vampnet.controls.midi import controls_of_midi

        return controls_of_midi(place)
    from vampnet.audio.files import read
    from vampnet.controls.extraction import ExtractionConfig, extract_controls

    return extract_controls(read(place), ExtractionConfig(is_voice=is_voice))


def check_controls_file(path: str | os.PathLike[str]) -> None:
    """Raise as `read_controls` does, but of a recording read the header alone."""
    if Path(path).suffix.lower() in (*MIDI_ENDINGS, JSON_ENDING):
        read_controls(path)
        return
    from vampnet.audio.files import probe

    probe(path)


def _read_json(path: Path) -> Controls:
    text = read_text(path, AudioError, MAX_JSON_BYTES)
    try:
        data = parse_json(text)
    except (ValueError, RecursionError):
        raise SettingsError(f"{path}: not JSON; `vampnet controls FILE --json` writes controls") from None
    if isinstance(data, dict):
        data.pop("file", None)
    return Controls.from_dict(data, str(path))
