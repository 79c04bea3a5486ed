"""The studio's page in a real browser, by mouse, touch and keyboard; takes are short tones that a stand-in makes."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import soundfile

from tests.support import fake_worker
from tests.support.server import running_server, wait_for
from tests.support.wav_bytes import wav_bytes
from vampnet.apps.http.config import ServerConfig

OpenPage = Callable[..., Any]
STATE = "(await import('/studio/js/store.js')).state"


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of clicks and a tone, stereo."""
    rate, seconds = 44100, 4.0
    time_s = np.arange(int(rate * seconds)) / rate
    sound = 0.2 * np.sin(2 * np.pi * 220 * time_s) * np.exp(-6 * (time_s % 0.5))
    path = tmp_path_factory.mktemp("sounds") / "clicks.wav"
    soundfile.write(path, np.stack([sound, 0.7 * sound], 1), rate)
    return path


def bring(page: Any, path: Path) -> None:
    """Open a sound as a new project."""
    new_project(page)
    page.set_input_files("#file", path)
    page.wait_for_selector(".axis")
    page.wait_for_function("document.querySelector('.facts').textContent.includes('kHz')")
    wait_until(page, f"{STATE}.view.end > 0")
    page.evaluate("document.activeElement.blur()")


def new_project(page: Any) -> None:
    """To the page that asks for a sound, by keys."""
    if not page.locator(".welcome").count():
        page.locator("header [aria-haspopup=menu]").press("Enter")
        page.wait_for_selector("[role=menuitem]:focus")
        page.keyboard.press("Enter")
    page.wait_for_selector(".welcome")


def state(page: Any, expression: str) -> Any:
    """Something of the page's state, such as "edit.regions"."""
    return page.evaluate(f"async () => {STATE}.{expression}")


def wait_until(page: Any, expression: str) -> None:
    """Wait until an expression with await holds in the page."""
    wait_for(lambda: page.evaluate(f"async () => Boolean({expression})"))


def drag(page: Any, start_s: float, end_s: float, y: float = 80) -> None:
    """Drag over the stage with the mouse."""
    box, view = page.locator(".axis").bounding_box(), state(page, "view")

    def x(seconds: float) -> float:
        return box["x"] + box["width"] * (seconds - view["start"]) / (view["end"] - view["start"])

    page.mouse.move(x(start_s), box["y"] + y)
    page.mouse.down()
    page.mouse.move(x((start_s + end_s) / 2), box["y"] + y, steps=3)
    page.mouse.move(x(end_s), box["y"] + y, steps=3)
    page.mouse.up()


def wait_for_takes(page: Any, n: int) -> None:
    page.wait_for_function(f"document.querySelectorAll('[data-take]').length >= {n}", timeout=180_000)


def set_edit(page: Any, **values: Any) -> None:
    """Set what has other tests, such as the number of takes."""
    page.evaluate("async (values) => (await import('/studio/js/store.js')).edit(values)", values)


def last_request(studio: tuple[str, Any]) -> dict:
    return httpx2.get(f"{studio[0]}/api/v1/jobs?limit=1").json()["jobs"][0]["request"]


def test_regions_by_mouse_and_keys_reach_the_server(open_page: OpenPage, studio: tuple[str, Any], loop: Path) -> None:
    page = open_page()
    bring(page, loop)
    drag(page, 0.5, 1.0)
    drag(page, 2.0, 2.5)
    page.click(".segments button:has-text('Keep')")  # the region that was drawn last
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    page.evaluate("import('/studio/js/sound.js').then((sound) => sound.seek(3))")
    page.keyboard.press("r")
    handle = page.locator("[role=slider][aria-label*='Region 3'][aria-label$='end']")
    handle.focus()
    for key in ("ArrowLeft", "Shift+ArrowLeft", "Alt+ArrowLeft"):
        page.keyboard.press(key)
    regions = state(page, "edit.regions")
    assert [region["kind"] for region in regions] == ["new", "keep", "keep"]
    assert handle.get_attribute("aria-valuenow") == f"{regions[2]['end']:.3f}"
    page.keyboard.press("k")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("End")
    regions = state(page, "edit.regions")
    page.evaluate("document.activeElement.blur()")
    set_edit(page, n=1)
    page.keyboard.press("g")
    wait_for_takes(page, 1)
    request = last_request(studio)
    spans = [[round(region["start"], 4), round(region["end"], 4)] for region in regions]
    assert request["task"] == "inpaint" and request["regions"] == [spans[0], spans[2]]
    assert request["prompt"] == f"periodic(7) | keep({spans[1][0]:g}, {spans[1][1]:g})"
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    assert state(page, "edit.regions") != regions
    page.keyboard.press("Control+Shift+z")
    page.keyboard.press("Control+Shift+z")
    assert state(page, "edit.regions") == regions


