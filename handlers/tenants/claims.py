"""Whose namespace it is: the claim in its annotations, made atomically before anything is put into it."""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple

from contracts.codes import Failure
from contracts.records import Outcome
from contracts.requests import BootstrapRequest
from handlers.commands.running import Command, Completed
from handlers.decisions import Overtaken
from handlers.rbac.differences import diff
from handlers.results import StepFailed
from handlers.tenants.spec import MAX_SPEC_BYTES, Spec, UnreadableSpec
from handlers.tools.kubectl import AlreadyExists, Changed, Kubectl, Object

OWNER = "everest-bootstrap/owner"  # the username
JOB = "everest-bootstrap/job"  # the job that claimed it
SPEC = "everest-bootstrap/spec"  # claims of version 0.1.0 have none
KEEP = "everest-bootstrap/keep"  # "true": nobody here deletes the namespace
OFFBOARDING = "everest-bootstrap/offboarding"  # the job that takes it away
INSTALLING = "everest-bootstrap/installing"  # the job that has a Helm release made there, and its revision
LABEL = "everest-bootstrap/tenant"  # "true": `kubectl get ns -l everest-bootstrap/tenant=true` lists the tenants
_MANAGED = "app.kubernetes.io/managed-by"
MANAGED_SELECTOR = f"{_MANAGED}=everest"
_NOT_YOURS = (
    "Choose another namespace; an administrator may adopt this one with take_ownership, and hand the tenant over to "
    "you: POST /tenants/{}/manager."
)
_LATER_SPEC = "Use a handler of the version that wrote it."
_BROKEN_SPEC = (
    "Mend it, or take it away: kubectl annotate namespace {name} {annotation}- . The next job writes it anew; policy "
    "lines that it alone named stay."
)


class Namespace(NamedTuple):
    """A namespace as the cluster shows it."""

    name: str
    uid: str
    version: str
    owner: str | None
    job: str | None
    spec_text: str | None
    is_labelled: bool  # as a tenant's
    is_managed: bool  # by Everest: its installer has begun
    is_terminating: bool
    is_kept: bool = False  # whatever is asked for
    offboarded_by: str | None = None
    installing: str | None = None

    @classmethod
    def of(cls, value: Object) -> "Namespace":
        metadata = value["metadata"]
        annotations, labels = metadata.get("annotations") or {}, metadata.get("labels") or {}
        return cls(
            metadata["name"],
            metadata.get("uid", ""),
            metadata["resourceVersion"],
            annotations.get(OWNER),
            annotations.get(JOB),
            annotations.get(SPEC),
            labels.get(LABEL) == "true",
            labels.get(_MANAGED) == "everest",
            "deletionTimestamp" in metadata,
            annotations.get(KEEP) == "true",
            annotations.get(OFFBOARDING),
            annotations.get(INSTALLING),
        )

    def read_spec(self) -> Spec | None:
        """None where the claim has none: version 0.1.0 wrote no specs. Raises StepFailed."""
        if self.spec_text is None:
            return None
        try:
            return Spec.read(self.spec_text)
        except UnreadableSpec as error:
            reason = f"The annotation {SPEC} of namespace {self.name} cannot be used: {error}."
            hint = _LATER_SPEC if error.is_later else _BROKEN_SPEC.format(name=self.name, annotation=SPEC)
            raise StepFailed(Failure("unsupported_version", reason, hint)) from None


class Claims(NamedTuple):
    """One tenant's namespaces, and the one that is asked for, whoever has it."""

    username: str
    namespace: Namespace | None
    others: tuple[Namespace, ...]

    @property
    def own(self) -> Namespace | None:
        """The one that is asked for, where it is the tenant's."""
        return self.namespace if self.namespace and self.namespace.owner == self.username else None

    @property
    def all(self) -> tuple[Namespace, ...]:
        return (*((self.own,) if self.own else ()), *self.others)


class ClaimDecision(NamedTuple):
    """What is to become of a claim, given what was seen. `command` writes it; None where it says all of it already.

    An earlier attempt of the same job counts as this one, and cannot tell a namespace that it made from one that it
    took: with take_ownership both are possible.
    """

    outcome: Outcome
    command: Command | None
    before: Spec | None
    spec: Spec
    namespace: Namespace | None = None  # as it was seen
    is_first: bool = False  # the command makes the namespace the tenant's
    may_have_been_taken: bool = False

    @property
    def is_new(self) -> bool:
        """The namespace itself."""
        return self.namespace is None

    @property
    def diff(self) -> str:
        """What changes in the spec."""
        return diff(_show(self.before) if self.before else "", _show(self.spec))


