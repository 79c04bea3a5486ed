"""Routes by which gradio_client, the Python client of gradio's applications, makes the calls of the HARP contract.

HARP itself does not need them, but what tests models for HARP and what scripts them does: a document of the calls, a
POST that joins a queue, and one stream per session that tells how its calls go.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import StreamingResponse

from vampnet.apps.harp.calls import CALLS, HarpCalls, call_data
from vampnet.apps.harp.controls import INPUTS, OUTPUTS

_SPOKEN_VERSION = "6.31.0"
"""Version of gradio whose protocol is spoken."""
_MOST_SESSIONS = 500
_COMPONENTS = {
    "audio_track": ("Audio", {}), "slider": ("Slider", {"type": "number"}), "text_box": ("Textbox", {"type": "string"}),
    "toggle": ("Checkbox", {"type": "boolean"}), "dropdown": ("Dropdown", {"type": "string"}), "json": ("Json", {}),
}  # fmt: skip
"""Gradio's name of each kind of control, and the JSON schema of its value."""


def add_queue(router: APIRouter, harp: HarpCalls) -> None:
    """Add the routes to a router."""
    sessions = _ClientSessions(harp)

    @router.get("/config")
    async def config(request: Request) -> dict[str, Any]:
        return _config()

    @router.get("/gradio_api/info")
    async def info(request: Request) -> dict[str, Any]:
        return _info()

    @router.post("/gradio_api/queue/join")
    async def join(request: Request) -> dict[str, str]:
        data = await call_data(request)
        place, session = data.get("fn_index"), _session_key(request, data.get("session_hash"))
        if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < len(CALLS):
            raise HTTPException(422, f"fn_index must be 0 to {len(CALLS) - 1}")
        event_id = await harp.start(request, CALLS[place], data.get("data"))
        sessions.watch(request, session, event_id)
        return {"event_id": event_id}

    @router.get("/gradio_api/queue/data")
    async def stream(request: Request, session_hash: str = "") -> StreamingResponse:
        lines = sessions.lines(_session_key(request, session_hash))
        return StreamingResponse(lines, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    @router.post("/gradio_api/cancel")
    async def cancel(request: Request) -> dict[str, bool]:
        event_id = (await call_data(request)).get("event_id")
        harp.cancel(str(event_id), request.state.owner)
        return {"success": True}


class _ClientSession:
    """Calls of one client that are not told yet."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        """Next message; None when a call needs no more watching."""
        self.watches: set[asyncio.Task[None]] = set()

    @property
    def is_idle(self) -> bool:
        return not self.watches and self.messages.empty()

    def close(self) -> None:
        for watch in self.watches:
            watch.cancel()


class _ClientSessions:
    """Sessions by owner and name, the oldest forgotten when there are too many."""

    def __init__(self, harp: HarpCalls) -> None:
        self._harp = harp
        self._sessions: OrderedDict[tuple[str, str], _ClientSession] = OrderedDict()

    def watch(self, request: Request, key: tuple[str, str], event_id: str) -> None:
        """Tell a session's stream how a call goes."""
        session = self._sessions.setdefault(key, _ClientSession())
        task = asyncio.ensure_future(self._tell(request, session, event_id))
        session.watches.add(task)
        while len(self._sessions) > _MOST_SESSIONS:
            self._sessions.popitem(last=False)[1].close()

    async def lines(self, key: tuple[str, str]) -> AsyncIterator[str]:
        """The messages of a session until all its calls have ended. One that is left has its calls cancelled."""
        session = self._sessions.get(key)
        try:
            while session is not None and not session.is_idle:
                message = await session.messages.get()
                if message is not None:
                    yield _message(message)
            self._sessions.pop(key, None)
            yield _message({"msg": "close_stream", "event_id": None})
        finally:
            if session is not None:
                session.close()
                if self._sessions.get(key) is session:
                    del self._sessions[key]

    async def _tell(self, request: Request, session: _ClientSession, event_id: str) -> None:
        """Put the messages of one call into its session."""
        put = session.messages.put_nowait
        try:
            put({"msg": "process_starts", "event_id": event_id, "eta": None})
            async for end in self._harp.ends(request, event_id):
                if end is None:
                    put({"msg": "heartbeat"})
                    continue
                success = end[0] == "complete"
                output = {"data": end[1], "is_generating": False} if success else end[1]
                put({"msg": "process_completed", "event_id": event_id, "success": success, "output": output})
        finally:
            session.watches.discard(asyncio.current_task())  # type: ignore[arg-type]
            put(None)


def _session_key(request: Request, name: Any) -> tuple[str, str]:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", name):
        raise HTTPException(422, "session_hash must be 1 to 100 letters, digits, - or _")
    return request.state.owner, name


def _message(message: dict[str, Any]) -> str:
    return f"data: {json.dumps(message)}\n\n"


def _slots() -> dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """Inputs and outputs of each call."""
    described = {"type": "json", "label": "Controls"}
    return {"controls": ([], [described]), "process": (list(INPUTS), list(OUTPUTS)), "cancel": ([], [])}


def _config() -> dict[str, Any]:
    """Configuration that gradio_client reads first: components and calls, numbered."""
    components: list[dict[str, Any]] = []

    def number(control: dict[str, Any]) -> int:
        kind = _COMPONENTS[control["type"]][0].lower()
        components.append({"id": len(components) + 1, "type": kind, "props": {"label": control["label"]}})
        return len(components)

    calls = [
        {
            "id": place, "api_name": name, "api_visibility": "public", "targets": [], "cancels": [], "backend_fn": True,
            "inputs": [number(control) for control in inputs], "outputs": [number(control) for control in outputs],
            "queue": True, "types": {"generator": False, "cancel": False},
        }
        for place, (name, (inputs, outputs)) in enumerate(_slots().items())
    ]  # fmt: skip
    return {
        "version": _SPOKEN_VERSION, "api_prefix": "/gradio_api", "protocol": "sse_v3", "mode": "blocks",
        "title": "VampNet", "components": components, "dependencies": calls, "connect_heartbeat": False,
        "enable_queue": True, "is_space": False, "space_id": None, "username": None,
    }  # fmt: skip


def _info() -> dict[str, Any]:
    """The calls with names, kinds and defaults of what they take and give."""
    named = {
        f"/{name}": {
            "parameters": [_parameter(control) for control in inputs],
            "returns": [_parameter(control) for control in outputs],
            "api_visibility": "public",
        }
        for name, (inputs, outputs) in _slots().items()
    }
    return {"named_endpoints": named, "unnamed_endpoints": {}}


def _parameter(control: dict[str, Any]) -> dict[str, Any]:
    component, schema = _COMPONENTS[control["type"]]
    kind = {"Audio": "filepath", "Json": "dict", "Slider": "float", "Checkbox": "bool"}.get(component, "str")
    return {
        "label": control["label"],
        "parameter_name": re.sub(r"\W+", "_", control["label"].lower()).strip("_"),
        "parameter_has_default": "value" in control,
        "parameter_default": control.get("value"),
        "type": schema,
        "python_type": {"type": kind, "description": control.get("info") or ""},
        "component": component,
        "example_input": None,
    }
