"""Problem documents."""

import orjson
import pytest

from contracts.codes import CODES, Failure, Nature
from contracts.kinds import read_request
from contracts.requests import InvalidRequest
from gateway.http.problems import Problem, failed_query, invalid_request, problem_document


@pytest.mark.parametrize("code", [code.name for code in CODES.values() if code.status])
def test_every_code_makes_a_whole_document(code: str) -> None:
    """RFC 9457's members, a stable code and what to do about it."""
    document = problem_document(Problem(code))
    assert document["code"] == code
    assert document["type"].endswith(f"#{code}")
    for member in ("title", "detail", "hint", "error"):
        assert document[member]
    assert 400 <= document["status"] <= 599
    assert isinstance(document["retryable"], bool)


def test_validation_names_fields_and_no_values() -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_request("bootstrap", orjson.dumps({"username": "!secret!", "resources": {"ram_mb": "!secret!"}}))
    document = problem_document(invalid_request(caught.value))
    assert {part["field"] for part in document["fields"]} >= {"username", "resources.ram_mb"}
    assert "secret" not in orjson.dumps(document).decode()


@pytest.mark.parametrize("code", list(CODES))
def test_any_failure_of_a_query_has_an_answer(code: str) -> None:
    """A code with a status is itself; any other is everestctl's failure, with the brief's two members."""
    document = problem_document(failed_query(Failure(code, "the last line of stderr")))
    assert document["detail"] == "the last line of stderr"
    if CODES[code].status is None:
        assert (document["status"], document["error"]) == (502, "everestctl failed")


def test_every_code_of_http_has_a_status() -> None:
    assert all(code.status for code in CODES.values() if code.nature is Nature.HTTP)
