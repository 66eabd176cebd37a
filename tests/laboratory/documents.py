"""The documents that are made, and kept fresh by a test: `make documents` writes them.

gateway/openapi/openapi.yaml is kept by hand; what it leaves out comes out of code: the version, the schemas of the
models, and a problem response for each HTTP status with the codes that it may carry. No gateway runs any of this.
"""

from pathlib import Path
from typing import Any

import orjson
import yaml

import contracts
from contracts import documents, schemas
from contracts.codes import CODES, Code, Nature
from gateway.http.problems import MEDIA_TYPE
from tests.laboratory import chart, states
from tests.support.servers import ROOT

_OPENAPI = ROOT / "gateway" / "openapi"
_HEADERS = {401: ("WWW-Authenticate",), 405: ("Allow",), 429: ("Retry-After",), 503: ("Retry-After",)}
_NAMED = {"JobId": documents.JobId, "Kind": documents.Kind, "Status": documents.JobStatus}


def make_openapi() -> dict[str, Any]:
    document: dict[str, Any] = _spell_out(yaml.load((_OPENAPI / "openapi.yaml").read_text(), yaml.CSafeLoader))
    document["info"]["version"] = contracts.__version__
    components = document["components"]
    components["responses"] |= _make_problem_responses()
    components["schemas"] = dict(sorted((components["schemas"] | _make_model_schemas()).items()))
    return document


def _spell_out(part: Any) -> Any:
    """With a reference wherever openapi.yaml names a component."""
    if isinstance(part, list):
        return [_spell_out(member) for member in part]
    if not isinstance(part, dict):
        return part
    return {name: _spell_out_member(name, value) for name, value in part.items()}


def _spell_out_member(name: str, value: Any) -> Any:
    match name, value:
        case "schema", _:
            return _refer("schemas", value)
        case "content", str():
            return {"application/json": {"schema": _refer("schemas", value)}}
        case "parameters", list():
            return [_refer("parameters", parameter) for parameter in value]
        case "headers", list():
            return {header: _refer("headers", header) for header in value}
        case "responses", _:
            answers = {status: _refer("responses", answer) for status, answer in value.items() if status != "problems"}
            problems = {str(status): _refer("responses", f"Problem{status}") for status in value.get("problems", ())}
            return answers | problems
    return _spell_out(value)


def _refer(section: str, named: Any) -> Any:
    return {"$ref": f"#/components/{section}/{named}"} if isinstance(named, str) else _spell_out(named)


def _make_problem_responses() -> dict[str, Any]:
    codes = list(CODES.values())
    statuses = sorted({code.status for code in codes if code.status})
    return {f"Problem{status}": _problem(status, [c for c in codes if c.status == status]) for status in statuses}


def _problem(status: int, codes: list[Code]) -> dict[str, Any]:
    names = ("X-Request-Id", *_HEADERS.get(status, ()))
    return {
        "description": "; ".join(f"`{code.name}`: {code.title}" for code in codes),
        "headers": {name: _refer("headers", name) for name in names},
        "content": {MEDIA_TYPE: {"schema": _refer("schemas", "Problem")}},
    }


def _make_model_schemas() -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name in schemas.MODELS:
        text = orjson.dumps(schemas.make_schema(name)).replace(b"#/$defs/", b"#/components/schemas/")
        schema = orjson.loads(text)
        parts = schema.pop("$defs", {}) | {"".join(word.title() for word in name.split("-")): schema}
        if not name.endswith("-request"):
            _mark_read_only(parts)
        made |= parts
    made["NamespaceDeclaration"] = _declare(made["BootstrapRequest"], "What a tenant is to have in one namespace.")
    made["Manager"] = _declare(made["HandoverRequest"], "Who is to manage a tenant.")
    return made


def _declare(request: dict[str, Any], description: str) -> dict[str, Any]:
    """The request without what path and headers say of it."""
    told = ("username", "namespace", "if_generation")
    members = {name: member for name, member in request["properties"].items() if name not in told}
    required = [name for name in request["required"] if name not in told]
    schema = {name: part for name, part in request.items() if name != "required"}
    schema |= {"required": required} if required else {}
    return schema | {"description": description, "properties": members}


def _mark_read_only(answers: dict[str, Any]) -> None:
    """No caller sets a member of an answer: generated clients make it a constant."""
    for schema in answers.values():
        for member in schema.get("properties", {}).values():
            member["readOnly"] = True


def make_errors_table() -> str:
    """The table of every code, in Markdown."""
    rows = ["| Code | Status | What happened | What to do | Retryable |", "|---|---|---|---|---|"]
    for code in CODES.values():
        status = str(code.status) if code.nature is Nature.HTTP else f"{code.nature.value} failure"
        if code.nature is not Nature.HTTP and code.status:
            status = f"{code.status}, {status}"
        retryable = "yes" if code.retryable else "no"
        rows.append(f"| `{code.name}` | {status} | {code.title} | {code.hint} | {retryable} |")
    return "\n".join(rows) + "\n"


def fill(text: str, mark: str, made: str) -> str:
    """The text with what stands between the two marks made anew. Raises ValueError where they are not there."""
    begin, end = f"<!-- {mark}: made by make documents -->\n", f"<!-- {mark} end -->\n"
    head, found, rest = text.partition(begin)
    _, found_end, tail = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"no marks for {mark}")
    return f"{head}{begin}{made}{end}{tail}"


def make_files() -> dict[Path, str]:
    """Every file that is made, with its text."""
    readme = ROOT / "gateway" / "README.md"
    files = {
        _OPENAPI / "openapi.json": _to_json(make_openapi()),
        readme: fill(readme.read_text(), "errors", make_errors_table()),
        states.README: states.redraw(states.README.read_text()),
    }
    for copy in sorted((ROOT / "gateway" / "chart" / "files" / "nats").glob("*.conf")):
        files[copy] = (ROOT / "nats" / copy.name).read_text()  # a chart reads no file above its own folder
    for name, schema in schemas.make_published_schemas().items():
        files[ROOT / "contracts" / "schemas" / name] = _to_json(schema)
    return files


def _to_json(document: dict[str, Any]) -> str:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n"


if __name__ == "__main__":
    for path, text in make_files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if chart.find_helm():
        chart.write_renderings()
    else:
        print("helm is not here (make helm): the renderings of the chart are as they were")
