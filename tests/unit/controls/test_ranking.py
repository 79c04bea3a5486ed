"""Agreement with wanted controls, and ranking by it."""

import numpy as np
import pytest

from vampnet.audio.files import Audio
from vampnet.controls.charts import parse_chart
from vampnet.controls.config import SteeringConfig
from vampnet.controls.ranking import Agreement, beat_agreement, chord_overlap, compare_controls, keep_followed, rank
from vampnet.controls.signals import Controls
from vampnet.controls.timeline import trace_phase
from vampnet.errors import SettingsError


def test_beats_are_matched_one_to_one():
    wanted = (0.5, 1.0, 1.5, 2.0)
    assert beat_agreement(wanted, wanted) == 1.0
    assert beat_agreement((0.51, 0.52, 1.0), wanted) == pytest.approx(2 * 2 / 7)
    assert beat_agreement((0.6, 1.1), wanted) == 0.0 and beat_agreement((), wanted) == 0.0


def test_chords_count_by_root_and_third():
    wanted = parse_chart("Dm7 | G7 | Csus4 | N").spans(2.0, 4)
    assert chord_overlap(wanted, wanted) == 1.0
    assert chord_overlap(parse_chart("Dm | G | C | N").spans(2.0, 4), wanted) == 1.0
    assert chord_overlap(parse_chart("D | G | C | N").spans(2.0, 4), wanted) == pytest.approx(2 / 3)
    assert chord_overlap(parse_chart("N").spans(8.0, 1), wanted) == 0.0


def test_each_part_is_compared_where_it_is_wanted():
    times = Controls(200, 44100, 441).times_s
    phase = trace_phase((0.0, 0.5), times)
    wanted = Controls(200, 44100, 441, beat_phase=phase, tempo_bpm=120.0, key="D dorian",
                      melody=np.repeat([60.0, 0.0], 100).astype(np.float32))  # fmt: skip
    heard = Controls(200, 44100, 441, beat_phase=phase, tempo_bpm=60.0, key="D minor",
                     melody=np.full(200, 72.0, np.float32))  # fmt: skip
    assert compare_controls(heard, wanted) == Agreement(beats=1.0, tempo=0.5, key=1.0, melody=1.0)
    assert compare_controls(Controls(200, 44100, 441), wanted) == Agreement(beats=0.0, tempo=0.0, key=0.0)
    assert Agreement(beats=1.0, key=0.5).score == 0.75 and Agreement().score == 0.0


def test_other_frames_can_be_compared():
    times = Controls(100, 44100, 441).times_s
    wanted = Controls(100, 44100, 441, beat_phase=trace_phase((0.1, 0.35), times))
    heard = wanted.resample(50, 44100, 882)
    assert compare_controls(heard, wanted).beats == 1.0


def test_unknown_stretches_do_not_count():
    chroma = np.eye(12, 12, dtype=np.float32).repeat(10, axis=1)
    hidden = chroma.copy()
    hidden[:, 60:] = np.nan
    other = chroma.copy()
    other[:, 60:] = np.roll(other[:, 60:], 1, axis=0)
    agreement = compare_controls(Controls(120, chroma=other), Controls(120, chroma=hidden))
    assert agreement.chroma == pytest.approx(1.0)
    whole = compare_controls(Controls(120, chroma=other), Controls(120, chroma=chroma))
    assert whole.chroma == pytest.approx(0.5)


def clicks(*times_s: float) -> Audio:
    samples = np.zeros(2 * 22050, np.float32)
    rng = np.random.default_rng(0)
    for time_s in times_s:
        samples[int(time_s * 22050) :][:1000] += 0.3 * rng.standard_normal(1000) * np.exp(-np.arange(1000) / 200)
    return Audio(samples[None], 22050)


def test_the_candidate_with_the_wanted_rhythm_comes_first():
    from vampnet.controls.extraction import ExtractionConfig, extract_controls

    rhythm = (0.2, 0.5, 0.6, 1.1, 1.4, 1.7)
    wanted = extract_controls(clicks(*rhythm), ExtractionConfig(("onset_low", "onset_high")))
    candidates = [clicks(0.1, 0.8, 1.2), clicks(*(t + 0.005 for t in rhythm)), clicks(0.35, 0.9)]
    order = rank(candidates, wanted)
    assert order[0][0] == 1
    assert order[0][1].rhythm is not None and order[0][1].rhythm > 0.8 > 0.4 > order[1][1].score


def test_follow_takes_the_named_part():
    controls = Controls(10, key="D minor", tempo_bpm=96.0, melody=np.zeros(10, np.float32))
    assert keep_followed(controls, SteeringConfig("beats").split()[1]).names == ("tempo_bpm",)
    assert keep_followed(controls, SteeringConfig("song.wav:chords, melody").split()[1]).names == ("melody", "key")
    assert SteeringConfig("a:b.wav:beats").split() == ("a:b.wav", ("beats",))
    assert not SteeringConfig().is_on and not SteeringConfig(best_of=1).is_on
    assert (
        SteeringConfig(best_of=8).split() == ("", ("beats", "chords"))
        and SteeringConfig("beats").n_candidates(hears=False) == 4
    )
    for wrong in ("drums", "beats;chords", "song.wav:", ","):
        with pytest.raises(SettingsError, match="beats, rhythm, chords, melody"):
            SteeringConfig(wrong)
