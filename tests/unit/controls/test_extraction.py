"""What is heard in audio, against sounds whose truth is known: levels, onsets, beats, chords, key, pitch."""

import numpy as np
import pytest

from synthcorpus.sketch import SketchPlan, render_sketch, write_sketch
from synthcorpus.truth import piece_truth
from vampnet.audio.files import Audio
from vampnet.beats.events import Events
from vampnet.controls.composed import controls_of_line, controls_of_truth, plain_key
from vampnet.controls.extraction import ExtractionConfig, extract_batch, extract_controls
from vampnet.controls.harmony import keys_agree
from vampnet.controls.melody import split_notes
from vampnet.controls.ranking import compare_controls
from vampnet.controls.timeline import read_beats
from vampnet.errors import SettingsError

RATE_HZ = 22050


def tones(*pitches: float, seconds: float = 2.0, level: float = 0.1) -> np.ndarray:
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    voices = [
        sum(np.sin(2 * np.pi * h * 440 * 2 ** ((p - 69) / 12) * time_s) / h**1.5 for h in range(1, 6)) for p in pitches
    ]
    return (level * np.sum(voices, axis=0) * np.minimum(time_s / 0.02, 1.0)).astype(np.float32)


def audio_of(*parts: np.ndarray) -> Audio:
    return Audio(np.concatenate(parts)[None], RATE_HZ)


@pytest.fixture(scope="module")
def played():
    """A sketch with its truth: four chords, drums, bass."""
    chords = (((9, (0, 3, 7), None),), ((2, (0, 3, 7), None),), ((4, (0, 4, 7), None),), ((9, (0, 3, 7), None),))
    plan = SketchPlan(bpm=120.0, tonic=9, mode="minor", chords=chords, bars=8, style="pop",
                      instruments=("drums", "bass", "organ", "synth pad"), without=("synth lead",))  # fmt: skip
    piece = write_sketch(plan, 1)
    return Audio(render_sketch(piece, RATE_HZ, 1, loops=False), RATE_HZ), piece_truth(piece)


def test_a_band_is_heard_as_it_was_written(played):
    audio, truth = played
    heard = extract_controls(audio)
    wanted = controls_of_truth(truth, n_frames=heard.n_frames)
    agreement = compare_controls(heard, wanted)
    assert heard.tempo_bpm == pytest.approx(120.0, rel=0.02) and heard.metre == "4/4"
    assert agreement.beats is not None and agreement.beats > 0.9
    assert agreement.chords is not None and agreement.chords > 0.8
    assert agreement.key == 1.0 and heard.key == "A minor"
    assert set(heard.names) == set(ExtractionConfig().controls)


def test_chords_change_where_they_change():
    parts = [tones(*[root + t for t in (0, 4, 7)], root - 12) for root in (60, 65, 67)]
    heard = extract_controls(audio_of(*parts), ExtractionConfig(("chords", "key")), events=Events((), ()))
    sounding = [span for span in heard.chords or () if span.chord is not None]
    assert [span.label for span in sounding] == ["C", "F", "G"]
    assert [span.start_s for span in sounding][1:] == pytest.approx([2.0, 4.0], abs=0.3)
    assert heard.key == "C major"


def test_detuned_music_has_the_same_chords():
    parts = [tones(*[root + t + 0.4 for t in (0, 3, 7)], root - 11.6) for root in (62, 67)]
    heard = extract_controls(audio_of(*parts), ExtractionConfig(("chords",)), events=Events((), ()))
    assert [span.label for span in heard.chords or () if span.chord] == ["Dm", "Gm"]


def test_chroma_and_bass_are_apart():
    heard = extract_controls(audio_of(tones(64, 67, 72, 40)), ExtractionConfig(("chroma", "bass_chroma")))
    middle = heard.n_frames // 2
    assert set(np.argsort(heard.signal("chroma")[:, middle])[-3:]) == {0, 4, 7}
    assert heard.signal("bass_chroma")[:, middle].argmax() == 4


def test_levels_are_exact():
    sound = np.concatenate([tones(69, level=0.2), np.zeros(RATE_HZ, np.float32)])
    level = extract_controls(Audio(sound[None], RATE_HZ), ExtractionConfig(("loudness_db",))).signal("loudness_db")
    rms = np.sqrt(np.mean(np.square(sound[RATE_HZ : RATE_HZ * 2])))
    assert level[70:110] == pytest.approx(20 * np.log10(rms), abs=0.5)
    assert level[-20:] == pytest.approx(-80.0)


def test_out_of_phase_channels_are_as_loud_as_they_are():
    sound = tones(69)
    audio = Audio(np.stack([sound, -sound]), RATE_HZ)
    level = extract_controls(audio, ExtractionConfig(("loudness_db",))).signal("loudness_db")
    alone = extract_controls(Audio(sound[None], RATE_HZ), ExtractionConfig(("loudness_db",))).signal("loudness_db")
    np.testing.assert_allclose(level, alone, atol=1e-3)


