"""The last steps: with the tenant's last namespace goes its account, where this service made it, and its password."""

from dataclasses import replace
from functools import partial

from contracts.records import Outcome
from handlers.decisions import Decision, Left, Would, settle, to_change
from handlers.offboarding.tenancy import OffboardContext, Tenancy, find_tenancy
from handlers.results import StepResult
from handlers.tenants.accounts import is_enabled, remove_account, to_remove_account
from handlers.tenants.existing import is_bound
from handlers.tools.kubectl import Kubectl

_NOT_OURS = "Account {username} was not made by this service and stays"
_CHANGED = "Account {username} was made anew or given another password since this service made it, so it stays"
_DISABLED = (
    ", disabled. Should it log in, resume the tenant first, or set enabled: true in the Secret everest-accounts."
)


async def decide_account(context: OffboardContext) -> Decision:
    """By compare-and-set on the Secret: `everestctl accounts delete` undoes what others do at the same time."""
    request = context.request
    kubectl = context.kubectl
    tenancy = await find_tenancy(context)
    if tenancy.staying:
        return settle(StepResult(Outcome.UNCHANGED, None, _warn_of_others(context, tenancy)))
    takes_any = request.delete_account and request.is_confirmed and not is_bound(context)
    proof = None if takes_any else tenancy.found.account_proof
    command = await to_remove_account(kubectl, request.username, proof)
    if command is not None and (tenancy.found.is_account_ours or takes_any):
        return to_change(Would.REMOVE, partial(_remove, context, proof), (command,))
    stays = await _tell_of_account(kubectl, tenancy)
    decision = settle(StepResult(Outcome.UNCHANGED, None, stays))
    return replace(decision, leaves=Left(Outcome.UNCHANGED)) if stays else decision


async def _tell_of_account(kubectl: Kubectl, tenancy: Tenancy) -> tuple[str, ...]:
    """A suspension disabled it, perhaps, and when the claims are gone no resume enables it again."""
    username = tenancy.claims.username
    enabled = await is_enabled(kubectl, username)
    if enabled is None:
        return ()
    was_ours = tenancy.found.is_account_ours or tenancy.found.is_account_changed
    stays = _CHANGED if was_ours else _NOT_OURS
    return (f"{stays.format(username=username)}{'.' if enabled else _DISABLED}",)


async def _remove(context: OffboardContext, proof: str | None) -> StepResult:
    completed = await remove_account(context.kubectl, context.request.username, proof)
    return StepResult(Outcome.REMOVED if completed else Outcome.UNCHANGED, completed)


def _warn_of_others(context: OffboardContext, tenancy: Tenancy) -> tuple[str, ...]:
    names = ", ".join(namespace.name for namespace in tenancy.staying)
    return (f"Tenant {context.request.username} has other namespaces, so its account stays: {names}.",)


async def decide_credentials(context: OffboardContext) -> Decision:
    """The Secrets of the jobs that made the tenant's passwords; another's are neither read nor deleted."""
    tenancy = await find_tenancy(context)
    keepers = () if tenancy.staying else tenancy.found.keepers
    held = [context.credentials_of(keeper, context.request.username) for keeper in keepers]
    commands = tuple([one.to_drop(kept) for one in held if (kept := await one.find())])

    async def act() -> StepResult:
        done = [await context.kubectl.carry_out(command) for command in commands]
        return StepResult(Outcome.REMOVED, done[-1]) if done else StepResult(Outcome.UNCHANGED)

    return to_change(Would.REMOVE, act, commands)