async def find_namespace(kubectl: Kubectl, name: str) -> Namespace | None:
    found = await kubectl.get("ns", name)
    return None if found is None else Namespace.of(found)


async def find_claims(kubectl: Kubectl, username: str, name: str) -> Claims:
    """Found by annotation, because claims of version 0.1.0 bear no label. Raises StepFailed."""
    found = [
        Namespace.of(value) for value in await kubectl.find("ns", ("name", name), (f"annotations.{OWNER}", username))
    ]
    by_name = {namespace.name: namespace for namespace in found}
    others = sorted(other for other in by_name if other != name)
    return Claims(username, by_name.get(name), tuple(by_name[other] for other in others))


def check_owner(namespace: Namespace | None, request: BootstrapRequest, *, may_adopt: bool) -> None:
    """Who may not adopt gets no namespace that was there before. Raises StepFailed where it is not the request's."""
    if namespace is None or (namespace.owner == request.username and not namespace.is_terminating):
        return
    if namespace.is_terminating:
        raise StepFailed(Failure("namespace_terminating", f"Namespace {namespace.name} is being deleted."))
    if namespace.owner is not None:
        reason = f"Namespace {namespace.name} belongs to {namespace.owner}."
        raise StepFailed(Failure("namespace_owned_by_another", reason))
    if not (request.take_ownership and may_adopt):
        reason = f"Namespace {namespace.name} exists and was not made by this service."
        hint = "" if may_adopt else _NOT_YOURS.format(request.username)
        raise StepFailed(Failure("namespace_exists", reason, hint))


def check_generation(claims: Claims, request: BootstrapRequest, job_id: str) -> None:
    """A repeat meets what it has written itself, and goes on, unless another has declared something else since.

    Raises StepFailed.
    """
    expected, own = request.if_generation, claims.own
    spec = own.read_spec() if own else None
    found = spec.generation if spec else None if own else 0
    made_it = own is not None and own.job == job_id
    is_repeat = (spec is None and made_it) or (_asks_for(spec, request) and (made_it or bool(expected)))
    if expected is None or expected == found or is_repeat:
        return
    name, wanted = request.namespace, f"{expected} was asked for" if expected else "none was to be there"
    there = f"The claim of namespace {name} is at generation {found}" if found else f"There is no claim of {name}"
    if found is None:
        there = f"The claim of namespace {name} is of version 0.1.0 and has no generation"
    raise StepFailed(Failure("generation_conflict", f"{there}; {wanted}."))


def _asks_for(spec: Spec | None, request: BootstrapRequest) -> bool:
    return spec is not None and spec.wanted.asks_for(request.lasting)


async def find_all_claims(kubectl: Kubectl) -> dict[str, Claims]:
    """Every tenant's namespaces, both by name. By annotation: claims of version 0.1.0 bear no label."""
    found = [
        Namespace.of({"metadata": metadata}) for metadata in await kubectl.find_metadata("ns", f"annotations.{OWNER}")
    ]
    tenants: dict[str, list[Namespace]] = {}
    for namespace in sorted(found, key=lambda one: one.name):
        if namespace.owner is not None:
            tenants.setdefault(namespace.owner, []).append(namespace)
    return {name: Claims(name, None, tuple(tenants[name])) for name in sorted(tenants)}


async def decide_claim(
    kubectl: Kubectl,
    request: BootstrapRequest,
    job_id: str,
    draft: Callable[[Claims], Awaitable[Spec]],
    *,
    may_adopt: bool,
) -> ClaimDecision:
    """The namespace is made with the claim in it, or the claim is written by compare-and-set. Raises StepFailed.

    `draft` says what the spec is to be, given what is there.
    """
    claims = await find_claims(kubectl, request.username, request.namespace)
    namespace = claims.namespace
    check_owner(namespace, request, may_adopt=may_adopt)
    check_generation(claims, request, job_id)
    spec = await draft(claims)
    mark = {OWNER: request.username, JOB: job_id, SPEC: render(spec)}
    if namespace is None:
        command = kubectl.to_create(_manifest(request.namespace, mark))
        return ClaimDecision(Outcome.CREATED, command, None, spec, is_first=True)
    if namespace.owner is None:
        command = to_mark(kubectl, namespace.name, mark, namespace.version)
        return ClaimDecision(Outcome.UPDATED, command, None, spec, namespace, is_first=True, may_have_been_taken=True)
    before, rewrite = namespace.read_spec(), to_write_spec(kubectl, namespace, spec)
    if namespace.job != job_id:
        return ClaimDecision(Outcome.UNCHANGED, rewrite, before, spec, namespace)
    if request.take_ownership:
        return ClaimDecision(Outcome.UPDATED, rewrite, before, spec, namespace, may_have_been_taken=True)
    return ClaimDecision(Outcome.CREATED, rewrite, before, spec, namespace)


