"""JSON Schemas of what callers send and read, made by pydantic from annotations.

The requests are the models themselves. The documents are described here, beside the functions that make them
(`contracts.documents`), and a test holds both together. Nothing that serves or handles jobs imports this module.
"""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from contracts.codes import CODES
from contracts.names import JOB_ID_PATTERN, JOB_KINDS, QUERY_KINDS
from contracts.records import Outcome, Status
from contracts.requests import BootstrapRequest

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Moment = Annotated[
    str,
    Field(
        description="RFC 3339, in UTC.",
        examples=["2026-01-31T12:00:00.000Z"],
        json_schema_extra={"format": "date-time"},
    ),
]
JobId = Annotated[str, Field(pattern=JOB_ID_PATTERN, description="One token, or two: `<caller>.<id>`.")]
Kind = Annotated[str, Field(json_schema_extra={"enum": [*JOB_KINDS, *QUERY_KINDS]})]
StatusName = Annotated[
    str,
    Field(json_schema_extra={"enum": list(Status)}, description="Poll until succeeded or failed."),
]
OutcomeName = Annotated[str, Field(json_schema_extra={"enum": list(Outcome)})]
CodeName = Annotated[str, Field(json_schema_extra={"enum": list(CODES)}, description="Stable; listed at /docs/errors.")]


class Failure(TypedDict):
    """What went wrong, and what to do about it."""

    code: CodeName
    message: str
    hint: str
    retryable: bool


class Command(TypedDict):
    """One command that a step ran, look-ups included. Secrets show as `********`."""

    command: str
    exit_code: int | None


class StepState(TypedDict):
    """How far a step is. `outcome` is null while it runs."""

    name: str
    outcome: OutcomeName | None
    started_at: Moment
    finished_at: Moment | None
    error: Failure | None


class Step(TypedDict):
    """A step and what its commands said; `command` to `stderr` are those of its deciding command."""

    name: str
    command: str | None
    exit_code: int | None
    stdout: str
    stderr: str
    outcome: OutcomeName | None
    started_at: Moment
    finished_at: Moment | None
    commands: list[Command]
    manifest_preview: NotRequired[str]
    rbac_applied: NotRequired[bool]
    rbac_enforced: NotRequired[bool]
    usable: NotRequired[bool]
    error: NotRequired[Failure]


class PastStep(TypedDict):
    name: str
    outcome: str


class PastRun(TypedDict):
    """A run that failed and was reopened by a person."""

    attempt: int
    finished_at: Moment | None
    reason: CodeName | None
    error: Failure | None
    losses: int
    steps: list[PastStep]


class Job(TypedDict):
    """The document of a job: `GET /jobs/{job_id}`, and the answer of the status request over NATS."""

    job_id: JobId
    kind: Kind
    status: StatusName
    caller: Annotated[str, Field(description="Who asked: a key's name, or the publisher that the server proves.")]
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    changed_at: Moment
    summary: str
    attempt: Annotated[int, Field(description="Real attempts so far.")]
    losses: Annotated[int, Field(description="Handlers that died or were cut off while they ran it.")]
    reason: Annotated[CodeName | None, Field(description="Why it failed, or why it waits.")]
    retry_at: Annotated[Moment | None, Field(description="When the next try begins, while it waits for one.")]
    error: Failure | None
    steps: list[StepState]
    warnings: list[str]
    username: str | None
    namespace: str | None
    request_id: str | None
    status_url: str
    result_url: str
    traceparent: NotRequired[
        Annotated[str, Field(description="The W3C trace context of the submit, where it had one.")]
    ]
    history: NotRequired[list[PastRun]]
    simulated: NotRequired[Annotated[Literal[True], Field(description="No real Everest was touched.")]]


class CredentialsSecret(TypedDict):
    """The Kubernetes Secret that holds the created account's password."""

    namespace: str
    name: str
    read_with: str


class Result(TypedDict):
    """The document of `GET /jobs/{job_id}/result`, of succeeded and failed jobs alike."""

    job_id: JobId
    inputs: Annotated[dict[str, Any], Field(description="The request with every default filled in.")]
    steps: list[Step]
    warnings: list[str]
    overall_status: Annotated[str, Field(json_schema_extra={"enum": ["succeeded", "failed"]})]
    summary: str
    reason: CodeName | None
    error: Failure | None
    attempt: int
    started_at: Moment | None
    finished_at: Moment | None
    credentials_secret: NotRequired[CredentialsSecret]
    rbac_applied: NotRequired[bool]
    usable: NotRequired[
        Annotated[
            bool | None,
            Field(description="Whether the tenant was seen to be able to create a database. Null: nothing to prove."),
        ]
    ]
    data: NotRequired[Any]
    history: NotRequired[list[PastRun]]
    simulated: NotRequired[Literal[True]]


