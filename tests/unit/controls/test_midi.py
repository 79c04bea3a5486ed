"""MIDI files as controls: time, chords, melody; damaged files are named."""

import mido
import numpy as np
import pytest

from vampnet.controls.midi import controls_of_midi, read_midi
from vampnet.controls.timeline import read_beats
from vampnet.errors import AudioError


def write_song(path, bpm=100.0, metre=(4, 4), key="Dm"):
    """Four bars: chords Dm, G, C, Am; a lead of quarters; kicks on the bar."""
    song = mido.MidiFile(type=1, ticks_per_beat=240)
    head = mido.MidiTrack([
        mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(bpm)),
        mido.MetaMessage("time_signature", numerator=metre[0], denominator=metre[1]),
        mido.MetaMessage("key_signature", key=key),
    ])  # fmt: skip
    bar = 240 * 4 * metre[0] // metre[1]
    song.tracks += [head]
    parts = {
        "chords": (0, [[50, 53, 57], [43, 55, 59, 62], [48, 52, 55], [45, 57, 60, 64]], bar),
        "Lead": (1, [[74], [79], [76], [72]], bar),
        "drums": (9, [[36]] * 4, bar),
    }
    for name, (channel, bars, length) in parts.items():
        track = mido.MidiTrack([mido.MetaMessage("track_name", name=name)])
        for pitches in bars:
            track += [mido.Message("note_on", channel=channel, note=p, velocity=90, time=0) for p in pitches]
            for number, pitch in enumerate(pitches):
                track.append(mido.Message("note_off", channel=channel, note=pitch, time=0 if number else length))
        song.tracks.append(track)
    song.save(path)
    return path


def test_a_song_is_read(tmp_path):
    controls = controls_of_midi(write_song(tmp_path / "song.mid"))
    assert controls.tempo_bpm == pytest.approx(100.0) and controls.metre == "4/4" and controls.key == "D minor"
    assert [span.label for span in controls.chords or ()] == ["Dm", "G", "C", "Am"]
    assert [round(span.start_s, 3) for span in controls.chords or ()] == [0.0, 2.4, 4.8, 7.2]
    np.testing.assert_allclose(
        read_beats(controls.signal("beat_phase"), controls.times_s)[:8], np.arange(8) * 0.6, atol=2e-3
    )
    np.testing.assert_allclose(
        read_beats(controls.signal("bar_phase"), controls.times_s)[:4], np.arange(4) * 2.4, atol=2e-3
    )
    assert [float(controls.signal("melody")[int(t * controls.frames_per_s)]) for t in (1, 3, 6, 9)] == [74, 79, 76, 72]
    assert np.flatnonzero(controls.signal("onset_low")).tolist() == [
        int(t * controls.frames_per_s) for t in (0, 2.4, 4.8, 7.2)
    ]
    middle = controls.signal("chroma")[:, 20]
    assert set(np.flatnonzero(middle > 0.4)) == {2, 5, 9}


def test_compound_metres_count_dotted_quarters(tmp_path):
    score = read_midi(write_song(tmp_path / "song.mid", bpm=120.0, metre=(6, 8)))
    assert score.metre == "6/8" and score.tempo_bpm == pytest.approx(80.0)
    assert score.beats_s[:4] == pytest.approx((0.0, 0.75, 1.5, 2.25))
    assert score.downbeats_s[:2] == pytest.approx((0.0, 1.5))


def test_tempo_changes_are_followed(tmp_path):
    song = mido.MidiFile(ticks_per_beat=100)
    song.tracks.append(mido.MidiTrack([
        mido.Message("note_on", note=60, velocity=90, time=0),
        mido.MetaMessage("set_tempo", tempo=1_000_000, time=200),
        mido.Message("note_off", note=60, time=200),
    ]))  # fmt: skip
    song.save(tmp_path / "slow.mid")
    score = read_midi(tmp_path / "slow.mid")
    assert score.duration_s == pytest.approx(3.0) and score.beats_s == pytest.approx((0.0, 0.5, 1.0, 2.0, 3.0))
    assert score.tempo_bpm == pytest.approx(60.0)


def test_a_stretch_can_be_asked_for(tmp_path):
    controls = controls_of_midi(write_song(tmp_path / "song.mid"), n_frames=100, sample_rate_hz=16000, hop=320)
    assert controls.n_frames == 100 and controls.duration_s == 2.0


@pytest.mark.parametrize("damage", ["missing", "text", "empty", "cut", "no notes", "type 2"])
def test_damaged_files_are_named(tmp_path, damage):
    path = tmp_path / "bad.mid"
    if damage == "text":
        path.write_text("this is no MIDI file")
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        whole = write_song(tmp_path / "song.mid").read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif damage in ("no notes", "type 2"):
        song = mido.MidiFile(type=2 if damage == "type 2" else 1)
        song.tracks.append(mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=500000)]))
        song.save(path)
    with pytest.raises(AudioError, match=r"bad\.mid"):
        read_midi(path)
