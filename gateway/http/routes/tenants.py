"""The routes of tenants: list them, see one, and declare one of its namespaces."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

from starlette.requests import Request
from starlette.responses import Response

from contracts.answers import (
    ClaimedNamespace,
    DeclaredNamespace,
    DeclaredNamespaceAnswer,
    ListedTenant,
    ObservedNamespace,
    Tenant,
    TenantAnswer,
    TenantJob,
    TenantList,
    TenantRepairs,
    read_tenant,
)
from contracts.batches import MOST_PLANS
from contracts.documents import resolved_request
from contracts.records import JobRecord
from contracts.requests import InvalidRequest, RepairRequest, TenantQuery, TenantsQuery, validate_request
from contracts.requests import Request as JobRequest
from gateway.http.answers import NOT_STORED, json_response
from gateway.http.authentication import require
from gateway.http.named_requests import read_declared_request, refuse_details
from gateway.http.paging import read_limit
from gateway.http.parameters import (
    EARLY_SECONDS,
    SUBMITTING,
    is_dry_run,
    leaving,
    read_boolean,
    read_idempotency_key,
    read_origin,
    read_parameters,
    read_precondition,
    read_wait,
    refuse_parameter,
)
from gateway.http.problems import Problem, invalid_request
from gateway.http.routes.jobs import JobRoutes
from gateway.http.routes.plans import answer_plans
from gateway.http.routes.queries import notes_of
from gateway.jetstream import Unanswered
from gateway.jobs.errors import JobError, QueryFailed, TenantNotFound
from gateway.jobs.queries import Queries
from gateway.jobs.reading import Reader
from gateway.jobs.submission import Submission
from gateway.keys import KeyScope, scope_of

REPAIR_SECONDS = 40  # for looking at tenants in one request, but for the first page, which has QUERY_TIMEOUT
_CURSOR = re.compile(r"[A-Za-z0-9_.-]{1,63}", re.ASCII)


class TenantRoutes:
    def __init__(self, queries: Queries, reader: Reader, jobs: JobRoutes, submission: Submission) -> None:
        self._queries = queries
        self._reader = reader
        self._jobs = jobs
        self._submission = submission

    async def list_tenants(self, request: Request) -> Response:
        """GET /tenants."""
        query = _read_list(read_parameters(request, ("username", "differs", "limit", "cursor")))
        record = await self._ask(request, "tenants", query, about=query.model_dump_json())
        page: TenantList = record.data
        document: TenantList = {**page, **notes_of(record)}
        return json_response(document, 200, NOT_STORED)

    async def read_tenant(self, request: Request) -> Response:
        """GET /tenants/{username}."""
        read_parameters(request)
        username = request.path_params["username"]
        record = await self._describe(request, username, about=username)
        tenant = read_tenant(record.data)
        if _holds_nothing(tenant):
            raise TenantNotFound(f"The cluster holds nothing of {username}.")
        document: TenantAnswer = {"data": tenant, **notes_of(record)}
        return json_response(document)

    async def read_namespace(self, request: Request) -> Response:
        """GET /tenants/{username}/namespaces/{namespace}. Its ETag names the generation, so it is never a 304."""
        read_parameters(request)
        username, name = request.path_params["username"], request.path_params["namespace"]
        record = await self._describe(request, username, about=username)
        found = _find_namespace(read_tenant(record.data), name)
        if found is None:
            raise TenantNotFound(f"{username} has no namespace {name}.")
        document: DeclaredNamespaceAnswer = {"data": _declare(username, found), **notes_of(record)}
        generation = found["generation"]
        headers = NOT_STORED | ({"ETag": f'"{generation}"'} if generation else {})
        return json_response(document, 200, headers)

    async def declare_namespace(self, request: Request) -> Response:
        """PUT /tenants/{username}/namespaces/{namespace}."""
        require(request, KeyScope.BOOTSTRAP)
        parameters = read_parameters(request, SUBMITTING)
        wait, expected = read_wait(request, parameters), read_precondition(request)
        key = read_idempotency_key(request)
        condition = {} if expected is None else {"if_generation": expected}
        job_request = await read_declared_request(request, "bootstrap", **condition)
        # With a key it may be a repeat, whose job has changed the generation itself; a plan says it in its own way.
        if expected is not None and key is None and not is_dry_run(request):
            await self._check_generation(request, expected)
        return await self._jobs.submit(request, "bootstrap", job_request, wait)

    async def repair_all(self, request: Request) -> Response:
        """POST /tenants/repair: a job for each tenant that differs. Where there are many, in several requests."""
        require(request, scope_of("repair"))
        await refuse_details(request)
        if read_idempotency_key(request) is not None:
            rule = "is not for this route: asked again it makes jobs for the tenants that differ by then"
            raise refuse_parameter("Idempotency-Key", rule)
        cursor = _read_list(read_parameters(request, ("cursor", "dry_run"))).after
        if is_dry_run(request):
            return await self._answer_plans(request, cursor)
        jobs: list[TenantJob] = []
        warnings: list[str] = []
        try:
            async for page in self._look(request, cursor):
                for tenant in page["tenants"]:
                    jobs.append(await self._repair(request, tenant["username"]))
                    cursor = tenant["username"]
                warnings += page.get("warnings", ())
                cursor = page["next_cursor"]
        except (JobError, QueryFailed, Unanswered):
            if not jobs:
                raise
            # What is queued is told; the caller goes on from here.
        repairs: TenantRepairs = {"jobs": jobs, "next_cursor": cursor}
        if warnings:
            repairs["warnings"] = warnings
        return json_response(repairs, 202)

    async def _answer_plans(self, request: Request, cursor: str | None) -> Response:
        """What a repair of each would do. All are found first: a failure to look is a status, not a line."""
        found: list[str] = []
        async for page in self._look(request, cursor):
            found += [tenant["username"] for tenant in page["tenants"]]
            cursor = page["next_cursor"]
            if len(found) > MOST_PLANS:
                del found[MOST_PLANS:]
                cursor = found[-1]
                break
        asked = [({"username": username}, RepairRequest(username=username)) for username in found]
        return answer_plans(request, self._queries, "repair", asked, {"next_cursor": cursor} if cursor else None)

    async def _look(self, request: Request, cursor: str | None) -> AsyncIterator[TenantList]:
        """Pages of the tenants that differ and that the caller may have repaired, until the time is over."""

        async def ask(after: str | None) -> TenantList:
            query = TenantsQuery(differs=True, after=after)
            record = await self._ask(request, "tenants", query, about=query.model_dump_json())
            page: TenantList = record.data
            return {**page, **notes_of(record)}

        async for page in look_through(ask, cursor, REPAIR_SECONDS):
            yield {**page, "tenants": [tenant for tenant in page["tenants"] if _is_open(request, tenant)]}

    async def _repair(self, request: Request, username: str) -> TenantJob:
        job_id = await self._submission.submit("repair", RepairRequest(username=username), read_origin(request))
        return {"username": username, "job_id": job_id}

    async def _check_generation(self, request: Request, expected: int) -> None:
        """Refuses at once what the job would refuse later. Raises Problem."""
        username, name = request.path_params["username"], request.path_params["namespace"]
        try:
            async with asyncio.timeout(EARLY_SECONDS):
                # Of its own: one that is under way may have looked before the generation that this caller has seen.
                record = await self._describe(request, username, about=None)
        except (TimeoutError, JobError, QueryFailed, Unanswered):
            return
        found = _find_namespace(read_tenant(record.data), name)
        generation = found["generation"] if found and found["owner"] == username else 0
        if generation != expected:
            there = f"is at generation {generation}" if generation else "has no claim with a generation"
            headers = {"ETag": f'"{generation}"'} if generation else {}
            raise Problem("generation_conflict", f"Namespace {name} of {username} {there}.", headers=headers)

    async def _describe(self, request: Request, username: str, about: str | None) -> JobRecord:
        """What the cluster holds for the tenant. Raises Problem for what is no name."""
        try:
            validate_request(TenantQuery, {"username": username})
        except InvalidRequest as error:
            raise invalid_request(error) from None
        query = tenant_query(username, await self._reader.find_last_job(username))
        return await self._ask(request, "tenant", query, about)

    async def _ask(self, request: Request, kind: str, query: JobRequest, about: str | None) -> JobRecord:
        return await self._queries.ask(kind, query, read_origin(request), leaving(request), about)


async def look_through(
    ask: Callable[[str | None], Awaitable[TenantList]], cursor: str | None, seconds: float
) -> AsyncIterator[TenantList]:
    """Pages from the cursor on, until the last or until the time is over; the first is waited for as any query is."""
    ends_at = asyncio.get_running_loop().time() + seconds
    page = await ask(cursor)
    while True:
        yield page
        if page["next_cursor"] is None or asyncio.get_running_loop().time() >= ends_at:
            return
        try:
            async with asyncio.timeout_at(ends_at):
                page = await ask(page["next_cursor"])
        except TimeoutError:
            return


def tenant_query(username: str, last: JobRecord | None) -> TenantQuery:
    """What a handler compares with the cluster: where the tenant lives, and what its last finished job asked for.

    A job of another kind than bootstrap asked for nothing that the tenant should have.
    """
    if last is None or last.kind != "bootstrap":
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


def _read_list(parameters: dict[str, str]) -> TenantsQuery:
    """Raises Problem."""
    if not _CURSOR.fullmatch(parameters.get("cursor", "x")):
        raise refuse_parameter("cursor", "must be the next_cursor of a page")
    members = {
        "username": parameters.get("username"),
        "differs": read_boolean("differs", parameters.get("differs", "false")) or None,
        "after": parameters.get("cursor"),
        "limit": read_limit(parameters),
    }
    try:
        return validate_request(TenantsQuery, members)
    except InvalidRequest as error:
        raise invalid_request(error) from None


def _is_open(request: Request, tenant: ListedTenant) -> bool:
    """Whether the caller may have it repaired: it is the caller's own where that matters, and in service.

    Of a tenant that an offboarding has begun to take away, only who names another namespace has that one repaired.
    """
    is_own = request.state.key.may_manage_all or tenant["managed_by"] == request.state.caller
    is_leaving = any(difference["what"] == "offboarding" for difference in tenant.get("differences", ()))
    return is_own and not tenant["suspended"] and not is_leaving


def _find_namespace(tenant: Tenant, name: str) -> ClaimedNamespace | None:
    """One that the tenant has, or should have."""
    one = next((one for one in tenant["namespaces"] if one["name"] == name), None)
    return one if one and (one["owner"] == tenant["username"] or one["differences"]) else None


def _declare(username: str, found: ClaimedNamespace) -> DeclaredNamespace:
    observed = {name: value for name, value in found.items() if name in ObservedNamespace.__annotations__}
    return {
        "username": username,
        "namespace": found["name"],
        "generation": found["generation"],
        "desired": found["wanted"],
        "observed": cast(ObservedNamespace, observed),
        "differences": found["differences"],
    }


def _holds_nothing(tenant: Tenant) -> bool:
    """Nothing in the answer is of the tenant; a namespace of its name may be somebody else's."""
    owners = {one["owner"] for one in tenant["namespaces"]}
    lines = tenant["rbac"]["lines"] if tenant["rbac"] else None
    known = (tenant["account"], tenant["other_namespaces"], lines, tenant["last_job"])
    return tenant["username"] not in owners and not any(known)
