"""The web server: listens, answers, and stops when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from vampnet.apps.http.app import make_app
from vampnet.apps.http.config import ServerConfig
from vampnet.apps.http.service import Service
from vampnet.errors import ServerError

_HEADER_S = 20.0
_KEEP_ALIVE_S = 15
_MOST_CALLS = 512


def serve(config: ServerConfig, *, ready: Callable[[str], None] = print) -> None:
    """Serve until SIGTERM or Ctrl-C; `ready` gets the address once the server listens. Raises VampnetError."""
    listener = _listen(config.host, config.port)
    with contextlib.closing(listener):
        service = Service(config)
        settings = uvicorn.Config(
            make_app(service), http=_Protocol, ws="none", log_config=None, access_log=False, server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S, timeout_graceful_shutdown=5, limit_concurrency=_MOST_CALLS,
        )  # fmt: skip
        server = _Server(settings, service)
        ready(address(config.host, listener.getsockname()[1]))
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])


def address(host: str, port: int) -> str:
    """Address to call a server by."""
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise ServerError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; name another one with --port or --host"
        ) from None


class _Server(uvicorn.Server):
    """Ends the streams of events when it is told to stop, for they would keep it waiting."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop().call_soon_threadsafe(self._service.watcher.close)
        super().handle_exit(sig, frame)


class _Protocol(H11Protocol):
    """HTTP/1.1 with a limit on the time that a client takes for the headers of its first call."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._header_timer = self.loop.call_later(_HEADER_S, self._close_if_silent)

    def connection_lost(self, exc: Exception | None) -> None:
        self._header_timer.cancel()
        super().connection_lost(exc)

    def _close_if_silent(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            logging.getLogger("vampnet.http").info("closing a connection without a call after %g s", _HEADER_S)
            self.transport.close()
