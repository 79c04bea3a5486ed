"""A small web server for one listening test: hands out the page and its audio, puts results into SQLite.

Only files that the test lists are served, each under one exact path, so no request can name another. Results are
checked in every part before they are stored; sending the same one again changes nothing. Addresses of participants are
neither stored nor logged. A request has a deadline for all of it, and connections are bounded in number. Only
requests to a host of known name are answered, so that pages of other sites cannot reach the server by a name of theirs.
"""

from __future__ import annotations

import io
import ipaddress
import json
import logging
import re
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vampnet.audio.integrity import reason
from vampnet.errors import ListeningError
from vampnet.evaluation.listening.design import ListeningTest, load_test
from vampnet.evaluation.listening.page import SUBMIT_META
from vampnet.evaluation.listening.results import MAX_RESULT_BYTES, check_result, parse_result
from vampnet.storage import cause

log = logging.getLogger("vampnet.listen")

RESULTS_PATH = "/results"
_IDLE_S = 30
"""A connection on which nothing comes for so long is closed."""
_REQUEST_S, _ANSWER_S = 60, 300
"""Deadlines for a whole request and a whole answer, however slowly they trickle."""
_MAX_CONNECTIONS = 128
_LOCAL = {"localhost", "127.0.0.1", "::1"}
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?")
_ORIGIN = re.compile(r"null|https?://[A-Za-z0-9.:\[\]-]+")
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS results "
    "(submission TEXT PRIMARY KEY, test TEXT NOT NULL, received TEXT NOT NULL, body TEXT NOT NULL)"
)
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class ResultStore:
    """Results in an SQLite file, safe for several threads and processes."""

    def __init__(self, path: str | Path) -> None:
        """Makes the file and its table where they are missing. Raises ListeningError if that is not possible."""
        self._path = str(path)
        try:
            with closing(self._connect()) as database, database:
                database.execute(_SCHEMA)
        except sqlite3.Error as error:
            raise ListeningError(f"cannot use {self._path} as a database: {error}") from None

    def add(self, result: dict[str, Any]) -> bool:
        """Store a checked result; False if it is there already.

        Raises ListeningError if the submission is there with other answers.
        """
        body = json.dumps(result, sort_keys=True)
        received = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        row = (result["submission"], result["test"], received, body)
        with closing(self._connect()) as database, database:
            added = database.execute("INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?)", row).rowcount == 1
            stored = database.execute("SELECT body FROM results WHERE submission = ?", row[:1]).fetchone()[0]
        if stored != body:
            raise ListeningError("this submission is stored already, with other answers")
        return added

    def count(self) -> int:
        """Number of results. Raises ListeningError if the file cannot be read."""
        try:
            with closing(self._connect()) as database:
                return database.execute("SELECT COUNT(*) FROM results").fetchone()[0]
        except sqlite3.Error as error:
            raise ListeningError(f"cannot read {self._path}: {error}") from None

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=_IDLE_S)


class ListeningServer(ThreadingHTTPServer):
    """Serves the test of a folder. `with ListeningServer(...) as server: server.serve_forever()`."""

    daemon_threads = True
    request_queue_size = _MAX_CONNECTIONS

    def __init__(
        self,
        folder: str | Path,
        database: str | Path,
        host: str = "127.0.0.1",
        port: int = 8000,
        allow_origin: str = "",
        allow_hosts: Sequence[str] = (),
    ) -> None:
        """`port` 0 takes a free one. `allow_origin` lets a page of another site send results here: its origin, such as
        https://example.org, or "null" for pages opened from a folder. `allow_hosts`: names under which participants
        reach the server, besides `host`, addresses in figures and, on this machine, localhost. Raises ListeningError
        for a folder without a test, and for a database, an address, an origin or a name that cannot be used."""
        if allow_origin and not _ORIGIN.fullmatch(allow_origin):
            raise ListeningError(f"origin is {allow_origin!r}, but must be like https://example.org, or null")
        for name in allow_hosts:
            if not _HOST.fullmatch(name) or ":" in name:
                raise ListeningError(f"host is {name!r}, but must be a name such as study.example.org")
        self.allow_origin = allow_origin
        self.hosts = {host.lower(), *map(str.lower, allow_hosts), *_LOCAL}
        self._places = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        self.test = load_test(folder)
        self.files = _files(Path(folder), self.test)
        self.store = ResultStore(database)
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            raise ListeningError(f"cannot serve on {host}:{port}: {reason(error)}; try another --port") from None

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own; further connections wait in the backlog until a place is free."""
        self._places.acquire()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The work of one thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what went wrong with a connection, without the participant's address and without a traceback."""
        log.warning("a connection broke off: %s", cause(sys.exc_info()[1] or Exception("unknown")))

    def knows_host(self, header: str) -> bool:
        """True if a Host header names this server: a known name, or an address in figures."""
        match = _HOST.fullmatch(header.strip())
        if match is None:
            return False
        name = match[1].strip("[]").lower()
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self.hosts
        return True

    @property
    def url(self) -> str:
        """Address of the test."""
        host, port = self.server_address[:2]
        return f"http://{host if isinstance(host, str) else host.decode()}:{port}/"


def _files(folder: Path, test: ListeningTest) -> dict[str, bytes | Path]:
    """Path in the address -> what is served there."""
    try:
        page = (folder / "index.html").read_text(encoding="utf-8")
    except OSError as error:
        raise ListeningError(f"cannot read {folder / 'index.html'}: {reason(error)}; make the test again") from None
    start = page.find(SUBMIT_META.partition("{}")[0])
    end = page.find("\n", start)
    page = page[:start] + SUBMIT_META.format(RESULTS_PATH[1:]) + page[end:]
    files: dict[str, bytes | Path] = {"/": page.encode()}
    for stimulus in test.stimuli:
        path = folder / "audio" / f"{stimulus.id}.js"
        if not path.is_file():
            raise ListeningError(f"{path}: missing; make the test again")
        files[f"/audio/{stimulus.id}.js"] = path
    return files


