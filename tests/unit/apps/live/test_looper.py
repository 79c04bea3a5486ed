"""The looper's core: repeats, swaps, recordings, overdubs, undo and clocks, sample by sample."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.looper import FADE, answer, do, looper, noise, play
from vampnet.apps.live.commands import COMMANDS, OUTER, make_command, parse_command
from vampnet.apps.live.looper import MadeVariation
from vampnet.errors import PromptError, SettingsError


def test_a_repeat_is_a_repeat() -> None:
    core, turn = looper(channels=2), noise(3001, channels=2)
    core.load(1, turn)
    assert np.array_equal(play(core, 5 * 3001), np.tile(turn, 5))
    assert core.ask() is None and core.n_swaps == 0


def test_a_variation_begins_at_the_end_of_the_loop_with_a_fade_of_equal_power() -> None:
    core, turn, other = looper(), noise(3000), noise(3000, 1)
    core.load(1, turn)
    do(core, "vary 1")
    play(core, 1000)
    assert answer(core, other)
    out = play(core, 8000)
    assert [output for output, _, _ in core.swaps] == [3000]
    assert np.array_equal(out[:, :2000], turn[:, 1000:])
    assert np.array_equal(out[:, 2000 + FADE : 5000], other[:, FADE:])
    assert np.array_equal(out[:, 5000:8000], other)
    power = np.mean([np.square(out[:, 2000 : 2000 + FADE])]) / np.mean(np.square(turn))
    assert 0.1 < power < 4


def test_equal_takes_swap_without_a_trace() -> None:
    core, turn = looper(), noise(3000)
    core.load(1, turn)
    do(core, "vary 1")
    play(core, 10)
    assert answer(core, turn.copy())
    assert np.allclose(play(core, 9000), np.tile(turn, 4)[:, 10:9010], atol=1e-6)


@pytest.mark.parametrize(("unit", "places"), [("loop", [4000]), ("bar", [1000]), ("now", [500])])
def test_swaps_fall_on_the_unit_that_was_chosen(unit: str, places: list[int]) -> None:
    core = looper()
    core.load(1, noise(4000), bars=4)
    do(core, f"swap {unit}", "next")
    play(core, 500)
    assert answer(core, noise(4000, 1))
    play(core, 6000)
    assert [output for output, _, _ in core.swaps] == places


def test_the_newest_variation_wins_and_changed_prompts_drop_the_old() -> None:
    core = looper()
    core.load(1, noise(4000))
    do(core, "vary 1")
    asked = core.ask()
    assert asked is not None and asked.recipe.sampling.seed == 0
    do(core, "prompt nothing")
    assert core.is_stale()
    assert not core.offer(MadeVariation(asked.number, noise(4000, 1), None, None))
    again = core.ask()
    assert again is not None and again.recipe.prompt == "nothing" and not core.is_stale()
    assert not core.offer(MadeVariation(asked.number, noise(4000, 1), None, None))
    assert not core.offer(MadeVariation(again.number, noise(3000, 1), None, None)), "another length"
    do(core, "vary 1")
    assert answer(core, noise(4000, 2))
    assert core.ask() is None, "one waits already"
    play(core, 4200)
    later = core.ask()
    assert later is not None and later.recipe.sampling.seed == 1 and later.seam is not None
    do(core, "clear")
    assert core.is_stale() and core.ask() is None


def test_undo_redo_keep_and_back() -> None:
    core, first, second, third = looper(), noise(3000), noise(3000, 1), noise(3000, 2)
    core.load(1, first)
    for samples in (second, third):
        do(core, "next")
        assert answer(core, samples)
        play(core, 3000)
    assert np.array_equal(play(core, 3000), third)
    do(core, "undo")
    assert np.array_equal(play(core, 3000)[:, FADE:], second[:, FADE:])
    do(core, "undo")
    assert np.array_equal(play(core, 3000)[:, FADE:], first[:, FADE:])
    with pytest.raises(SettingsError, match="nothing to undo"):
        do(core, "undo")
    do(core, "redo")
    assert np.array_equal(play(core, 3000)[:, FADE:], second[:, FADE:])
    do(core, "keep", "next")
    asked = core.ask()
    assert asked is not None and np.array_equal(asked.source.samples, second)
    assert asked.source.codes is not None and asked.seam is asked.source.codes, "goes on from tokens"
    assert core.offer(MadeVariation(asked.number, noise(3000, 3), None, None))
    play(core, 3000)
    do(core, "redo") if core.tracks[0].place + 1 < len(core.tracks[0].history) else None
    do(core, "back")
    play(core, 3000)
    assert np.array_equal(play(core, 3000), second)


@pytest.mark.parametrize("block", [37, 100, 256])
def test_what_is_recorded_is_what_was_played(block: int) -> None:
    core, sound = looper(latency=83), noise(16000)
    do(core, "tempo 240", "click 0", "countin 1", "record 1")  # a bar is 8000 samples
    out = play(core, 16000, sound, block)
    assert not out.any()
    turn = play(core, 16000, sound, block)
    assert np.array_equal(turn[:, FADE : 8000 - FADE], sound[:, 8000 + FADE : 16000 - FADE])
    assert np.array_equal(turn[:, 8000 : 16000 - FADE], sound[:, 8000 : 16000 - FADE])
    take = core.tracks[0].current
    assert take is not None and take.is_complete and take.bars == 1
    seam = np.concatenate([take.samples[0, -200:], take.samples[0, :200]])
    assert np.abs(np.diff(seam)).max() < 1.5 * np.abs(np.diff(sound)).max(), "the end leads into the start"


def test_a_free_recording_gives_the_tempo() -> None:
    core, sound = looper(), noise(40000)
    play(core, 1000, sound)
    core.do(make_command("record", [0]), heard=900)
    play(core, 16100, sound)
    core.do(make_command("record", [0]), heard=16900)
    play(core, 100, sound)
    assert core.tracks[0].n_samples == 16000 and core.tracks[0].bars == 1
    assert core.grid.beat == 4000
    turn = play(core, 16000, sound)
    place = (core.now - 16000 - 900) % 16000
    expected = np.roll(sound[:, 900:16900], -place, axis=1)
    inside = np.ones(16000, bool)
    inside[(16000 - place - FADE) % 16000 : (16000 - place) % 16000 or None] = False
    assert np.array_equal(turn[:, inside], expected[:, inside])


def test_overdub_adds_and_undo_takes_away() -> None:
    core, turn, sound = looper(), noise(4000), noise(20000, 5)
    core.load(1, turn)
    play(core, 4000, sound)
    do(core, "overdub")
    play(core, 4000, sound)
    do(core, "overdub")
    play(core, 4000, sound)
    both = play(core, 4000, sound)
    assert np.allclose(both[:, FADE:-FADE], (turn + sound[:, 4000:8000])[:, FADE:-FADE], atol=1e-6)
    do(core, "undo")
    assert np.array_equal(play(core, 4000, sound)[:, FADE:], turn[:, FADE:])


def test_blocks_of_any_size_give_the_same_bytes() -> None:
    def perform(block: int) -> bytes:
        core, sound = looper(latency=40), noise(60000, 7)
        parts = []

        def go(n: int) -> None:
            parts.append(play(core, n, sound, block))

        do(core, "tempo 240", "record 1", "click 2")
        go(17011)
        do(core, "gain -6", "clock 238.5 8.5", "vary 1")
        go(5013)
        answer(core, noise(8000, 2))
        go(6007)
        do(core, "overdub", "swap bar")
        go(4001)
        do(core, "overdub", "mute 1")
        go(3001)
        do(core, "mute 0", "undo", "free")
        go(9003)
        do(core, "stop")
        go(1000)
        do(core, "start")
        go(5000)
        return np.concatenate(parts, axis=1).tobytes()

    assert perform(64) == perform(97) == perform(511)


def test_gain_mute_stop_start_and_panic() -> None:
    core, turn = looper(), noise(3000)
    core.load(1, turn)
    do(core, "gain -20")
    play(core, 3000)
    assert np.allclose(play(core, 3000), 0.1 * turn, atol=1e-6)
    do(core, "mute")
    play(core, FADE)
    assert not play(core, 500).any()
    do(core, "mute", "gain 0")
    play(core, FADE)
    do(core, "panic")
    assert not play(core, 3000).any() and not core.tracks[0].is_playing
    do(core, "start")
    assert np.array_equal(play(core, 3000)[:, FADE:], turn[:, FADE:])
    do(core, "stop")
    play(core, FADE)
    assert not play(core, 100).any()


def test_two_loops_stay_together_and_the_second_is_recorded_in_time() -> None:
    core, sound = looper(), noise(64000, 3)
    core.load(1, noise(8000), bars=2)
    core.grid.beat, core.grid.zero = 1000, 0
    play(core, 2500, sound)
    do(core, "select 2", "click 0", "record 1")
    play(core, 20000, sound)
    assert core.tracks[1].origin % 4000 == 0 and core.tracks[1].n_samples == 4000
    do(core, "stop")
    play(core, 700)
    do(core, "start")
    play(core, FADE)
    assert core.tracks[0].turn_at(core.song) * 8000 % 4000 == core.tracks[1].turn_at(core.song) * 4000 == FADE


def test_clocks_bend_loops_and_let_go() -> None:
    core = looper()
    core.load(1, noise(8000), bars=1)
    core.grid.beat, core.grid.zero = 2000, 0  # 240 bpm
    core.do(make_command("clock", [240 * 1.02, 0.0]))
    out = play(core, 8000)
    assert core.transport.last.rate == pytest.approx(1.02)
    assert core.song == pytest.approx(8160)
    assert np.abs(np.diff(out)).max() < 1.2 * np.abs(np.diff(noise(8000))).max()
    core.do(make_command("clock", [100.0, 0.0]))
    assert core.transport.last.rate == pytest.approx(1.02), "out of reach: it goes on as it was"
    do(core, "free")
    turn = play(core, 8000)
    place = round(core.song) % 8000
    assert np.array_equal(turn, np.roll(noise(8000), -place, axis=1))


def test_the_click_counts_in() -> None:
    core = looper()
    do(core, "tempo 240", "record 1")
    out = play(core, 8000)
    onsets = np.flatnonzero(np.abs(out[0]) > 0)
    assert {int(k) // 2000 * 2000 for k in onsets} == {0, 2000, 4000, 6000}
    assert np.abs(out[0, :200]).max() == pytest.approx(np.abs(out[0, 2000:2200]).max(), rel=0.5)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("recrod", "did you mean record"),
        ("gain loud", "must be a number"),
        ("gain 100", "must lie in -60 to 12"),
        ("gain", "needs db"),
        ("swap later", "one of loop, bar, now"),
        ("mute 0 1 2", "takes 2 values"),
        ("bars 1.5", "whole number"),
        ("gain nan", "must lie"),
        ('prompt "', "No closing quotation"),
        ("", "empty"),
        ("gain 0 9", "loop is 9"),
        ("set stepz 3", "did you mean steps"),
        ("set steps 0", "must lie in 1"),
        ("record 4", "needs a tempo"),
        ("overdub", "no complete loop"),
        ("keep", "no complete take"),
    ],
)
def test_wrong_commands_are_named(text: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        do(looper(), text)


def test_prompts_are_checked_and_loops_too_short_refused() -> None:
    with pytest.raises(PromptError):
        parse_command("prompt periodic(")
    with pytest.raises(SettingsError, match="must have"):
        looper().load(1, noise(500))
    assert not set(COMMANDS) & set(OUTER)


def test_undo_goes_one_take_back_where_a_take_is_there_twice() -> None:
    core = looper()
    core.load(1, noise(8000))
    for seed in (1, 2):
        do(core, "next")
        assert answer(core, noise(8000, seed))
        play(core, 16000)
    do(core, "back")  # the recording again, after its two variations
    play(core, 16000)
    track = core.tracks[0]
    assert track.history[0] is track.history[3] and track.place == 3
    for place in (2, 1, 0):
        do(core, "undo")
        play(core, 100)
        assert track.place == place
    for place in (1, 2, 3):
        do(core, "redo")
        play(core, 100)
        assert track.place == place and track.current is track.history[place]
