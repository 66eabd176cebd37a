"""The spec: what a claimed namespace says of its tenant. It outlives the queue and every record.

An annotation of the namespace, JSON, read by earlier and later versions: members that this one does not know are kept.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from contracts.records import read_version
from contracts.requests import BootstrapRequest, InvalidRequest, validate_request
from handlers.rbac.policy import InvalidPolicy, parse_lines

SPEC_VERSION = 1
MAX_SPEC_BYTES = 64 * 1024
# Built with the first spec: a handler starts faster without it.
_CONFIG = ConfigDict(extra="allow", frozen=True, defer_build=True)


class UnreadableSpec(ValueError):
    """The annotation holds no spec that this version could go on with. `is_later`: a later version can."""

    def __init__(self, reason: str, *, is_later: bool = False) -> None:
        super().__init__(reason)
        self.is_later = is_later


class Wanted(BaseModel):
    """What the last job asked for, resolved, and what later jobs must know of how the tenant came to be."""

    model_config = _CONFIG

    role: str
    subjects: tuple[str, ...]
    managed_by: str
    # Whether a job of ours made the account; None where a claim of version 0.1.0 does not say.
    account_created: bool | None = None
    adopted: bool = False  # the namespace was there before it was claimed
    suspended: bool = False

    def asks_for(self, inputs: dict[str, Any]) -> bool:
        """Whether it is what a resolved request wants."""
        wanted = self.model_dump()
        return all(wanted.get(name) == value for name, value in inputs.items())

    def read_request(self) -> BootstrapRequest | None:
        """The request that it was; None where this version cannot read it, or where it does not say all of it.

        A claim of version 0.1.0 that another job than a bootstrap has filled in since does not know the resources.
        """
        members = self.model_dump(mode="json")
        return read_inputs(members) if "resources" in members else None


class Suspension(BaseModel):
    """What was taken from a suspended tenant and is to be given back, written before it is taken.

    `account_disabled`: the account was enabled; `account_proof` tells it from another of that name (none where an
    earlier version disabled it, or while this service changes its password). `filled`: a line that keeps the tenant's
    role valid without members was added to the policy. `paused`: the databases that ran, by name, with their UIDs.
    """

    model_config = _CONFIG

    account_disabled: bool = False
    account_proof: str | None = None
    filled: bool = False
    paused: dict[str, str] = {}


class LastChange(BaseModel):
    """The last change of what is wanted: by which job, and of which members, named as `resources.cpu_cores` is."""

    model_config = _CONFIG

    job_id: str
    members: tuple[str, ...]


class Spec(BaseModel):
    """`applied`: the policy lines that were written for this namespace, or are being written now.

    `generation` grows by one whenever `wanted` changes, and by nothing else. `change` is written with it, so that a job
    which is killed behind that write still knows what it has changed.
    """

    model_config = _CONFIG

    version: int = SPEC_VERSION
    generation: int = 1
    wanted: Wanted
    applied: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()  # the jobs whose Secret may hold the account's password, the newest first
    # Of the account that a job of ours made or gave its password; none where an earlier version did.
    account_proof: str | None = None
    suspension: Suspension | None = None
    bound: bool = False  # the role was found to be nobody else's, and the policy was written
    change: LastChange | None = None

    @classmethod
    def read(cls, text: str) -> Self:
        """Raises UnreadableSpec: of a later version as well, which alone knows what its members mean."""
        try:
            spec = cls.model_validate_json(text)
        except ValidationError as error:
            if (version := read_version(text)) > SPEC_VERSION:
                raise _later(version) from None
            what = {str(problem["loc"][0]) for problem in error.errors() if problem["loc"]}
            reason = f"{', '.join(sorted(what))} missing or of another type" if what else "it is no JSON object"
            raise UnreadableSpec(reason) from None
        if spec.version > SPEC_VERSION:
            raise _later(spec.version)
        try:
            parse_lines(spec.applied)
        except InvalidPolicy as fault:
            raise UnreadableSpec(f"applied holds no policy: {fault}") from None
        return spec

    def render(self) -> str:
        return self.model_dump_json(exclude_none=True)

    @classmethod
    def first(cls, wanted: Wanted, job_id: str, **members: Any) -> Self:
        """Of a namespace that was no claim before."""
        return cls(
            wanted=wanted, change=LastChange(job_id=job_id, members=_find_changes({}, wanted.model_dump())), **members
        )

    def changed_by(self, job_id: str) -> tuple[str, ...]:
        """The members of what is wanted that the job has made another."""
        return self.change.members if self.change and self.change.job_id == job_id else ()

    def with_wanted(self, wanted: Wanted, job_id: str) -> Self:
        """The same where it wants the same. Members of the old one that this version does not know stay."""
        kept = {**(self.wanted.model_extra or {}), **wanted.model_dump()}
        changed = Wanted.model_validate(kept)
        if changed == self.wanted:
            return self
        members = _find_changes(self.wanted.model_dump(), changed.model_dump())
        change = LastChange(job_id=job_id, members=tuple(dict.fromkeys((*self.changed_by(job_id), *members))))
        return self.model_copy(update={"wanted": changed, "generation": self.generation + 1, "change": change})

    def with_suspended(self, job_id: str, *, suspended: bool) -> Self:
        return self.with_wanted(self.wanted.model_copy(update={"suspended": suspended}), job_id)

    def with_suspension(self, suspension: Suspension) -> Self:
        """Nothing is kept of one that took nothing."""
        return self.model_copy(update={"suspension": None if suspension == Suspension() else suspension})

    def with_disabled(self, proof: str | None) -> Self:
        """The account that the suspension has disabled, by its proof. The same where it has disabled none."""
        if self.suspension is None or not self.suspension.account_disabled:
            return self
        return self.with_suspension(self.suspension.model_copy(update={"account_proof": proof}))

    def with_credentials(self, job_ids: tuple[str, ...]) -> Self:
        return self.model_copy(update={"credentials": job_ids})

    def proves_account_of(self, job_id: str) -> bool:
        """Whether it says all of an account that this job has made: nobody need look for its proof again."""
        return self.account_proof is not None and self.credentials == (job_id,)

    def with_account(self, proof: str | None) -> Self:
        return self.model_copy(update={"account_proof": proof})

    def with_applied(self, lines: tuple[str, ...]) -> Self:
        return self.model_copy(update={"applied": lines, "bound": True})


def _later(version: int) -> UnreadableSpec:
    return UnreadableSpec(f"it is of version {version}, and {SPEC_VERSION} is the last one known here", is_later=True)


def _find_changes(before: Mapping[str, Any], after: Mapping[str, Any], path: str = "") -> tuple[str, ...]:
    """By name, those of parts under the name of the whole."""
    found: list[str] = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if isinstance(new, Mapping):
            found += _find_changes(old if isinstance(old, Mapping) else {}, new, f"{path}{name}.")
        elif old != new:
            found.append(f"{path}{name}")
    return tuple(found)


def read_inputs(members: dict[str, Any]) -> BootstrapRequest | None:
    """A request of which more is told than its members; None where they make none."""
    known = BootstrapRequest.model_fields.keys() & members.keys()
    try:
        return validate_request(BootstrapRequest, {name: members[name] for name in known})
    except InvalidRequest:
        return None


def make_wanted(inputs: dict[str, Any], **facts: Any) -> Wanted:
    """`inputs`: the resolved request."""
    return Wanted.model_validate({**inputs, **facts})


def list_changed(specs: Iterable[Spec], job_id: str) -> tuple[str, ...]:
    """What the job has made another in any of these."""
    return tuple(dict.fromkeys(name for spec in specs for name in spec.changed_by(job_id)))
