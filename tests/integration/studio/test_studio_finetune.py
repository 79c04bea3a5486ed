"""The tab that fine-tunes, in a real browser; a stand-in learns nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2

from tests.integration.studio.test_studio_page import new_project, set_edit, state, wait_for_takes, wait_until
from tests.support.server import wait_for
from tests.support.wav_bytes import wav_bytes

STATE = "(await import('/studio/js/store.js')).state"


def test_recordings_become_an_adapter_that_takes_are_made_with(
    open_page: Callable[..., Any], studio: tuple[str, Any], pictures: Path, tmp_path: Path
) -> None:
    page = open_page()
    new_project(page)
    page.click("button:has-text('Begin from nothing')")
    page.set_default_timeout(30000)
    page.wait_for_selector("#tab-new[aria-selected=true]")
    page.get_by_role("tab", name="Fine-tune").click()
    files = []
    for name, content in (
        ("one.wav", wav_bytes(2.0)),
        ("two.wav", wav_bytes(1.5)),
        ("notes.wav", b"words"),
        ("0.wav", b""),
    ):
        files.append(tmp_path / name)
        files[-1].write_bytes(content)
    page.set_input_files("#training-files", files[:1])
    page.evaluate("""(bytes) => {
      const data = new DataTransfer()
      for (const [name, content] of bytes) data.items.add(new File([Uint8Array.from(content)], name))
      document.body.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}))
    }""", [[path.name, list(path.read_bytes())] for path in files[1:]])  # fmt: skip
    page.wait_for_selector(".files li:nth-child(4) .danger")
    page.wait_for_selector(".where:has-text('2 recordings, 3.5 s')")
    listed = page.locator(".files li").all_inner_texts()
    assert "The file is empty." in listed[3] and "not an audio file" in listed[2], listed
    assert state(page, "project.name") == "New"  # dropped on this tab, they open no project
    page.fill("#lora-name", "a:b")
    page.click("button:has-text('Fine-tune on these')")
    page.wait_for_selector(".toast.error:has-text('must begin with a letter')")
    page.keyboard.press("Escape")
    page.fill("#lora-name", "My band")
    page.get_by_role("slider", name="Steps at most").fill("60")
    page.click("button:has-text('Fine-tune on these')")
    page.wait_for_selector(".training .hint:has-text('learning the outline · step')")
    page.screenshot(path=pictures / "finetune-running.png", full_page=True)
    page.reload()
    page.wait_for_selector(".training progress")  # it goes on, and the page knows
    page.click("[aria-label='My band'] button:has-text('Cancel')")
    page.wait_for_selector(".training", state="detached")
    job = new_finetune(studio[0], files[:2])
    page.wait_for_selector(".toast:has-text('The adapter Trio is ready.')")
    card = page.locator(".training[aria-label='Trio']")
    assert "Learned from 1 recording" in card.inner_text() and "outline 5 → 4.6" in card.inner_text()
    card.locator("summary").click()
    assert "short.wav: shorter than 1 s" in card.inner_text()
    card.locator(".round").click()
    card.locator("button[aria-label='Stop']").wait_for()
    card.locator("button:has-text('Without')").click()
    assert card.locator("button[aria-pressed=true]").inner_text() == "Without"
    page.screenshot(path=pictures / "finetune-done.png", full_page=True)
    card.locator("button[aria-label='Stop']").click()
    card.locator("button:has-text('Use it')").click()
    assert state(page, "edit.task") == "vary" and state(page, "edit.loras") == [{"name": "Trio", "strength": 1}]
    page.get_by_role("tab", name="New", exact=True).click()
    set_edit(page, n=1)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("g")
    wait_for_takes(page, 1)
    assert state(page, "project.takes")[0]["request"]["model"] == {"lora": ["Trio:1"]}
    page.get_by_role("tab", name="Fine-tune").click()
    card.locator("button:has-text('Delete')").click()
    page.click("dialog .danger-fill")
    page.wait_for_selector(".training", state="detached")
    assert state(page, "edit.loras") == [] and state(page, "loras") == []
    assert httpx2.get(f"{studio[0]}/api/v1/finetunes/{job}").status_code == 404
    new_finetune(studio[0], files[:2], "fails")
    page.wait_for_selector(".training.failed:has-text('one.wav: cannot be read')")
    page.click(".training.failed button")
    wait_until(page, f"{STATE}.finetunes.length === 0")
    page.problems[:] = [text for text in page.problems if "422" not in text]


def new_finetune(address: str, files: list[Path], name: str = "Trio") -> str:
    """Have another program fine-tune; the job's id."""
    ids = [
        httpx2.post(f"{address}/api/v1/files", files={"audio": (path.name, path.read_bytes())}).json()["id"]
        for path in files
    ]
    body = {"name": name, "files": [f"file:{one}" for one in ids], "steps": 2}
    job = httpx2.post(f"{address}/api/v1/finetunes", json=body).json()["id"]
    wait_for(lambda: httpx2.get(f"{address}/api/v1/finetunes/{job}").json()["state"] in ("done", "failed"))
    return job
