"""Sketches from words, taps and humming: exact lengths, exact truth, hits and notes where they were."""

import numpy as np
import pytest

from vampnet.audio.files import Audio
from vampnet.controls.config import HumConfig, TapConfig
from vampnet.controls.onsets import find_hits
from vampnet.controls.sketching import hummed_notes, sketch, sketch_drums, sketch_lead
from vampnet.controls.words import ControlWords
from vampnet.errors import AudioError, SettingsError

RATE_HZ = 22050


def burst(kind: str, rng: np.random.Generator) -> np.ndarray:
    """A mouth sound: "b" low, "k" bright and long, "t" very bright and short."""
    time_s = np.arange(int(0.1 * RATE_HZ)) / RATE_HZ
    noise = rng.standard_normal(len(time_s))
    if kind == "b":
        return np.sin(2 * np.pi * 80 * time_s) * np.exp(-time_s / 0.04)
    if kind == "t":
        return np.diff(noise, n=2, append=[0, 0]) * np.exp(-time_s / 0.008) * 0.3
    smooth = np.convolve(noise, np.ones(8) / 8, mode="same")
    return 2 * smooth * np.exp(-time_s / 0.03)


def beatbox(pattern: str, step_s: float = 0.2, channels: int = 1) -> tuple[Audio, list[float]]:
    rng = np.random.default_rng(0)
    sound = 1e-4 * rng.standard_normal(int((len(pattern) * step_s + 0.4) * RATE_HZ))
    times = [0.1 + place * step_s for place, mark in enumerate(pattern) if mark != "."]
    for time_s, mark in zip(times, pattern.replace(".", ""), strict=True):
        hit = burst(mark, rng)
        sound[int(time_s * RATE_HZ) :][: len(hit)] += 0.3 * hit
    return Audio(np.repeat(sound[None].astype(np.float32), channels, axis=0), RATE_HZ), times


def hum(*notes: tuple[float, float]) -> Audio:
    """A line of (pitch, seconds) with small gaps and a little vibrato; pitch 0 is a rest."""
    parts = []
    for pitch, seconds in notes:
        time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
        cycles = 440 * 2 ** ((pitch - 69) / 12) * (time_s + 0.0008 * np.sin(2 * np.pi * 5 * time_s) / 6)
        tone = sum(np.sin(2 * np.pi * h * cycles) / h**2 for h in range(1, 6))
        envelope = np.minimum(1, np.minimum(time_s, seconds - time_s) / 0.03)
        parts.append(0.2 * tone * envelope * (pitch > 0))
    return Audio(np.concatenate(parts)[None].astype(np.float32), RATE_HZ)


def test_words_become_music_of_exact_length():
    words = ControlWords(bpm=96, key="D minor", chords="Dm7 | G7 | Cmaj7 A7", bars=4, style="funk")
    made = sketch(words, sample_rate_hz=RATE_HZ, seed=5)
    assert made.audio.n_samples == round(4 * 4 * 60 / 96 * RATE_HZ) and made.audio.channels == 2 and made.loops
    assert made.controls.tempo_bpm == 96 and made.controls.key == "D minor" and made.controls.style == "funk"
    assert [span.label for span in made.controls.chords or ()] == ["Dm7", "G7", "Cmaj7", "A7", "Dm7"]
    assert made.words.bars == 4 and made.words.metre == "4/4" and made.words.instruments
    again = sketch(words, sample_rate_hz=RATE_HZ, seed=5)
    np.testing.assert_array_equal(made.audio.samples, again.audio.samples)


def test_seconds_cut_the_bars():
    made = sketch(ControlWords(bpm=120, style="pop"), sample_rate_hz=RATE_HZ, seconds=3.3)
    assert made.audio.n_samples == round(3.3 * RATE_HZ) and not made.loops
    whole = sketch(ControlWords(bpm=120, metre="4/4", style="pop"), sample_rate_hz=RATE_HZ, seconds=4.0)
    assert whole.loops
    with pytest.raises(SettingsError, match="only one"):
        sketch(ControlWords(bars=4), seconds=3.0)
    with pytest.raises(SettingsError, match="3600"):
        sketch(ControlWords(), seconds=4000.0)