def test_touch_draws_regions_and_two_fingers_zoom(open_page: OpenPage, loop: Path) -> None:
    page = open_page(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    bring(page, loop)
    box, cdp = page.locator(".axis").bounding_box(), page.context.new_cdp_session(page)

    def touch(kind: str, *xs: float) -> None:
        points = [{"x": box["x"] + x, "y": box["y"] + 150, "id": k} for k, x in enumerate(xs)]
        cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 80)
    for x in range(90, 200, 12):
        touch("touchMove", x)
    touch("touchEnd")
    wait_until(page, f"{STATE}.edit.regions.length === 1")
    region = state(page, "edit.regions")[0]
    assert region["start"] == pytest.approx(80 / box["width"] * 4, abs=0.1)
    touch("touchStart", 100)
    touch("touchStart", 100, 200)
    for step in range(1, 8):
        touch("touchMove", 100 - 8 * step, 200 + 8 * step)
    touch("touchEnd")
    view = state(page, "view")
    assert view["end"] - view["start"] < 2.6 and len(state(page, "edit.regions")) == 1
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_prompt_by_controls_and_by_text(open_page: OpenPage, loop: Path) -> None:
    page = open_page()
    bring(page, loop)
    text = page.locator("#text-vary")
    page.click(".chip:has-text('Reimagine')")
    assert (
        text.input_value() == "periodic(13) | beats(after=75ms)"
        and state(page, "edit.prompts.vary") == text.input_value()
    )
    page.click("summary:has-text('Fine controls')")
    page.get_by_role("slider", name="Every … frames").first.fill("5")
    assert text.input_value() == "periodic(5) | beats"
    page.locator("label.switch:has-text('Coarse layers only')").click()
    assert text.input_value() == "(periodic(5) | beats) & codebooks(4)"
    text.fill("periodic(9) & drop(0.4)")
    assert page.get_by_role("slider", name="Every … frames").first.input_value() == "9"
    assert page.locator("label.switch:has-text('Thin out') input").is_checked()
    assert not page.locator("label.switch:has-text('On the beat') input").is_checked()
    wait_until(page, f"{STATE}.mask?.n_frames > 0")
    share = state(page, "mask.kept_share")
    text.fill("periodic(3)")
    wait_until(page, f"{STATE}.mask.kept_share > {share}")
    wait_until(page, f"{STATE}.maskError === ''")
    page.problems.clear()
    text.fill("perodic(3)")
    page.wait_for_selector(".prompt-error:has-text('did you mean periodic?')")
    assert page.locator(".go .main").is_disabled()
    page.problems[:] = [text for text in page.problems if "422" not in text]


def test_painting_keeps_and_erases_tokens(open_page: OpenPage, studio: tuple[str, Any], loop: Path) -> None:
    page = open_page()
    bring(page, loop)
    page.click("button:has-text('Paint')")
    wait_until(page, f"{STATE}.mask?.n_frames > 0")
    n_books = state(page, "mask.n_codebooks")
    axis, mel = page.locator(".axis").bounding_box(), page.locator(".mel").bounding_box()
    drag(page, 1.0, 1.5, y=mel["y"] + mel["height"] - 4 - axis["y"])
    page.select_option(".brush select", "new")
    page.fill(".stroke [name=from]", "2")
    page.fill(".stroke [name=to]", str(n_books))
    page.fill(".stroke [name=start]", "0")
    page.fill(".stroke [name=end]", "0.5")
    page.click(".stroke button")
    painted = state(page, "edit.paint")
    assert [(stroke["kind"], stroke["from"], stroke["to"]) for stroke in painted] == [
        ("keep", 1, 1),
        ("new", 2, n_books),
    ]
    keep, new = painted
    set_edit(page, n=1)
    page.locator("body").click(position={"x": 5, "y": 5})
    page.keyboard.press("g")
    wait_for_takes(page, 1)
    expected = (
        f"(periodic(7) | paint(1@{keep['start']}f:{keep['end']}f)) & erase(2-{n_books}@{new['start']}f:{new['end']}f)"
    )
    assert last_request(studio)["prompt"] == expected


