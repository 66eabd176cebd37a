"""What an offboarding is about: the tenant's namespaces, those that go, and what must be known when they are gone."""

from dataclasses import dataclass
from typing import Any, Self

from contracts.codes import Failure
from contracts.requests import OffboardRequest
from handlers.results import StepFailed
from handlers.tenants.access import Lines, lines_of
from handlers.tenants.claims import Claims, Namespace, find_claims
from handlers.tenants.credentials import find_keepers
from handlers.tenants.existing import check_caller, explain_no_tenant, find_own_account, is_bound, was_account_made
from handlers.workflow import Context

CHECK = "check_tenant"

OffboardContext = Context[OffboardRequest]


@dataclass(frozen=True, slots=True)
class Target:
    """A namespace that is to go. `keeps`: it stays, and only what is Everest's and this service's is taken off it."""

    name: str
    uid: str
    keeps: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What check_tenant saw. `keepers`: the jobs whose Secret may hold the account's password.

    `account_proof`: of the account that is ours; None also where an earlier version looked. `is_account_changed`: a job
    of ours made it, and it was made anew since, or given another password. `lines`: what the claims of the targets say
    that was written into the policy.
    """

    targets: tuple[Target, ...]
    is_account_ours: bool
    keepers: tuple[str, ...]
    account_proof: str | None = None
    is_account_changed: bool = False
    lines: Lines = ()

    @property
    def document(self) -> dict[str, Any]:
        """As the record keeps it."""
        namespaces = [{"name": one.name, "uid": one.uid, "keeps": one.keeps} for one in self.targets]
        return {
            "namespaces": namespaces,
            "account_created": self.is_account_ours,
            "account_proof": self.account_proof,
            "account_changed": self.is_account_changed,
            "credentials": list(self.keepers),
            "lines": list(self.lines),
        }

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        targets = tuple(Target(one["name"], one["uid"], one["keeps"]) for one in document["namespaces"])
        return cls(
            targets,
            document["account_created"],
            tuple(document["credentials"]),
            document.get("account_proof"),
            document.get("account_changed", False),
            tuple(document.get("lines", ())),
        )


@dataclass(frozen=True, slots=True)
class Tenancy:
    """The claims that are there now."""

    claims: Claims
    found: Found

    @property
    def leaving(self) -> tuple[Namespace, ...]:
        """The targets that are still there and the tenant's."""
        marks = {(target.name, target.uid) for target in self.found.targets}
        return tuple(claim for claim in self.claims.all if (claim.name, claim.uid) in marks)

    @property
    def staying(self) -> tuple[Namespace, ...]:
        """The tenant's other namespaces."""
        leaving = self.leaving
        return tuple(claim for claim in self.claims.all if claim not in leaving)


async def find_tenancy(context: OffboardContext) -> Tenancy:
    """After check_tenant by what it saw, for namespaces may be gone by now. Raises StepFailed."""
    claims = await find_all_claims(context)
    if context.job.is_taken_up_again:  # long after its first step, which is not run again
        await check_caller(context, claims)
    checked = context.job.step(CHECK)
    if checked is not None and checked.found is not None:
        return Tenancy(claims, Found.read(checked.found))
    return Tenancy(claims, await find_out(context, claims))


async def find_all_claims(context: OffboardContext) -> Claims:
    request = context.request
    return await find_claims(context.kubectl, request.username, request.namespace or request.username)


async def find_out(context: OffboardContext, claims: Claims) -> Found:
    """Raises StepFailed where there is nothing of the tenant."""
    request = context.request
    takes_adopted = request.is_confirmed and not is_bound(context)
    chosen = _choose(request, claims)
    targets = tuple(
        Target(one.name, one.uid, request.keep_namespace or (_is_adopted(one) and not takes_adopted)) for one in chosen
    )
    lines = tuple(dict.fromkeys(line for claim in chosen for line in lines_of(claim, request.username)))
    proof = await find_own_account(context, claims)
    is_changed = proof is None and was_account_made(claims) is True
    return Found(targets, proof is not None, tuple(find_keepers(claims)), proof, is_changed, lines)


def _choose(request: OffboardRequest, claims: Claims) -> tuple[Namespace, ...]:
    """Raises StepFailed: nothing goes that is not the tenant's."""
    if request.namespace is None and claims.all:
        return claims.all
    if claims.own is not None and request.namespace is not None:
        return (claims.own,)
    asked = claims.namespace if request.namespace else None
    if asked is not None and asked.owner is not None:
        reason = f"Namespace {asked.name} belongs to {asked.owner}."
        raise StepFailed(Failure("namespace_owned_by_another", reason, "Nobody takes another tenant's namespace away."))
    raise StepFailed(explain_no_tenant(request.username, request.namespace))


def _is_adopted(namespace: Namespace) -> bool:
    """Claims of version 0.1.0 cannot tell, so they count as adopted."""
    spec = namespace.read_spec()
    return spec is None or spec.wanted.adopted
