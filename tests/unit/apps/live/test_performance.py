"""Performances: an hour on the virtual clock, makers that fail, replays to the same bytes, sets."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from tests.support.looper import FADE, RATE, do, looper, noise, play
from vampnet.apps.live.commands import make_command, parse_command
from vampnet.apps.live.looper import Looper, LooperConfig, MadeVariation, VariationRequest
from vampnet.apps.live.making import Failure, SimulatedMaker
from vampnet.apps.live.performance import Performance, PerformanceRecord, replay
from vampnet.apps.live.sets import SET_FILE, capture_set, load_set, restore_set, save_set
from vampnet.apps.live.simulation import Cue, simulate
from vampnet.audio.files import read, write
from vampnet.audio.samples import Audio
from vampnet.errors import SettingsError, VampnetError
from vampnet.models.choice import ModelChoice


def make(request: VariationRequest) -> MadeVariation:
    n = request.source.n_samples
    samples = noise(n, request.recipe.sampling.seed + 10, len(request.source.samples))
    return MadeVariation(request.number, samples, np.full((1, 2, 3), request.number, np.int32), None)


def perform(
    cues: list[Cue], seconds: float, *, takes=lambda request: 3000, made=make, record=None, sound=None, load=None
) -> tuple[Performance, np.ndarray]:
    config = LooperConfig(sample_rate_hz=RATE, channels=1, delay=256, latency=30)
    show = Performance(Looper(config), SimulatedMaker(made, takes), record=record)
    if load is not None:
        show.load(1, load)
    out: list[np.ndarray] = []
    simulate(show, int(seconds * RATE), out.append, cues=cues, sound=sound)
    return show, np.concatenate(out, axis=1)


def cue(seconds: float, text: str) -> Cue:
    return Cue(seconds, parse_command(text))


@pytest.fixture
def turn(tmp_path: Path) -> Path:
    write(tmp_path / "turn.wav", Audio(noise(4000), RATE), "FLOAT")
    return tmp_path / "turn.wav"


def test_random_controls_and_a_slow_model_never_click_and_never_leave_the_boundaries(turn: Path) -> None:
    rng = random.Random(1)
    texts = ["vary 1", "next", "undo", "redo", "keep", "back", "prompt nothing", "prompt vary", "seed 5", "mute 0",
             "gain -3", "gain 0", "swap loop", "vary 1", "vary 1", "vary 0"]  # fmt: skip
    cues = [cue(rng.uniform(0, 120), rng.choice(texts)) for _ in range(200)]
    show, out = perform(cues, 120, takes=lambda request: rng.choice([500, 3000, 9000]), load=turn)
    assert show.looper.n_swaps > 40 and show.n_repeats > 0
    outputs = [output for output, _, _ in show.looper.swaps]
    by_hand = {round(c.seconds * RATE + 0.4999) for c in cues if c.command.name in ("undo", "redo")}
    away = [output for output in outputs if output % 4000 and not any(abs(output - k) < 600 for k in by_hand)]
    assert not away
    jumps = np.abs(np.diff(out[0]))
    at_swaps = np.zeros(len(jumps), bool)
    for output in outputs:
        at_swaps[output - 2 : output + FADE + 2] = True
    assert jumps[at_swaps].max() < 1.3 * jumps[~at_swaps].max()


def test_models_that_hang_fail_or_refuse_leave_the_loop_playing(turn: Path) -> None:
    hung, out = perform([cue(0, "vary 1")], 4, takes=lambda request: None, load=turn)
    assert np.array_equal(out, np.tile(noise(4000), 8)) and hung.n_repeats >= 6

    def refuse(request: VariationRequest) -> MadeVariation:
        raise VampnetError("no such thing")

    refused, out = perform([cue(0, "vary 1")], 4, made=refuse, load=turn)
    assert np.array_equal(out, np.tile(noise(4000), 8))
    assert refused.message == "no such thing" and not refused.looper.tracks[0].vary

    class Crashing(SimulatedMaker):
        """Fails each time as a process does that ended."""

        def poll(self, output: int) -> MadeVariation | Failure | None:
            made = super().poll(output)
            return Failure(made.number, "ended", False) if isinstance(made, MadeVariation) else made

    show = Performance(Looper(LooperConfig(sample_rate_hz=RATE, channels=1)), Crashing(make, lambda request: 900))
    show.load(1, turn)
    show.do(make_command("vary", [1]))
    parts: list[np.ndarray] = []
    simulate(show, 16000, parts.append)
    assert np.array_equal(np.concatenate(parts, axis=1), np.tile(noise(4000), 4))
    assert show.message == "ended" and show.looper.tracks[0].vary, "it is asked again"


def test_a_performance_is_played_again_to_the_same_bytes(turn: Path, tmp_path: Path) -> None:
    sound = noise(40 * RATE, 9)
    cues = [cue(1, "vary 1"), cue(3.3, "swap bar"), cue(4, "select 2"), cue(4.1, "record 0"), cue(6.2, "record 0"),
            cue(8, "vary 1"), cue(9, "prompt nothing"), cue(11, "undo"), cue(12, "overdub"), cue(13.5, "overdub"),
            cue(14, "gain -6 1"), cue(15, "clock 100 31.5"), cue(17, "free"), cue(18, "stop"), cue(18.2, "start"),
            cue(18.3, "overdub 3"), cue(18.5, "record 0 3"), cue(18.6, "record 0 3")]  # fmt: skip
    config = LooperConfig(sample_rate_hz=RATE, channels=1, delay=256, latency=30)
    record = PerformanceRecord(config, ModelChoice(), model_id="x")
    rng = random.Random(3)
    show, out = perform(
        cues, 20, takes=lambda request: rng.randint(100, 9000), record=record, load=turn,
        sound=lambda first, n: sound[:, first : first + n],
    )  # fmt: skip
    record.n_samples = show.looper.now
    record.save(tmp_path / "show.json")
    again = PerformanceRecord.load(tmp_path / "show.json")
    assert again.entries == record.entries and again.looper == config

    def play_again(entries: list) -> tuple[np.ndarray, list[str]]:
        parts, at = list[np.ndarray](), [-286]

        def heard(n: int) -> np.ndarray:
            block = np.zeros((1, n), np.float32)
            number = np.arange(at[0], at[0] + n)
            block[:, number >= 0] = sound[:, number[number >= 0]]
            at[0] += n
            return block

        again.entries = entries
        warnings = replay(again, heard, make, parts.append, block=777)
        return np.concatenate(parts, axis=1), warnings

    played, warnings = play_again(record.entries)
    assert played.tobytes() == out.tobytes() and not warnings
    offers = [k for k, entry in enumerate(record.entries) if entry[1] == "offer"]
    assert offers
    changed = [list(entry) for entry in record.entries]
    changed[offers[0]][3] = "0" * 16
    assert "otherwise" in play_again(changed)[1][0]
    write(turn, Audio(noise(4000, 4), RATE), "FLOAT")
    with pytest.raises(SettingsError, match="not the file"):
        play_again(record.entries)


@pytest.mark.parametrize("text", ["{}", '{"version": 1}', "[]", '{"version": 1, "looper": {"channels": "x"}}'])
def test_damaged_performances_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(SettingsError):
        PerformanceRecord.load(tmp_path / "x.json")


def test_sets_come_back(tmp_path: Path) -> None:
    core = looper(channels=2)
    core.load(1, noise(4000, 0, 2), bars=2)
    core.load(2, noise(8000, 1, 2), bars=4)
    core.grid.beat = 500.0
    do(core, "select 2", "next", "gain -6 1", "prompt nothing 1", "swap bar")
    asked = core.ask()
    assert asked is not None
    core.offer(MadeVariation(asked.number, noise(8000, 5, 2), np.ones((2, 6, 10), np.int32), np.ones((6, 10), bool)))
    play(core, 16000)
    expected = play(core, 8000)
    save_set(capture_set(core), tmp_path / "set")
    other = looper(channels=2)
    play(other, 777)
    restore_set(other, load_set(tmp_path / "set", other.config))
    play(other, 8000)
    assert np.array_equal(play(other, 8000), expected)
    assert (other.selected, other.swap_unit, other.tracks[0].recipe.prompt) == (2, "bar", "nothing")
    source = other.tracks[1].source
    assert source is not None and source.seam is not None and np.array_equal(source.samples, noise(8000, 1, 2))
    do(other, "undo")
    play(other, 100)
    assert other.tracks[1].current is other.tracks[1].source
    faster = Looper(LooperConfig(sample_rate_hz=2 * RATE, channels=1, delay=256))
    restore_set(faster, load_set(tmp_path / "set", faster.config))
    assert faster.tracks[0].n_samples == 8000 and faster.grid.beat == 1000
    assert read(tmp_path / "set" / "loop-2-1.wav").n_samples == 8000
    (tmp_path / "set" / SET_FILE).write_text("{}")
    with pytest.raises(SettingsError, match="damaged"):
        load_set(tmp_path / "set", core.config)


def test_values_left_out_are_replayed_too() -> None:
    """The key r is `record` without a number of bars."""
    core = looper()
    record = PerformanceRecord(core.config, ModelChoice())
    performance = Performance(core, None, record=record)
    sound, parts = noise(40000, 3), []
    for texts in (["record"], ["record"], ["vary"], ["mute", "mute"]):
        for text in texts:
            assert performance.do(parse_command(text))
        parts.append(core.render(sound[:, core.now : core.now + 8000]))
    record.n_samples = core.now
    assert core.tracks[0].n_samples == 8000
    again: list[np.ndarray] = []
    given = iter([sound[:, k : k + 800] for k in range(0, 32000, 800)])
    replay(record, lambda n: next(given), lambda request: None, again.append, block=800)  # type: ignore[arg-type, return-value]
    assert np.array_equal(np.concatenate(again, axis=1), np.concatenate(parts, axis=1))
    assert np.concatenate(parts, axis=1)[:, 16000:].any()


def test_a_loop_that_was_stopped_while_it_was_recorded_waits_for_a_start() -> None:
    core = looper(channels=1)
    do(core, "tempo 120", "countin 0", "click 0", "record 1")
    sound = noise(16000, 4)
    play(core, 8000, sound)
    do(core, "stop")
    with pytest.raises(SettingsError):
        do(core, "back")  # nothing is complete yet
    assert not play(core, 24000, sound).any()
    do(core, "back", "start")
    assert core.tracks[0].n_samples == 16000
    assert play(core, 16000).any()


def test_a_latency_before_the_sound_is_refused() -> None:
    with pytest.raises(SettingsError, match="before it is played"):
        LooperConfig(delay=100, latency=-101)


def test_a_turn_that_is_swapped_where_a_block_ends_does_not_count_as_repeated(tmp_path: Path) -> None:
    core = looper(channels=1)
    show = Performance(core, SimulatedMaker(make, lambda request: 3000))
    core.load(1, noise(8000))
    show.do(make_command("vary", [1]))
    for _ in range(80):
        show.tend()
        show.render(np.zeros((1, 500), np.float32))  # 16 blocks are a turn
    assert core.n_swaps == 4 and show.n_repeats == 0
