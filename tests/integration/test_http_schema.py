"""The whole HTTP interface asked by schemathesis: no 5xx, no undocumented status, answers as documented."""

from __future__ import annotations

import os
from pathlib import Path

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.server import running_server
from vampnet.apps.http.config import ServerConfig

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_operation(tmp_path: Path, mode: GenerationMode) -> None:
    config = ServerConfig(data=str(tmp_path), rate=1000000, max_queue=1000000, body_timeout_s=5.0)
    asked = []
    with running_server(config, step_s=0.0) as (address, _):
        # The stream of all events never ends, so it is not asked here.
        schema = schemathesis.openapi.from_url(f"{address}/api/v1/openapi.json").exclude(path="/api/v1/events")
        for result in schema.get_all_operations():
            operation = result.ok()  # type: ignore[union-attr]
            ask(operation, mode)
            asked.append(operation.label)
    assert "POST /api/v1/jobs" in asked and len(asked) >= 15


def ask(operation: schemathesis.APIOperation, mode: GenerationMode) -> None:
    """Ask one operation with calls as documented (positive) or otherwise (negative)."""

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=int(os.environ.get("VAMPNET_SCHEMA_EXAMPLES", "10")),
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    def call(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS, timeout=120)

    try:
        call()
    except Unsatisfiable:
        assert mode == GenerationMode.NEGATIVE  # nothing to get wrong


def test_examples_of_the_document_are_taken(tmp_path: Path) -> None:
    with running_server(ServerConfig(data=str(tmp_path))) as (address, _):
        document = httpx2.get(f"{address}/api/v1/openapi.json").json()
        body = document["paths"]["/api/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]
        answers = {
            name: httpx2.post(f"{address}/api/v1/jobs", json=example["value"])
            for name, example in body["examples"].items()
        }
    assert answers["new"].status_code == 202
    assert "input is missing" in answers["vary"].json()["error"]  # its audio comes in a form
    assert "no such upload" in answers["fill"].json()["error"]
    assert answers["again"].status_code == 404
    assert "404" in document["paths"]["/api/v1/jobs"]["post"]["responses"]