def test_words_left_open_are_filled_in():
    made = sketch(ControlWords(), sample_rate_hz=RATE_HZ, seconds=1.0, seed=2)
    assert made.words.bpm and made.words.key and made.words.style and made.words.metre
    assert str(made.words)


def test_taps_become_drums_at_the_same_times():
    audio, times = beatbox("b.t.k.t.b.b.k..t", channels=2)
    hits = find_hits(audio)
    assert [hit.time_s for hit in hits] == pytest.approx(times, abs=0.015)
    assert "".join({"kick": "b", "snare": "k", "hat": "t"}[hit.drum] for hit in hits) == "btktbbkt"
    made = sketch_drums(audio)
    assert made.audio.n_samples == audio.n_samples and made.audio.sample_rate_hz == RATE_HZ
    assert [hit.time_s for hit in find_hits(made.audio, rise=2.0)] == pytest.approx(times, abs=0.02)


def test_hits_can_be_moved_to_the_grid():
    audio, _ = beatbox("b.t.k.t", step_s=0.13)
    made = sketch_drums(audio, TapConfig(tightness=1.0, bpm=120.0))
    onsets = made.controls.signal("onset_low") + made.controls.signal("onset_high")
    starts = np.flatnonzero(onsets) / made.controls.frames_per_s
    assert starts - starts[0] == pytest.approx([0.0, 0.25, 0.5, 0.75], abs=0.02)
    with pytest.raises(SettingsError, match="give `bpm`"):
        TapConfig(tightness=0.5)


def test_a_hit_on_the_first_sample_is_heard():
    sound = np.zeros(RATE_HZ, np.float32)
    sound[:2000] = 0.3 * burst("k", np.random.default_rng(0))[:2000]
    assert [hit.time_s for hit in find_hits(Audio(sound[None], RATE_HZ))] == pytest.approx([0.0], abs=0.015)


def test_humming_becomes_a_lead():
    audio = hum((60, 0.4), (62, 0.4), (0, 0.2), (67, 0.5), (67, 0.4))
    notes = hummed_notes(audio)
    assert [note[2] for note in notes] == [60, 62, 67, 67]
    assert [note[0] for note in notes] == pytest.approx([0.0, 0.4, 1.0, 1.5], abs=0.07)
    made = sketch_lead(audio, HumConfig(instrument="flute", transpose=12))
    assert made.audio.n_samples == audio.n_samples
    melody = made.controls.signal("melody")
    assert set(np.unique(melody)) == {0.0, 72.0, 74.0, 79.0}
    heard = hummed_notes(made.audio)
    assert {note[2] for note in heard} == {72, 74, 79}


def test_a_key_corrects_notes_outside_of_it():
    audio = hum((61, 0.4), (66, 0.4))
    made = sketch_lead(audio, HumConfig(key="C major"))
    assert set(np.unique(made.controls.signal("melody"))) - {0.0} == {60.0, 65.0}


def test_nothing_heard_is_said():
    silence = Audio(np.zeros((1, RATE_HZ), np.float32), RATE_HZ)
    with pytest.raises(AudioError, match="no hits"):
        sketch_drums(silence)
    with pytest.raises(AudioError, match="no pitch"):
        sketch_lead(silence)
    with pytest.raises(SettingsError, match="did you mean flute"):
        HumConfig(instrument="flut")
    with pytest.raises(SettingsError, match="drums"):
        HumConfig(instrument="drums")


def test_charts_are_obeyed_at_the_edges():
    """Rests alone leave the drums; chords asked of a style of drums are played and known."""
    rests = sketch(ControlWords(chords="N.C.", bars=1, bpm=120, style="pop"), seed=1)
    assert rests.controls.chords is None and rests.audio.n_samples == 88200
    drums = sketch(ControlWords(chords="Dm7 | G7", bars=2, bpm=120, style="drums only"), seed=1)
    assert [span.label for span in drums.controls.chords or ()] == ["Dm7", "G7"]
