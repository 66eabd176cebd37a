"""Whose namespace it is: the claim in two annotations, made atomically before anything is put into it."""

from dataclasses import dataclass
from typing import Any

from contracts.codes import Failure
from contracts.records import Outcome
from contracts.requests import BootstrapRequest
from handlers.commands.running import Completed
from handlers.results import StepFailed
from handlers.tools.kubectl import AlreadyExists, Changed, Kubectl

OWNER = "everest-bootstrap/owner"  # the username
JOB = "everest-bootstrap/job"  # the job that claimed it
_MANAGED = "app.kubernetes.io/managed-by"
MANAGED_SELECTOR = f"{_MANAGED}=everest"
_MOST_LOOKS = 5


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace as the cluster shows it."""

    name: str
    version: str
    owner: str | None
    job: str | None
    is_managed: bool  # by Everest: its installer has begun
    is_terminating: bool

    @classmethod
    def of(cls, value: dict[str, Any]) -> "Namespace":
        metadata = value["metadata"]
        annotations, labels = metadata.get("annotations") or {}, metadata.get("labels") or {}
        return cls(
            metadata["name"],
            metadata["resourceVersion"],
            annotations.get(OWNER),
            annotations.get(JOB),
            labels.get(_MANAGED) == "everest",
            "deletionTimestamp" in metadata,
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """The namespace is the tenant's by now; `deciding` is the command that made it so, None where it was already.

    An earlier attempt of the same job counts as this one, and cannot tell a namespace that it made from one that it
    took: with take_ownership both are possible.
    """

    outcome: Outcome
    deciding: Completed | None
    is_new: bool = False  # made by this very attempt
    may_have_been_taken: bool = False


async def find_namespace(kubectl: Kubectl, name: str) -> Namespace | None:
    found = await kubectl.get("ns", name)
    return None if found is None else Namespace.of(found)


def check_owner(namespace: Namespace | None, request: BootstrapRequest) -> None:
    """Raises StepFailed where the request may not have the namespace."""
    if namespace is None or (namespace.owner == request.username and not namespace.is_terminating):
        return
    if namespace.is_terminating:
        raise StepFailed(Failure("namespace_terminating", f"Namespace {namespace.name} is being deleted."))
    if namespace.owner is not None:
        reason = f"Namespace {namespace.name} belongs to {namespace.owner}."
        raise StepFailed(Failure("namespace_owned_by_another", reason))
    if not request.take_ownership:
        raise StepFailed(
            Failure("namespace_exists", f"Namespace {namespace.name} exists and was not made by this service.")
        )


async def claim_namespace(kubectl: Kubectl, request: BootstrapRequest, job_id: str) -> Claim:
    """Makes the namespace with the claim in it, or writes the claim by compare-and-set. Raises StepFailed."""
    claim = {OWNER: request.username, JOB: job_id}
    for _ in range(_MOST_LOOKS):
        namespace = await find_namespace(kubectl, request.namespace)
        check_owner(namespace, request)
        try:
            if namespace is None:
                return Claim(Outcome.CREATED, await kubectl.create(_manifest(request.namespace, claim)), is_new=True)
            if namespace.owner is None:
                deciding = await kubectl.annotate_namespace(namespace.name, claim, namespace.version)
                return Claim(Outcome.UPDATED, deciding, may_have_been_taken=True)
        except (AlreadyExists, Changed):
            continue  # somebody was faster: whose is it now?
        if namespace.job != job_id:
            return Claim(Outcome.UNCHANGED, None)
        if request.take_ownership:
            return Claim(Outcome.UPDATED, None, may_have_been_taken=True)
        return Claim(Outcome.CREATED, None)
    raise StepFailed(Failure("conflict", f"Namespace {request.namespace} changed each time that it was looked at."))


def _manifest(name: str, claim: dict[str, str]) -> dict[str, Any]:
    metadata = {"name": name, "labels": {"name": name}, "annotations": claim}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
