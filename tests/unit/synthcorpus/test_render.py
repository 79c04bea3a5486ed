"""Rendering and corpora without a sound font: finite, levelled, repeatable, resumable."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from synthcorpus.compose.piece import ComposeConfig, Track, compose
from synthcorpus.corpus import CorpusConfig, plan, write_corpus
from synthcorpus.errors import CompositionError
from synthcorpus.render import effects
from synthcorpus.render.render import RenderConfig, make_example_loop, n_samples, render
from synthcorpus.synth import patches as synth
from synthcorpus.synth.notes import play_notes
from synthcorpus.synth.soundfont import DEBIAN_SOUNDFONT
from vampnet.audio.loudness import measure

RATE_HZ = 44100
SHORT = ComposeConfig(min_duration_s=3.0, max_duration_s=5.0)
SETTINGS = CorpusConfig(compose=SHORT)
HOURS = 16.0 / 3600.0


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("seed", range(6))
def test_rendered_audio_is_sound(seed):
    piece = compose(seed, SHORT)
    settings = RenderConfig()
    rendered = render(piece, settings, np.random.default_rng(seed))
    assert rendered.audio.shape == (2, n_samples(piece, settings)) and rendered.audio.dtype == np.float32
    assert np.isfinite(rendered.audio).all()
    assert 0.005 < np.abs(rendered.audio).max() < 1.0
    assert -34.0 < rendered.loudness_lufs <= -9.5
    assert measure(rendered.audio, RATE_HZ) == pytest.approx(rendered.loudness_lufs, abs=0.1)


def test_rendering_repeats():
    piece = compose(1, SHORT)
    one, two = (render(piece, RenderConfig(), np.random.default_rng(4)).audio for _ in range(2))
    assert np.array_equal(one, two)
    other = render(piece, RenderConfig(), np.random.default_rng(5)).audio
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("role", ["drums", "bass", "chords", "arpeggio", "melody", "pad", "percussion", "effects"])
def test_every_role_has_a_synthesiser(role):
    pitches = (36, 38, 39, 42, 46, 49, 45, 70, 76) if role == "drums" else (40, 62, 90)
    notes = tuple((0.1 * index, 0.3, pitch, 90) for index, pitch in enumerate(pitches))
    track = Track(role, role, 0, role == "drums", True, notes)
    for seed in range(6):
        audio = synth.render_track(track, RATE_HZ, RATE_HZ, np.random.default_rng(seed))
        assert audio.shape == (2, RATE_HZ) and audio.dtype == np.float32
        assert np.isfinite(audio).all() and 0.001 < np.abs(audio).max() < 6.0


@pytest.mark.parametrize("kind", ["SubtractiveVoice", "AdditiveVoice", "PluckVoice"])
def test_voices_are_in_tune(kind):
    """The strongest part of a held A near a harmonic of 220 Hz, within a tenth of a semitone."""
    from synthcorpus.synth import voices as synth_voices

    for seed in range(4):
        voice = getattr(synth_voices, kind)("bass", RATE_HZ, np.random.default_rng(seed))
        wave = voice.note(57, 100, RATE_HZ).sum(axis=0) * np.hanning(RATE_HZ)
        peak_hz = np.abs(np.fft.rfft(wave)).argmax()
        harmonic = max(1, round(peak_hz / 220.0))
        assert peak_hz == pytest.approx(220.0 * harmonic, rel=0.007)


def test_notes_start_where_they_should():
    class Click:
        release_s, one_shot_s, layers = 0.01, 0.0, (100,)

        def note(self, pitch, velocity, n_samples):
            audio = np.zeros((2, n_samples), dtype=np.float32)
            audio[:, 0] = 1.0
            return audio

    out = play_notes(Click(), ((0.1, 0.2, 60, 100), (0.25, 0.1, 60, 100)), 1000, 400)
    assert np.flatnonzero(out[0]).tolist() == [100, 250]


def test_effects_keep_shape_and_are_finite():
    rng = np.random.default_rng(0)
    audio = (0.1 * rng.standard_normal((2, 20000))).astype(np.float32)
    results = [
        effects.random_eq(audio, RATE_HZ, rng),
        effects.drive(audio, 9.0),
        effects.compress(audio, -20.0, 4.0, RATE_HZ),
        effects.reverb(audio[0], effects.reverb_response(0.5, 4000.0, RATE_HZ, rng)),
        effects.delay(audio, 0.1, 0.5, RATE_HZ),
        effects.tape_wow(audio, 1.0, 1.0, RATE_HZ),
        effects.vinyl(audio, -40.0, 10.0, RATE_HZ, rng),
        effects.crush(audio, 8, 3),
        effects.low_pass(audio, 6000.0, RATE_HZ),
        effects.high_pass(audio, 100.0, RATE_HZ),
        effects.limit(audio, 0.1),
    ]
    for result in results:
        assert result.shape == audio.shape and result.dtype == np.float32 and np.isfinite(result).all()
    assert np.abs(results[-1]).max() <= 0.1001


def test_reverb_equals_convolution():
    rng = np.random.default_rng(1)
    send = rng.standard_normal(3000).astype(np.float32)
    response = rng.standard_normal((2, 500)).astype(np.float32)
    expected = np.stack([np.convolve(send, side)[:3000] for side in response])
    np.testing.assert_allclose(effects.reverb(send, response), expected, atol=1e-3)


def test_equaliser_gains():
    from scipy.signal import sosfreqz

    def gain_db(sections, hertz):
        _, response = sosfreqz(sections, [hertz], fs=RATE_HZ)
        return 20.0 * np.log10(np.abs(np.asarray(response)[0]))

    assert gain_db(effects.peaking(1000.0, 6.0, 1.0, RATE_HZ), 1000.0) == pytest.approx(6.0, abs=0.01)
    low, high = effects.shelf(200.0, -6.0, False, RATE_HZ), effects.shelf(5000.0, 5.0, True, RATE_HZ)
    assert gain_db(low, 10.0) == pytest.approx(-6.0, abs=0.1) and gain_db(low, 8000.0) == pytest.approx(0.0, abs=0.1)
    assert gain_db(high, 20000.0) == pytest.approx(5.0, abs=0.2) and gain_db(high, 50.0) == pytest.approx(0.0, abs=0.1)


def test_corpus_index_and_resume(tmp_path):
    index = write_corpus(tmp_path / "a", HOURS, workers=1, settings=SETTINGS)
    lines = [json.loads(line) for line in index.read_text().splitlines()]
    assert [line["index"] for line in lines] == list(range(len(lines)))
    total_s = sum(line["duration_s"] for line in lines)
    assert total_s >= HOURS * 3600 > total_s - lines[-1]["duration_s"]
    for line in lines:
        info = soundfile.info(tmp_path / "a" / line["file"])
        assert (info.samplerate, info.channels, info.subtype, info.format) == (RATE_HZ, 2, "PCM_16", "FLAC")
        assert info.frames / RATE_HZ == pytest.approx(line["duration_s"])
        assert line["beats"][0] == 0.0 and set(line["downbeats"]) <= set(line["beats"])
    before = _bytes(tmp_path / "a")
    (tmp_path / "a" / lines[1]["file"]).unlink()
    write_corpus(tmp_path / "a", HOURS, workers=1, settings=SETTINGS)
    assert _bytes(tmp_path / "a") == before


def test_two_workers_make_what_one_makes(tmp_path):
    for workers in (1, 2):
        write_corpus(tmp_path / str(workers), HOURS / 2, seed=3, workers=workers, settings=SETTINGS)
    assert _bytes(tmp_path / "1") == _bytes(tmp_path / "2")


def test_more_hours_keep_the_first_pieces():
    short, long = (list(plan(hours, 0, "train", SETTINGS)) for hours in (HOURS, 3 * HOURS))
    assert long[: len(short)] == short and len(long) > len(short)


def test_a_folder_holds_one_corpus(tmp_path):
    write_corpus(tmp_path, 1.0 / 3600.0, workers=1, settings=SETTINGS)
    with pytest.raises(CompositionError, match="other settings"):
        write_corpus(tmp_path, 1.0 / 3600.0, seed=1, workers=1, settings=SETTINGS)


def test_bad_arguments(tmp_path):
    with pytest.raises(CompositionError, match="hours"):
        write_corpus(tmp_path, 0.0)
    with pytest.raises(CompositionError, match="split"):
        write_corpus(tmp_path, 1.0, split="dev")
    with pytest.raises(CompositionError, match="workers"):
        write_corpus(tmp_path, 1.0, workers=0)
    with pytest.raises(CompositionError, match="polka"):
        write_corpus(tmp_path, 1.0, settings=CorpusConfig(compose=ComposeConfig(styles_excluded=("polka",))))


def test_missing_sound_font_is_explained(tmp_path):
    pytest.importorskip("tinysoundfont")
    with pytest.raises(CompositionError, match="fluid-soundfont-gm"):
        write_corpus(tmp_path, 1.0, soundfont=str(tmp_path / "none.sf2"))
    bad = tmp_path / "bad.sf2"
    bad.write_bytes(b"not a sound font")
    with pytest.raises(CompositionError, match="cannot be read"):
        make_example_loop(tmp_path / "loop.wav", str(bad))


def test_missing_tinysoundfont_is_explained(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "tinysoundfont", None)
    with pytest.raises(CompositionError, match="pip install --no-deps tinysoundfont"):
        write_corpus(tmp_path, 1.0, soundfont=str(tmp_path / "none.sf2"))


def test_example_loop_has_eight_bars_and_no_seam(tmp_path):
    make_example_loop(tmp_path / "loop.wav", None)
    audio, rate_hz = soundfile.read(tmp_path / "loop.wav")
    assert rate_hz == RATE_HZ and audio.shape == (16 * RATE_HZ, 2)
    assert 0.2 < np.abs(audio).max() < 1.0


@pytest.mark.skipif(not Path(DEBIAN_SOUNDFONT).is_file(), reason="needs Debian's fluid-soundfont-gm")
def test_sound_font_notes_do_not_leak_into_the_next():
    pytest.importorskip("tinysoundfont")
    from synthcorpus.synth.soundfont import load

    font = load(DEBIAN_SOUNDFONT, RATE_HZ)
    first = font.note(0, False, 60, 100, 5000)
    font.note(90, False, 50, 100, 5000)
    assert np.array_equal(font.note(0, False, 60, 100, 5000), first)
    assert not np.array_equal(font.note(0, True, 36, 100, 5000), font.note(25, True, 36, 100, 5000))