class Event(TypedDict):
    """One transition of a job. `revision` orders the events of a job; who missed one reads the job."""

    job_id: JobId
    kind: Kind
    revision: int
    status: StatusName
    attempt: int
    step: str | None
    outcome: OutcomeName | None
    reason: CodeName | None
    retry_at: Moment | None
    summary: str
    changed_at: Moment


class Account(TypedDict):
    """An Everest account."""

    user: str
    capabilities: list[str]
    enabled: bool


class InstalledOperator(TypedDict):
    name: str
    version: str


class ListedNamespace(TypedDict):
    """A namespace that Everest knows. Its operators have everestctl's names: `pxc`, `psmdb`, `postgresql`."""

    namespace: str
    managed: bool
    operators: list[InstalledOperator]


class TenantOperator(TypedDict):
    """An operator of a namespace, named as in a request; `version` is null while it is not installed."""

    name: str
    installed: bool
    version: str | None


class TenantNamespace(TypedDict):
    """`owner` and `job` tell who claimed it here; `release` is the state of Everest's Helm release."""

    name: str
    owner: str | None
    job: str | None
    managed: bool
    terminating: bool
    release: str | None
    operators: list[TenantOperator]


class Quota(TypedDict):
    """Kubernetes quantities by resource, such as `requests.cpu`."""

    hard: dict[str, str]
    used: dict[str, str]


class Limits(TypedDict):
    """The LimitRange's limits, as Kubernetes has them."""

    limits: list[dict[str, Any]]


class Access(TypedDict):
    """The RBAC policy's lines about the user. While it is not enforced Everest grants everybody everything."""

    enforced: bool
    lines: list[str]
    invalid: NotRequired[Annotated[str, Field(description="Why the stored policy cannot be read.")]]


class Difference(TypedDict):
    """Between the cluster and what the tenant's last finished job made."""

    what: Annotated[str, Field(description="The part: account, namespace, owner, operators, release, quota, …")]
    message: str
    mend: Annotated[str, Field(description="What to do about it.")]


class LastJob(TypedDict):
    job_id: JobId
    status: StatusName
    finished_at: Moment | None


class Tenant(TypedDict):
    """What the cluster holds for a tenant, null where it holds nothing."""

    username: str
    account: Account | dict[str, Any] | None
    namespace: TenantNamespace | None
    other_namespaces: Annotated[list[str], Field(description="Further ones that were claimed for the user.")]
    quota: Quota | None
    limit_range: Limits | None
    rbac: Access | None
    last_job: Annotated[LastJob | None, Field(description="What the differences are to; null when none is kept.")]
    differences: list[Difference]


class AccountsAnswer(TypedDict):
    """JSON that everestctl prints is passed on as it is, a table of other columns as objects of texts."""

    data: list[Account] | Any
    warnings: NotRequired[list[str]]
    simulated: NotRequired[Literal[True]]


class NamespacesAnswer(TypedDict):
    """As for accounts. A warning tells when the list is kubectl's, because everestctl's fails while it installs."""

    data: list[ListedNamespace] | Any
    warnings: NotRequired[list[str]]
    simulated: NotRequired[Literal[True]]


class TenantAnswer(TypedDict):
    data: Tenant
    warnings: NotRequired[list[str]]
    simulated: NotRequired[Literal[True]]


class FieldProblem(TypedDict):
    """`field` is empty for the body as a whole."""

    field: str
    message: str


class Problem(TypedDict):
    """An error (RFC 9457). `type` leads to the code's documentation; other members depend on the code."""

    type: str
    title: str
    status: int
    code: CodeName
    error: Annotated[str, Field(description="The title again, for clients that look for this member.")]
    detail: str
    hint: str
    retryable: bool
    fields: NotRequired[list[FieldProblem]]


class Accepted(TypedDict):
    """Where to look for a job."""

    job_id: JobId
    status_url: str


MODELS: dict[str, Any] = {
    "bootstrap-request": BootstrapRequest,
    "job": Job,
    "result": Result,
    "event": Event,
    "problem": Problem,
    "accepted": Accepted,
    "accounts-answer": AccountsAnswer,
    "namespaces-answer": NamespacesAnswer,
    "tenant-answer": TenantAnswer,
}


def make_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a model, its parts under `$defs`."""
    schema: dict[str, Any] = _tidy(TypeAdapter(MODELS[name]).json_schema())
    return schema


def make_published_schemas() -> dict[str, dict[str, Any]]:
    """By file name: what publishers and readers over NATS need."""
    return {
        f"{name}.json": {"$schema": DIALECT, "title": name, **make_schema(name)}
        for name in ("bootstrap-request", "job", "result", "event", "problem")
    }


def _tidy(part: Any) -> Any:
    """Without pydantic's titles, and without defaults that stand for absence."""
    if isinstance(part, list):
        return [_tidy(item) for item in part]
    if not isinstance(part, dict):
        return part
    return {
        name: {key: _tidy(value) for key, value in member.items()} if name in ("properties", "$defs") else _tidy(member)
        for name, member in part.items()
        if not (name == "title" and isinstance(member, str)) and not (name == "default" and member in ("", None))
    }
