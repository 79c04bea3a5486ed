"""Chord charts as text and as files."""

import pytest

from vampnet.controls.charts import ChordSpan, parse_chart, parse_harte, read_chart, read_chord_spans
from vampnet.controls.names import parse_chord
from vampnet.errors import AudioError


def test_chords_share_their_bar():
    spans = parse_chart("Dm7 | G7 | Cmaj7 A7 | N").spans(2.0, 4)
    assert [(s.start_s, s.end_s, s.label) for s in spans] == [
        (0.0, 2.0, "Dm7"),
        (2.0, 4.0, "G7"),
        (4.0, 5.0, "Cmaj7"),
        (5.0, 6.0, "A7"),
        (6.0, 8.0, "N"),
    ]


def test_charts_repeat_and_equal_neighbours_are_one():
    spans = parse_chart("C | %").spans(1.0, 3)
    assert spans == (ChordSpan(0.0, 3.0, parse_chord("C")),)
    assert str(parse_chart("|Am F|%|")) == "Am F | Am F"


def test_a_chart_file_may_have_lines_and_comments(tmp_path):
    path = tmp_path / "song.txt"
    path.write_text("# verse\nDm7 | G7\nCmaj7 A7 |\n")
    assert str(read_chart(path)) == "Dm7 | G7 | Cmaj7 A7"


def test_annotations_are_read(tmp_path):
    path = tmp_path / "song.lab"
    path.write_text("0 1.5 D:min7\n1.5 2 G:7/3\n2.0 3.0 N\n")
    assert [span.label for span in read_chord_spans(path)] == ["Dm7", "G7/B", "N"]
    assert str(parse_harte("C:maj(9)")) == "C"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0 1", "line 1"),
        ("0 1 D:foo", "line 1"),
        ("1 0 C", "no.* stretch|not a stretch"),
        ("", "has none"),
        ("a b C", "line 1"),
    ],
)
def test_wrong_annotations_are_named(tmp_path, text, said):
    path = tmp_path / "bad.lab"
    path.write_text(text)
    with pytest.raises(AudioError, match=said) as caught:
        read_chord_spans(path)
    assert "bad.lab" in str(caught.value)


def test_wrong_chart_files_are_named(tmp_path):
    path = tmp_path / "bad.txt"
    path.write_text("Dm7 | Gsuss4")
    with pytest.raises(AudioError, match=r"bad\.txt.*bar 2.*Gsus4"):
        read_chart(path)
    with pytest.raises(AudioError, match=r"none\.txt"):
        read_chart(tmp_path / "none.txt")
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(AudioError, match=r"bad\.txt"):
        read_chart(path)
