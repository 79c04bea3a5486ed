"""Control words: checked, printed, parsed back; and thirty wrong texts with what is said of each."""

import pytest
from hypothesis import given, settings, strategies as st

from synthcorpus.instruments import INSTRUMENTS, STYLE_NAMES
from vampnet.controls.names import METRES, MODES, TONICS
from vampnet.controls.words import ControlWords, parse_words
from vampnet.errors import SettingsError


def test_words_take_their_normal_form():
    words = ControlWords(
        bpm=96,
        key="Dm",
        chords="Dm7|G7 |Cmaj7 A7",
        metre="4/4",
        bars=8,
        style="Drum and Bass",
        instruments=("Electric Bass", "no drums"),
    )
    assert str(words) == (
        "bpm(96), key(D minor), chords(Dm7 | G7 | Cmaj7 A7), metre(4/4), bars(8), style(drum_and_bass), "
        "instruments(electric bass, no drums)"
    )
    assert parse_words(str(words)) == words
    assert words.chart is not None and len(words.chart.bars) == 3
    assert ControlWords().is_empty and str(ControlWords()) == "" and parse_words("  ") == ControlWords()


chord_names = st.builds(
    lambda root, kind: root + kind, st.sampled_from(TONICS), st.sampled_from(["", "m7", "7", "sus4"])
)
charts = st.lists(st.lists(chord_names, min_size=1, max_size=3).map(" ".join), min_size=1, max_size=5).map(" | ".join)
some_words = st.builds(
    ControlWords,
    bpm=st.none() | st.floats(30, 300),
    key=st.none() | st.builds(lambda t, m: f"{t} {m}", st.sampled_from(TONICS), st.sampled_from(MODES)),
    chords=st.none() | charts,
    metre=st.none() | st.sampled_from(METRES),
    bars=st.none() | st.integers(1, 256),
    style=st.none() | st.sampled_from(STYLE_NAMES),
    instruments=st.lists(st.sampled_from(sorted(INSTRUMENTS)), max_size=3).map(tuple),
)


@settings(max_examples=60, deadline=None)
@given(some_words)
def test_text_parses_back(words):
    assert parse_words(str(words)) == words


WRONG = [
    ("bpm(20)", "30.0 to 300.0"),
    ("bpm(fast)", "must be a number"),
    ("bpm(nan)", "30.0 to 300.0"),
    ("bpm()", "must be a number"),
    ("bars(0)", "1 to 256"),
    ("bars(1000)", "1 to 256"),
    ("bars(1.5)", "whole number"),
    ("key(D mnor)", "did you mean minor"),
    ("key(Q major)", "has no tonic"),
    ("key()", "has no tonic"),
    ("chords(Dm7 | Gsuss4)", "bar 2.*Gsus4"),
    ("chords()", "chart is empty"),
    ("chords(Dm7 | | G7)", "bar 2 is empty"),
    ("chords(% | C)", "the first bar has none"),
    ("chords(C C C C C C C C C C C C C C C C C)", "17 chords"),
    ("metre(9/8)", "did you mean 7/8"),
    ("metre(waltz)", "known are 4/4"),
    ("style(funkk)", "did you mean funk"),
    ("style(polka)", "did you mean folk"),
    ("instruments(electric bas)", "did you mean electric bass"),
    ("instruments(vuvuzela)", "unknown"),
    ("instruments(drums, no drums)", "leave one out"),
    ("tempo(96)", "unknown control 'tempo'"),
    ("stile(funk)", "did you mean style"),
    ("bpm 96", "unknown control"),
    ("bpm", "needs a value"),
    ("bpm(96", "bracket is not closed"),
    ("bpm(96), bpm(97)", "given twice"),
    ("96 bpm", "unknown control"),
    ("x" * 20001, "at most 20000"),
]


@pytest.mark.parametrize(("text", "said"), WRONG, ids=[text[:30] for text, _ in WRONG])
def test_wrong_texts_are_named(text, said):
    with pytest.raises(SettingsError, match=f"(?s){said}") as caught:
        parse_words(text)
    if len(text) < 100:
        assert "^" in str(caught.value) and text in str(caught.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"bpm": True}, "must be a number"),
        ({"bpm": "96"}, "must be a number"),
        ({"bars": 2.0}, "whole number"),
        ({"bars": True}, "whole number"),
        ({"key": 3}, "must be text"),
        ({"instruments": "drums"}, "list of names"),
        ({"instruments": (3,)}, "must be text"),
    ],
)
def test_wrong_types_are_named(values, said):
    with pytest.raises(SettingsError, match=said):
        ControlWords(**values)


def test_commas_divide_instruments():
    assert ControlWords(instruments=("piano, no drums", "bass")).instruments == ("piano", "no drums", "bass")


def test_words_need_neither_numpy_nor_torch():
    import subprocess
    import sys

    code = (
        "import sys; from vampnet.controls.words import ControlWords; ControlWords(bpm=96, chords='Dm7 | G7');"
        "print(sorted({'numpy', 'torch', 'scipy', 'librosa'} & set(sys.modules)))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"
