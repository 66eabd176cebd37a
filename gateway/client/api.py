"""The gateway's routes as methods. Every answer that is no success is raised as what it means to a caller."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx
import orjson
from httpx_sse import EventSource, SSEError, connect_sse

from gateway.client.proxy import find_proxy
from gateway.client.settings import ClientSettings, InvalidConfig

FINISHED = ("succeeded", "failed")
_WAIT_SECONDS = 30  # one long poll; the gateway caps it at 60
_TIMEOUT = httpx.Timeout(10, read=_WAIT_SECONDS + 60)  # queries may take the gateway's QUERY_TIMEOUT

_AWAY_SECONDS = 120
_PAUSE_SECONDS = 1

Document = dict[str, Any]


class Refused(Exception):
    """The gateway answered with a problem document."""

    def __init__(self, status: int, problem: Document) -> None:
        super().__init__(problem.get("detail") or problem.get("title") or f"the answer is {status}")
        self.status = status
        self.problem = problem

    @property
    def code(self) -> str:
        return str(self.problem.get("code", f"http_{self.status}"))

    @property
    def is_temporary(self) -> bool:
        return self.status >= 500 or self.status == 429

    def of_requests(self, what: str, first: int) -> "Refused":
        """The same of a part of a file, which begins at its request `first`: the answer counts from the part's own."""
        if not first:
            return self
        fields = [_shift(field, first) for field in self.problem.get("fields", ())]
        title = self.problem.get("title", f"the answer is {self.status}")
        return Refused(self.status, {**self.problem, "detail": f"{what}: {title}", "fields": fields})


class Unreachable(Exception):
    """Nobody answered at the address, or the connection broke."""


class Unfinished(Exception):
    """The time to wait is over and the job goes on."""

    def __init__(self, job: Document) -> None:
        super().__init__(f"job {job['job_id']} is {job['status']}; it goes on")
        self.job = job


class _Patience:
    """How long a gateway is waited for that has answered before: it may be started anew, or another takes its place."""

    def __init__(self) -> None:
        self._last_heard_at = float("-inf")

    def note_answer(self) -> None:
        self._last_heard_at = time.monotonic()

    def pause(self, error: Unreachable | Refused) -> None:
        """Before the next try. Raises the error where there is to be none."""
        is_final = isinstance(error, Refused) and not error.is_temporary
        if is_final or time.monotonic() - self._last_heard_at > _AWAY_SECONDS:
            raise error
        time.sleep(_PAUSE_SECONDS)


