"""Guard: middleware that checks every call (host, origin, key, size, rate) before it reaches a route.

Checks the `Host` (a name that was rebound to this machine is refused), the `Origin` (another site's page is refused),
the API key, the rate and the size and pace of the body; gives each call an id, logs it without secrets and answers
what went wrong unforeseen with that id and no trace.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import HTTPException
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from vampnet.apps.http.config import ServerConfig
from vampnet.apps.http.keys import KeyRing
from vampnet.apps.http.metrics import Metrics
from vampnet.storage import cause, is_full

log = logging.getLogger("vampnet.http")

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

OPEN_PATHS = ("/", "/health", "/ready", "/studio")
"""Paths that need no key."""
OPEN_FOLDER = "/studio/"
"""Start of further ones: the page has nobody's data, and asks for the key itself."""
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_HARP = re.compile(r"/harp/([A-Za-z0-9_-]{1,100})(/gradio_api/.*|/config)")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ROOM_FOR_FORM = 1 << 20
_DRAIN_S, _DRAIN_BYTES = 2.0, 16 << 20
_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"x-frame-options": b"DENY",
    b"cross-origin-resource-policy": b"same-origin",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cache-control": b"no-store",
}
"""Headers of every answer that does not set them itself."""


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: Any, *, config: ServerConfig, keys: KeyRing, metrics: Metrics) -> None:
        self._app, self._config, self._keys, self._metrics = app, config, keys, metrics
        self._names = {"localhost", *(name.lower() for name in config.allowed_host)}
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._rate = RateLimitItemPerMinute(config.rate)
        self._most_bytes = int(config.max_upload_mb * 1e6) + _ROOM_FOR_FORM

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection; web sockets are refused."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await _Call(self, scope, receive, send).run()
        else:
            await send({"type": "websocket.close", "code": 1008})

    def check(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Let a call in or raise HTTPException; notes whose it is in `scope["state"]`."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if not self._knows(host):
            raise HTTPException(403, "this name is not one of the server's; start it with --allowed-host NAME")
        self._check_origin(scope["method"], host, headers)
        owner = self._owner(scope, headers)
        client = (scope.get("client") or ("?", 0))[0]
        who = owner or client
        if owner is None or scope["method"] not in _SAFE_METHODS:
            self._limit(who)
        if owner is None:
            raise HTTPException(
                401, "an API key is needed: Authorization: Bearer KEY", {"WWW-Authenticate": 'Bearer realm="vampnet"'}
            )
        scope["state"]["owner"] = owner
        if b"content-length" in headers and b"transfer-encoding" in headers:  # two readings: one might hide a call
            raise HTTPException(400, "a body is chunked or has a length, not both", {"Connection": "close"})
        length = headers.get(b"content-length", b"0").decode("latin-1")
        if length.isdecimal() and int(length[:20]) > self._most_bytes:
            raise self.too_large()

    def too_large(self) -> HTTPException:
        """The answer to a body that is too large."""
        return HTTPException(413, f"uploads may have {self._config.max_upload_mb:g} MB; make it shorter, or send FLAC")

    def _knows(self, host: str) -> bool:
        name = re.sub(r":\d{1,5}$", "", host)
        if name in self._names:
            return True
        try:
            # A page of a stranger can only come here under a name: an address cannot be rebound.
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return False
        return True

    def _check_origin(self, method: str, host: str, headers: dict[bytes, bytes]) -> None:
        origin = headers.get(b"origin")
        refused = HTTPException(403, "pages of other sites may not use this server")
        if origin is not None:
            theirs = origin.decode("latin-1").lower().partition("://")[2]
            if theirs != host and re.sub(r":\d{1,5}$", "", theirs) not in self._config.allowed_host:
                raise refused
        elif headers.get(b"sec-fetch-site") in (b"cross-site", b"same-site") and not (
            method in _SAFE_METHODS and headers.get(b"sec-fetch-mode") == b"navigate"
        ):
            raise refused

    def _owner(self, scope: Scope, headers: dict[bytes, bytes]) -> str | None:
        """Whose call it is: the key's name, "" without keys, None for a key that is missing or wrong."""
        scope.setdefault("state", {})
        match = _HARP.fullmatch(scope["path"])
        if match is not None:
            # HARP knows an address and no header of ours: there the key is part of the address.
            scope["state"]["prefix"] = f"/harp/{match[1]}"
            scope["path"] = match[2]
            scope["raw_path"] = match[2].encode("utf-8", "replace")
            return self._keys.owner(match[1])
        if not self._keys.asks or scope["path"] in OPEN_PATHS or scope["path"].startswith(OPEN_FOLDER):
            return ""
        scheme, _, key = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            key = headers.get(b"x-api-key", b"").decode("latin-1")
        return self._keys.owner(key.strip())

    def _limit(self, who: str) -> None:
        if not self._limiter.hit(self._rate, who):
            reset = self._limiter.get_window_stats(self._rate, who).reset_time
            wait_s = max(1, int(reset - time.time()) + 1)
            raise HTTPException(429, f"too many calls; wait {wait_s} s", {"Retry-After": str(wait_s)})


class _Call:
    """One call on its way through the guard."""

    def __init__(self, guard: Guard, scope: Scope, receive: Receive, send: Send) -> None:
        self._guard, self._scope, self._receive, self._send = guard, scope, receive, send
        self._headers: dict[bytes, bytes] = dict(scope["headers"])
        given = self._headers.get(b"x-request-id", b"").decode("latin-1")
        self._id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        has_body = self._headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in self._headers
        self._status, self._n_bytes, self._more = 0, 0, has_body
        self._began = time.monotonic()

    async def run(self) -> None:
        scope = self._scope
        path = _without_key(scope["path"])
        scope.setdefault("state", {})["request_id"] = self._id
        try:
            self._guard.check(scope, self._headers)
            await self._guard._app(scope, self.receive, self.send)
        except HTTPException as refusal:
            await self._answer(refusal.status_code, refusal.detail, dict(refusal.headers or {}))
        except OSError as error:  # of the server's disk
            log.warning("%s: %s %s failed: %s", self._id, scope["method"], path, cause(error))
            status = 507 if is_full(error) else 500
            await self._answer(status, f"the server could not read or write a file: {cause(error)}", {})
        except Exception:
            log.exception("%s: %s %s failed", self._id, scope["method"], path)
            await self._answer(500, "an internal error; the server's log says more under this request_id", {})
        finally:
            seconds = time.monotonic() - self._began
            route = getattr(scope.get("route"), "path", "") or "other"
            self._guard._metrics.count_call(route, scope["method"], self._status, seconds)
            log.info("%s: %s %s %d %.0f ms", self._id, scope["method"], path, self._status, 1000 * seconds)

    async def receive(self) -> Message:
        """The next part of the body, which must come in time and not be too much."""
        if not self._more:  # the body is whole: what comes next is that the client went away, whenever
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), self._guard._config.body_timeout_s)
        except asyncio.TimeoutError:
            raise HTTPException(408, "the body came too slowly") from None
        self._more = message.get("more_body", False)
        self._n_bytes += len(message.get("body", b""))
        if self._n_bytes > self._guard._most_bytes:
            raise self._guard.too_large()
        return message

    async def send(self, message: Message) -> None:
        """Send, with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = list(message.get("headers", []))
            there = {name.lower() for name, _ in headers}
            headers += [(name, value) for name, value in _HEADERS.items() if name not in there]
            headers.append((b"x-request-id", self._id.encode()))
            if self._more and not await self._drain():
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        await self._send(message)

    async def _drain(self) -> bool:
        """Read what is left of a refused body, if it is little: a caller that still sends would not see the answer."""
        deadline, n_bytes = time.monotonic() + _DRAIN_S, 0
        while self._more and n_bytes < _DRAIN_BYTES:
            try:
                message = await asyncio.wait_for(self._receive(), max(0.0, deadline - time.monotonic()))
            except asyncio.TimeoutError:
                return False
            n_bytes += len(message.get("body", b""))
            self._more = message["type"] == "http.request" and message.get("more_body", False)
        return not self._more

    async def _answer(self, status: int, error: str, headers: dict[str, str]) -> None:
        if self._status:
            return  # the answer has begun: all that is left is to end it
        body = json.dumps({"error": error, "request_id": self._id}).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body)), **headers}
        raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": raw})
        await self.send({"type": "http.response.body", "body": b"" if self._scope["method"] == "HEAD" else body})


def _without_key(path: str) -> str:
    """A path for the log: no key, no control characters."""
    return re.sub(r"^/harp/[^/]+", "/harp/KEY", path).encode("unicode_escape").decode()[:200]
