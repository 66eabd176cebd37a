"""The spec: what a claimed namespace says of its tenant. It outlives the queue and every record.

An annotation of the namespace, JSON, read by earlier and later versions: members that this one does not know are kept.
"""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from contracts.requests import BootstrapRequest, InvalidRequest, validate_request

SPEC_VERSION = 1
MAX_SPEC_BYTES = 64 * 1024


class UnreadableSpec(ValueError):
    """The annotation holds no spec that this version could go on with. `is_later`: a later version can."""

    def __init__(self, reason: str, *, is_later: bool = False) -> None:
        super().__init__(reason)
        self.is_later = is_later


class Wanted(BaseModel):
    """What the last job asked for, resolved, and what later jobs must know of how the tenant came to be."""

    model_config = ConfigDict(extra="allow", frozen=True)

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

    `account_disabled`: the account was enabled. `filled`: a line that keeps the tenant's role valid without members was
    added to the policy. `paused`: the databases that ran, by name, with their UIDs.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    account_disabled: bool = False
    filled: bool = False
    paused: dict[str, str] = {}


class Spec(BaseModel):
    """`applied`: the policy lines that were written for this namespace, or are being written now.

    `generation` grows by one whenever `wanted` changes, and by nothing else.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    version: int = SPEC_VERSION
    generation: int = 1
    wanted: Wanted
    applied: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()  # the jobs whose Secret may hold the account's password, the newest first
    suspension: Suspension | None = None
    bound: bool = False  # the role was found to be nobody else's, and the policy was written

    @classmethod
    def read(cls, text: str) -> Self:
        """Raises UnreadableSpec: of a later version as well, which alone knows what its members mean."""
        try:
            spec = cls.model_validate_json(text)
        except ValidationError as error:
            what = {str(problem["loc"][0]) for problem in error.errors() if problem["loc"]}
            reason = f"{', '.join(sorted(what))} missing or of another type" if what else "it is no JSON object"
            raise UnreadableSpec(reason) from None
        if spec.version > SPEC_VERSION:
            raise UnreadableSpec(
                f"it is of version {spec.version}, and {SPEC_VERSION} is the last one known here", is_later=True
            )
        return spec

    def render(self) -> str:
        return self.model_dump_json(exclude_none=True)

    def with_wanted(self, wanted: Wanted) -> Self:
        """The same where it wants the same. Members of the old one that this version does not know stay."""
        kept = {**(self.wanted.model_extra or {}), **wanted.model_dump()}
        changed = Wanted.model_validate(kept)
        if changed == self.wanted:
            return self
        return self.model_copy(update={"wanted": changed, "generation": self.generation + 1})

    def with_suspension(self, suspension: Suspension, *, suspended: bool) -> Self:
        """Nothing is kept of one that took nothing."""
        wanted = self.with_wanted(self.wanted.model_copy(update={"suspended": suspended}))
        kept = None if suspension == Suspension() else suspension
        return wanted.model_copy(update={"suspension": kept})

    def with_credentials(self, job_ids: tuple[str, ...]) -> Self:
        return self.model_copy(update={"credentials": job_ids})

    def with_applied(self, lines: tuple[str, ...]) -> Self:
        return self.model_copy(update={"applied": lines, "bound": True})


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
