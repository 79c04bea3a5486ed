"""A browser for the studio's page: Debian's Chromium, driven by playwright; without it these tests are skipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import running_server
from vampnet.apps.http.config import ServerConfig

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser of this module: Playwright allows one running instance per process."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        made = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield made
        made.close()


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    """Address and service of a server whose takes are short tones."""
    data = tmp_path_factory.mktemp("studio")
    with running_server(ServerConfig(data=str(data), rate=100000), step_s=0.05) as running:
        yield running


@pytest.fixture
def open_page(browser: Any, studio: tuple[str, Any]) -> Iterator[Callable[..., Any]]:
    """Opens the page; at the end no script has failed and nothing was asked of another host."""
    contexts, problems = [], []

    def open_one(address: str = studio[0], *, wait: bool = True, **settings: Any) -> Any:
        settings = {"viewport": {"width": 1280, "height": 900}, "bypass_csp": True, **settings}
        context = browser.new_context(accept_downloads=True, **settings)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120000)  # machines may be busy
        page.on("pageerror", lambda error: problems.append(f"{error} {error.stack}"))
        page.on(
            "console",
            lambda said: problems.append(f"{said.text} {said.location.get('url', '')}") if is_fault(said) else None,
        )
        page.on("request", lambda call: problems.append(call.url) if not _is_own(call.url, address) else None)
        page.problems = problems
        page.goto(f"{address}/studio/")
        if wait:
            page.wait_for_selector("header")
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert problems == []


def is_fault(said: Any) -> bool:
    """Whether the console tells of an error; the browser's own word on a connection that a restart cuts is none."""
    return said.type == "error" and "net::ERR_" not in said.text


def _is_own(url: str, address: str) -> bool:
    return url.startswith((address, "blob:", "data:"))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Folder for screenshots: that of the environment's STUDIO_PICTURES, else one of the test's own."""
    folder = Path(os.environ.get("STUDIO_PICTURES") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
