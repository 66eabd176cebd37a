"""What a suspension is about, as the cluster has it: the tenant's claims, its lines in the policy, its account."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from handlers.rbac.look import read_policy
from handlers.rbac.policy import Rule, join_lines, parse_lines, parse_rules, read_suspended, render_rule
from handlers.rbac.stored_policy import StoredPolicy
from handlers.tenants.access import Lines, role_of
from handlers.tenants.accounts import Account, find_account
from handlers.tenants.claims import Claims
from handlers.tenants.existing import AnyTenantRequest, find_specs, find_tenant, may_touch_account
from handlers.tenants.spec import Spec
from handlers.tools.kubectl import at_once
from handlers.workflow import Context


@dataclass(frozen=True)
class Tenant:
    """`specs` by namespace. `unseen`: why the policy could not be looked at.

    `spares_account`: it was there before, and the caller has but what it made itself.
    """

    claims: Claims
    specs: dict[str, Spec]
    stored: StoredPolicy
    unseen: str
    account: Account | None
    spares_account: bool

    @property
    def username(self) -> str:
        return self.claims.username

    @property
    def is_open(self) -> bool:
        """Whether somebody can log in with its account."""
        return self.account is not None and self.account.is_enabled

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """What this service wrote for it, each rule once."""
        lines = (line for spec in self.specs.values() for line in spec.applied)
        return tuple({rule.key: rule for rule in parse_lines(lines)}.values())

    @property
    def text(self) -> str:
        return join_lines(rule.shown for rule in self.rules)

    @property
    def filler(self) -> str:
        """Keeps the role valid where its rights stay without a member."""
        role = role_of(self.username)
        return render_rule("g", role, role) + "\n"

    @cached_property
    def active(self) -> Lines:
        """Those of its lines that are in force."""
        return self._standing(self.stored.rules)

    @cached_property
    def suspended(self) -> Lines:
        """Those that are comments of this service."""
        return self._standing(read_suspended(self.stored.text))

    @property
    def foreign(self) -> Lines:
        """What others gave to its name or role."""
        ours = {rule.key for rule in (*self.rules, *parse_rules(self.filler))}
        about = self.stored.find_rules({self.username, role_of(self.username)})
        return tuple(rule.shown for rule in about if rule.key not in ours)

    def _standing(self, rules: Iterable[Rule]) -> Lines:
        keys = {rule.key for rule in rules}
        return tuple(rule.shown for rule in self.rules if rule.key in keys)


async def look_at_tenant(context: Context[AnyTenantRequest]) -> Tenant:
    """Raises StepFailed."""
    username = context.request.username
    async with at_once() as looks:
        claims_look = looks.create_task(find_tenant(context))
        policy_look = looks.create_task(read_policy(context.kubectl))
        account_look = looks.create_task(find_account(context.kubectl, username))
    claims, (stored, unseen) = claims_look.result(), policy_look.result()
    specs = await find_specs(context, claims)
    account, spares = account_look.result(), not await may_touch_account(context, claims)
    return Tenant(claims, specs, stored, unseen, account, spares)