def test_beats_can_be_set_tapped_and_shifted(open_page: OpenPage, studio: tuple[str, Any], loop: Path) -> None:
    page = open_page()
    bring(page, loop)
    page.click("button:has-text('Beats')")
    page.click("button:has-text('My grid')")
    page.get_by_label("BPM").fill("90")
    page.get_by_label("Beats in a bar").fill("3")
    page.keyboard.press("Tab")
    drag(page, 1.0, 1.25)
    grid = state(page, "edit.grid")
    assert grid["bpm"] == 90 and grid["beats_per_bar"] == 3 and grid["downbeat_s"] == pytest.approx(0.25, abs=0.02)
    page.locator("[role=slider][aria-label='First beat (s)']").press("ArrowRight")
    assert state(page, "edit.grid.downbeat_s") == pytest.approx(grid["downbeat_s"] + 0.01, abs=1e-6)
    set_edit(page, n=1)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("g")
    wait_for_takes(page, 1)
    assert last_request(studio)["beats"] == state(page, "edit.grid")
    page.evaluate("import('/studio/js/beats.js').then(({tap}) => { for (let k = 0; k < 5; k++) tap(1000 + 400 * k) })")
    assert state(page, "edit.grid.bpm") == 150


def test_without_a_mouse_from_nothing_to_a_take_of_a_take(open_page: OpenPage, loop: Path) -> None:
    page = open_page()
    new_project(page)
    page.locator("#file").focus()
    page.set_input_files("#file", loop)  # what the file chooser gives
    page.wait_for_selector(".axis")
    wait_until(page, f"{STATE}.view.end > 0")
    set_edit(page, n=2)
    page.keyboard.press("r")
    page.keyboard.press("End")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("g")
    wait_for_takes(page, 2)
    assert not state(page, "playing")  # nothing plays unasked
    page.keyboard.press("1")
    page.keyboard.press("Space")
    wait_until(page, f"{STATE}.playing")
    assert state(page, "side") == "B"
    page.keyboard.press("b")
    wait_until(page, f"{STATE}.side === 'A'")
    page.keyboard.press("Space")
    page.keyboard.press("b")
    page.keyboard.press("p")
    page.keyboard.press("e")
    page.keyboard.type("The good one")
    page.keyboard.press("Enter")
    page.wait_for_selector("button.name:has-text('The good one')")
    page.keyboard.press("c")
    assert state(page, "base") == state(page, "project.takes")[0]["id"]
    page.keyboard.press("g")
    wait_for_takes(page, 4)
    parents = [take["parent"] for take in state(page, "project.takes")]
    assert parents == [None, None, parents[2], parents[2]] and parents[2] == state(page, "base")
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open] h2:has-text('Keys')")
    page.keyboard.press("Escape")
    page.click("button:has-text('History')")
    page.locator("[role=treeitem]").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert "Take" in page.evaluate("document.activeElement.textContent")
    first = state(page, "project.takes")[0]
    assert first["pinned"] and first["name"] == "The good one"


def test_takes_play_while_others_run_and_escape_cancels(
    open_page: OpenPage, studio: tuple[str, Any], loop: Path
) -> None:
    page = open_page()
    bring(page, loop)
    set_edit(page, n=8, settings={"steps": 30}, seed=40, locked=True)
    page.keyboard.press("g")
    page.wait_for_selector(".take.pending progress")
    shares = []
    for _ in range(2000):
        shares.append(page.evaluate("Number(document.querySelector('.take.pending progress')?.value ?? 0)"))
        if page.locator("[data-take]").count():
            break
    page.locator("[data-take] .round").first.click()
    wait_until(page, f"{STATE}.playing")
    assert page.locator(".take.pending").count() > 0 and max(shares) > 0
    page.wait_for_selector(".take.pending .hint:has-text('step')")
    page.keyboard.press("Escape")
    page.wait_for_function("!document.querySelector('.take.pending')")
    steps = studio[1].folder.path / "steps"
    stood = steps.stat().st_size
    n_takes = page.locator("[data-take]").count()
    page.wait_for_timeout(300)
    assert steps.stat().st_size == stood and 1 <= n_takes < 8
    assert state(page, "edit.seed") == 40
    set_edit(page, n=1)
    page.keyboard.press("g")
    wait_for_takes(page, n_takes + 1)
    same = [take for take in state(page, "project.takes") if take["seed"] == 40]
    sounds = {httpx2.get(f"{studio[0]}/api/v1/jobs/{take['job']}/outputs/1/audio").content for take in same}
    assert len(same) == 2 and len(sounds) == 1


