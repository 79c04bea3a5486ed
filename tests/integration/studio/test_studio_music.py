"""The studio with the model and music: from a drop to a take of a take; how it looks, what it weighs, who can use it.

A recording of one's own is used with VAMPNET_TEST_RECORDING=FILE, and STUDIO_PICTURES=FOLDER keeps the screenshots.
"""

from __future__ import annotations

import base64
import io
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import soundfile

from tests.integration.studio.test_studio_page import drag, set_edit, state, wait_for_takes, wait_until
from tests.support.server import running_server
from tests.support.trials import trial
from vampnet.apps.http.config import ServerConfig

pytestmark = trial
OpenPage = Callable[..., Any]
STATE = "(await import('/studio/js/store.js')).state"
LOOP = Path(__file__).parents[3] / "examples" / "loop.wav"
SECONDS = float(os.environ.get("VAMPNET_TEST_SECONDS", "2"))
WIDE, PHONE = {"width": 1200, "height": 860}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first seconds of a recording, as WAV of 16 bits."""
    sound, rate = soundfile.read(os.environ.get("VAMPNET_TEST_RECORDING") or LOOP, always_2d=True)
    path = tmp_path_factory.mktemp("music") / "recording.wav"
    soundfile.write(path, sound[: round(SECONDS * rate)], rate, "PCM_16")
    return path


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server with the model."""
    config = ServerConfig(data=str(tmp_path_factory.mktemp("studio")), rate=100000, grace_s=0.0, warm=True)
    with running_server(config, with_model=True) as (address, _):
        yield address


def drop(page: Any, path: Path) -> None:
    """Drop a file onto the page."""
    page.evaluate(
        """([name, text]) => {
          const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)), data = new DataTransfer()
          data.items.add(new File([bytes], name))
          for (const kind of ['dragover', 'drop']) {
            document.body.dispatchEvent(new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true}))
          }
        }""",
        [path.name, base64.b64encode(path.read_bytes()).decode()],
    )


