"""The published documents are fresh, and true to what is really sent."""

import re
import shutil
import subprocess
import tarfile
import typing
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
import yaml
from openapi_spec_validator import validate
from starlette.requests import Request
from starlette.routing import Route

import contracts
from contracts import names
from contracts.codes import CODES, Failure
from contracts.documents import event_document, job_document, result_document
from contracts.records import CommandRecord, CredentialsSecret, JobRecord, Outcome, StepRecord
from contracts.reporting.events import event_headers
from contracts.reporting.webhooks import webhook_document
from contracts.requests import MAX_BODY_BYTES, TENANT_PATTERN
from contracts.schemas import make_schema
from gateway.http.app import Parts, make_routes
from gateway.http.paging import DEFAULT_LIMIT, MAX_LIMIT
from gateway.http.parameters import MAX_WAIT_SECONDS, read_idempotency_key
from gateway.http.problems import Problem, problem_document
from gateway.http.routes.job_list import PARAMETERS
from gateway.webhooks.attempts import sign
from gateway.webhooks.declared import Webhook
from tests.laboratory.documents import make_errors_table, make_files, make_openapi

ROOT = Path(__file__).parents[3]
NOW = "2026-01-31T12:00:00.000Z"


FILES = make_files()
OPENAPI = make_openapi()
ASYNCAPI: dict[str, Any] = yaml.safe_load((ROOT / "contracts" / "asyncapi.yaml").read_text())


@pytest.mark.parametrize("path", list(FILES), ids=lambda path: path.name)
def test_the_committed_files_are_fresh(path: Path) -> None:
    """When this fails: make documents."""
    assert path.read_text() == FILES[path]


def test_the_table_lists_every_code() -> None:
    table = make_errors_table()
    assert all(f"| `{code}` |" in table for code in CODES)


def queued() -> JobRecord:
    return JobRecord("svc.1", "bootstrap", "svc", "hash", NOW, NOW, request={"username": "alice"})


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


def proved(usable: bool | None) -> JobRecord:
    outcome = Outcome.VERIFIED if usable else Outcome.UNVERIFIED
    step = StepRecord("verify_tenant", NOW, NOW, outcome, usable=usable)
    return running().started("verify_tenant", NOW).finished(step, NOW).succeeded("Done.", NOW)


RECORDS = {
    "queued": queued(),
    "running": running(),
    "done": running().succeeded("Done.", NOW),
    "reopened": reopened(),
    "proved": proved(True),
    "unseen": proved(None),
}