def test_takes_can_be_renamed_saved_copied_removed_and_brought_back(
    open_page: OpenPage, studio: tuple[str, Any], loop: Path
) -> None:
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    bring(page, loop)
    set_edit(page, n=1)
    page.keyboard.press("g")
    wait_for_takes(page, 1)
    for format in ("WAV", "FLAC", "MP3", "OGG"):
        page.click("[data-take] [aria-haspopup=menu]")
        with page.expect_download() as saved:
            page.click(f"[role=menuitem]:has-text('Download {format}')")
        assert saved.value.suggested_filename == f"Take 1.{format.lower()}"
        sound, rate = soundfile.read(saved.value.path())
        assert rate in (44100, 48000) and len(sound) > 1000
    take = state(page, "project.takes")[0]
    for name, starts in (("command line", "vampnet vamp"), ("Python", ""), ("JSON", "{")):
        page.click("[data-take] [aria-haspopup=menu]")
        page.click(f"[role=menuitem]:has-text('Copy as {name}')")
        page.wait_for_selector(f".toast:has-text('Copied as {name}.')")
        assert page.evaluate("navigator.clipboard.readText()").startswith(starts)
    assert json.loads(page.evaluate("navigator.clipboard.readText()"))["sampling"]["seed"] == take["seed"]
    handed = page.evaluate("""() => {
      const data = new DataTransfer()
      const event = new DragEvent('dragstart', {dataTransfer: data, bubbles: true})
      document.querySelector('[data-take]').dispatchEvent(event)
      return data.getData('DownloadURL')
    }""")
    kind, name, address = handed.split(":", 2)
    assert (kind, name) == ("audio/wav", "Take 1.wav") and httpx2.get(address).content[:4] == b"RIFF"
    page.click("[data-take] [aria-haspopup=menu]")
    page.click("[role=menuitem]:has-text('Remove')")
    page.wait_for_function("!document.querySelector('[data-take]')")
    page.click(".toast button:has-text('Undo')")
    wait_for_takes(page, 1)


def test_project_survives_reload_restart_and_travels_as_a_file(open_page: OpenPage, tmp_path: Path, loop: Path) -> None:
    config = ServerConfig(data=str(tmp_path / "data"), rate=100000, grace_s=0.0)
    with running_server(config, step_s=0.01) as (address, _):
        page = open_page(address)
        bring(page, loop)
        drag(page, 1.0, 2.0)
        set_edit(page, n=2)
        page.keyboard.press("g")
        wait_for_takes(page, 2)
        page.locator(".go-on").first.click()
        page.keyboard.press("g")
        wait_for_takes(page, 4)
        page.fill(".project-name", "My tune")
        page.keyboard.press("Enter")
        wait_for(lambda: httpx2.get(f"{address}/api/v1/projects").json()["projects"][0]["name"] == "My tune")
        tree = [(take["id"], take["parent"]) for take in state(page, "project.takes")]
        page.wait_for_timeout(900)  # what the page was set to is kept a moment later
        page.reload()
        wait_for_takes(page, 4)
        assert [(take["id"], take["parent"]) for take in state(page, "project.takes")] == tree
        assert state(page, "base") == tree[2][1] and state(page, "edit.n") == 2
        port = int(address.rpartition(":")[2])
    page.wait_for_selector(".banner")  # the server is away, and the page says so
    page.problems.clear()
    with running_server(config, step_s=0.01, port=port) as (address, _):
        page.wait_for_selector(".banner", state="detached")
        page.keyboard.press("g")
        wait_for_takes(page, 6)
        page.problems[:] = [text for text in page.problems if "ERR_" not in text]
        other = open_page(address)  # another device
        wait_for_takes(other, 6)
        with other.expect_download() as saved:
            other.click("header [aria-haspopup=menu]")
            other.click("[role=menuitem]:has-text('Export')")
        packed = Path(saved.value.path())
        with zipfile.ZipFile(io.BytesIO(packed.read_bytes())) as archive:
            assert sum(name.endswith(".wav") for name in archive.namelist()) >= 7
        other.click("header [aria-haspopup=menu]")
        other.click("[role=menuitem]:has-text('Delete all my data')")
        other.click("dialog input[type=checkbox]")
        other.click("dialog .danger-fill")
        other.wait_for_selector(".welcome")
        assert httpx2.get(f"{address}/api/v1/projects").json()["projects"] == []
        other.set_input_files(
            "#file", {"name": "tune.zip", "mimeType": "application/zip", "buffer": packed.read_bytes()}
        )
        wait_for_takes(other, 6)
        assert len({take["parent"] for take in state(other, "project.takes")}) == 3 - 1
        page.context.close()
        other.context.close()
        # Pages that were waiting for a picture when another device deleted its sound hear that it is gone.
        gone = re.compile(r"404.*/(analysis|mel\?|peaks\?)")
        page.problems[:] = [text for text in page.problems if not gone.search(text)]