def test_onsets_are_heard_in_their_band():
    time_s = np.arange(int(0.15 * RATE_HZ)) / RATE_HZ
    kick = np.sin(2 * np.pi * 60 * time_s) * np.exp(-time_s / 0.05)
    hat = np.random.default_rng(0).standard_normal(len(time_s)) * np.exp(-time_s / 0.01)
    hat = np.diff(hat, n=3, append=[0.0] * 3)
    sound = np.zeros(3 * RATE_HZ)
    for place, hit in ((0.5, kick), (1.0, hat), (1.5, kick), (2.0, hat)):
        sound[int(place * RATE_HZ) :][: len(hit)] += 0.3 * hit / np.abs(hit).max()
    heard = extract_controls(
        Audio(sound[None].astype(np.float32), RATE_HZ), ExtractionConfig(("onset_low", "onset_high"))
    )
    frames = [int(t * heard.frames_per_s) for t in (0.5, 1.0, 1.5, 2.0)]
    low, high = (np.array([heard.signal(n)[f - 2 : f + 3].max() for f in frames]) for n in ("onset_low", "onset_high"))
    assert low[[0, 2]].min() > 2 * low[[1, 3]].max() and high[[1, 3]].min() > 1.5 * high[[0, 2]].max()


def test_a_hummed_line_is_followed():
    parts = [tones(p, seconds=0.5) for p in (57, 60, 64, 62)]
    silence = np.zeros(RATE_HZ // 4, np.float32)
    config = ExtractionConfig(("melody",), is_voice=True)
    heard = extract_controls(audio_of(*parts, silence), config)
    notes = split_notes(heard.times_s, heard.signal("melody"))
    assert [note[2] for note in notes] == [57, 60, 64, 62]
    assert [note[0] for note in notes] == pytest.approx([0.0, 0.5, 1.0, 1.5], abs=0.06)
    assert (heard.signal("melody")[-10:] == 0).all()


def test_silence_says_nothing():
    heard = extract_controls(Audio(np.zeros((1, RATE_HZ), np.float32), RATE_HZ))
    assert heard.tempo_bpm is None and heard.key is None and heard.beat_phase is None
    assert all(span.chord is None for span in heard.chords or ())
    assert not heard.signal("melody").any() and not heard.signal("chroma").any()
    short = extract_controls(Audio(np.zeros((1, 10), np.float32), RATE_HZ))
    assert short.n_frames == 1


def test_other_frames_and_known_beats():
    audio = audio_of(tones(60, 64, 67))
    events = Events((0.25, 0.75, 1.25, 1.75), (0.25, 1.25))
    heard = extract_controls(audio, ExtractionConfig(sample_rate_hz=16000, hop=320), events=events)
    assert heard.n_frames == 100 and heard.tempo_bpm == pytest.approx(120.0) and heard.metre == "2/4"
    np.testing.assert_allclose(read_beats(heard.signal("beat_phase"), heard.times_s), events.beats_s, atol=2e-3)


def test_batches_equal_single_runs():
    audios = [audio_of(tones(60 + n, 64 + n, 67 + n, seconds=0.5)) for n in range(3)]
    config = ExtractionConfig(("chroma", "loudness_db"))
    for audio, heard in zip(audios, extract_batch(audios, config), strict=True):
        assert heard.to_dict() == extract_controls(audio, config).to_dict()


def test_wrong_controls_are_named():
    with pytest.raises(SettingsError, match="'style' cannot be heard"):
        ExtractionConfig(("style",))
    with pytest.raises(SettingsError, match="hop is 1"):
        ExtractionConfig(hop=1)


def test_an_index_line_gives_the_same_controls(played):
    from synthcorpus.compose.piece import ComposeConfig, compose
    from synthcorpus.corpus import describe

    piece = compose((0, 5, 2), ComposeConfig(styles_only=("pop",), max_duration_s=21.0))
    direct = controls_of_truth(piece_truth(piece), n_frames=500)
    line = controls_of_line({**describe(piece), "duration_s": 25.0}, n_frames=500)
    assert line is not None and line.key == direct.key and line.instruments == direct.instruments
    np.testing.assert_allclose(line.signal("beat_phase")[:400], direct.signal("beat_phase")[:400], atol=2e-3)
    assert np.mean(line.signal("chroma") == direct.signal("chroma")) > 0.995
    assert controls_of_line({"file": "x.wav"}, n_frames=10) is None
    assert plain_key("C pelog") is None and plain_key("F harmonic_minor") == "F harmonic minor"
    assert keys_agree("D dorian", "D minor") and not keys_agree("F major", "D minor")
