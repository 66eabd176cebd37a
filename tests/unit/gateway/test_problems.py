"""Problem documents."""

import orjson
import pytest

from contracts.codes import CODES, Failure, Nature
from contracts.kinds import read_request
from contracts.requests import InvalidRequest
from gateway.http.problems import Problem, failed_query, invalid_request, problem_document
from tests.laboratory.documents import make_errors_table, make_openapi


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


@pytest.mark.parametrize("code", ["cluster_unreachable", "cluster_unauthorized", "no_scratch_space", "tls_untrusted"])
def test_an_outage_is_itself_unless_everestctl_exited_with_it(code: str) -> None:
    """Either way it says to try again; what everestctl said is passed on, as every non-zero exit of it is."""
    failure = Failure(code, "connection refused")
    problem = failed_query(failure)
    document = problem_document(problem)
    assert (document["code"], document["status"], document["retryable"]) == (code, 503, True)
    assert problem.headers["Retry-After"]
    document = problem_document(failed_query(failure, "dial tcp: refused\n", by_everestctl=True))
    assert (document["code"], document["status"], document["error"]) == ("everestctl_failed", 502, "everestctl failed")
    assert (document["reason"], document["detail"], document["retryable"]) == (code, "dial tcp: refused", True)


@pytest.mark.parametrize(("code", "retryable"), [("timed_out", True), ("command_failed", False), ("forbidden", False)])
def test_the_cause_says_whether_to_try_again(code: str, retryable: bool) -> None:
    document = problem_document(failed_query(Failure(code, "it said so")))
    assert (document["code"], document["reason"], document["retryable"]) == ("everestctl_failed", code, retryable)


def test_every_code_that_is_answered_with_a_status_is_documented_with_it() -> None:
    """In the table of errors, and among the answers of the OpenAPI document."""
    responses, table = make_openapi()["components"]["responses"], make_errors_table()
    for code in CODES.values():
        if code.status:
            assert f"`{code.name}`: " in responses[f"Problem{code.status}"]["description"]
            assert f"| `{code.name}` | {code.status}" in table


def test_every_code_of_http_has_a_status() -> None:
    assert all(code.status for code in CODES.values() if code.nature is Nature.HTTP)
