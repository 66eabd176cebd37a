"""The published documents are fresh, and true to what is really sent."""

import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
from openapi_spec_validator import validate

from contracts import names
from contracts.codes import CODES, Failure
from contracts.documents import event_document, job_document, result_document
from contracts.records import CommandRecord, CredentialsSecret, JobRecord, Outcome, StepRecord, queued_record
from contracts.schemas import make_schema
from gateway.http.problems import Problem, problem_document
from gateway.openapi.documents import make_asyncapi, make_files, make_openapi

ROOT = Path(__file__).parents[3]
NOW = "2026-01-31T12:00:00.000Z"


@pytest.mark.parametrize("path", list(make_files(ROOT)), ids=lambda path: path.name)
def test_the_committed_files_are_fresh(path: Path) -> None:
    """When this fails: make schemas."""
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


def test_openapi_is_valid() -> None:
    """OpenAPI 3.1, by its own schema and rules; each answer and each header says what it is."""
    document = make_openapi()
    validate(document)
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    for operation in operations:
        for answer in operation["responses"].values():
            assert answer["description"]
            assert "X-Request-Id" in answer["headers"]
        assert all(parameter["description"] for parameter in operation.get("parameters", ()))
    assert all(header["description"] for header in document["components"]["headers"].values())


def test_the_examples_are_valid() -> None:
    """Of requests and of answers."""
    document = make_openapi()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    bodies = [
        part for operation in operations for part in (operation.get("requestBody"), *operation["responses"].values())
    ]
    contents = [content for body in bodies if body for content in body.get("content", {}).values()]
    examples = [(example, content) for content in contents for example in content.get("examples", {}).values()]
    assert len(examples) >= 4
    for example, content in examples:
        schema = {**content["schema"], "components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(example["value"])


def test_asyncapi_leads_somewhere() -> None:
    """Every reference, also to the schemas beside it; its examples keep to them; its addresses are the real ones."""
    document = make_asyncapi()
    for reference in find_references(document):
        file, _, pointer = reference.partition("#")
        part: Any = orjson.loads((ROOT / "contracts" / file).read_bytes()) if file else document
        for name in filter(None, pointer.split("/")):
            part = part[name]
    request = document["components"]["messages"]["request"]
    for example in request["examples"]:
        jsonschema.validate(example["payload"], make_schema("bootstrap-request"))
    addresses = {name: channel["address"] for name, channel in document["channels"].items()}
    assert addresses == {
        "jobs": "everest.v1.jobs.bootstrap.{job_id}",
        "events": "everest.v1.events.{job_id}",
        "status": "everest.v1.status.{job_id}",
        "statusAnswer": None,
    }


def find_references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for member in part.values():
            yield from find_references(member)
    elif isinstance(part, list):
        for member in part:
            yield from find_references(member)


@pytest.mark.slow
def test_asyncapi_is_valid(tmp_path: Path) -> None:
    """AsyncAPI 3.0, by the specification's own schema, which npm has."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    packed = subprocess.run([npm, "pack", "@asyncapi/specs@6.11.1"], cwd=tmp_path, capture_output=True, timeout=120)
    assert packed.returncode == 0, packed.stderr.decode()
    with tarfile.open(next(tmp_path.glob("*.tgz"))) as archive:
        schema = archive.extractfile("package/schemas/3.0.0.json")
        assert schema is not None
        jsonschema.Draft7Validator(orjson.loads(schema.read())).validate(make_asyncapi())


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
    source = (ROOT / "gateway" / "http" / "app.py").read_text()
    served = {line.split('"')[1] for line in source.splitlines() if line.strip().startswith("Route(")}
    assert described == served
    assert names.JOB_ID_PATTERN in orjson.dumps(make_openapi()).decode().replace("\\\\", "\\")
