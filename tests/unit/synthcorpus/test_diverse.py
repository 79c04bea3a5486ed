"""Diverse material: repeatable, its splits disjoint, every kind there, levels in range, with and without helpers."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import soundfile

from synthcorpus.compose.piece import ComposeConfig
from synthcorpus.corpus import CorpusConfig, write_corpus
from synthcorpus.diverse import effects as more, lines, palette, speech
from synthcorpus.diverse.chains import EFFECTS, STAGES
from synthcorpus.diverse.instruments import SYNTHESISERS, TunedVoice
from synthcorpus.diverse.levels import fade, level_curve
from synthcorpus.diverse.palette import KITS, PROGRAMS, Palette, PaletteSound
from synthcorpus.diverse.pieces import MAKERS, SHARES, DiverseConfig
from synthcorpus.diverse.song import analyse, drive_mouth, frame_path, sing
from synthcorpus.diverse.textures import TEXTURES
from synthcorpus.errors import CompositionError
from synthcorpus.splits import SPLITS
from synthcorpus.synth.soundfont import DEBIAN_SOUNDFONT
from vampnet.apps.cli.main import main
from vampnet.audio.loudness import measure

RATE_HZ = 44100
PLAIN = DiverseConfig(min_duration_s=2.0, max_duration_s=3.0)
"""Neither sound font nor espeak-ng."""
BARE = Palette("train", RATE_HZ)
needs_voice = pytest.mark.skipif(speech.version() is None, reason="needs espeak-ng")


def check(audio: np.ndarray, n_samples: int) -> None:
    assert audio.shape == (2, n_samples) and audio.dtype == np.float32
    assert np.isfinite(audio).all()


# --- splits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", [PROGRAMS, KITS, palette.LANGUAGES, palette.VARIANTS])
def test_splits_share_nothing(table):
    assert set(table) == set(SPLITS)
    for one, other in combinations(table.values(), 2):
        assert one and other and not set(one) & set(other)


def test_programs_are_all_there_and_each_split_has_every_family():
    assert sorted(program for programs in PROGRAMS.values() for program in programs) == list(range(128))
    for programs in PROGRAMS.values():
        assert {program // 8 for program in programs} == set(range(16))


@pytest.mark.parametrize("split", SPLITS)
def test_palettes_draw_only_from_their_split(split):
    rng, drawn = np.random.default_rng(0), Palette(split, voices=(("de", "fr"), ("m1",)))
    assert {drawn.program(rng) for _ in range(400)} <= set(PROGRAMS[split])
    assert {drawn.kit(rng) for _ in range(100)} <= set(KITS[split])
    for program in range(128):
        like = drawn.program_like(program, rng)
        assert like in PROGRAMS[split] and like // 8 == program // 8
        assert like == program or program not in PROGRAMS[split]
    assert {drawn.voice(rng) for _ in range(50)} == {"de+m1", "fr+m1"}


def test_pieces_of_splits_and_seeds_differ():
    lengths = {PLAIN.n_samples(split, seed, index) for split in SPLITS for seed in (0, 1) for index in range(20)}
    assert len(lengths) > 110


# --- kinds -----------------------------------------------------------------------------------------------------------


def test_shares_are_kept_in_any_hundred_pieces():
    assert sum(SHARES.values()) == pytest.approx(1.0) and set(SHARES) == set(MAKERS)
    spoken = dataclasses.replace(PLAIN, espeak_ng="1")
    for first in (0, 1000):
        counts = Counter(spoken.kind("train", 3, index) for index in range(first, first + 100))
        assert all(abs(counts[kind] - 100 * share) <= 3 for kind, share in SHARES.items())
    assert {PLAIN.kind("test", 0, index) for index in range(60)} == set(SHARES) - {"speech", "song"}


@pytest.mark.parametrize("kind", [kind for kind in SHARES if kind not in ("speech", "song")])
def test_every_kind_is_sound_without_font_and_voices(kind):
    index = next(index for index in range(100) if PLAIN.kind("train", 0, index) == kind)
    audio, line = PLAIN.make("train", 0, index)
    check(audio, PLAIN.n_samples("train", 0, index))
    assert 0.0 < np.abs(audio).max() < 1.0
    assert np.abs(audio.mean(axis=1)).max() < 1e-3
    assert line["kind"] == kind and set(line["effects"]) <= set(EFFECTS)
    assert not line["voices"] and set(line["programs"]) <= {-1}
    assert line["loudness_lufs"] <= PLAIN.max_loudness_lufs + 0.1
    assert measure(audio, RATE_HZ) == pytest.approx(line["loudness_lufs"], abs=0.1)
    again, same = PLAIN.make("train", 0, index)
    assert np.array_equal(audio, again) and line == same
    assert not np.array_equal(audio[:, :88200], PLAIN.make("validation", 0, index)[0][:, :88200])


def test_loudness_covers_its_range():
    drawn = [PLAIN.make("train", 5, index)[1]["loudness_lufs"] for index in range(30)]
    assert min(drawn) < -33.0 and max(drawn) > -16.0
    assert all(PLAIN.min_loudness_lufs - 3.0 <= lufs <= PLAIN.max_loudness_lufs + 0.1 for lufs in drawn)


@pytest.mark.parametrize("maker", TEXTURES)
def test_textures_are_sound(maker):
    for seed in range(4):
        sound = maker(BARE, RATE_HZ, np.random.default_rng(seed))
        check(sound.audio, RATE_HZ)
        assert np.abs(sound.audio).max() > 1e-4 and sound.detail


@pytest.mark.parametrize("kind", SYNTHESISERS)
def test_synthesisers_play_the_whole_range(kind):
    voice = kind("melody", RATE_HZ, np.random.default_rng(2))
    for pitch in (0, 21, 60, 108, 127):
        note = voice.note(pitch, 100, 6000)
        check(note, 6000)
        assert np.abs(note).max() > 1e-5


def test_tunings_are_exact():
    class Sine:
        release_s, one_shot_s, layers = 0.0, 0.0, (100,)

        def note(self, pitch, velocity, n_samples):
            wave = np.sin(2 * np.pi * 440.0 * 2 ** ((pitch - 69) / 12) * np.arange(n_samples) / RATE_HZ)
            return np.stack([wave, wave]).astype(np.float32)

    wave = TunedVoice(Sine(), 19, 20.0, RATE_HZ).note(67, 100, 2 * RATE_HZ)[0]
    peak_hz = np.abs(np.fft.rfft(wave * np.hanning(len(wave)))).argmax() / 2.0
    assert peak_hz == pytest.approx(440.0 * 2 ** ((60 - 69 + 0.2) / 12 + 7 / 19), abs=0.6)


# --- effects and levels ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EFFECTS)
def test_effects_keep_shape_and_are_finite(name):
    apply = {name: effect for stage in STAGES for name, _, effect in stage.options}[name]
    rng = np.random.default_rng(0)
    tone = 0.2 * np.sin(2 * np.pi * 330.0 * np.arange(50000) / RATE_HZ)
    audio = (np.stack([tone, tone]) + 0.02 * rng.standard_normal((2, 50000))).astype(np.float32)
    before = audio.copy()
    for seed in range(5):
        result = apply(audio, RATE_HZ, np.random.default_rng(seed))
        check(np.asarray(result, dtype=np.float32), 50000)
        assert not np.array_equal(result, audio) and np.array_equal(audio, before)
    assert np.isfinite(apply(np.zeros_like(audio), RATE_HZ, rng)).all()


def test_reading_at_a_swaying_place_is_a_delay():
    audio = np.arange(20.0, dtype=np.float32).reshape(2, 10)
    assert more.sway(audio, np.full(10, 2.5))[:, 4:].tolist() == (audio[:, 4:] - 2.5).tolist()


def test_lower_rate_takes_the_top_away():
    noise = np.random.default_rng(0).standard_normal((2, RATE_HZ)).astype(np.float32)
    power = np.abs(np.fft.rfft(more.lower_rate(noise, 16000, RATE_HZ)[0])) ** 2
    assert power[8300:].sum() < 1e-4 * power[:7500].sum()


def test_early_reflections_begin_with_the_direct_sound():
    click = np.zeros((2, 3000), dtype=np.float32)
    click[:, 0] = 1.0
    room = more.early_reflections(click, 6.0, 0.3, RATE_HZ, np.random.default_rng(1))
    assert np.allclose(room[:, 0], 1.0, atol=0.05) and (np.abs(room[:, 1:]) > 0.01).sum() > 10
    assert np.abs(room[:, 1:]).max() < 1.0


def test_levels_have_silence_and_fades_have_ends():
    curves = [level_curve(20 * RATE_HZ, RATE_HZ, np.random.default_rng(seed)) for seed in range(8)]
    assert all(curve.min() >= -1e-6 and curve.max() <= 1.0 + 1e-5 for curve in curves)
    assert sum((curve < 1e-5).mean() > 0.02 for curve in curves) >= 4
    faded = fade(np.ones((2, 1000), dtype=np.float32), 0.1, 0.2, 1000)
    assert faded[0, 0] == 0.0 and faded[0, -1] == 0.0 and (faded[:, 100:799] == 1.0).all()


# --- voices ----------------------------------------------------------------------------------------------------------


@needs_voice
@pytest.mark.parametrize("split", SPLITS)
def test_each_split_speaks_and_sings_with_its_own_voices(split):
    settings = dataclasses.replace(PLAIN, espeak_ng=speech.version())
    for kind in ("speech", "song"):
        index = next(index for index in range(200) if settings.kind(split, 0, index) == kind)
        audio, line = settings.make(split, 0, index)
        check(audio, settings.n_samples(split, 0, index))
        assert np.abs(audio).max() > 1e-3
        for voice in line["voices"]:
            language, variant = voice.split("+")
            assert language in palette.LANGUAGES[split] and variant in palette.VARIANTS[split]
        assert line["voices"]
        assert np.array_equal(settings.make(split, 0, index)[0], audio)


@needs_voice
def test_song_is_in_tune():
    voices = Palette("train", RATE_HZ, voices=(("en-us",), ("m1",)))
    mono, _ = sing(voices, [(0.1, 1.8, 57, 100)], 2 * RATE_HZ, np.random.default_rng(0))
    middle = mono[RATE_HZ // 2 : RATE_HZ + RATE_HZ // 2]
    similar = np.fft.irfft(np.abs(np.fft.rfft(middle, 4 * RATE_HZ)) ** 2)
    lag = 100 + int(np.argmax(similar[100:400]))
    assert RATE_HZ / lag == pytest.approx(220.0, rel=0.03)


def test_linear_prediction_gives_back_what_it_took_apart():
    """A hum with one formant, taken apart and driven by noise, still has its formant."""
    from scipy.signal import iirpeak, lfilter

    rate_hz, rng = 22050, np.random.default_rng(0)
    hum = np.asarray(lfilter(*iirpeak(1200.0, 12.0, fs=rate_hz), rng.standard_normal(rate_hz)))
    mouth = analyse(hum.astype(np.float32), rate_hz)
    path, level = frame_path(mouth, [(0.0, 0.9, 60, 100)], 120)
    wave = drive_mouth(mouth, rng.standard_normal(rate_hz), path, level, rate_hz)
    power = np.abs(np.fft.rfft(wave)) ** 2
    centre_hz = (power * np.arange(len(power))).sum() / power.sum() * rate_hz / len(wave)
    assert np.isfinite(wave).all() and centre_hz == pytest.approx(1200.0, rel=0.1)


def test_silent_speech_and_empty_lines_are_no_error():
    mouth = analyse(np.zeros(400, dtype=np.float32), 22050)
    path, level = frame_path(mouth, [(0.0, 0.5, 60, 100)], 80)
    assert np.abs(drive_mouth(mouth, np.ones(11025), path, level, 22050)).max() < 1e-3
    for seed in range(100):
        notes = lines.melody(0.1, 12, 60, 72, np.random.default_rng(seed))
        assert notes and all(60 <= pitch <= 72 for _, _, pitch, _ in notes)


def test_a_silent_piece_has_no_loudness(monkeypatch):
    def nothing(palette, n_samples, rng):
        return PaletteSound(np.zeros((2, n_samples), dtype=np.float32))

    for kind in SHARES:
        monkeypatch.setitem(MAKERS, kind, nothing)
    dry = next(index for index in range(50) if not PLAIN.make("train", 0, index)[1]["effects"])
    audio, line = PLAIN.make("train", 0, dry)
    assert not audio.any() and json.loads(json.dumps(line, allow_nan=False))["loudness_lufs"] is None


def test_a_broken_espeak_is_explained(tmp_path, monkeypatch):
    broken = tmp_path / "espeak-ng"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CompositionError, match="espeak-ng"):
        speech.speak("de", "eins", 50, 150)


# --- corpora ---------------------------------------------------------------------------------------------------------


def test_corpus_without_espeak_says_so_and_resumes(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    arguments = ["corpus", str(tmp_path / "a"), "--material", "diverse", "--hours", "0.001", "--workers", "1"]
    assert main(arguments) == 0
    assert "speech and song are left out" in capsys.readouterr().err
    described = json.loads((tmp_path / "a" / "corpus.json").read_text())
    assert described["material"] == "diverse" and described["espeak_ng"] is None and "speech" not in described["shares"]
    lines = [json.loads(line) for line in (tmp_path / "a" / "index.jsonl").read_text().splitlines()]
    for line in lines:
        info = soundfile.info(tmp_path / "a" / line["file"])
        assert (info.samplerate, info.channels) == (RATE_HZ, 2)
        assert info.frames / RATE_HZ == pytest.approx(line["duration_s"])
        assert line["kind"] in SHARES
    before = (tmp_path / "a" / lines[0]["file"]).read_bytes()
    (tmp_path / "a" / lines[0]["file"]).unlink()
    assert main(arguments) == 0
    assert (tmp_path / "a" / lines[0]["file"]).read_bytes() == before


def test_bad_material_is_explained(tmp_path, capsys):
    assert main(["corpus", str(tmp_path), "--material", "noise"]) == 2
    assert "music or diverse" in capsys.readouterr().err
    assert main(["corpus", str(tmp_path), "--material", "diverse", "--style", "rock"]) == 2
    assert "--style" in capsys.readouterr().err


@pytest.mark.skipif(not Path(DEBIAN_SOUNDFONT).is_file(), reason="needs Debian's fluid-soundfont-gm")
def test_sound_font_programs_keep_to_their_split(tmp_path):
    pytest.importorskip("tinysoundfont")
    index = write_corpus(tmp_path, 40.0 / 3600.0, split="test", workers=1, soundfont=DEBIAN_SOUNDFONT, settings=PLAIN)
    used = {program for line in index.read_text().splitlines() for program in json.loads(line)["programs"]}
    assert used - {-1}
    assert used <= {-1, *PROGRAMS["test"], *(1000 + kit for kit in KITS["test"])}
    assert str(Path(DEBIAN_SOUNDFONT).parent) not in (tmp_path / "corpus.json").read_text()


def test_composed_music_is_as_it_was():
    """Models are trained on it: samples of a piece, taken from the commit before there was other material."""
    audio, _ = CorpusConfig(compose=ComposeConfig(3.0, 5.0)).make("train", 0, 0)
    assert audio.shape == (2, 268083)
    was = [0.09651, -0.0499, 0.08571, 0.14927, 0.00019, 0.01523, -0.17228]
    assert audio[0, 20000:160000:20000].tolist() == pytest.approx(was, abs=2e-5)
    assert float(np.abs(audio).mean()) == pytest.approx(0.0673568, rel=1e-4)
