"""Files of the studio's page: what is served, with which headers, and that the page holds together."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from vampnet.apps.studio.pages import PAGE, POLICY, make_page_router, page_files
from vampnet.jobs.table import UnknownJob

SCRIPTS = sorted(PAGE.glob("js/*.js"))


@pytest.fixture
def http() -> TestClient:
    app = FastAPI()
    app.include_router(make_page_router())
    return TestClient(app)


def test_every_file_of_the_page_is_served_with_a_strict_policy(http: TestClient) -> None:
    for name, path in page_files().items():
        answer = http.get(f"/studio/{name}")
        assert answer.status_code == 200 and answer.content == path.read_bytes(), name
        assert answer.headers["content-security-policy"] == POLICY
    assert http.get("/studio/").content == (PAGE / "index.html").read_bytes()
    assert http.get("/studio", follow_redirects=False).headers["location"] == "/studio/"
    assert "unsafe" not in POLICY and "http" not in POLICY


def test_a_file_is_packed_and_sent_once(http: TestClient) -> None:
    with http.stream("GET", "/studio/js/app.js", headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == (PAGE / "js" / "app.js").read_bytes()
    again = http.get("/studio/js/app.js", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304 and again.content == b""


@pytest.mark.parametrize("name", ["nothing.js", "..%2fpages.py", "js", "vendor/LICENSE", "%00"])
def test_nothing_else_is_served(http: TestClient, name: str) -> None:
    with pytest.raises(UnknownJob):
        http.get(f"/studio/{name}")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_imports_name_what_is_there(script: Path) -> None:
    text = script.read_text("utf-8")
    assert len(text.splitlines()) < 400
    for names, source in re.findall(r"^import (?:\{([^}]*)\}|\w+) from '([^']+)'", text, re.MULTILINE):
        target = (script.parent / source).resolve()
        assert target.is_file(), f"{script.name}: {source}"
        for name in (part.split(" as ")[0].strip() for part in names.split(",") if part.strip()):
            if target.parent == script.parent:
                assert re.search(rf"^export [^\n]*\b{name}\b", target.read_text("utf-8"), re.MULTILINE), (script, name)
            body = text.replace(f"import {{{names}}}", "")
            assert re.search(rf"\b{name}\b", body), f"{script.name}: {name} is imported and not used"


def test_every_text_that_is_used_exists_and_every_other_is_gone() -> None:
    texts = (PAGE / "js" / "texts.js").read_text("utf-8")
    used = {name for script in SCRIPTS for name in re.findall(r"\bT\.(\w+)", script.read_text("utf-8"))}
    known = set(re.findall(r"(?:^  |, |\{ ?)(\w+): ", re.sub(r"`[^`]*`|'(?:[^'\\]|\\.)*'", "''", texts), re.MULTILINE))
    assert used <= known, sorted(used - known)


def test_the_page_names_no_other_host_and_stays_light() -> None:
    packed = 0
    for name, path in page_files().items():
        text = path.read_text("utf-8")
        if not name.startswith("vendor/"):
            assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text), name
        if path.suffix != ".txt":
            packed += len(gzip.compress(path.read_bytes(), 9))
    assert packed < 100_000