def test_what_goes_wrong_is_said_in_sentences(open_page: OpenPage, loop: Path, tmp_path: Path) -> None:
    page = open_page()
    bring(page, loop)
    set_edit(page, n=1, seed=fake_worker.REFUSES)
    page.keyboard.press("g")
    page.wait_for_selector(".take.failed:has-text('has no samples')")
    set_edit(page, seed=fake_worker.CRASHES)
    page.keyboard.press("g")
    page.wait_for_selector(".take.failed:has-text('an internal error')")
    assert "Traceback" not in page.inner_text("body")
    page.click("header [aria-haspopup=menu]")
    page.click("[role=menuitem]:has-text('New project')")
    (tmp_path / "note.wav").write_text("this is no sound")
    page.set_input_files("#file", tmp_path / "note.wav")
    page.wait_for_selector(".toast.error")
    assert "note.wav" in page.inner_text(".toast.error") and "Traceback" not in page.inner_text(".toast.error")
    page.problems[:] = [text for text in page.problems if "422" not in text]


def test_music_from_nothing_needs_no_sound(open_page: OpenPage, studio: tuple[str, Any]) -> None:
    page = open_page()
    new_project(page)
    page.click("button:has-text('Begin from nothing')")
    page.get_by_label("Tempo (BPM)").fill("96")
    page.get_by_label("Key", exact=True).fill("D minor")
    page.get_by_label("Bars").fill("1")
    set_edit(page, n=1)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("g")
    wait_for_takes(page, 1)
    assert last_request(studio)["words"] == {"bpm": 96.0, "key": "D minor", "bars": 1}
    page.wait_for_selector(".axis")
    page.keyboard.press("Space")
    wait_until(page, f"{STATE}.playing && {STATE}.side === 'B'")
    page.keyboard.press("Space")


def test_record_and_paste(open_page: OpenPage, loop: Path) -> None:
    page = open_page(permissions=["microphone"])
    new_project(page)
    page.click("button:has-text('Record')")
    wait_until(page, f"{STATE}.recording > 0.5")
    page.click("button:has-text('Stop recording')")
    page.wait_for_selector(".axis")
    wait_until(
        page, f"Object.values({STATE}.sounds).some((sound) => sound.name === 'recording.wav' && sound.seconds > 0.4)"
    )
    page.evaluate("""(bytes) => {
      const data = new DataTransfer()
      data.items.add(new File([Uint8Array.from(bytes)], 'pasted.wav', {type: 'audio/wav'}))
      dispatchEvent(new ClipboardEvent('paste', {clipboardData: data}))
    }""", list(wav_bytes(0.5)))  # fmt: skip
    wait_until(page, f"{STATE}.project?.name === 'pasted'")


@pytest.mark.parametrize(("seconds", "channels", "rate"), [(3600.0, 1, 8000), (2.0, 4, 44100), (0.01, 1, 44100)])
def test_sounds_of_every_length_open(
    open_page: OpenPage, tmp_path: Path, seconds: float, channels: int, rate: int
) -> None:
    path = tmp_path / "odd.wav"
    n = int(seconds * rate)
    times = np.arange(n, dtype=np.float32)[:, None] / rate
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 330 * times) * np.ones((1, channels), np.float32), rate)
    page = open_page()
    bring(page, path)
    page.keyboard.press("Space")
    wait_until(page, f"{STATE}.playing")
    page.wait_for_function("import('/studio/js/sound.js').then((sound) => sound.place() > 0.002)")
    for _ in range(12):
        page.keyboard.press("+")
    view = state(page, "view")
    assert view["end"] - view["start"] < max(seconds / 100, 0.06)
    page.keyboard.press("Space")
    assert not state(page, "playing")