class Api:
    """Use it with `with`. `base_url` may have a path: the gateway may stand behind a proxy's prefix."""

    def __init__(self, settings: ClientSettings) -> None:
        """Raises InvalidConfig."""
        self.base_url = settings.base_url.rstrip("/")
        self._place = f"{self.base_url} ({settings.origin('base_url')})"
        try:
            self._client = self._connect(settings.admin_api_key.get_secret_value())
        except (httpx.InvalidURL, ValueError, ImportError, OSError) as error:
            named = "see it, https_proxy, and SSL_CERT_FILE"
            raise InvalidConfig(f"{self._place} cannot be called: {error}; {named}") from None
        self._patience = _Patience()

    def _connect(self, key: str) -> httpx.Client:
        proxy = find_proxy(httpx.URL(self.base_url))
        if proxy:
            self._place += f" through the proxy {httpx.URL(proxy).netloc.decode()}"
        return httpx.Client(
            base_url=self.base_url,
            headers={"X-Admin-Key": key},
            timeout=_TIMEOUT,
            proxy=proxy,
            verify=httpx.create_ssl_context(),  # of SSL_CERT_FILE
            trust_env=False,
        )

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def submit(self, request: Document, *, idempotency_key: str | None = None) -> Document:
        headers = {"Idempotency-Key": idempotency_key.encode()} if idempotency_key else {}
        return self._call("POST", "/bootstrap/users", json=request, headers=headers)

    def plan(self, request: Document) -> Document:
        """What a submit of the request would do."""
        return self._call("POST", "/bootstrap/users", json=request, params={"dry_run": "true"})

    def job(self, job_id: str, *, wait_seconds: int = 0) -> Document:
        return self._call("GET", f"/jobs/{_segment(job_id)}", params={"wait": wait_seconds} if wait_seconds else {})

    def result(self, job_id: str) -> Document:
        return self._call("GET", f"/jobs/{_segment(job_id)}/result")

    def wait(self, job_id: str, limit_seconds: float | None) -> Document:
        """The finished job, though the gateway goes and comes back. Raises Unfinished when the limit passes before."""
        end = float("inf") if limit_seconds is None else time.monotonic() + limit_seconds
        job = self.job(job_id)  # a gateway that never answered is not waited for
        while job["status"] not in FINISHED:
            left_seconds = min(_WAIT_SECONDS, end - time.monotonic())
            if left_seconds <= 0:
                raise Unfinished(job)
            try:
                job = self.job(job_id, wait_seconds=math.ceil(left_seconds))
            except (Unreachable, Refused) as error:
                self._patience.pause(error)
        return job

    def events(self, job_id: str) -> Iterator[Document]:
        """Each transition of the job as it happens, the last one included; between them what a long step is at.

        What has no `status` is the latter.
        A stream that ends early, because the gateway stops or dies, is taken up where it was, of the gateway that is
        there next. Raises Unreachable, Refused.
        """
        last_id = ""
        while True:
            try:
                with self._follow(job_id, last_id) as source:
                    if source.response.status_code == 204:
                        return
                    for event in source.iter_sse():
                        self._patience.note_answer()
                        if not event.data:
                            continue  # a heartbeat, which httpx-sse takes for an event once one had an id
                        last_id = event.id
                        document = event.json()
                        yield document
                        if document.get("status") in FINISHED:
                            return
                raise Unreachable("the stream has ended before the job")
            except (Unreachable, Refused) as error:
                self._patience.pause(error)

    @contextmanager
    def _follow(self, job_id: str, last_id: str) -> Iterator[EventSource]:
        """The job's stream from the event on that follows `last_id`. Raises Unreachable, Refused."""
        headers = {"Last-Event-ID": last_id} if last_id else {}
        with (
            self._meaning(),
            connect_sse(self._client, "GET", f"/jobs/{_segment(job_id)}/events", headers=headers) as source,
        ):
            if source.response.is_error:
                source.response.read()
                raise _refusal(source.response)
            yield source

    def submit_batch(self, requests: list[Document], idempotency_key: str) -> Document:
        """All of them or none."""
        headers = {"Idempotency-Key": idempotency_key.encode()}
        return self._call("POST", "/bootstrap/users/bulk", json={"requests": requests}, headers=headers)

    def batch(self, batch_id: str) -> Document:
        """How far it is, when it has ended or half a minute later."""
        return self._call("GET", f"/batches/{_segment(batch_id)}", params={"wait": _WAIT_SECONDS})

    def plans(self, requests: list[Document]) -> Iterator[Document]:
        """What submits of the requests would do, in their order and as it is found. Raises Unreachable, Refused."""
        body = {"requests": requests}
        with (
            self._meaning(),
            self._client.stream("POST", "/bootstrap/users/bulk", json=body, params={"dry_run": "true"}) as answer,
        ):
            if answer.is_error:
                answer.read()
                raise _refusal(answer)
            for line in answer.iter_lines():
                yield orjson.loads(line)

    def jobs(self, **filters: str | int | None) -> Document:
        return self._call("GET", "/jobs", params=_given(filters))

    def cancel(self, job_id: str) -> Document:
        return self._call("POST", f"/jobs/{_segment(job_id)}/cancel")

    def retry(self, job_id: str, *, from_start: bool) -> Document:
        return self._call("POST", f"/jobs/{_segment(job_id)}/retry", params={"from": "start"} if from_start else {})

    def tenants(self, **filters: str | int | None) -> Document:
        """A page of tenants by name."""
        return self._call("GET", "/tenants", params=_given(filters))

    def tenant(self, username: str) -> Document:
        return self._call("GET", f"/tenants/{_segment(username)}")

    def offboard(self, username: str, namespace: str | None, **asked: str) -> Document:
        """The accepted job. `asked`: the other members of the request."""
        path = f"/tenants/{_segment(username)}" + (
            f"/namespaces/{_segment(namespace)}" if namespace is not None else ""
        )
        return self._call("DELETE", path, params=asked)

    def change(self, username: str, verb: str, **asked: str) -> Document:
        """The accepted job: `password`, `suspend` or `resume`. `asked`: the other members of the request."""
        return self._call("POST", f"/tenants/{_segment(username)}/{verb}", params=asked)

    def hand_over(self, username: str, caller: str) -> Document:
        """The accepted job."""
        return self._call("POST", f"/tenants/{_segment(username)}/manager", json={"caller": caller})

    def readiness(self) -> Document:
        """`status`, with `problems` where it is not `ready`; and `notices`, for which there must be a key."""
        try:
            return self._call("GET", "/readyz", params={"verbose": "true"})
        except Refused as error:
            if "problems" not in error.problem:
                raise
            return error.problem

    def _call(self, method: str, path: str, **parts: Any) -> Document:
        with self._meaning():
            answer = self._client.request(method, path, **parts)
        self._patience.note_answer()
        if answer.is_error:
            raise _refusal(answer)
        try:
            return dict(answer.json())
        except ValueError:
            raise Unreachable(f"{self._place} answers, but it is not this service") from None

    @contextmanager
    def _meaning(self) -> Iterator[None]:
        try:
            yield
        except (httpx.HTTPError, httpx.InvalidURL, SSEError) as error:
            raise Unreachable(f"{self._place}: {str(error) or type(error).__name__}") from None


def _given(filters: dict[str, str | int | None]) -> dict[str, str | int]:
    return {name: value for name, value in filters.items() if value is not None}


def _shift(field: Document, first: int) -> Document:
    return {**field, "index": field["index"] + first} if "index" in field else field


def _segment(name: str) -> str:
    """One segment of a path, whatever the name holds: dots alone would lead to another route."""
    return quote(name, safe="") if name.strip(".") else name.replace(".", "%2E")


def _refusal(answer: httpx.Response) -> Refused:
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    return Refused(answer.status_code, problem if isinstance(problem, dict) else {})
