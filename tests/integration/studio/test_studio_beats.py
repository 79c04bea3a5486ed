"""Beats by hand, and takes of a loop that join each other, in a real browser; takes are short tones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.integration.studio.test_studio_page import bring, drag, last_request, set_edit, state, wait_for_takes
from tests.support.wav_bytes import wav_bytes


@pytest.fixture(scope="module")
def tone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sounds") / "tone.wav"
    path.write_bytes(wav_bytes(4.0))
    return path


def double_click(page: Any, seconds: float) -> None:
    box, view = page.locator(".axis").bounding_box(), state(page, "view")
    x = box["x"] + box["width"] * (seconds - view["start"]) / (view["end"] - view["start"])
    page.mouse.dblclick(x, box["y"] + 80)


def test_single_beats_are_moved_added_removed_and_sent(
    open_page: Callable[..., Any], studio: tuple[str, Any], tone: Path, pictures: Path
) -> None:
    page = open_page()
    bring(page, tone)
    page.click("button:has-text('Beats')")
    page.click("button:has-text('My grid')")
    page.click("button:has-text('By hand')")
    beats = state(page, "edit.beats")
    assert beats == [[0.5 * k, int(k % 4 == 0)] for k in range(8)]
    drag(page, 1.0, 1.2)
    moved = state(page, "edit.beats")
    assert moved[2][0] == pytest.approx(1.2, abs=0.01) and [*moved[:2], *moved[3:]] == [*beats[:2], *beats[3:]]
    drag(page, 1.5, 0.4)  # no further than its neighbour
    assert state(page, "edit.beats")[3][0] == pytest.approx(moved[2][0] + 0.01, abs=1e-3)
    page.keyboard.press("Control+z")
    assert state(page, "edit.beats") == moved
    double_click(page, 3.75)
    assert len(state(page, "edit.beats")) == 9 and state(page, "beat") == 8
    double_click(page, 2.5)  # a bar begins at this one
    assert state(page, "edit.beats")[5] == [2.5, 1]
    handle = page.locator("[role=slider][aria-label='Beat 6, begins a bar']")
    handle.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    assert state(page, "edit.beats")[5] == [2.61, 1]
    page.keyboard.press("Control+ArrowRight")
    page.keyboard.press("Delete")
    assert [time for time, _ in state(page, "edit.beats")][5:] == [2.61, 3.5, pytest.approx(3.75, abs=0.01)]
    page.screenshot(path=pictures / "beats.png")
    page.evaluate("document.activeElement.blur()")
    sent = state(page, "edit.beats")
    set_edit(page, n=1)
    page.keyboard.press("g")
    wait_for_takes(page, 1)
    assert last_request(studio)["beats"] == {
        "beats_s": [time for time, _ in sent], "downbeats_s": [time for time, bar in sent if bar]
    }  # fmt: skip
    page.click("button:has-text('Found')")
    assert state(page, "edit.beats") is None and state(page, "edit.grid") is None
    page.keyboard.press("Control+z")
    assert state(page, "edit.beats") == sent
    page.reload()
    wait_for_takes(page, 1)
    assert state(page, "edit.beats") == sent


def test_takes_of_a_loop_are_asked_for_as_variations_of_one(
    open_page: Callable[..., Any], studio: tuple[str, Any], tone: Path
) -> None:
    page = open_page()
    bring(page, tone)
    page.get_by_role("tab", name="Loop").click()
    set_edit(page, n=4, seed=70, locked=True)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("g")
    wait_for_takes(page, 4)
    jobs = httpx2.get(f"{studio[0]}/api/v1/jobs?limit=4").json()["jobs"]
    asked = [(job["request"]["variations"], job["request"]["variation"]) for job in reversed(jobs)]
    assert asked == [(4, 1), (4, 2), (4, 3), (4, 4)]
    assert {job["request"]["sampling"]["seed"] for job in jobs} == {70}
