"""Names of chords and keys: what musicians write, its normal form, and what is said of what is wrong."""

import pytest

from vampnet.controls.names import chord_of_tones, key_text, parse_chord, parse_key, pitch_class, third_of_mode
from vampnet.errors import SettingsError


@pytest.mark.parametrize(
    ("written", "printed", "tones", "harte"),
    [
        ("Dm7", "Dm7", (0, 3, 7, 10), "D:min7"),
        ("C", "C", (0, 4, 7), "C:maj"),
        ("Cmajor7", "Cmaj7", (0, 4, 7, 11), "C:maj7"),
        ("CM7", "Cmaj7", (0, 4, 7, 11), "C:maj7"),
        ("C△", "Cmaj7", (0, 4, 7, 11), "C:maj7"),
        ("C-7", "Cm7", (0, 3, 7, 10), "C:min7"),
        ("F♯ø", "F#m7b5", (0, 3, 6, 10), "F#:hdim7"),
        ("B♭7", "Bb7", (0, 4, 7, 10), "Bb:7"),
        ("Gsus4", "Gsus4", (0, 5, 7), "G:sus4"),
        ("Em(maj7)", "EmM7", (0, 3, 7, 11), "E:minmaj7"),
        ("A9", "A9", (0, 4, 7, 10, 14), "A:7"),
        ("D#m", "Ebm", (0, 3, 7), "Eb:min"),
        ("C6/9", "C69", (0, 4, 7, 9, 14), "C:maj6"),
        ("Bm7(b5)", "Bm7b5", (0, 3, 6, 10), "B:hdim7"),
        ("G+", "Gaug", (0, 4, 8), "G:aug"),
        ("Co", "Cdim", (0, 3, 6), "C:dim"),
        ("CmMaj7", "CmM7", (0, 3, 7, 11), "C:minmaj7"),
        ("C△9", "Cmaj9", (0, 4, 7, 11, 14), "C:maj7"),
        ("C^7", "Cmaj7", (0, 4, 7, 11), "C:maj7"),
        ("G7alt", "G7b9#5", (0, 4, 8, 10, 13), "G:aug"),
        ("C##", "D", (0, 4, 7), "D:maj"),
        ("Bbb7", "A7", (0, 4, 7, 10), "A:7"),
    ],
)
def test_chords_have_one_normal_form(written, printed, tones, harte):
    chord = parse_chord(written)
    assert (str(chord), chord.intervals, chord.harte) == (printed, tones, harte)
    assert parse_chord(printed) == chord


def test_a_slash_names_the_bass():
    chord = parse_chord("C/E")
    assert (chord.root, chord.bass, str(chord)) == (0, 4, "C/E")
    assert parse_chord("C/C").bass is None
    assert str(chord.transpose(2)) == "D/F#"
    assert parse_chord("Am").pitch_classes == (9, 0, 4)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("Gsuss4", "Gsus4"),
        ("Dm77", "Dm7"),
        ("H7", "German name of B; write B7"),
        ("", "write for instance"),
        ("xyz", "xyz"),
    ],
)
def test_unknown_chords_are_named_with_the_nearest(wrong, hint):
    with pytest.raises(SettingsError, match=hint):
        parse_chord(wrong)


def test_chords_of_tones_take_the_nearest_name():
    assert str(chord_of_tones(2, (0, 3, 7))) == "Dm"
    assert str(chord_of_tones(0, (0, 4, 7, 10, 14, 21))) == "C9"
    assert str(chord_of_tones(7, (0, 2, 4, 7))) == "Gadd9"


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("D minor", "D minor"),
        ("Dm", "D minor"),
        ("d-minor", "D minor"),
        ("Bb", "Bb major"),
        ("bbm", "Bb minor"),
        ("E blues", "E blues"),
        ("b blues", "B blues"),
        ("C# dorian", "Db dorian"),
        ("A harmonic_minor", "A harmonic minor"),
        ("F sharp min", "F# minor"),
        ("h-moll", "B minor"),
        ("B-Dur", "Bb major"),
        ("fis moll", "F# minor"),
        ("Es-Dur", "Eb major"),
        ("A min.", "A minor"),
    ],
)
def test_keys_have_one_normal_form(written, printed):
    assert key_text(*parse_key(written)) == printed


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("D mnor", "minor"),
        ("K minor", "tonic"),
        ("", "tonic"),
        ("a", "A major or A minor"),
        ("f#", "F# major or F# minor"),
        ("H", "German name of B"),
        ("H minor", "B minor"),
    ],
)
def test_unknown_keys_are_named(wrong, hint):
    with pytest.raises(SettingsError, match=hint):
        parse_key(wrong)


def test_notes_and_thirds():
    assert [pitch_class(name) for name in ("C", "F#", "Gb", "Cb", "b")] == [0, 6, 6, 11, 11]
    assert third_of_mode("dorian") == "minor" and third_of_mode("mixolydian") == "major"
    assert third_of_mode("harmonic_minor") == "minor"
