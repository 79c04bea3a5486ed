"""Files of the studio's page, with the headers that keep everything else out of it."""

from __future__ import annotations

import functools
import gzip
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from vampnet.jobs.table import UnknownJob

PAGE = Path(__file__).parent / "page"
"""Folder of the page: HTML, styles and ES modules as they are written, nothing is built."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Content-Security-Policy of the page: its own files alone, no inline script or style, no other host."""

_TYPES = {
    ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8",
}  # fmt: skip


def make_page_router() -> APIRouter:
    """The route of the page's files below /studio/."""
    router = APIRouter(include_in_schema=False)

    @router.get("/studio")
    def studio() -> Response:
        return RedirectResponse("/studio/", 308)

    @router.get("/studio/{path:path}")
    def page_file(request: Request, path: str) -> Response:
        return send_page_file(path or "index.html", request)

    return router


def page_files() -> dict[str, Path]:
    """All files of the page by their path below /studio/."""
    return {
        path.relative_to(PAGE).as_posix(): path
        for path in sorted(PAGE.rglob("*"))
        if path.is_file() and path.suffix in _TYPES
    }


def send_page_file(name: str, request: Request) -> Response:
    """One file of the page, packed where the browser takes that, or 304 where it has it. Raises UnknownJob."""
    path = page_files().get(name)
    if path is None:
        raise UnknownJob(f"the studio has no file {name[:100]!r}")
    facts = path.stat()
    tag = f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"'
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache", "ETag": tag, "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match", "") == tag:
        return Response(status_code=304, headers=headers)
    plain, packed = _contents(path, facts.st_mtime_ns)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(packed, media_type=_TYPES[path.suffix], headers={**headers, "Content-Encoding": "gzip"})
    return Response(plain, media_type=_TYPES[path.suffix], headers=headers)


@functools.lru_cache(maxsize=256)
def _contents(path: Path, changed_ns: int) -> tuple[bytes, bytes]:
    """A file as it is and gzipped; read again once it has changed."""
    plain = path.read_bytes()
    return plain, gzip.compress(plain, 9, mtime=changed_ns // 10**9)
