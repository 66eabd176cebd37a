"""The documents we publish, made from the models: `python -m gateway.openapi.documents` writes them.

They are committed, so that a running gateway needs no pydantic, and a test holds them fresh.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

import contracts
from contracts import names, schemas
from contracts.codes import CODES, Nature
from contracts.records import Status
from contracts.requests import MAX_BODY_BYTES, USERNAME_PATTERN
from gateway.http.parameters import MAX_WAIT_SECONDS
from gateway.http.problems import MEDIA_TYPE, errors_table
from gateway.http.routes.job_list import DEFAULT_LIMIT, MAX_LIMIT

_VERSION = contracts.__version__
_COMPONENTS = "#/components/schemas/"
_JOB_ID = "5b0f3a52-6e0d-4f0e-9d57-0c3f4f0b7a11"

_HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-Id": {"description": "The request's id, given or made.", "schema": {"type": "string"}, "required": True},
    "Location": {"description": "The job.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait before the next request.", "schema": {"type": "string"}},
    "Preference-Applied": {"description": "The wait that was honoured.", "schema": {"type": "string"}},
    "ETag": {"description": "Changes when the document does.", "schema": {"type": "string"}},
    "Link": {"description": 'The next page, with rel="next".', "schema": {"type": "string"}},
    "WWW-Authenticate": {"description": "Where the key goes.", "schema": {"type": "string"}},
    "Allow": {"description": "The methods of the route.", "schema": {"type": "string"}},
}


def _parameter(place: str, name: str, description: str, schema: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"in": place, "name": name, "description": description, "schema": schema, **more}


_REQUEST_ID = _parameter(
    "header", "X-Request-Id", "Kept when it has at most 128 letters, digits, '.', '_' or '-'.", {"type": "string"}
)
_TRACEPARENT = _parameter(
    "header",
    "traceparent",
    "W3C trace context: goes into the logs of gateway and handlers, and on the job.",
    {"type": "string"},
)
_WAIT = _parameter(
    "query",
    "wait",
    f"Seconds to wait for the end of the job; more than {MAX_WAIT_SECONDS} is cut to {MAX_WAIT_SECONDS}.",
    {"type": "integer", "minimum": 0, "maximum": 999_999_999},
    example=0,
)
_PREFER = _parameter("header", "Prefer", "wait=N does the same as the parameter wait.", {"type": "string"})
_ID = _parameter("path", "job_id", "The job's id.", {"type": "string", "pattern": names.JOB_ID_PATTERN}, required=True)
_IF_NONE_MATCH = _parameter(
    "header", "If-None-Match", "An ETag of before: 304 while it is the same.", {"type": "string"}
)


def make_openapi() -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Everest bootstrap",
            "version": _VERSION,
            "description": "Onboards a Percona Everest tenant as one durable job: submit, poll, read the result.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"adminKey": []}],
        "tags": [
            {"name": "jobs", "description": "Submit and follow jobs."},
            {"name": "cluster", "description": "What the cluster holds, asked through a handler."},
            {"name": "service", "description": "The gateway itself; no key is needed."},
        ],
        "paths": _paths(),
        "components": {
            "securitySchemes": {"adminKey": {"type": "apiKey", "in": "header", "name": "X-Admin-Key"}},
            "schemas": _component_schemas(),
            "headers": _HEADERS,
        },
    }


def _paths() -> dict[str, Any]:
    return {
        "/bootstrap/users": {"post": _submit()},
        "/jobs": {"get": _list_jobs()},
        "/jobs/{job_id}": {"get": _read_job("Job", "The job", "readJob", "The job as it is now.")},
        "/jobs/{job_id}/result": {
            "get": _read_job("Result", "The result", "readResult", "Of succeeded and failed jobs alike.", (409,))
        },
        "/jobs/{job_id}/events": {"get": _follow()},
        "/jobs/{job_id}/cancel": {"post": _cancel()},
        "/jobs/{job_id}/retry": {"post": _retry()},
        "/accounts/list": {"get": _query("listAccounts", "The accounts of Everest", "AccountsAnswer")},
        "/namespaces/list": {"get": _query("listNamespaces", "The namespaces of Everest", "NamespacesAnswer")},
        "/tenants/{username}": {
            "get": _query(
                "readTenant",
                "What the cluster holds for a tenant, and how that differs from the tenant's last finished job",
                "TenantAnswer",
                _username(),
            )
        },
        "/healthz": {"get": _probe("isAlive", "Liveness: the process answers.")},
        "/readyz": {"get": _probe("isReady", "Readiness: NATS is there and not nearly full.", may_fail=True)},
        "/metrics": {"get": _text("readMetrics", "Metrics for Prometheus.")},
    }


def _submit() -> dict[str, Any]:
    body = {
        "required": True,
        "description": f"At most {MAX_BODY_BYTES // 1024} KB.",
        "content": {"application/json": {"schema": _ref("BootstrapRequest"), "examples": _request_examples()}},
    }
    key = _parameter(
        "header",
        "Idempotency-Key",
        "The same key and the same request give the same job.",
        {"type": "string", "pattern": "^[!-~]{1,64}$"},
    )
    return {
        "operationId": "submitBootstrap",
        "tags": ["jobs"],
        "summary": "Onboard a tenant",
        "parameters": [_WAIT, _PREFER, key, _REQUEST_ID, _TRACEPARENT],
        "requestBody": body,
        "responses": {
            "202": _accepted(),
            "200": _answer("With a wait: the job, which has ended.", "Job", "Location", "Preference-Applied"),
            **_problems(400, 401, 413, 415, 422, 429, 500, 503),
        },
    }


def _accepted() -> dict[str, Any]:
    answer = _answer("Durably queued.", "Accepted", "Location", "Retry-After", "Preference-Applied")
    content = answer["content"]["application/json"]
    content["schema"] = {"anyOf": [_ref("Accepted"), _ref("Job")], "description": "With a wait the job itself."}
    content["examples"] = {"accepted": {"value": {"job_id": _JOB_ID, "status_url": f"/jobs/{_JOB_ID}"}}}
    answer["links"] = {
        name: {"operationId": name, "parameters": {"job_id": "$response.body#/job_id"}}
        for name in ("readJob", "readResult", "cancelJob", "retryJob")
    }
    return answer


def _read_job(schema: str, title: str, operation: str, description: str, more: tuple[int, ...] = ()) -> dict[str, Any]:
    return {
        "operationId": operation,
        "tags": ["jobs"],
        "summary": title,
        "description": description,
        "parameters": [_ID, _WAIT, _PREFER, _IF_NONE_MATCH, _REQUEST_ID],
        "responses": {
            "200": _answer(f"{title}.", schema, "ETag", "Retry-After", "Preference-Applied"),
            "304": {"description": "It is as it was.", "headers": _header_refs("ETag")},
            **_problems(400, 401, 404, 429, 500, 503, *more),
        },
    }


def _list_jobs() -> dict[str, Any]:
    kinds = [*names.JOB_KINDS, *names.QUERY_KINDS]
    text: dict[str, Any] = {"type": "string"}
    parameters = [
        _parameter("query", "status", "Only these.", {"type": "string", "enum": list(Status)}),
        _parameter("query", "username", "Only this user's.", text),
        _parameter("query", "namespace", "Only this namespace's.", text),
        _parameter("query", "kind", "Only this kind; queries are listed only by their kind.", {"enum": kinds}),
        _parameter("query", "caller", "Only those that this caller submitted.", text),
        _parameter("query", "since", "Only those that changed since.", {"type": "string", "format": "date-time"}),
        _parameter(
            "query",
            "limit",
            "Jobs on a page.",
            {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
        ),
        _parameter("query", "cursor", "The next_cursor of a page.", {"const": "WzAsMSwwXQ"}),
        _REQUEST_ID,
    ]
    return {
        "operationId": "listJobs",
        "tags": ["jobs"],
        "summary": "List and search jobs, last changed first",
        "description": "While jobs change a page may repeat one, but never misses one. A page of a filter that "
        "matches few may hold fewer than `limit`, or none, and still name a next page.",
        "parameters": parameters,
        "responses": {"200": _answer("A page.", "JobList", "Link"), **_problems(400, 401, 429, 500, 503)},
    }


def _follow() -> dict[str, Any]:
    last = _parameter("header", "Last-Event-ID", "The id of the last event that was seen.", {"type": "string"})
    job = {"allOf": [_ref("Job"), _ref("Event")]}
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": job}
    event = {
        "type": "object",
        "description": "Of each event. Its data is the job with what the event tells of.",
        "properties": {"id": {"type": "string", "description": "The record's revision."}, "data": data},
        "required": ["id", "data"],
    }
    events = {
        "description": "Server-sent events, one per transition, and a comment now and then that says: still here.",
        "headers": _header_refs(),
        "content": {"text/event-stream": {"schema": event}},
    }
    return {
        "operationId": "followJob",
        "tags": ["jobs"],
        "summary": "Follow a job, live",
        "parameters": [_ID, last, _REQUEST_ID],
        "responses": {
            "200": events,
            "204": {"description": "It has ended, and the last event was seen.", "headers": _header_refs()},
            **_problems(401, 404, 429, 500, 503),
        },
    }


def _cancel() -> dict[str, Any]:
    return {
        "operationId": "cancelJob",
        "tags": ["jobs"],
        "summary": "Cancel a job",
        "description": "A queued job ends at once, a running one at its next safe point; the answer says which.",
        "parameters": [_ID, _REQUEST_ID],
        "responses": {
            "202": _answer("It is cancelled, or will be.", "Cancelled", "Location"),
            **_problems(401, 404, 409, 429, 500, 503),
        },
    }


def _retry() -> dict[str, Any]:
    start = _parameter(
        "query", "from", "start: run every step again, not only from the one that failed.", {"enum": ["start"]}
    )
    return {
        "operationId": "retryJob",
        "tags": ["jobs"],
        "summary": "Retry a failed job",
        "description": "The same job goes on: what succeeded is looked at again and skipped.",
        "parameters": [_ID, start, _WAIT, _PREFER, _REQUEST_ID, _TRACEPARENT],
        "responses": {
            "202": _accepted(),
            "200": _answer("With a wait: the job, which has ended.", "Job", "Location", "Preference-Applied"),
            **_problems(400, 401, 404, 409, 429, 500, 503),
        },
    }


def _query(operation: str, title: str, schema: str, *parameters: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": operation,
        "tags": ["cluster"],
        "summary": title,
        "parameters": [*parameters, _REQUEST_ID],
        "responses": {
            "200": _answer(f"{title}.", schema),
            **_problems(401, 429, 500, 502, 503, 504, *((422,) if parameters else ())),
        },
    }


def _username() -> dict[str, Any]:
    return _parameter(
        "path",
        "username",
        "The Everest account.",
        {"type": "string", "pattern": USERNAME_PATTERN},
        required=True,
    )


def _probe(operation: str, title: str, *, may_fail: bool = False) -> dict[str, Any]:
    failed = {"503": _answer("Not ready, and why.", "Health", "Retry-After")} if may_fail else {}
    return {
        "operationId": operation,
        "tags": ["service"],
        "summary": title,
        "security": [],
        "responses": {"200": _answer(title, "Health"), **failed},
    }


def _text(operation: str, title: str) -> dict[str, Any]:
    content = {"text/plain": {"schema": {"type": "string"}}}
    answer = {"description": title, "headers": _header_refs("X-Request-Id"), "content": content}
    return {
        "operationId": operation,
        "tags": ["service"],
        "summary": title,
        "security": [],
        "responses": {"200": answer},
    }


def _answer(description: str, schema: str, *headers: str) -> dict[str, Any]:
    return {
        "description": description,
        "headers": _header_refs(*headers),
        "content": {"application/json": {"schema": _ref(schema)}},
    }


def _problems(*statuses: int) -> dict[str, Any]:
    """A response for each status, naming the codes that it may carry."""
    return {str(status): _problem(status) for status in sorted(statuses)}


def _problem(status: int) -> dict[str, Any]:
    codes = [code for code in CODES.values() if code.status == status]
    headers = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}.get(status, ())
    return {
        "description": "; ".join(f"`{code.name}`: {code.title}" for code in codes if code.nature is Nature.HTTP),
        "headers": _header_refs(*headers),
        "content": {MEDIA_TYPE: {"schema": _ref("Problem")}},
    }


def _header_refs(*header_names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", *header_names)}


def _ref(schema: str) -> dict[str, str]:
    return {"$ref": _COMPONENTS + schema}


def _request_examples() -> dict[str, Any]:
    return {
        "least": {"value": {"username": "alice"}},
        "all": {
            "value": {
                "username": "alice",
                "namespace": "alice-ns",
                "operators": {"mongodb": True, "postgresql": True, "xtradb_cluster": False},
                "take_ownership": False,
                "resources": {"cpu_cores": 8, "ram_mb": 4096, "disk_gb": 100},
            }
        },
    }


def _component_schemas() -> dict[str, Any]:
    components: dict[str, Any] = {
        "JobList": {
            "type": "object",
            "properties": {
                "jobs": {"type": "array", "items": _ref("Job")},
                "next_cursor": {"type": ["string", "null"], "description": "Null on the last page."},
            },
            "required": ["jobs", "next_cursor"],
        },
        "Cancelled": {
            "type": "object",
            "properties": {
                "job_id": {"type": "string"},
                "status": {"enum": ["failed", "running"]},
                "cancelled": {"enum": ["at once", "at the next safe point"]},
                "status_url": {"type": "string"},
            },
            "required": ["job_id", "status", "cancelled", "status_url"],
        },
        "Health": {
            "type": "object",
            "properties": {
                "status": {"type": "string"},
                "problems": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["status"],
        },
    }
    for name in schemas.MODELS:
        schema = orjson.loads(orjson.dumps(schemas.make_schema(name)).replace(b"#/$defs/", _COMPONENTS.encode()))
        components |= schema.pop("$defs", {})
        components["".join(word.title() for word in name.split("-"))] = schema
    return dict(sorted(components.items()))


def make_asyncapi() -> dict[str, Any]:
    """The contract over NATS (AsyncAPI 3.0), as another service sees it."""
    job_id = {"job_id": {"description": "A token of the caller's choice; the server puts the caller before it."}}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Everest bootstrap over NATS",
            "version": _VERSION,
            "description": "Publish one message, get a durable job. The acknowledgement of the stream is the commit: "
            "a time-out is unknown, never failed, so publish the same id again.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "jobs": {
                "address": names.job_subject("bootstrap", "{job_id}"),
                "description": f"Stream {names.JOBS_STREAM}; at most one message per subject, 200 KB.",
                "parameters": job_id,
                "messages": {"request": {"$ref": "#/components/messages/request"}},
            },
            "events": {
                "address": names.event_subject("{job_id}"),
                "description": "Live and at most once; who was away asks for the status.",
                "parameters": job_id,
                "messages": {"event": {"$ref": "#/components/messages/event"}},
            },
            "status": {
                "address": names.status_subject("{job_id}"),
                "parameters": job_id,
                "messages": {"question": {"$ref": "#/components/messages/question"}},
            },
            "statusAnswer": {
                "address": None,
                "description": "The reply subject of the request.",
                "messages": {
                    "job": {"$ref": "#/components/messages/job"},
                    "problem": {"$ref": "#/components/messages/problem"},
                },
            },
        },
        "operations": {
            "submitBootstrap": {"action": "receive", "channel": {"$ref": "#/channels/jobs"}},
            "tellTransition": {"action": "send", "channel": {"$ref": "#/channels/events"}},
            "answerStatus": {
                "action": "receive",
                "channel": {"$ref": "#/channels/status"},
                "reply": {"channel": {"$ref": "#/channels/statusAnswer"}},
            },
        },
        "components": {
            "messages": {
                "request": {
                    "summary": "Exactly the body of POST /bootstrap/users.",
                    "headers": _message_headers(),
                    "payload": {"$ref": "./schemas/bootstrap-request.json"},
                    "examples": [{"payload": example["value"]} for example in _request_examples().values()],
                },
                "event": {"payload": {"$ref": "./schemas/event.json"}},
                "question": {"summary": "An empty request.", "payload": {}},
                "job": {"payload": {"$ref": "./schemas/job.json"}},
                "problem": {"payload": {"$ref": "./schemas/problem.json"}},
            }
        },
    }


def _message_headers() -> dict[str, Any]:
    text = {"type": "string"}
    return {
        "type": "object",
        "properties": {
            names.HEADER_REQUEST_ID: {**text, "description": "Carried into the logs and the record."},
            names.HEADER_TRACEPARENT: {**text, "description": "W3C trace context, carried likewise."},
            names.HEADER_CALLER: {**text, "description": "Honoured on one-token ids only."},
        },
    }


TABLE_BEGIN = "<!-- errors: generated by python -m gateway.openapi.documents -->\n"
TABLE_END = "<!-- errors end -->\n"


def fill_errors_table(readme: str) -> str:
    """The text with the table of codes between its two marks made anew."""
    head, _, rest = readme.partition(TABLE_BEGIN)
    _, _, tail = rest.partition(TABLE_END)
    return f"{head}{TABLE_BEGIN}{errors_table()}{TABLE_END}{tail}"


def make_files(root: Path) -> dict[Path, str]:
    """Every generated file under the repository's root, with its text."""
    import yaml  # only where the files are made

    readme = root / "gateway" / "README.md"
    files = {
        root / "gateway" / "openapi" / "openapi.json": _to_json(make_openapi()),
        root / "contracts" / "asyncapi.yaml": yaml.safe_dump(make_asyncapi(), sort_keys=False, width=110),
        readme: fill_errors_table(readme.read_text()),
    }
    for source in sorted((root / "nats").glob("*.conf")):
        # kustomize reads no file above its own folder.
        files[root / "nats" / "k8s" / "base" / "conf" / source.name] = source.read_text()
    for name, schema in schemas.make_published_schemas().items():
        files[root / "contracts" / "schemas" / name] = _to_json(schema)
    return files


def _to_json(document: dict[str, Any]) -> str:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n"


if __name__ == "__main__":
    for path, text in make_files(Path(__file__).resolve().parents[2]).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
