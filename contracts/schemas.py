"""JSON Schemas of what callers send and read, made by pydantic of the models themselves.

Nothing that serves or handles jobs imports this module.
"""

from typing import Any

from pydantic import TypeAdapter

from contracts.answers import (
    Accepted,
    AcceptedBatch,
    AccountsAnswer,
    BatchPlan,
    BatchState,
    ChangedBatch,
    DeclaredNamespaceAnswer,
    NamespacesAnswer,
    Plan,
    Problem,
    TenantAnswer,
    TenantList,
    TenantPlan,
    TenantRepairs,
)
from contracts.documents import Event, Job, Result, StepProgress
from contracts.reporting.entries import Entry
from contracts.reporting.webhooks import WebhookDocument
from contracts.requests import (
    BootstrapRequest,
    HandoverRequest,
    OffboardRequest,
    PasswordRequest,
    RepairRequest,
    ResumeRequest,
    SuspendRequest,
)

DIALECT = "https://json-schema.org/draft/2020-12/schema"

MODELS: dict[str, Any] = {
    "bootstrap-request": BootstrapRequest,
    "offboard-request": OffboardRequest,
    "password-request": PasswordRequest,
    "suspend-request": SuspendRequest,
    "resume-request": ResumeRequest,
    "repair-request": RepairRequest,
    "handover-request": HandoverRequest,
    "job": Job,
    "result": Result,
    "event": Event,
    "progress": StepProgress,
    "problem": Problem,
    "accepted": Accepted,
    "accepted-batch": AcceptedBatch,
    "batch-plan": BatchPlan,
    "batch-state": BatchState,
    "changed-batch": ChangedBatch,
    "accounts-answer": AccountsAnswer,
    "namespaces-answer": NamespacesAnswer,
    "tenant-answer": TenantAnswer,
    "entry": Entry,
    "webhook": WebhookDocument,
    "plan": Plan,
    "declared-namespace-answer": DeclaredNamespaceAnswer,
    "tenant-list": TenantList,
    "tenant-repairs": TenantRepairs,
    "tenant-plan": TenantPlan,
}


_REQUESTS = tuple(name for name in MODELS if name.endswith("-request"))


def make_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a model, its parts under `$defs`."""
    schema: dict[str, Any] = _tidy(TypeAdapter(MODELS[name]).json_schema())
    return schema


def make_published_schemas() -> dict[str, dict[str, Any]]:
    """By file name: what publishers and readers over NATS need."""
    read = ("job", "result", "event", "progress", "problem", "webhook")
    return {f"{name}.json": {"$schema": DIALECT, "title": name, **make_schema(name)} for name in (*_REQUESTS, *read)}


def _tidy(part: Any) -> Any:
    """Without pydantic's titles, and with defaults told in words alone.

    Generated clients send a default that a schema gives: then nothing is absent any more, and what a deployment wants
    where a caller says nothing is never used.
    """
    if isinstance(part, list):
        return [_tidy(item) for item in part]
    if not isinstance(part, dict):
        return part
    told = {
        name: {key: _tidy(value) for key, value in member.items()} if name in ("properties", "$defs") else _tidy(member)
        for name, member in part.items()
        if not (name == "title" and isinstance(member, str)) and name != "default"
    }
    default = part.get("default")
    if isinstance(default, bool | int | float):
        told["description"] = f"{told.get('description', '')} Absent: {str(default).lower()}.".strip()
    return told