class _DeadlineReader(io.RawIOBase):
    """A socket's bytes until a deadline: a client that sends one byte now and then is not waited for."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self.deadline = connection, 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left_s = self.deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the request took too long")
        self._connection.settimeout(min(left_s, _IDLE_S))
        return self._connection.recv_into(buffer)


class _Handler(BaseHTTPRequestHandler):
    server: ListeningServer
    server_version, sys_version = "vampnet", ""
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_S
    reader: _DeadlineReader

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.reader = _DeadlineReader(self.connection)
        self.rfile = io.BufferedReader(self.reader)

    def handle_one_request(self) -> None:
        self.reader.deadline = time.monotonic() + _REQUEST_S
        super().handle_one_request()

    def do_GET(self) -> None:
        self._guarded(lambda: self._get(with_body=True))

    def do_HEAD(self) -> None:
        self._guarded(lambda: self._get(with_body=False))

    def do_OPTIONS(self) -> None:
        """A browser asks before a page of another site may send results."""
        status = HTTPStatus.NO_CONTENT if self.server.allow_origin else HTTPStatus.METHOD_NOT_ALLOWED
        self._guarded(lambda: self._answer(status, b"", "text/plain; charset=utf-8", with_body=False))

    def do_POST(self) -> None:
        """A result comes in."""
        self._guarded(self._post)

    def _guarded(self, respond: Callable[[], None]) -> None:
        """Respond to a request for this host; whatever goes wrong has an answer too."""
        if not self.server.knows_host(self.headers.get("Host", "")):
            self.close_connection = True
            self._say(HTTPStatus.MISDIRECTED_REQUEST, "this server is not called so; serve with --allow-host NAME")
            return
        try:
            respond()
        except (TimeoutError, ConnectionError):
            self.close_connection = True
            raise
        except Exception as error:
            self.close_connection = True
            log.error("a request could not be answered: %s", cause(error))
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, "the request could not be answered")

    def _post(self) -> None:
        # One request a connection, so that what was left unread of its body is not taken for the next request.
        self.close_connection = True
        body = self._body()
        if body is None:
            return
        if self._path() != RESULTS_PATH:
            self._say(HTTPStatus.NOT_FOUND, f"results go to {RESULTS_PATH}")
            return
        if self.headers.get_content_type() != "application/json":
            self._say(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "results are application/json")
            return
        try:
            result = parse_result(body)
        except ListeningError as error:
            self._say(HTTPStatus.BAD_REQUEST, str(error))
            return
        try:
            check_result(self.server.test, result)
        except ListeningError as error:
            self._say(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
            return
        try:
            added = self.server.store.add(result)
        except ListeningError as error:
            self._say(HTTPStatus.CONFLICT, str(error))
            return
        except sqlite3.Error as error:
            log.error("a result could not be stored: %s", error)
            self._say(HTTPStatus.SERVICE_UNAVAILABLE, "the result could not be stored; try again")
            return
        self._say(HTTPStatus.CREATED if added else HTTPStatus.OK, "stored" if added else "stored already")

    def log_message(self, format: str, *args: Any) -> None:
        log.info(format, *args)  # without the address of the participant

    def _get(self, with_body: bool) -> None:
        path = self._path()
        found = self.server.files.get("/" if path == "/index.html" else path)
        if found is None:
            self._say(HTTPStatus.NOT_FOUND, "no such page")
            return
        data = found if isinstance(found, bytes) else found.read_bytes()
        kind = "text/html" if isinstance(found, bytes) else "text/javascript"
        self._answer(HTTPStatus.OK, data, f"{kind}; charset=utf-8", with_body)

    def _path(self) -> str:
        """The path of the address; of an address that is none, nothing."""
        try:
            return urlsplit(self.path).path
        except ValueError:
            return ""

    def _body(self) -> bytes | None:
        """The request's body, or None after a refusal."""
        text = self.headers.get("Content-Length", "")
        if not (text.isascii() and text.isdigit()):
            self._say(HTTPStatus.LENGTH_REQUIRED, "Content-Length is needed")
            return None
        length = int(text[:12])
        if length > MAX_RESULT_BYTES:
            # Read some more than is allowed: a client that is still sending would not see the answer.
            self.rfile.read(min(length, 4 * MAX_RESULT_BYTES))
            self._say(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{text[:12]} bytes, {MAX_RESULT_BYTES} at most")
            return None
        body = self.rfile.read(length)
        if len(body) < length:
            self._say(HTTPStatus.BAD_REQUEST, f"{len(body)} of {length} bytes came")
            return None
        return body

    def _say(self, status: HTTPStatus, text: str) -> None:
        # A result may hold half of a surrogate pair, which UTF-8 cannot say.
        self._answer(
            status, f"{text}\n".encode(errors="backslashreplace"), "text/plain; charset=utf-8", self.command != "HEAD"
        )

    def _answer(self, status: HTTPStatus, data: bytes, kind: str, with_body: bool) -> None:
        self.connection.settimeout(_ANSWER_S)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        if self.server.allow_origin:
            self.send_header("Access-Control-Allow-Origin", self.server.allow_origin)
            self.send_header("Access-Control-Allow-Headers", "Content-Type")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if with_body:
            self.wfile.write(data)
