"""A stand-in for the Hugging Face hub: repositories in memory, small files sent with the commit."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_standin"
REVISION = "0" * 39 + "1"


class StandInHub(ThreadingHTTPServer):
    """The hub's calls that uploading and downloading a repository make."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _HubCalls)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.messages: list[str] = []

    @property
    def address(self) -> str:
        """What HF_ENDPOINT has to be."""
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def running_hub() -> Iterator[StandInHub]:
    """A hub that runs while the block does."""
    hub = StandInHub()
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()


class _HubCalls(BaseHTTPRequestHandler):
    server: StandInHub
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/api/validate-yaml":
            return self._answer({"errors": [], "warnings": []})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._answer({"error": "Invalid username or password."}, 401)
        if self.path == "/api/repos/create":
            facts = json.loads(body)
            name = f"{facts['organization']}/{facts['name']}" if facts.get("organization") else facts["name"]
            self.server.repositories.setdefault(name, {})
            return self._answer({"url": f"{self.server.address}/{name}", "name": name})
        if "/preupload/" in self.path:
            files = json.loads(body)["files"]
            return self._answer(
                {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]}
            )
        if "/commit/" in self.path:
            for line in body.decode().splitlines():
                self._commit(json.loads(line))
            address = f"{self.server.address}/{self._repository()}/commit/{REVISION}"
            return self._answer({"success": True, "commitOid": REVISION, "commitUrl": address})
        return self._answer({"error": "Not Found"}, 404)

    def _commit(self, line: dict[str, Any]) -> None:
        if line["key"] == "header":
            self.server.messages.append(line["value"]["summary"])
        elif line["key"] == "file":
            content = base64.b64decode(line["value"]["content"])
            self.server.repositories[self._repository()][line["value"]["path"]] = content

    def _repository(self) -> str:
        return "/".join(self.path.split("?")[0].split("/")[3:5])

    def do_HEAD(self) -> None:
        self._get(with_body=False)

    def do_GET(self) -> None:
        self._get(with_body=True)

    def _get(self, with_body: bool) -> None:
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            name = "/".join(parts[2:4])
            files = self.server.repositories.get(name)
            if files is None:
                return self._answer({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
            siblings = [{"rfilename": path} for path in files]
            tree = [{"type": "file", "path": p, "oid": _oid(data), "size": len(data)} for p, data in files.items()]
            return self._answer(tree if "tree" in parts else {"id": name, "sha": REVISION, "siblings": siblings})
        if len(parts) > 4 and parts[2] == "resolve":
            data = self.server.repositories.get("/".join(parts[:2]), {}).get("/".join(parts[4:]))
            if data is not None:
                headers = {"ETag": f'"{_oid(data)}"', "X-Repo-Commit": REVISION}
                return self._send(data, 200, "application/octet-stream", headers, with_body)
        return self._answer({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})

    def _answer(self, data: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(json.dumps(data).encode(), status, "application/json", headers or {}, self.command != "HEAD")

    def _send(self, data: bytes, status: int, kind: str, headers: dict[str, str], with_body: bool) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _oid(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:40]
