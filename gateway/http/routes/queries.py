"""The routes of queries: accounts and namespaces, as Everest knows them."""

from starlette.requests import Request
from starlette.responses import Response

from contracts.answers import AccountsAnswer, NamespacesAnswer, Notes, Plan
from contracts.records import JobRecord
from contracts.requests import AccountsListQuery, NamespacesListQuery
from contracts.requests import Request as JobRequest
from gateway.http.answers import json_response
from gateway.http.parameters import leaving, read_origin, read_parameters
from gateway.jobs.queries import Queries


class QueryRoutes:
    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def list_accounts(self, request: Request) -> Response:
        """GET /accounts/list."""
        return await self._answer(request, "accounts-list", AccountsListQuery())

    async def list_namespaces(self, request: Request) -> Response:
        """GET /namespaces/list."""
        return await self._answer(request, "namespaces-list", NamespacesListQuery())

    async def _answer(self, request: Request, kind: str, query: JobRequest) -> Response:
        read_parameters(request)
        record = await self._queries.ask(kind, query, read_origin(request), leaving(request))
        document: AccountsAnswer | NamespacesAnswer = {"data": record.data, **notes_of(record)}
        return json_response(document)


def plan_document(record: JobRecord) -> Plan:
    plan: Plan = record.data
    return {**plan, "simulated": True} if record.simulated else plan


def notes_of(record: JobRecord) -> Notes:
    """What a person should know of an answer."""
    notes: Notes = {}
    if record.warnings:
        notes["warnings"] = list(record.warnings)
    if record.simulated:
        notes["simulated"] = True
    return notes
