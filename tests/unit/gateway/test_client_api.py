"""How the client calls a gateway that goes and comes back, or cannot answer now."""

from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from gateway.client.answers import Document, Refused, Unreachable
from gateway.client.api import Api
from gateway.client.patience import AWAY_SECONDS, Patience
from gateway.client.settings import ClientSettings

RUNNING, SUCCEEDED = ({"job_id": "one", "status": status} for status in ("running", "succeeded"))
ACCEPTED = {"job_id": "one"}
LOST = httpx.ReadError("the connection broke")

Answer = Document | httpx.Response | httpx.TransportError


class Gateway:
    """Answers in turn, the last one for ever. Whoever pauses, its clock goes on."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.asked: list[httpx.Request] = []
        self.pauses: list[float] = []
        self.told: list[str] = []
        settings = ClientSettings(base_url="http://gateway", admin_api_key=SecretStr("key"))
        patience = Patience(lambda: sum(self.pauses), self.pauses.append)
        self.api = Api(settings, self.told.append, patience, httpx.MockTransport(self._answer))

    @property
    def keys(self) -> list[str]:
        return [request.headers["Idempotency-Key"] for request in self.asked]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, httpx.TransportError):
            raise answer
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)


def _problem(status: int, code: str = "queue_unavailable", *, retry_after: int = 5, **members: Any) -> httpx.Response:
    return httpx.Response(status, json={"code": code, **members}, headers={"Retry-After": str(retry_after)})


def _stream(*events: str) -> httpx.Response:
    return httpx.Response(200, text="".join(events), headers={"Content-Type": "text/event-stream"})


def test_a_gateway_that_answers_errors_alone_is_not_waited_for_without_end() -> None:
    gateway = Gateway(RUNNING, _problem(503))
    with pytest.raises(Refused):
        gateway.api.wait("one", None)
    assert AWAY_SECONDS < sum(gateway.pauses) <= AWAY_SECONDS + 5
    assert set(gateway.pauses) == {5}, "as long as it says"


def test_what_will_never_be_answered_is_not_asked_again() -> None:
    gateway = Gateway(RUNNING, _problem(500, "record_unreadable", retryable=False))
    with pytest.raises(Refused):
        gateway.api.wait("one", None)
    assert gateway.pauses == []


def test_whoever_asked_too_often_waits_for_its_turn_however_long_that_takes() -> None:
    too_early = _problem(429, "rate_limited", retry_after=40)
    gateway = Gateway(RUNNING, *[too_early] * 5, SUCCEEDED)
    assert gateway.api.wait("one", None) == SUCCEEDED
    assert gateway.pauses == [40] * 5


@pytest.mark.parametrize("retry_after", [b"Fri, 27 Nov 2026 15:00:00 GMT", b"", b"\xb2", b"9" * 400, b"-1"])
def test_a_moment_that_is_no_number_is_not_waited_for(retry_after: bytes) -> None:
    gateway = Gateway(RUNNING, httpx.Response(503, headers=[(b"Retry-After", retry_after)]), SUCCEEDED)
    assert gateway.api.wait("one", None) == SUCCEEDED
    assert gateway.pauses == [1]


def test_an_end_to_the_waiting_is_not_slept_through() -> None:
    gateway = Gateway(RUNNING, _problem(429, retry_after=40), SUCCEEDED)
    assert gateway.api.wait("one", 20) == SUCCEEDED
    assert 0 < sum(gateway.pauses) <= 20


def test_a_gateway_that_does_not_hold_a_wait_is_asked_once_a_second() -> None:
    """In a crowd it answers at once."""
    gateway = Gateway(RUNNING, RUNNING, RUNNING, SUCCEEDED)
    assert gateway.api.wait("one", None) == SUCCEEDED
    gateway.api.batch("batch")
    assert gateway.pauses == [1, 1, 1]


def test_the_jobs_of_a_batch_are_read_by_pages() -> None:
    """A gateway that is busy, or started anew, meanwhile is waited for."""
    ids = [str(number) for number in range(450)]
    documents = [{"job_id": job_id, "status": "succeeded"} for job_id in reversed(ids)]
    pages: list[Document] = [
        {"jobs": documents[start : start + 200], "next_cursor": f"after {start}"} for start in range(0, 450, 200)
    ]
    gateway = Gateway({"counts": {}}, pages[0], _problem(429), pages[1], LOST, pages[2])
    gateway.api.batch("batch")
    assert [job["job_id"] for job in gateway.api.batch_jobs("batch", ids)] == ids
    asked = [dict(request.url.params) for request in gateway.asked[1:]]
    assert [page.get("cursor") for page in asked] == [None, "after 0", "after 0", "after 200", "after 200"]
    assert all((page["batch"], page["limit"]) == ("batch", "200") for page in asked)


def test_a_job_that_no_page_shows_is_asked_for_alone() -> None:
    gateway = Gateway({"jobs": [{"job_id": "two"}], "next_cursor": None}, {"job_id": "one"})
    assert gateway.api.batch_jobs("batch", ["one", "two"]) == [{"job_id": "one"}, {"job_id": "two"}]
    gateway = Gateway({"jobs": [], "next_cursor": "further"}, {"job_id": "one"})
    assert gateway.api.batch_jobs("batch", ["one"]) == [{"job_id": "one"}]
    assert [request.url.path for request in gateway.asked] == ["/jobs", "/jobs/one"], "no more pages than jobs"


_SUBMITS: Sequence[Callable[[Api], Document]] = (
    lambda api: api.submit({"username": "alice"}),
    lambda api: api.submit({"username": "alice"}, idempotency_key="order-42"),
    lambda api: api.submit_batch([{"username": "alice"}], "apply-1"),
    lambda api: api.offboard("alice", None),
    lambda api: api.change("alice", "password"),
    lambda api: api.hand_over("alice", "billing"),
)


_DOUBTS: Sequence[Answer] = (
    httpx.RemoteProtocolError("the connection ended before an answer"),
    _problem(503, "outcome_unknown", retryable=True, job_id="one"),
    httpx.Response(502, text="Bad Gateway"),
)


@pytest.mark.parametrize(
    ("submit", "doubt"),
    [*((submit, LOST) for submit in _SUBMITS), *((_SUBMITS[0], doubt) for doubt in _DOUBTS)],
)
def test_what_may_have_been_accepted_is_sent_again_as_the_same_job(
    submit: Callable[[Api], Document], doubt: Answer
) -> None:
    """Also where the gateway is gone before it comes back."""
    gateway = Gateway(doubt, httpx.ConnectError("refused"), ACCEPTED)
    assert submit(gateway.api) == ACCEPTED
    assert len(gateway.keys) == 3
    (key,) = set(gateway.keys)
    assert [key in told for told in gateway.told] == [True]


def test_each_submit_is_a_job_of_its_own() -> None:
    gateway = Gateway(ACCEPTED)
    gateway.api.submit({"username": "alice"})
    gateway.api.submit({"username": "alice"})
    assert len(set(gateway.keys)) == 2
    assert gateway.told == []


@pytest.mark.parametrize("answer", [httpx.ConnectError("refused"), _problem(503), _problem(429)])
def test_what_was_not_accepted_is_told_at_once(answer: Answer) -> None:
    gateway = Gateway(answer)
    with pytest.raises((Unreachable, Refused)):
        gateway.api.submit({"username": "alice"})
    assert (gateway.pauses, gateway.told) == ([], [])


def test_a_doubt_that_stays_is_told() -> None:
    gateway = Gateway(LOST)
    with pytest.raises(Unreachable):
        gateway.api.submit({"username": "alice"})
    assert AWAY_SECONDS < sum(gateway.pauses) <= AWAY_SECONDS + 5
    assert len(gateway.told) == 1


def test_a_stream_is_taken_up_where_it_was_also_after_progress() -> None:
    """What a step is at has no id."""
    gateway = Gateway(
        _stream('id: 5\ndata: {"status": "running"}\n\n'),
        _stream('event: progress\ndata: {"step": "add_namespace"}\n\n'),
        _stream('id: 6\ndata: {"status": "succeeded"}\n\n'),
    )
    told = [event.get("status") for event in gateway.api.events("one")]
    assert told == ["running", None, "succeeded"]
    assert [request.headers.get("Last-Event-ID") for request in gateway.asked] == [None, "5", "5"]
