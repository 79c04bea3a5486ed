"""OpenAPI document: what FastAPI derives from the routes, with the schemas of requests and results."""

from __future__ import annotations

from typing import Any

from vampnet.apps.http.views import ErrorView
from vampnet.jobs.request import request_schema
from vampnet.jobs.result import result_schema

_MEANINGS = {
    400: "The call is malformed: no JSON, or a form that cannot be read.",
    401: "An API key is needed or wrong.",
    403: "Called by a name that is not the server's, or from another site's page.",
    404: "Not there, expired, deleted, or another key's.",
    408: "The body came too slowly.",
    409: "It does not fit the state of the job, or the idempotency key came with another request before.",
    413: "Too large.",
    415: "Neither JSON nor a form.",
    416: "A `Range` beyond the file.",
    422: "A value out of range, an unknown field, or audio that cannot be read; the sentence says what to do.",
    429: "Too many calls, or too many jobs wait. `Retry-After` says when to try again.",
}
ERRORS: dict[int, dict[str, Any]] = {
    status: {"model": ErrorView, "description": text} for status, text in _MEANINGS.items()
}
"""Documentation of error answers by status."""

EXAMPLES = {
    "vary": {
        "summary": "Vary a loop",
        "value": {"task": "vamp", "prompt": "periodic(7)", "sampling": {"steps": 4, "c2f_steps": 1, "seed": 3}},
    },
    "fill": {
        "summary": "Fill a passage of an upload",
        "value": {"task": "inpaint", "input": "file:7d1c0fd6b9b94a7a8f3e2a11", "regions": [[2.0, 4.0]]},
    },
    "again": {
        "summary": "Vary the first output of an earlier job, four times",
        "value": {"task": "vamp", "input": "job:7d1c0fd6b9b94a7a8f3e2a11/1", "variations": 4},
    },
    "new": {"summary": "New music from nothing", "value": {"task": "generate", "seconds": 8.0}},
}
"""Requests that can be sent as they are, but for the ids."""

_REQUEST = {"$ref": "#/components/schemas/Request"}
JOB_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _REQUEST, "examples": EXAMPLES},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["request"],
                    "additionalProperties": False,
                    "properties": {
                        "request": {"type": "string", "contentMediaType": "application/json"},
                        "audio": {"type": "string", "format": "binary"},
                    },
                },
                "encoding": {"request": {"contentType": "application/json"}},
            },
        },
    }
}
"""The body of a submission."""

DESCRIPTION = """Vary, fill and extend recordings.

Submit a request to `/api/v1/jobs`, with its audio as a form or by the name of an upload. The answer has an `id`; ask
for `/api/v1/jobs/ID`, or follow `/api/v1/jobs/ID/events`, until its `state` is `done`; then fetch its outputs.
"""


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's document with the project's own schemas, in place."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    requests, result = request_schema(), result_schema()
    for schema in (requests, result):
        schema.pop("$schema", None)
    schemas["Request"], schemas["JobResult"] = requests, result
    schemas["JobView"]["properties"]["request"] = {"type": "object", "description": "Request as it was sent."}
    schemas["JobView"]["properties"]["result"] = {
        "anyOf": [{"$ref": "#/components/schemas/JobResult"}, {"type": "null"}]
    }
    return document
