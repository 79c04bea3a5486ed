"""Every dialog, menu and picker of the page, on a server with keys; files that are no music are said to be so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import soundfile

from tests.integration.studio.test_studio_page import bring, new_project, set_edit, state, wait_for_takes, wait_until
from tests.support.server import running_server
from tests.support.trials import trial
from tests.support.wav_bytes import wav_bytes
from vampnet.apps.http.config import ServerConfig
from vampnet.apps.http.keys import add_key

OpenPage = Callable[..., Any]
STATE = "(await import('/studio/js/store.js')).state"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Any]]:
    """Address and key of a server with two models and an adapter, and its service."""
    folder = tmp_path_factory.mktemp("guarded")
    key = add_key(str(folder / "keys"), "ann")
    config = ServerConfig(data=str(folder / "data"), keys=str(folder / "keys"), rate=100000, allowed_model=("other",))
    with running_server(config, step_s=0.01) as (address, service):
        (service.folder.loras / "jazz.safetensors").write_bytes(b"adapter")
        yield address, key, service


@pytest.fixture
def studio(guarded: tuple[str, str, Any]) -> tuple[str, Any]:
    return guarded[0], guarded[2]


@pytest.fixture
def page(open_page: OpenPage, guarded: tuple[str, str, Any]) -> Iterator[Any]:
    """The page behind its key, which is asked for once more where it is wrong."""
    opened = open_page(wait=False)
    opened.set_default_timeout(30000)
    opened.wait_for_selector("dialog[open] h2:has-text('A key, please')")
    opened.fill("#key", "wrong")
    opened.keyboard.press("Enter")
    opened.wait_for_selector("dialog[open] [role=alert]:has-text('key')")
    opened.fill("#key", guarded[1])
    opened.click("dialog button:has-text('Enter')")
    opened.wait_for_selector("header")
    opened.problems.clear()  # the browser tells of the calls that were refused
    yield opened
    opened.problems[:] = [text for text in opened.problems if "422" not in text]


@pytest.fixture(scope="module")
def tone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sounds") / "tone.wav"
    path.write_bytes(wav_bytes(2.0))
    return path


def make(page: Any, n_takes: int) -> dict:
    """Make a take; its request."""
    set_edit(page, n=1)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("g")
    wait_for_takes(page, n_takes)
    return state(page, "project.takes").pop()["request"]


def choose(page: Any, menu: str, item: str) -> None:
    """An entry of a menu."""
    page.click(menu)
    page.click(f"[role=menuitem]:has-text('{item}')")


def test_models_adapters_and_settings_are_picked(page: Any, tone: Path) -> None:
    bring(page, tone)
    page.click("summary:has-text('More settings')")
    page.get_by_label("Model").select_option("other")
    page.get_by_role("slider", name="jazz").fill("0.5")
    page.get_by_role("slider", name="Steps", exact=True).fill("8")
    page.click(".follow button:has-text('Beats')")
    request = make(page, 1)
    assert request["model"] == {"bundle": "other", "lora": ["jazz:0.5"]} and request["sampling"]["steps"] == 8
    assert request["steering"] == {"follow": "beats"}
    page.click(".follow button:has-text('Beats')")
    page.get_by_label("Model").select_option("default")
    page.get_by_role("slider", name="jazz").fill("0")
    page.click("button:has-text('Back to the defaults')")
    request = make(page, 2)
    assert not {"model", "steering"} & set(request) and set(request["sampling"]) == {"seed"}
    choose(page, "[data-take] >> nth=1 >> [aria-haspopup=menu]", "Use its settings and seed")
    assert state(page, "edit.settings") == {"steps": 8} and state(page, "edit.locked")


@trial
def test_menus_of_playing_and_of_takes(page: Any, tone: Path) -> None:
    bring(page, tone)
    make(page, 1)
    make(page, 2)
    playing = ".transport .menu-box >> nth=1 >> button >> nth=0"
    choose(page, playing, "Another take comes in at the loop")
    choose(page, playing, "Swap in new takes")
    choose(page, playing, "Volume 50 %")
    assert (state(page, "swap"), state(page, "follow"), state(page, "volume")) == ("end", True, 0.5)
    choose(page, ".transport .menu-box >> nth=0 >> button >> nth=0", "Take 2")
    assert state(page, "against") == state(page, "project.takes")[1]["id"] and state(page, "side") == "A"
    assert "Take 2" in page.inner_text(".ab button >> nth=0")
    choose(page, "[data-take] >> nth=1 >> [aria-haspopup=menu]", "Compare: make it A")
    assert state(page, "against") == state(page, "project.takes")[0]["id"]
    page.locator(".go-on").first.click()
    page.click("button:has-text('Back to the input')")
    assert state(page, "base") == "input"
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')) }")
    choose(page, "[data-take] >> nth=0 >> [aria-haspopup=menu]", "Copy as command line")
    page.wait_for_selector("dialog[open] textarea")
    assert page.input_value("dialog textarea").startswith("vampnet vamp")
    page.click("dialog button:has-text('Close')")
    page.keyboard.press("?")
    page.locator("dialog label:has-text('Single letters')").click()
    page.click("dialog button:has-text('Close')")
    page.keyboard.press("d")
    seed = state(page, "edit.seed")
    page.keyboard.press("d")
    assert state(page, "edit.seed") == seed  # letters are no keys now
    page.click("header [aria-label='Keys and help']")
    page.locator("dialog label:has-text('Single letters')").click()
    page.keyboard.press("Escape")
    page.keyboard.press("d")
    assert state(page, "edit.seed") != seed
    for name in ("light", "dark", "as the system"):
        page.click("header .theme")
        page.wait_for_selector(f"header .theme[aria-label='Colours: {name}']")


@trial
def test_projects_are_exported_imported_opened_and_deleted(page: Any, tone: Path) -> None:
    bring(page, tone)
    make(page, 1)
    menu = "header [aria-haspopup=menu]"
    page.fill(".project-name", "First")
    page.keyboard.press("Enter")
    wait_until(page, f"{STATE}.projects[0].name === 'First'")
    with page.expect_download() as saved:
        choose(page, menu, "Export as one file")
    packed = saved.value.path()
    with page.expect_file_chooser() as chosen:
        choose(page, menu, "Import a project")
    chosen.value.set_files({"name": "First.zip", "mimeType": "application/zip", "buffer": Path(packed).read_bytes()})
    page.wait_for_selector(".toast:has-text('Imported First.')")
    assert len(state(page, "projects.filter((one) => one.name === 'First')")) == 2
    second = state(page, "project.id")
    choose(page, menu, "Delete this project")
    page.click("dialog button:has-text('Keep it')")
    assert state(page, "project.id") == second
    choose(page, menu, "Delete this project")
    page.click("dialog .danger-fill")
    wait_until(page, f"{STATE}.project?.name === 'First' && {STATE}.project.id !== '{second}'")
    new_project(page)
    page.click(".recent button:has-text('First')")
    wait_for_takes(page, 1)
    choose(page, menu, "Delete all my data")
    assert page.locator("dialog .danger-fill").is_disabled()
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")


def test_files_that_are_no_music_are_said_to_be_so(page: Any, tmp_path: Path) -> None:
    new_project(page)
    before = len(state(page, "projects"))
    (tmp_path / "lyrics.txt").write_text("la la la")
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "tune.zip").write_bytes(b"PK no project")
    (tmp_path / "cut.wav").write_bytes(wav_bytes(1.0)[:400])
    soundfile.write(tmp_path / "many.wav", np.zeros((4410, 33), np.float32) + 0.1, 44100)
    for name, said in (
        ("lyrics.txt", "not an audio file"), ("empty.wav", "empty"), ("tune.zip", "no project"), ("cut.wav", "cut.wav"),
    ):  # fmt: skip
        page.set_input_files("#file", tmp_path / name)
        page.wait_for_selector(f".toast.error:has-text('{said}')")
        text = page.inner_text(".toast.error")
        assert "Traceback" not in text and "/" not in text.replace("and/or", ""), text
        page.click(".toast.error .quiet")
    assert len(state(page, "projects")) == before and not state(page, "busy")
    soundfile.write(tmp_path / "silence.wav", np.zeros(44100, np.float32), 44100)
    bring(page, tmp_path / "silence.wav")
    page.keyboard.press("Space")
    wait_until(page, f"{STATE}.playing")
    page.keyboard.press("Space")
    assert page.locator(".toast.error").count() == 0
    bring(page, tmp_path / "many.wav")  # more channels than a browser plays
    page.keyboard.press("Space")
    page.wait_for_selector(".toast.error:has-text('cannot play')")


def test_an_adapter_that_is_gone_is_named(guarded: tuple[str, str, Any]) -> None:
    address, key, _ = guarded
    http = httpx2.Client(base_url=address, headers={"Authorization": f"Bearer {key}"})
    file = http.post("/api/v1/files", files={"audio": ("a.wav", wav_bytes(0.5))}).json()["id"]
    answer = http.post("/api/v1/jobs", json={"task": "vamp", "input": f"file:{file}", "model": {"lora": ["rock:0.5"]}})
    assert answer.status_code == 422
    assert answer.json()["error"] == "model.lora is 'rock', but this server has no such adapter; it has jazz"