def picture(page: Any, folder: Path, name: str) -> None:
    """A screenshot of few colours, for the guide."""
    from PIL import Image

    page.wait_for_timeout(150)
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    image.quantize(160, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(folder / f"{name}.png", optimize=True)


def check_access(page: Any, where: str) -> None:
    """Whether axe finds anything serious."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page).response["violations"]
    serious = [
        (one["id"], one["impact"], [node["html"][:160] for node in one["nodes"]][:4])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert not serious, f"{where}: {serious}"


def test_the_page_is_light_and_asks_no_one_else(browser: Any, music: str, pictures: Path) -> None:
    context = browser.new_context(viewport=WIDE)
    page = context.new_page()
    cdp, sizes = context.new_cdp_session(page), []
    cdp.send("Network.enable")
    cdp.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    urls: list[str] = []
    page.on("request", lambda call: urls.append(call.url))
    page.goto(f"{music}/studio/")
    page.wait_for_selector(".welcome")
    page.wait_for_timeout(500)
    assert all(url.startswith(music) for url in urls)
    (pictures / "weight.json").write_text(json.dumps({"bytes": sum(sizes), "requests": len(urls)}))
    assert sum(sizes) < 200_000
    context.close()


def test_a_recording_from_drop_to_a_take_of_a_take(
    open_page: OpenPage, music: str, recording: Path, pictures: Path
) -> None:
    times: dict[str, float] = {}
    began = time.monotonic()

    def mark(what: str) -> None:
        times[what] = round(time.monotonic() - began, 2)

    calls: list[str] = []
    page = open_page(music, viewport=WIDE)
    page.on("request", lambda call: calls.append(call.url))
    picture(page, pictures, "studio-welcome")
    while httpx2.get(f"{music}/health").json()["model"] != "ready":
        time.sleep(0.1)
    began = time.monotonic()
    drop(page, recording)
    page.wait_for_selector(".axis")
    mark("shown")
    set_edit(page, n=4, settings={"steps": 1, "c2f_steps": 1}, seed=7)
    page.keyboard.press("g")
    wait_for_takes(page, 1)
    mark("first take there")
    page.locator("[data-take] .round").first.click()
    wait_until(page, f"{STATE}.playing")
    mark("first take plays")
    picture(page, pictures, "studio-running")
    wait_for_takes(page, 4)
    mark("four takes there")
    page.keyboard.press("b")
    wait_until(page, f"{STATE}.side === 'A' && {STATE}.playing")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Space")
    wait_until(page, f"{STATE}.sounds[{STATE}.project.input].analysis?.beats_s")
    mark("beats found")
    drag(page, SECONDS / 3, SECONDS * 2 / 3)
    wait_until(page, f"{STATE}.mask?.kept_share > 0.6")
    picture(page, pictures, "studio")
    check_access(page, "light")
    set_edit(page, n=1)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("g")
    wait_for_takes(page, 5)
    take = state(page, "project.takes")[4]
    before, rate = soundfile.read(recording)
    after, _ = soundfile.read(io.BytesIO(httpx2.get(f"{music}/api/v1/jobs/{take['job']}/outputs/1/audio").content))
    start_s, end_s = take["request"]["regions"][0]
    assert len(after) == len(before) and take["request"]["task"] == "inpaint"
    margin = round(0.1 * rate)
    assert np.array_equal(before[: round(start_s * rate) - margin], after[: round(start_s * rate) - margin])
    assert np.array_equal(before[round(end_s * rate) + margin :], after[round(end_s * rate) + margin :])
    assert not np.array_equal(before, after)
    page.locator(f"[data-take='{take['id']}'] .go-on").click()
    page.keyboard.press("g")
    wait_for_takes(page, 6)
    assert state(page, "project.takes")[5]["request"]["input"] == f"job:{take['job']}/1"
    page.reload()
    wait_for_takes(page, 6)
    assert state(page, "base") == take["id"] and state(page, "project.takes")[5]["parent"] == take["id"]
    page.click("button:has-text('History')")
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(300)
    picture(page, pictures, "studio-dark")
    check_access(page, "dark")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(300)
    picture(page, pictures, "studio-phone")
    (pictures / "times.json").write_text(json.dumps({"seconds of audio": SECONDS, **times}))
    assert all(url.startswith((music, "blob:", "data:")) for url in calls)


def test_time_from_a_drop_to_the_first_take(open_page: OpenPage, music: str, recording: Path, pictures: Path) -> None:
    """With the defaults, once the server is ready: seconds until things are there, and milliseconds until masks are."""
    page = open_page(music, viewport=WIDE)
    while httpx2.get(f"{music}/health").json()["model"] != "ready":
        time.sleep(0.1)
    page.wait_for_timeout(15000)  # the helpers are at hand too
    times: dict[str, Any] = {"seconds of audio": SECONDS}
    began = time.monotonic()

    def mark(what: str) -> None:
        times[what] = round(time.monotonic() - began, 2)

    drop(page, recording)
    page.wait_for_selector(".axis")
    wait_until(page, f"{STATE}.view.end > 0")
    mark("waveform")
    set_edit(page, n=1)
    page.keyboard.press("g")
    wait_until(page, f"{STATE}.mask")
    mark("mask")
    wait_for_takes(page, 1)
    mark("first take there")
    page.locator("[data-take] .round").first.click()
    wait_until(page, f"{STATE}.playing")
    mark("first take plays")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Space")
    masks = []
    for period in range(3, 18):
        page.evaluate(
            """async (period) => {
              const {edit, set, state} = await import('/studio/js/store.js')
              set({maskMs: null})
              edit({prompts: {...state.edit.prompts, vary: `periodic(${period})`}})
            }""",
            period,
        )
        wait_until(page, f"{STATE}.maskMs")
        masks.append(round(state(page, "maskMs"), 1))
    times["masks, ms, sorted"] = sorted(masks)
    began = time.monotonic()
    page.keyboard.press("g")
    wait_for_takes(page, 2)
    mark("a second take")
    jobs = [httpx2.get(f"{music}/api/v1/jobs/{take['job']}").json() for take in state(page, "project.takes")]
    times["stages"] = [job["result"]["timings"] for job in jobs]
    (pictures / "first-take.json").write_text(json.dumps(times, indent=1))


def test_phone_errors_and_every_tab_can_be_used_by_everyone(
    open_page: OpenPage, recording: Path, pictures: Path
) -> None:
    page = open_page(viewport=PHONE, has_touch=True, is_mobile=True, reduced_motion="reduce")
    check_access(page, "phone")
    drop(page, recording)
    page.wait_for_selector(".axis")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    moving = page.evaluate("document.getAnimations().filter((one) => one.playState === 'running').length")
    assert moving == 0  # reduced motion
    page.set_viewport_size(WIDE)
    tabs = page.get_by_role("tab").all_inner_texts()
    assert tabs == ["Vary", "Loop", "Fill", "Extend", "Continue", "New", "Stretch", "Compress", "Fine-tune"]
    for name in tabs:
        page.get_by_role("tab", name=name, exact=True).click()
        page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        check_access(page, name)
    for tool in ("Paint", "Beats"):
        page.click(f".stage-bar button:has-text('{tool}')")
        check_access(page, tool)
    page.get_by_role("tab", name="Vary", exact=True).click()
    page.fill("#text-vary", "perodic(7) | beats")
    page.wait_for_selector(".prompt-error:has-text('did you mean')")
    page.locator("#text-vary").scroll_into_view_if_needed()
    picture(page, pictures, "studio-error")
    check_access(page, "error")
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    picture(page, pictures, "studio-keys")
    check_access(page, "help")
    page.problems[:] = [text for text in page.problems if "422" not in text]
