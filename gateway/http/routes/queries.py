"""The routes of queries: accounts, namespaces, and the details of one tenant."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from contracts import names
from contracts.documents import resolved_request
from contracts.records import JobRecord, UnreadableRecord
from contracts.requests import (
    AccountsListQuery,
    InvalidRequest,
    NamespacesListQuery,
    TenantQuery,
    validate_request,
)
from contracts.requests import Request as JobRequest
from gateway.http.answers import json_response
from gateway.http.parameters import leaving, read_origin, read_parameters
from gateway.http.problems import invalid_request
from gateway.jetstream import JetStream
from gateway.jobs.errors import TenantNotFound
from gateway.jobs.queries import Queries
from gateway.jobs.reading import Reader


class QueryRoutes:
    def __init__(self, queries: Queries, jetstream: JetStream, reader: Reader) -> None:
        self._queries = queries
        self._jetstream = jetstream
        self._reader = reader

    async def list_accounts(self, request: Request) -> Response:
        """GET /accounts/list."""
        return await self._answer(request, "accounts-list", AccountsListQuery())

    async def list_namespaces(self, request: Request) -> Response:
        """GET /namespaces/list."""
        return await self._answer(request, "namespaces-list", NamespacesListQuery())

    async def read_tenant(self, request: Request) -> Response:
        """GET /tenants/{username}."""
        username = request.path_params["username"]
        _check_username(username)
        query = tenant_query(username, await self._find_last_job(username))
        record = await self._ask(request, "tenant", query, about=username)
        if _holds_nothing(record.data, username):
            raise TenantNotFound(f"The cluster holds nothing of {username}, and no job of it is kept.")
        return json_response(orjson.dumps(_query_document(record)))

    async def _answer(self, request: Request, kind: str, query: JobRequest) -> Response:
        return json_response(orjson.dumps(_query_document(await self._ask(request, kind, query))))

    async def _ask(self, request: Request, kind: str, query: JobRequest, about: str = "") -> JobRecord:
        read_parameters(request)
        return await self._queries.ask(kind, query, read_origin(request), leaving(request), about)

    async def _find_last_job(self, username: str) -> JobRecord | None:
        """The last job that worked for the user, while its record is kept. Raises Unanswered."""
        try:
            holder = await self._jetstream.read_key(names.TENANTS_BUCKET, names.tenant_key(username))
            if holder is None:
                return None
            snapshot = await self._reader.read_record(holder.body.decode(errors="replace"))
        except UnreadableRecord:
            return None
        return snapshot.record if snapshot else None


def tenant_query(username: str, last: JobRecord | None) -> TenantQuery:
    """What a handler compares with the cluster: where the tenant lives, and what its last finished job asked for."""
    if last is None:
        return TenantQuery(username=username)
    finished = {
        "job_id": last.job_id,
        "status": last.status.value,
        "finished_at": last.finished_at,
        "inputs": last.inputs,
        "rbac_applied": (step := last.step("apply_rbac_policy")) is not None and bool(step.rbac_applied),
    }
    return TenantQuery(
        username=username,
        namespace=resolved_request(last).get("namespace"),
        last=finished if last.is_finished and last.inputs else None,
    )


def _holds_nothing(tenant: Any, username: str) -> bool:
    """Nothing in the answer is of the tenant; a namespace of its name may be somebody else's."""
    if not isinstance(tenant, dict):
        return False
    owner = (tenant.get("namespace") or {}).get("owner")
    lines = (tenant.get("rbac") or {}).get("lines")
    known = (tenant.get("account"), tenant.get("other_namespaces"), lines, tenant.get("last_job"))
    return owner != username and not any(known)


def _check_username(username: str) -> None:
    """Raises Problem."""
    try:
        validate_request(TenantQuery, {"username": username})
    except InvalidRequest as error:
        raise invalid_request(error) from None


def _query_document(record: JobRecord) -> dict[str, Any]:
    document: dict[str, Any] = {"data": record.data}
    if record.warnings:
        document["warnings"] = list(record.warnings)
    if record.simulated:
        document["simulated"] = True
    return document
