"""What callers read beside the documents of a job: the answers of queries, problems, and where to look for a job."""

from typing import Annotated, Any, Literal, NotRequired, cast

from pydantic import Field
from typing_extensions import TypeAliasType, TypedDict

from contracts.documents import ErrorCode, Failure, JobId, JobStatus, Moment

BatchId = TypeAliasType("BatchId", Annotated[str, Field(json_schema_extra={"format": "uuid"})])


class Notes(TypedDict):
    """What a person should know of an answer; `simulated`: no real Everest was asked."""

    warnings: NotRequired[list[str]]
    simulated: NotRequired[Literal[True]]


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


class LimitRange(TypedDict):
    """The LimitRange's limits, as Kubernetes has them."""

    limits: list[dict[str, Any]]


class Access(TypedDict):
    """The RBAC policy's lines about the user. While it is not enforced Everest grants everybody everything."""

    enforced: bool
    lines: list[str]
    invalid: NotRequired[Annotated[str, Field(description="Why the stored policy cannot be read.")]]


class Difference(TypedDict):
    """Between the cluster and what was asked for. `namespace` is null for what is of the tenant as a whole."""

    namespace: str | None
    what: Annotated[str, Field(description="The part: account, namespace, owner, operators, release, quota, …")]
    message: str
    mend: Annotated[str, Field(description="What to do about it.")]


class ObservedNamespace(TenantNamespace):
    """What the cluster holds of it."""

    exists: bool
    quota: Quota | None
    limit_range: LimitRange | None


class ClaimedNamespace(ObservedNamespace):
    """One of the tenant's namespaces with what differs in it; that of the last job is there when it is gone too.

    `wanted` is what its claim says: the request as it was resolved, with role and subjects. `generation` grows whenever
    that changes. Both are null for a claim of version 0.1.0.
    """

    generation: int | None
    wanted: dict[str, Any] | None
    differences: list[Difference]


class LastJob(TypedDict):
    job_id: JobId
    status: JobStatus
    finished_at: Moment | None


class Tenant(TypedDict):
    """What the cluster holds for a tenant, null where it holds nothing."""

    username: str
    suspended: NotRequired[Annotated[bool, Field(description="Absent from a handler of version 0.1.0.")]]
    account: Account | dict[str, Any] | None
    namespaces: Annotated[list[ClaimedNamespace], Field(description="All that are the tenant's.")]
    namespace: Annotated[TenantNamespace | None, Field(description="The first of them by itself.")]
    other_namespaces: Annotated[list[str], Field(description="Further ones that were claimed for the user.")]
    quota: Quota | None
    limit_range: LimitRange | None
    rbac: Access | None
    last_job: Annotated[LastJob | None, Field(description="Null when none is kept.")]
    differences: list[Difference]


def read_tenant(answer: Any) -> Tenant:
    """As a handler wrote it. One of version 0.1.0 told of one namespace alone, and its claim said nothing."""
    if "namespaces" in answer:
        return cast(Tenant, answer)
    seen = answer["namespace"]
    differences = [{**one, "namespace": seen["name"] if seen else None} for one in answer["differences"]]
    parts = {"quota": answer["quota"], "limit_range": answer["limit_range"], "differences": differences}
    namespaces = [{**seen, "exists": True, "generation": None, "wanted": None, **parts}] if seen else []
    return cast(Tenant, {**answer, "namespaces": namespaces, "differences": differences})


class DeclaredNamespace(TypedDict):
    """A namespace as it is wanted and as it is. `desired` and `generation` are null for a claim of version 0.1.0."""

    username: str
    namespace: str
    generation: Annotated[int | None, Field(description="Grows whenever `desired` changes; the ETag names it.")]
    desired: Annotated[dict[str, Any] | None, Field(description="What its claim says: the request as resolved.")]
    observed: ObservedNamespace
    differences: list[Difference]


class DeclaredNamespaceAnswer(Notes):
    data: DeclaredNamespace


class ListedTenantNamespace(TypedDict):
    """`generation` and `role` are null for a claim of version 0.1.0."""

    name: str
    generation: int | None
    role: str | None
    managed: Annotated[bool, Field(description="By Everest: it holds operators.")]
    terminating: bool


class ListedTenant(TypedDict):
    """A tenant with the namespaces that it has claimed. `managed_by` is null where no claim says."""

    username: str
    managed_by: str | None
    suspended: bool
    namespaces: list[ListedTenantNamespace]
    differences: NotRequired[Annotated[list[Difference], Field(description="With `differs=true`.")]]


