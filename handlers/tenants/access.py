"""Whose policy lines are whose: what a job adds, what it takes away, and which role is somebody else's.

What this service wrote is known from the claims, never guessed from names: a line that no claim explains stays.
"""

from collections.abc import Iterable
from typing import NamedTuple

from contracts.codes import Failure
from handlers.rbac.policy import Rule, parse_lines, render_rule
from handlers.rbac.resources import KNOWN_RESOURCES
from handlers.rbac.roles import load_role
from handlers.rbac.stored_policy import StoredPolicy
from handlers.results import StepFailed
from handlers.tenants.claims import Claims, Namespace

FIRST_ROLE = "developer"  # what version 0.1.0 gave to each tenant
_MOST_NAMED = 10  # lines or members in a message

_NOT_YOURS = "Choose another username; an administrator may have this one, with take_ownership."

Lines = tuple[str, ...]


class WantedAccess(NamedTuple):
    """The rights of a tenant in one namespace, and who is to have them. `left_out`: what this Everest does not know."""

    username: str
    rules: tuple[Rule, ...]
    left_out: tuple[Rule, ...] = ()

    @property
    def role(self) -> str:
        return role_of(self.username)

    @property
    def subjects(self) -> Lines:
        return tuple(rule.subject for rule in self.rules if rule.kind == "g")

    def actions_on(self, resource: str) -> Lines:
        return tuple(sorted({rule.fields[2] for rule in self.rules if rule.kind == "p" and rule.fields[1] == resource}))

    @property
    def lines(self) -> Lines:
        return tuple(rule.shown for rule in self.rules)


class AccessDecision(NamedTuple):
    """What is to become of the policy.

    `recorded`: what the claim must hold before anything is written, so that a kill anywhere forgets no line.
    `withdrawn`: what this service wrote for the namespace, what stands in the policy and nothing needs any more.
    `foreign`: what others gave the tenant's role, and what of it they gave to whom.
    `beyond`: what others gave to the tenant's own name, which its account holds as well.
    """

    wanted: WantedAccess
    recorded: Lines
    kept: Lines  # what the claim holds when the policy is as decided
    withdrawn: Lines
    foreign: tuple[Rule, ...]
    beyond: tuple[Rule, ...]

    @property
    def members(self) -> Lines:
        """Those whom others made members of the role."""
        return tuple(rule.subject for rule in self.foreign if rule.kind == "g" and rule.role == self.wanted.role)


def role_of(username: str) -> str:
    return f"role:{username}"


def lines_of(namespace: Namespace, username: str) -> Lines:
    """What this service wrote for the namespace. Claims of version 0.1.0 do not say: it always wrote the same eight."""
    spec = namespace.read_spec()
    return spec.applied if spec else first_lines(username, namespace.name)


def first_lines(username: str, namespace: str) -> Lines:
    role = load_role(FIRST_ROLE, None).render(role_of(username), namespace, KNOWN_RESOURCES)
    return (*(rule.shown for rule in role.rules), render_rule("g", username, role_of(username)))


def decide_access(
    claims: Claims, wanted: WantedAccess, stored: StoredPolicy, *, take_ownership: bool, may_adopt: bool = True
) -> AccessDecision:
    """Raises StepFailed where the role is somebody's.

    Who may not adopt is given no new tenant either whose name alone has rights: its account would hold them, were it
    an administrators' group's.
    """
    own = parse_lines(lines_of(claims.own, claims.username)) if claims.own else ()
    elsewhere = parse_lines(line for other in claims.others for line in lines_of(other, claims.username))
    written = {rule.key for rule in (*own, *elsewhere)}
    about_role = [rule for rule in stored.rules if wanted.role in (rule.subject, rule.fields[1])]
    explained = written | {rule.key for rule in wanted.rules}
    foreign = tuple(rule for rule in about_role if rule.key not in explained)
    is_ours = any(rule.key in written for rule in about_role) or any(map(_is_bound, claims.all))
    if foreign and not is_ours and not (take_ownership and may_adopt):
        raise StepFailed(_explain_taken(wanted.role, foreign, may_adopt), step="apply_rbac_policy")
    beyond = tuple(rule for rule in _find_own(wanted, stored) if rule.key not in explained)
    if beyond and not may_adopt and not claims.all:
        raise StepFailed(_explain_taken(wanted.username, beyond, may_adopt), step="apply_rbac_policy")
    needed = {rule.key for rule in (*wanted.rules, *elsewhere)}
    stored_keys = {rule.key for rule in stored.rules}
    # What stood there before this service wrote it is somebody else's, also where it says the same.
    new = [rule for rule in wanted.rules if rule.key in written or rule.key not in stored_keys]
    recorded = list({rule.key: rule for rule in (*own, *new)}.values())
    obsolete = {rule.key for rule in own} - {rule.key for rule in wanted.rules}
    return AccessDecision(
        wanted,
        recorded=_lines(recorded),
        kept=_lines(rule for rule in recorded if rule.key not in obsolete),
        withdrawn=_lines(rule for rule in own if rule.key in (obsolete - needed) & stored_keys),
        foreign=foreign,
        beyond=beyond,
    )


def find_reaching(wanted: WantedAccess, namespace: str, stored: StoredPolicy) -> tuple[Rule, ...]:
    """The rights of others that name the namespace itself: what was given to them when it was another's."""
    ours = {rule.key for rule in wanted.rules}
    return tuple(
        rule
        for rule in stored.rules
        if rule.kind == "p" and rule.fields[3].partition("/")[0] == namespace
        if rule.key not in ours and rule.subject != wanted.role
    )


def _find_own(wanted: WantedAccess, stored: StoredPolicy) -> Iterable[Rule]:
    """What the policy gives to the tenant's name: Everest knows no difference between accounts, subs and groups."""
    if wanted.username not in wanted.subjects:
        return ()
    return (rule for rule in stored.rules if rule.subject == wanted.username)


def _is_bound(namespace: Namespace) -> bool:
    """Whether an earlier job found the role free, or adopted it: what others add to it since changes nothing."""
    spec = namespace.read_spec()
    return spec is not None and spec.bound


def _explain_taken(name: str, foreign: tuple[Rule, ...], may_adopt: bool) -> Failure:
    reason = f"{name} is somebody's: the policy holds {name_lines(rule.shown for rule in foreign)}."
    return Failure("role_taken", reason, "" if may_adopt else _NOT_YOURS)


def name_lines(lines: Iterable[str]) -> str:
    """Some of them, for a message."""
    shown = [f"`{line}`" for line in lines]
    more = f" and {len(shown) - _MOST_NAMED} more" if len(shown) > _MOST_NAMED else ""
    return ", ".join(shown[:_MOST_NAMED]) + more


def _lines(rules: Iterable[Rule]) -> Lines:
    return tuple(rule.shown for rule in rules)
