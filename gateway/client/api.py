"""The gateway's routes as methods. Every answer that is no success is raised as what it means to a caller."""

import math
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import quote

import httpx
import orjson
from httpx_sse import EventSource, SSEError, connect_sse

from gateway.client.answers import FINISHED, CallFailed, Document, Refused, Unfinished, Unreachable, read_refusal
from gateway.client.patience import Patience
from gateway.client.proxy import find_proxy
from gateway.client.settings import ClientSettings, InvalidConfig

_WAIT_SECONDS = 30  # one long poll; the gateway caps it at 60
_TIMEOUT = httpx.Timeout(10, read=_WAIT_SECONDS + 60)  # queries may take the gateway's QUERY_TIMEOUT
_PAGE_SIZE = 200  # the most that a page holds

# Of everything else that breaks nobody knows whether the gateway has it.
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.InvalidURL,
    httpx.LocalProtocolError,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


class Api:
    """Use it with `with`. `base_url` may have a path: the gateway may stand behind a proxy's prefix."""

    def __init__(
        self,
        settings: ClientSettings,
        tell: Callable[[str], None],
        patience: Patience | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """`tell` is given a line for whoever waits meanwhile. Raises InvalidConfig."""
        self.base_url = settings.base_url.rstrip("/")
        self._place = f"{self.base_url} ({settings.origin('base_url')})"
        try:
            self._client = self._connect(settings.admin_api_key.get_secret_value(), transport)
        except (httpx.InvalidURL, ValueError, ImportError, OSError) as error:
            named = "see it, https_proxy, and SSL_CERT_FILE"
            raise InvalidConfig(f"{self._place} cannot be called: {error}; {named}") from None
        self._tell = tell
        self._patience = patience or Patience()

    def _connect(self, key: str, transport: httpx.BaseTransport | None) -> httpx.Client:
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
            transport=transport,
        )

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def submit(self, request: Document, *, idempotency_key: str | None = None) -> Document:
        return self._submit("POST", "/bootstrap/users", idempotency_key, json=request)

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
        job = self._insist(partial(self.job, job_id))
        while job["status"] not in FINISHED:
            left_seconds = end - time.monotonic()
            if left_seconds <= 0:
                raise Unfinished(job)
            self._patience.space()
            try:
                job = self.job(job_id, wait_seconds=math.ceil(min(_WAIT_SECONDS, left_seconds)))
            except CallFailed as error:
                self._patience.pause(error, left_seconds)
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
                        last_id = event.id or last_id  # progress has none
                        document = event.json()
                        yield document
                        if document.get("status") in FINISHED:
                            return
                raise Unreachable("the stream has ended before the job")
            except CallFailed as error:
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
                raise read_refusal(source.response)
            yield source

    def submit_batch(self, requests: list[Document], idempotency_key: str) -> Document:
        """All of them or none."""
        return self._submit("POST", "/bootstrap/users/bulk", idempotency_key, json={"requests": requests})

    def batch(self, batch_id: str) -> Document:
        """How far it is, when it has ended or half a minute later, though the gateway goes and comes back."""
        path, parameters = f"/batches/{_segment(batch_id)}", {"wait": _WAIT_SECONDS}
        self._patience.space()
        return self._insist(partial(self._call, "GET", path, params=parameters))

    def batch_jobs(self, batch_id: str, job_ids: Sequence[str]) -> list[Document]:
        """The jobs of these ids, in their order. Whom no page shows, of many that changed later, is asked for alone."""
        found: dict[str, Document] = {}
        cursor = None
        for _ in job_ids:  # so there are never more pages than jobs
            page = self._insist(partial(self.jobs, batch=batch_id, limit=_PAGE_SIZE, cursor=cursor))
            found |= {job["job_id"]: job for job in page["jobs"]}
            cursor = page["next_cursor"]
            if cursor is None or len(found) >= len(job_ids):
                break
        return [found.get(job_id) or self._insist(partial(self.job, job_id)) for job_id in job_ids]

    def plans(self, requests: list[Document]) -> Iterator[Document]:
        """What submits of the requests would do, in their order and as it is found. Raises Unreachable, Refused."""
        body = {"requests": requests}
        with (
            self._meaning(),
            self._client.stream("POST", "/bootstrap/users/bulk", json=body, params={"dry_run": "true"}) as answer,
        ):
            if answer.is_error:
                answer.read()
                raise read_refusal(answer)
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
        return self._submit("DELETE", path, params=asked)

    def change(self, username: str, verb: str, **asked: str) -> Document:
        """The accepted job: `password`, `suspend` or `resume`. `asked`: the other members of the request."""
        return self._submit("POST", f"/tenants/{_segment(username)}/{verb}", params=asked)

    def hand_over(self, username: str, caller: str) -> Document:
        """The accepted job."""
        return self._submit("POST", f"/tenants/{_segment(username)}/manager", json={"caller": caller})

    def readiness(self) -> Document:
        """`status`, with `problems` where it is not `ready`; and `notices`, for which there must be a key."""
        try:
            return self._call("GET", "/readyz", params={"verbose": "true"})
        except Refused as error:
            if "problems" not in error.problem:
                raise
            return error.problem

    def _submit(self, method: str, path: str, idempotency_key: str | None = None, **parts: Any) -> Document:
        """What was accepted. Where nobody knows whether it was, it is sent again under its key: it is the same job."""
        key = idempotency_key or str(uuid.uuid4())
        is_in_doubt = False
        while True:
            try:
                return self._call(method, path, headers={"Idempotency-Key": key.encode()}, **parts)
            except CallFailed as error:
                if error.leaves_doubt and not is_in_doubt:
                    is_in_doubt = True
                    self._patience.note_answer()  # somebody was there
                    self._tell(f"{error}\nwhether it is accepted is not known: sent again with Idempotency-Key {key}")
                self._patience.pause(error)

    def _insist(self, call: Callable[[], Document]) -> Document:
        """What the call gives at last. One that never answered is not waited for."""
        while True:
            try:
                return call()
            except CallFailed as error:
                self._patience.pause(error)

    def _call(self, method: str, path: str, **parts: Any) -> Document:
        with self._meaning():
            answer = self._client.request(method, path, **parts)
        if answer.is_error:
            raise read_refusal(answer)
        try:
            document = dict(answer.json())
        except ValueError:
            raise Unreachable(f"{self._place} answers, but it is not this service") from None
        self._patience.note_answer()
        return document

    @contextmanager
    def _meaning(self) -> Iterator[None]:
        try:
            yield
        except (httpx.HTTPError, httpx.InvalidURL, SSEError) as error:
            message = f"{self._place}: {str(error) or type(error).__name__}"
            raise Unreachable(message, may_be_done=not isinstance(error, _NOT_SENT)) from None


def _given(filters: dict[str, str | int | None]) -> dict[str, str | int]:
    return {name: value for name, value in filters.items() if value is not None}


def _segment(name: str) -> str:
    """One segment of a path, whatever the name holds: dots alone would lead to another route."""
    return quote(name, safe="") if name.strip(".") else name.replace(".", "%2E")