class TenantList(Notes):
    """Tenants by name. A page of those that differ may hold few, or none, and still name a next page."""

    tenants: list[ListedTenant]
    next_cursor: str | None


class TenantJob(TypedDict):
    username: str
    job_id: JobId


class TenantRepairs(Notes):
    """The jobs that were queued; a warning names a tenant that could not be compared.

    With a `next_cursor` not all tenants were looked at yet: ask again with it.
    """

    jobs: list[TenantJob]
    next_cursor: str | None


class AccountsAnswer(Notes):
    """JSON that everestctl prints is passed on as it is, a table of other columns as objects of texts."""

    data: list[Account] | Any


class NamespacesAnswer(Notes):
    """As for accounts. A warning tells when the list is kubectl's, because everestctl's fails while it installs."""

    data: list[ListedNamespace] | Any


class TenantAnswer(Notes):
    data: Tenant


class PlannedStep(TypedDict):
    """What one step would do. Steps behind one that is refused would not be reached, and are absent."""

    name: str
    outcome: Annotated[
        str,
        Field(
            description="What it would do, `unchanged`, `skipped`, or `refused: <code>`. Later versions may know more.",
            examples=["would create", "would update", "unchanged", "skipped", "refused: namespace_exists"],
        ),
    ]
    commands: Annotated[list[str], Field(description="Those that change the cluster, secrets masked, in order.")]
    manifest_preview: Annotated[str | None, Field(description="What is applied.")]
    diff: Annotated[str | None, Field(description="What changes, as a unified diff.")]
    error: Annotated[Failure | None, Field(description="Why it is refused.")]


class Plan(TypedDict):
    """What a job would do if it ran now; nothing was done. Its steps looked and decided as a job's do."""

    would: Annotated[Literal["change", "nothing", "fail"], Field(description="What would come of it.")]
    inputs: Annotated[dict[str, Any], Field(description="The request as it was resolved.")]
    steps: list[PlannedStep]
    warnings: Annotated[list[str], Field(description="What a person should know, what could not be tried included.")]
    simulated: NotRequired[Literal[True]]


class FieldProblem(TypedDict):
    """`field` is empty for the body as a whole."""

    field: str
    message: str
    index: NotRequired[Annotated[int, Field(description="Of the request in a bulk, the first at 0.")]]


class Problem(TypedDict):
    """An error (RFC 9457). `type` leads to the code's documentation; other members depend on the code."""

    type: str
    title: str
    status: int
    code: ErrorCode
    error: Annotated[str, Field(description="The title again, for clients that look for this member.")]
    detail: str
    hint: str
    retryable: bool
    fields: NotRequired[list[FieldProblem]]


class Accepted(TypedDict):
    """Where to look for a job."""

    job_id: JobId
    status_url: str


class AcceptedBatch(TypedDict):
    """Where to look for the jobs of a bulk, in the order of its requests."""

    batch_id: BatchId
    jobs: list[Accepted]


class BatchCounts(TypedDict):
    """Jobs by status. Records that have expired are not counted."""

    queued: int
    running: int
    succeeded: int
    failed: int


class BatchFailure(TypedDict):
    """A job of the batch that has failed, and where to look for it."""

    job_id: JobId
    username: str | None
    namespace: str | None
    reason: ErrorCode | None
    summary: str
    status_url: str


class BatchState(TypedDict):
    """The document of a batch. It has ended when nothing is queued or running."""

    batch_id: BatchId
    counts: BatchCounts
    failures: list[BatchFailure]


class ChangedBatch(TypedDict):
    """How many of the batch's jobs are cancelled, or queued again."""

    batch_id: BatchId
    jobs: int
    status_url: str


class BatchPlan(TypedDict):
    """One line of the plans of a bulk: a plan, or the problem that kept it from being made."""

    index: Annotated[int, Field(description="Of the request, the first at 0.")]
    plan: NotRequired[Plan]
    problem: NotRequired[Problem]


class TenantPlan(TypedDict):
    """One line of the plans of a repair of all: a tenant's plan, or the problem that kept it from being made.

    The last line holds the `next_cursor` alone, where not all tenants were looked at yet: ask again with it.
    """

    username: NotRequired[str]
    plan: NotRequired[Plan]
    problem: NotRequired[Problem]
    next_cursor: NotRequired[str]
