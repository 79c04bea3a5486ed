"""Control signals: checks, JSON form, slices, other frame rates; phases, chroma and melody from events."""

import json

import numpy as np
import pytest

from vampnet.controls.charts import ChordSpan
from vampnet.controls.names import parse_chord
from vampnet.controls.signals import Controls
from vampnet.controls.timeline import paint_chords, paint_melody, paint_onsets, read_beats, trace_phase
from vampnet.errors import SettingsError


def some_controls(n_frames: int = 100, hop: int = 441) -> Controls:
    frames = Controls(n_frames, 44100, hop)
    chords = (ChordSpan(0.0, 0.4, parse_chord("Dm7")), ChordSpan(0.4, 1.0, parse_chord("G7/B")))
    chroma, bass = paint_chords(chords, frames.times_s)
    loudness = np.linspace(-40, -10, n_frames).astype(np.float32)
    loudness[10:20] = np.nan
    return Controls(
        n_frames,
        44100,
        hop,
        loudness_db=loudness,
        beat_phase=trace_phase((0.1, 0.35, 0.6), frames.times_s),
        chroma=chroma,
        bass_chroma=bass,
        melody=paint_melody([(0.2, 0.5, 62.0)], frames.times_s),
        tempo_bpm=240.0,
        key="Dm",
        metre="4/4",
        instruments=("drums",),
        chords=chords,
    )


def equal(one: Controls, other: Controls) -> bool:
    return json.dumps(one.to_dict()) == json.dumps(other.to_dict())


def test_json_form_comes_back():
    controls = some_controls()
    data = json.loads(json.dumps(controls.to_dict()))
    assert data["loudness_db"][10] is None and "style" not in data and data["key"] == "D minor"
    assert data["chords"][1] == [0.4, 1.0, "G7/B"]
    read = Controls.from_dict(data)
    assert equal(read, controls)
    np.testing.assert_allclose(read.signal("chroma"), controls.signal("chroma"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "update vampnet"),
        ({"format": None}, "format is None"),
        ({"loudness": []}, "unknown control loudness"),
        ({"loudness_db": [1.0]}, "loudness_db"),
        ({"loudness_db": "x"}, "controls.json"),
        ({"n_frames": 0}, "n_frames"),
        ({"n_frames": "3"}, "whole number"),
        ({"tempo_bpm": 5}, "tempo_bpm"),
        ({"tempo_bpm": "fast"}, "must be a number"),
        ({"key": 3}, "must be text"),
        ({"key": "Q"}, "tonic"),
        ({"chords": [[1.0, 0.5, "C"]]}, "stretch"),
        ({"chords": [[0.0, 0.5, "Xx"]]}, "Xx"),
        ({"chords": [1]}, "controls.json"),
        ({"beat_phase": [2.0] * 100}, "0 to 1"),
    ],
)
def test_wrong_json_is_named(change, said):
    data = some_controls().to_dict() | change
    with pytest.raises(SettingsError, match=said):
        Controls.from_dict(data, "controls.json")
    with pytest.raises(SettingsError, match="expected controls"):
        Controls.from_dict([], "controls.json")


def test_signals_are_checked():
    with pytest.raises(SettingsError, match="shape"):
        Controls(10, loudness_db=np.zeros(9, np.float32))
    with pytest.raises(SettingsError, match="-100 to 20"):
        Controls(10, loudness_db=np.full(10, 50.0, np.float32))
    with pytest.raises(SettingsError, match="array of floats"):
        Controls(10, melody=[0.0] * 10)  # type: ignore[arg-type]


def test_slices_keep_time_and_say_nothing_outside():
    controls = some_controls()
    part = controls.slice(30, 60)
    np.testing.assert_array_equal(part.signal("melody"), controls.signal("melody")[30:60])
    assert [(round(s.start_s, 3), round(s.end_s, 3), s.label) for s in part.chords or ()] == [
        (0.0, 0.1, "Dm7"),
        (0.1, 0.3, "G7/B"),
    ]
    wide = controls.slice(-5, 105)
    assert (
        wide.n_frames == 110
        and np.isnan(wide.signal("melody")[:5]).all()
        and np.isnan(wide.signal("chroma")[:, -5:]).all()
    )
    assert wide.known_share("melody") == pytest.approx(100 / 110)
    far = controls.slice(200, 210)
    assert far.known_share("chroma") == 0.0 and far.chords == ()


def test_resampling_keeps_time():
    controls = some_controls()
    other = controls.resample(50, 44100, 882)
    assert other.duration_s == pytest.approx(controls.duration_s)
    beats, other_beats = (read_beats(c.signal("beat_phase"), c.times_s) for c in (controls, other))
    np.testing.assert_allclose(beats, other_beats, atol=0.012)
    np.testing.assert_allclose(beats[:4], (0.1, 0.35, 0.6, 0.85), atol=1e-3)
    assert set(np.unique(other.signal("melody"))) == {0.0, 62.0}
    longer = controls.resample(150)
    assert np.isnan(longer.signal("loudness_db")[100:]).all() and np.isfinite(longer.signal("loudness_db")[99])


def test_phases_go_round_when_resampled():
    frames = Controls(1000, 44100, 441)
    phase = trace_phase(tuple(np.arange(0.0, 10.0, 0.5)), frames.times_s)
    read = Controls(1000, 44100, 441, beat_phase=phase).resample(575, 44100, 767)
    expected = np.mod(read.times_s / 0.5, 1.0)
    apart = np.abs((read.signal("beat_phase") - expected + 0.5) % 1.0 - 0.5)
    assert apart.max() < 0.02


def test_keep_only():
    controls = some_controls().keep_only("key", "melody")
    assert controls.names == ("melody", "key")
    with pytest.raises(SettingsError, match="melodi"):
        controls.keep_only("melodi")


def test_phase_of_too_few_beats_is_unknown():
    assert np.isnan(trace_phase((1.0,), np.arange(5.0))).all()
    assert read_beats(np.full(5, np.nan, np.float32), np.arange(5.0)) == ()


def test_a_beat_on_the_first_sample_is_read_back():
    times = Controls(100, 44100, 441).times_s
    assert read_beats(trace_phase((0.0, 0.5), times), times)[0] == pytest.approx(0.0, abs=1e-3)


def test_onsets_lie_in_their_frame():
    strength = paint_onsets([(0.0, 5.0), (0.025, 3.0), (0.026, 7.0), (9.0, 1.0)], Controls(10, 44100, 441))
    assert strength.tolist() == [5.0, 0.0, 7.0, 0, 0, 0, 0, 0, 0, 0]


def test_chords_paint_their_tones():
    chroma, bass = paint_chords(
        [ChordSpan(0.0, 1.0, parse_chord("C/E")), ChordSpan(1.0, 2.0, None)], np.array([0.5, 1.5, 3.0])
    )
    assert np.flatnonzero(chroma[:, 0]).tolist() == [0, 4, 7] and np.flatnonzero(bass[:, 0]).tolist() == [4]
    assert not chroma[:, 1].any() and np.isnan(chroma[:, 2]).all()