@pytest.mark.parametrize("usable", [True, False, None])
def test_the_result_says_whether_the_tenant_is_usable(usable: bool | None) -> None:
    """Null is an answer too; a job that has proved nothing, as those of 0.1.0, says nothing."""
    assert result_document(proved(usable))["usable"] is usable
    assert "usable" not in result_document(RECORDS["done"])


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_documents_keep_to_their_schemas(record: JobRecord) -> None:
    """Every member is described, none is missing."""
    for name, document in (
        ("job", job_document(record)),
        ("event", event_document(record, 7)),
        ("webhook", webhook_document(event_document(record, 7), record)),
        ("webhook", webhook_document(event_document(record, 7), None)),
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


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    """What a reference within the OpenAPI document stands for."""
    while "$ref" in part:
        target: Any = OPENAPI
        for name in part["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        part = target
    return part


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation, with the parameters of the path among its own."""
    for path, item in OPENAPI["paths"].items():
        shared = item.get("parameters", [])
        for method in item.keys() - {"parameters"}:
            yield path, method, {**item[method], "parameters": [*shared, *item[method].get("parameters", [])]}


def test_openapi_is_valid() -> None:
    """OpenAPI 3.1, by its own schema and rules; each answer and each parameter says what it is."""
    validate(OPENAPI)
    for _, _, operation in operations():
        for answer in map(resolved, operation["responses"].values()):
            assert answer["description"]
            assert "X-Request-Id" in answer["headers"]
        assert all(resolved(parameter)["description"] for parameter in operation["parameters"])
    assert all(header["description"] for header in OPENAPI["components"]["headers"].values())


def test_generators_understand_the_schemas() -> None:
    """No schema is a choice at its top, which generators turn into anything at all; every operation has a name."""
    for name, schema in OPENAPI["components"]["schemas"].items():
        assert not {"anyOf", "oneOf", "allOf", "not", "if"} & schema.keys(), name
        assert schema.keys() & {"type", "$ref"}, name
    names_ = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names_)) == len(names_)
    assert all(re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", name) for name in names_)


def test_the_examples_are_valid() -> None:
    """Of requests and of answers."""
    bodies = [
        resolved(part)
        for _, _, operation in operations()
        for part in (operation.get("requestBody"), *operation["responses"].values())
        if part
    ]
    contents = [content for body in bodies for content in body.get("content", {}).values()]
    examples = [(example, content) for content in contents for example in content.get("examples", {}).values()]
    assert len(examples) >= 4
    for example, content in examples:
        schema = {**content["schema"], "components": OPENAPI["components"]}
        jsonschema.Draft202012Validator(schema).validate(example["value"])


def test_the_document_tells_the_code_s_own_rules() -> None:
    """What stands in the document by hand and in the code: the limits, the names of parameters, the patterns."""
    parameters = {name: parameter["schema"] for name, parameter in OPENAPI["components"]["parameters"].items()}
    assert f"more than {MAX_WAIT_SECONDS} is cut" in OPENAPI["components"]["parameters"]["Wait"]["description"]
    listed = {part["name"]: part["schema"] for part in map(resolved, operation_of("listJobs")["parameters"])}
    assert (listed["limit"]["maximum"], listed["limit"]["default"]) == (MAX_LIMIT, DEFAULT_LIMIT)
    assert {name for name in listed if name != "X-Request-Id"} == set(PARAMETERS)
    assert resolved(parameters["JobId"])["pattern"] == names.JOB_ID_PATTERN
    assert parameters["Username"]["pattern"] == TENANT_PATTERN
    assert f"{MAX_BODY_BYTES // 1024} KB" in operation_of("submitBootstrap")["requestBody"]["description"]


@pytest.mark.parametrize("key", ["k", "x" * 255, "a b", "!~", "", " a", "a ", "x" * 256, "ä", "a\tb"])
def test_the_document_takes_the_keys_of_idempotency_that_the_route_takes(key: str) -> None:
    headers = [(b"idempotency-key", key.encode("latin-1"))]
    pattern = OPENAPI["components"]["parameters"]["IdempotencyKey"]["schema"]["pattern"]
    try:
        taken = read_idempotency_key(Request({"type": "http", "headers": headers})) is not None
    except Problem:
        taken = False
    assert taken == bool(re.search(pattern, key))


def operation_of(name: str) -> dict[str, Any]:
    return next(operation for _, _, operation in operations() if operation["operationId"] == name)


def test_verbs_of_a_tenant_are_answered_alike() -> None:
    """A repair is refused at once as the others are, and its body is as limited."""
    answers = [set(operation_of(name)["responses"]) for name in ("repairTenantNamespace", "suspendTenant")]
    assert answers[0] == answers[1] >= {"404", "409", "413"}
    assert "413" in operation_of("repairTenants")["responses"]


def test_every_kind_has_its_row() -> None:
    """What its steps do, in handlers/README.md; the two longest have tables of their own."""
    text = (ROOT / "handlers" / "README.md").read_text()
    assert [kind for kind in names.JOB_KINDS if f"\n| `{kind}` |" not in text] == ["bootstrap", "offboard"]


def test_asyncapi_leads_somewhere() -> None:
    """Every reference, also to the schemas beside it; its examples keep to them; its addresses are the real ones."""
    document = ASYNCAPI
    for reference in find_references(document):
        file, _, pointer = reference.partition("#")
        part: Any = orjson.loads((ROOT / "contracts" / file).read_bytes()) if file else document
        for name in filter(None, pointer.split("/")):
            part = part[name]
    request = document["components"]["messages"]["request"]
    channels = {
        "jobs": "bootstrap",
        "offboardings": "offboard",
        "passwords": "password",
        "suspensions": "suspend",
        "resumptions": "resume",
        "repairs": "repair",
        "handovers": "handover",
    }
    assert set(channels.values()) == set(names.JOB_KINDS)  # what a publisher may be given
    messages = {kind: "request" if kind == "bootstrap" else f"{kind}Request" for kind in channels.values()}
    for message, schema in ((message, f"{kind}-request") for kind, message in messages.items()):
        for example in document["components"]["messages"][message]["examples"]:
            jsonschema.validate(example["payload"], make_schema(schema))
    addresses = {name: channel["address"] for name, channel in document["channels"].items()}
    assert addresses == {
        **{name: names.job_subject(kind, "{job_id}") for name, kind in channels.items()},
        "events": names.event_subject("{job_id}"),
        "progress": names.progress_subject("{job_id}"),
        "status": names.status_subject("{job_id}"),
        "webhook": None,
        "statusAnswer": None,
        "dead": names.dead_subject("{kind}", "{id}"),
    }
    assert document["info"]["version"] == contracts.__version__
    given = set(request["headers"]["properties"])
    ours = {names.HEADER_CALLER, names.HEADER_BOUND, names.HEADER_BATCH}
    assert given == {names.HEADER_REQUEST_ID, names.HEADER_TRACEPARENT} | ours
    event = set(document["components"]["messages"]["event"]["headers"]["properties"])
    assert event == set(event_headers(running(), 7))
    signed = set(document["components"]["messages"]["told"]["headers"]["properties"])
    assert signed == set(sign(Webhook("a", "", ("whsec_AAAA",)), "id", datetime.now(UTC), b""))
    told = set(document["components"]["messages"]["deadLetter"]["headers"]["properties"])
    assert told == {names.HEADER_REASON, names.HEADER_SUBJECT, names.HEADER_SEQUENCE}


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
        jsonschema.Draft7Validator(orjson.loads(schema.read())).validate(ASYNCAPI)


@pytest.mark.parametrize(
    "request_", [{}, {"username": "a b"}, {"username": "alice", "x": 1}, {"username": "alice", "namespace": "A"}]
)
def test_the_schema_refuses_what_the_gateway_refuses(request_: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(request_, make_schema("bootstrap-request"))


def test_every_route_is_described() -> None:
    """What the application serves and what the document tells are the same, method by method; pages aside."""
    # Real parts, but for what they work with: no route is called.
    parts = Parts(**{name: object.__new__(kind) for name, kind in typing.get_type_hints(Parts).items()})
    pages = {"/", "/openapi.json", "/docs", "/docs/start.js", "/docs/errors"}
    served = {
        (route.path, method.lower())
        for route in make_routes(parts)
        if isinstance(route, Route)
        for method in route.methods or ()
        if method != "HEAD" and route.path not in pages
    }
    assert served == {(path, method) for path, method, _ in operations()}
