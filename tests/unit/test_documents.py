"""The published documents are fresh, and true to what is really sent."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest

from contracts import names
from contracts.codes import CODES, Failure
from contracts.documents import event_document, job_document, result_document
from contracts.records import CommandRecord, CredentialsSecret, JobRecord, Outcome, StepRecord, queued_record
from contracts.schemas import make_schema
from gateway.documents import make_files, make_openapi
from gateway.problems import Problem, problem_document

ROOT = Path(__file__).parents[2]
NOW = "2026-01-31T12:00:00.000Z"


@pytest.mark.parametrize("path", list(make_files(ROOT)), ids=lambda path: path.name)
def test_the_committed_files_are_fresh(path: Path) -> None:
    """When this fails: python -m gateway.documents."""
    assert path.read_text() == make_files(ROOT)[path]


def queued() -> JobRecord:
    return queued_record("svc.1", "bootstrap", "svc", "hash", NOW, NOW, request={"username": "alice"})


def running() -> JobRecord:
    step = StepRecord(
        "create_account", NOW, NOW, Outcome.CREATED, "everestctl", 0, commands=(CommandRecord("everestctl", 0),)
    )
    failed = replace(step, name="apply_rbac_policy", outcome=Outcome.FAILED, rbac_applied=False)
    failed = replace(failed, error=Failure("conflict", "again"), manifest_preview="kind: X")
    record = queued().claimed("me", NOW).started("create_account", NOW).finished(step, NOW, ("a warning",))
    record = record.with_credentials(CredentialsSecret("everest-system", "bootstrap-1"))
    return replace(record, steps=(*record.steps, failed), simulated=True, retry_at=NOW)


def reopened() -> JobRecord:
    return running().failed(Failure("forbidden", "no"), NOW).reopened(NOW, from_start=False)


RECORDS = {"queued": queued(), "running": running(), "done": running().succeeded("Done.", NOW), "reopened": reopened()}


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_documents_keep_to_their_schemas(record: JobRecord) -> None:
    """Every member is described, none is missing."""
    for name, document in (
        ("job", job_document(record)),
        ("event", event_document(record, 7)),
        *([("result", result_document(record))] if record.is_finished else []),
    ):
        schema = make_schema(name)
        for part in (schema, *schema.get("$defs", {}).values()):
            part["additionalProperties"] = False
        schema["properties"].get("inputs", {}).pop("additionalProperties", None)
        jsonschema.validate(orjson.loads(orjson.dumps(document)), schema)


@pytest.mark.parametrize("code", [code.name for code in CODES.values() if code.status])
def test_problems_keep_to_their_schema(code: str) -> None:
    jsonschema.validate(problem_document(Problem(code, fields=[])), make_schema("problem"))


def resolve(document: dict[str, Any], part: Any) -> Any:
    """The schema with its references followed by the validator."""
    return {"$ref": part["$ref"], "components": document["components"]} if "$ref" in part else part


def test_the_examples_are_valid() -> None:
    document = make_openapi()
    content = document["paths"]["/bootstrap/users"]["post"]["requestBody"]["content"]["application/json"]
    for example in content["examples"].values():
        jsonschema.validate(example["value"], resolve(document, content["schema"]))


@pytest.mark.parametrize(
    "request_", [{}, {"username": "a_b"}, {"username": "admin"}, {"username": "alice", "x": 1}, {"username": "default"}]
)
def test_the_schema_refuses_what_the_gateway_refuses(request_: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(request_, make_schema("bootstrap-request"))


def test_every_reference_leads_somewhere() -> None:
    document = make_openapi()
    text = orjson.dumps(document).decode()
    for kind in ("schemas", "headers"):
        for chunk in text.split(f'"#/components/{kind}/')[1:]:
            assert chunk.partition('"')[0] in document["components"][kind]


def test_every_route_is_described() -> None:
    """What the application serves and what the document tells are the same."""
    described = set(make_openapi()["paths"])
    source = (ROOT / "gateway" / "app.py").read_text()
    served = {line.split('"')[1] for line in source.splitlines() if line.strip().startswith("Route(")}
    assert described == served
    assert names.JOB_ID_PATTERN in orjson.dumps(make_openapi()).decode().replace("\\\\", "\\")
