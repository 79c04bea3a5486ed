"""Beats of clicks at known times, bars, files of beats, and prompts that follow them through the pipeline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.tiny import tiny_vampnet
from vampnet.audio.files import Audio
from vampnet.audio.sources import MemorySource
from vampnet.beats.config import BeatsConfig
from vampnet.beats.event_finder import EventFinder
from vampnet.beats.events import Events, TrackerConfig, read_events, steady_events, steady_gap, tempo_of
from vampnet.beats.tracking import find_bars, track_events
from vampnet.errors import AudioError, SettingsError
from vampnet.jobs.task_runs import find_beats
from vampnet.prompts.grammar import parse_prompt


def clicks(bpm: float, seconds: float, beats_per_bar: int, rate_hz: int = 44100, offset_s: float = 0.2) -> np.ndarray:
    """A drum-like pulse on each beat, lower and louder on the first of each bar, over a faint noise; (1, samples)."""
    rng = np.random.default_rng(0)
    samples = 0.001 * rng.standard_normal(int(seconds * rate_hz))
    time = np.arange(int(0.1 * rate_hz)) / rate_hz
    for beat, start_s in enumerate(np.arange(offset_s, seconds - 0.2, 60 / bpm)):
        first = beat % beats_per_bar == 0
        pulse = np.exp(-40 * time) * (np.sin(2 * np.pi * 60 * time) if first else 0.4 * rng.standard_normal(len(time)))
        start = int(start_s * rate_hz)
        samples[start : start + len(pulse)] += 0.5 * pulse[: len(samples) - start]
    return samples[None].astype(np.float32)


def track(samples: np.ndarray, rate_hz: int = 44100, block: int = 10_000) -> Events:
    blocks = (samples[:, start : start + block] for start in range(0, samples.shape[1], block))
    return track_events(blocks, rate_hz, samples.shape[1])


@pytest.mark.parametrize(("bpm", "beats_per_bar"), [(120.0, 4), (100.0, 3)])
def test_clicks_are_found(bpm: float, beats_per_bar: int) -> None:
    found = track(clicks(bpm, 20.0, beats_per_bar))
    beats = np.asarray(found.beats_s)
    wanted = np.arange(0.2, 19.7, 60 / bpm)
    hits = [np.abs(beats - t).min() < 0.07 for t in wanted[2:-2]]
    assert np.mean(hits) > 0.95 and abs(len(beats) - len(wanted)) <= 3
    downbeats = wanted[::beats_per_bar][1:-1]
    assert np.mean([np.abs(np.asarray(found.downbeats_s) - t).min() < 0.07 for t in downbeats]) > 0.9
    assert np.mean([np.abs(np.asarray(found.onsets_s) - t).min() < 0.07 for t in wanted[2:-2]]) > 0.9


def test_blocks_and_rates_do_not_matter() -> None:
    samples = clicks(120.0, 10.0, 4)
    whole = track(samples, block=10**6)
    stereo = np.concatenate([samples, samples])
    for other in (track(samples, block=777), track(stereo)):
        assert other.beats_s == pytest.approx(whole.beats_s, abs=1e-3)
        assert other.downbeats_s == pytest.approx(whole.downbeats_s, abs=1e-3)
        assert other.onsets_s == whole.onsets_s


@pytest.mark.parametrize("n_samples", [1, 500, 44100])
def test_silence_and_short_audio_have_no_events(n_samples: int) -> None:
    assert track(np.zeros((1, n_samples), np.float32)) == Events((), (), ())


def test_steady_beats() -> None:
    found = steady_events(120.0, 3.0, downbeat_s=0.25, beats_per_bar=3)
    assert found.beats_s == pytest.approx((0.25, 0.75, 1.25, 1.75, 2.25, 2.75))
    assert found.downbeats_s == pytest.approx((0.25, 1.75))
    assert steady_events(60.0, 3.0, downbeat_s=1.5).beats_s == pytest.approx((0.5, 1.5, 2.5))
    with pytest.raises(SettingsError, match="bpm"):
        steady_events(0.0, 3.0)


@pytest.mark.parametrize(
    ("text", "beats", "downbeats"),
    [
        ("[0.5, 1.0, 1.5, 2.0, 2.5]", 5, ()),
        ("0.5\n1.0\n", 2, ()),
        ("\ufeff1.0 2\n0.5 1.0\n", 2, (0.5,)),
        ('{"beats": [0.5, 1.0], "downbeats": [1.0]}', 2, (1.0,)),
        ("0.5 1\n1.0\t2\n# a comment\n\n1.5 1\n", 3, (0.5, 1.5)),
        ("0.5,1\n1.0,2\n", 2, (0.5,)),
    ],
)
def test_files_of_beats(tmp_path: Path, text: str, beats: int, downbeats: tuple[float, ...]) -> None:
    path = tmp_path / "beats"
    path.write_text(text)
    found = read_events(path)
    assert len(found.beats_s) == beats and found.downbeats_s == downbeats


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("one\ntwo", "line 1"),
        ("[1, -2]", r"beats\[1\] is -2"),
        ("[", "cannot read"),
        ("{}", "beats"),
        ("", "it has none"),
        ("[null]", r"beats\[0\] is null"),
        ('{"beats": [1], "beats": [2]}', "a key comes twice"),
        ("[1, true]", r"beats\[1\] is true"),
        ('{"beats": [1], "downbeats": ["x"]}', r"downbeats\[0\]"),
        ('{"beats": 3}', "beats is 3"),
        ('{"beats": [1], "bars": [1]}', "bars"),
        ("[NaN]", "NaN is no number"),
        ("1.0\n-3\n", "line 2: -3"),
        ("1.0\ninf\n", "line 2: inf"),
        ("1.0 1\n2.0 two\n", "line 2"),
        ("[" * 100_000, "cannot read"),
    ],
)
def test_bad_files_of_beats_are_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "beats.txt"
    path.write_text(text)
    with pytest.raises(AudioError, match=words) as caught:
        read_events(path)
    assert "beats.txt" in str(caught.value)
    with pytest.raises(AudioError, match="nowhere"):
        read_events(tmp_path / "nowhere")


def test_prompts_follow_the_beats_of_the_audio(tmp_path: Path) -> None:
    model, audio = tiny_vampnet(tmp_path), Audio(clicks(120.0, 6.0, 4), 44100)
    prompt = parse_prompt("beats(after=75ms)")
    keep_CT = model.vamp(audio, prompt=prompt).keep_CT
    kept = keep_CT[0].nonzero().squeeze(1) * 768 / 44100
    assert 30 < len(kept) < 90 and all(np.abs((float(t) - 0.2 + 0.15) % 0.5 - 0.15) < 0.2 for t in kept)
    given = model.vamp(audio, prompt=prompt, beats=Events((1.0,), (1.0,))).keep_CT
    assert given[0].nonzero().squeeze(1).tolist() == [57, 58, 59, 60, 61]


def test_trackers_have_names() -> None:
    assert TrackerConfig().tracker == "learned"
    with pytest.raises(SettingsError, match=r"'drums'.*learned, librosa.*\.ckpt"):
        TrackerConfig("drums")


def test_librosa_is_there_too() -> None:
    samples = clicks(120.0, 12.0, 4)
    found = track_events([samples], 44100, samples.shape[1], TrackerConfig("librosa"))
    assert np.median(np.diff(found.beats_s)) == pytest.approx(0.5, abs=0.03)


def test_given_beats_get_their_bars_from_the_audio() -> None:
    samples, beats = clicks(120.0, 20.0, 4), np.arange(0.2, 19.7, 0.5)
    found = find_bars([samples], 44100, samples.shape[1], beats.tolist())
    assert found.beats_s == tuple(beats) and found.downbeats_s == pytest.approx(beats[::4])


def test_a_listener_keeps_what_it_was_told() -> None:
    source = MemorySource(Audio(clicks(120.0, 8.0, 4), 44100))
    told = EventFinder(source, Events((0.7, 1.7, 2.7, 3.7), ()))
    assert told.events("beats") == (0.7, 1.7, 2.7, 3.7)
    assert set(told.events("downbeats")) <= {0.7, 1.7, 2.7, 3.7} and len(told.events("onsets")) > 8
    silent = EventFinder(MemorySource(Audio(np.zeros((1, 44100), np.float32), 44100)), None)
    assert [silent.events(kind) for kind in ("beats", "downbeats", "onsets")] == [(), (), ()]


def test_a_listener_says_where_there_is_little_to_follow(caplog: pytest.LogCaptureFixture) -> None:
    silence = MemorySource(Audio(np.zeros((1, 8 * 44100), np.float32), 44100))
    EventFinder(silence, Events((1.0, 4.0, 7.0, 7.5), ())).events("beats")  # four in 8 s are enough
    assert not caplog.records
    EventFinder(silence, Events((1.0, 4.0), ())).events("beats")
    EventFinder(silence, None).events("onsets")
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["no onsets found in 8.0 s"]


@pytest.mark.parametrize(
    ("data", "beats", "downbeats"),
    [
        (b"0,5\n1,0\n1,5\n", (0.5, 1.0, 1.5), ()),
        (b"0,52\r\n1,04\r\n", (0.52, 1.04), ()),
        (b"0,5;1\n1,0;2\n1,5;1\n", (0.5, 1.0, 1.5), (0.5, 1.5)),
        (b"0,5\t1\n1,0\t2\n", (0.5, 1.0), (0.5,)),
        (b"0,5, 1\n1,0, 2\n", (0.5, 1.0), (0.5,)),
        (b"0.5,1\n1.0,2\n", (0.5, 1.0), (0.5,)),
        (b"1,1\n2,2\n3,3\n2.5,4\n", (1.0, 2.0, 2.5, 3.0), (1.0,)),
        (b"time,beat\n0.5,1\n1.0,2\n", (0.5, 1.0), (0.5,)),
        (b"\xef\xbb\xbf0.5 1\n1.0 2\n", (0.5, 1.0), (0.5,)),
        ("0.5 1\n1.0 2\n".encode("utf-16"), (0.5, 1.0), (0.5,)),
        (b"% made by hand\n0.5 # one\n// two\n1.0\n", (0.5, 1.0), ()),
        (b"0:01.5 1\n1:00 2\n", (1.5, 60.0), (1.5,)),
    ],
)
def test_beats_as_people_and_programs_write_them(
    tmp_path: Path, data: bytes, beats: tuple[float, ...], downbeats: tuple[float, ...]
) -> None:
    path = tmp_path / "beats.txt"
    path.write_bytes(data)
    assert read_events(path) == Events(beats, downbeats)


def test_commas_that_may_mean_two_things_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "beats.txt"
    path.write_text("0,1\n1,2\n2,3\n3,4\n4,1\n")  # 0.1, 1.2, ... or beat 1 at 0 s, beat 2 at 1 s, ...
    with pytest.raises(AudioError, match=r"line 1 is '0,1', whose comma"):
        read_events(path)


def test_beats_behind_the_end_of_the_recording_are_told() -> None:
    Events((0.5, 1.0, 1.5, 9.0), ()).check_fits(3.0)
    with pytest.raises(AudioError, match=r"3 of 4 beats lie behind the end of the recording, 3\.00 s; are they milli"):
        Events((0.0, 500.0, 1000.0, 1500.0), ()).check_fits(3.0)


def test_the_tempo_of_steady_beats_is_that_of_the_line_through_them() -> None:
    rng = np.random.default_rng(0)
    heard = tuple(0.5 * np.arange(32) + rng.uniform(-0.003, 0.003, 32))
    assert tempo_of(Events(heard, ())) == 120.0  # a whole number within the error of the line
    for bpm in (93.97, 120.3, 174.0):
        assert tempo_of(steady_events(bpm, 30.0)) == pytest.approx(bpm, abs=1e-9)
    assert steady_gap(tuple(np.cumsum(np.linspace(0.4, 0.6, 20)))) is None  # it slows down
    assert steady_gap((0.0, 0.5, 1.0)) is None and tempo_of(Events((0.0, 0.5, 1.0), ())) == 120.0
    assert tempo_of(Events((1.0,), ())) is None


def test_times_in_a_request_are_its_events() -> None:
    """Given times come in order, once each; where no bar is given, bars are looked for at these beats."""
    source = MemorySource(Audio(clicks(120.0, 8.0, 4), 44100))
    times_s = tuple(0.2 + 0.5 * k for k in (2, 0, 1, 3, 3, 4, 5, 6, 7, 8, 9))
    found = find_beats(BeatsConfig(beats_s=times_s, downbeats_s=(times_s[1], times_s[5])), source)
    assert isinstance(found, Events) and found.beats_s == tuple(sorted(set(times_s)))
    assert found.downbeats_s == (0.2, 2.2)
    bare = find_beats(BeatsConfig(beats_s=times_s), source)
    finder = EventFinder(source, bare)
    assert finder.events("beats") == found.beats_s and set(finder.events("downbeats")) <= set(found.beats_s)
    with pytest.raises(AudioError, match="lie behind the end"):
        EventFinder(source, find_beats(BeatsConfig(beats_s=(9.0, 10.0)), source))