async def write_claim(kubectl: Kubectl, decision: ClaimDecision, name: str) -> Completed | None:
    """Gives the command that made the namespace the tenant's, if one had to. Raises Overtaken, StepFailed."""
    if decision.command is None:
        return None
    completed = await write(kubectl, f"Namespace {name}", decision.command)  # where overtaken: whose is it now?
    return completed if decision.is_first else None


def _show(spec: Spec) -> str:
    """For a person."""
    return json.dumps(spec.model_dump(mode="json", exclude_none=True), indent=2) + "\n"


def to_write_spec(kubectl: Kubectl, namespace: Namespace, spec: Spec) -> Command | None:
    """Declares the tenant anew: an offboarding that has not ended ends here. None where all of it is there already.

    Raises StepFailed.
    """
    return _to_write_spec(kubectl, namespace, spec, mark=None)


def to_write_specs(kubectl: Kubectl, claims: Claims, specs: Mapping[str, Spec]) -> tuple[Command, ...]:
    """For each of the tenant's claims that says something else. `specs`: by the name of the namespace.

    One that an offboarding has begun to take away bears its mark still: its rights do not come back by this.
    """
    commands = (_to_write_spec(kubectl, claim, specs[claim.name], mark=claim.offboarded_by) for claim in claims.all)
    return tuple(command for command in commands if command)


def _to_write_spec(kubectl: Kubectl, namespace: Namespace, spec: Spec, mark: str | None) -> Command | None:
    text = render(spec)
    if text == namespace.spec_text and namespace.is_labelled and namespace.offboarded_by == mark:
        return None
    return to_mark(kubectl, namespace.name, {SPEC: text, OFFBOARDING: mark}, namespace.version)


async def write_specs(kubectl: Kubectl, username: str, commands: Iterable[Command]) -> Completed | None:
    """Runs these; gives the last. Raises Overtaken, StepFailed."""
    return await write_all(kubectl, f"A claim of {username}", commands)


async def write_all(kubectl: Kubectl, what: str, commands: Iterable[Command]) -> Completed | None:
    """Runs these, each a compare-and-set; gives the last. Raises Overtaken, StepFailed."""
    completed = None
    for command in commands:
        completed = await write(kubectl, what, command)
    return completed


async def write(kubectl: Kubectl, what: str, command: Command) -> Completed:
    """Raises Overtaken where somebody was faster, and StepFailed."""
    try:
        return await kubectl.write(command)
    except (AlreadyExists, Changed):
        raise Overtaken(what) from None


async def write_spec(kubectl: Kubectl, namespace: Namespace, spec: Spec) -> None:
    """Only where it differs from what is there. Raises Changed, StepFailed."""
    if command := to_write_spec(kubectl, namespace, spec):
        await kubectl.write(command)


def render(spec: Spec) -> str:
    """Raises StepFailed where it is too large for its annotation."""
    text = spec.render()
    if (size := len(text.encode())) > MAX_SPEC_BYTES:
        reason = f"The claim would take {size:,} bytes of an annotation, and {MAX_SPEC_BYTES:,} is the most."
        raise StepFailed(
            Failure("invalid_request", reason, "Name fewer or shorter subjects: one group for all of them.")
        )
    return text


def to_mark(kubectl: Kubectl, name: str, annotations: Mapping[str, str | None], version: str | None) -> Command:
    """Writes annotations by compare-and-set, and the label of a tenant. Without a version it is only shown.

    The mark of an offboarding is taken off, unless it is what is written.
    """
    metadata = {
        "annotations": {OFFBOARDING: None, **annotations},
        "labels": {LABEL: "true"},
        "resourceVersion": version,
    }
    return kubectl.to_patch("ns", name, {"metadata": metadata})


def to_unclaim(kubectl: Kubectl, namespace: Namespace) -> Command:
    """Takes the claim off, by compare-and-set: the namespace is nobody's here then."""
    annotations = dict.fromkeys((OWNER, JOB, SPEC, OFFBOARDING, INSTALLING))
    metadata = {"annotations": annotations, "labels": {LABEL: None}, "resourceVersion": namespace.version}
    return kubectl.to_patch("ns", namespace.name, {"metadata": metadata})


def _manifest(name: str, annotations: dict[str, str]) -> dict[str, Any]:
    metadata = {"name": name, "labels": {"name": name, LABEL: "true"}, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
