"""Who manages a tenant: the caller whose job claimed its first namespace. A publisher changes its own tenants alone."""

from collections.abc import Awaitable, Callable

from contracts.codes import Failure
from contracts.names import ADMIN_CALLER
from handlers.results import StepFailed
from handlers.tenants.claims import Claims

FindCaller = Callable[[str], Awaitable[str | None]]


async def find_manager(claims: Claims, find_caller: FindCaller) -> str | None:
    """None for a tenant without a namespace. `find_caller` gives the caller of a job whose record is still kept.

    Claims of version 0.1.0 name the job alone; where its record is gone the tenant is the administrator's.
    """
    for namespace in claims.all:
        if spec := namespace.read_spec():
            return spec.wanted.managed_by
    if not claims.all:
        return None
    job_id = claims.all[0].job
    return (await find_caller(job_id) if job_id else None) or ADMIN_CALLER


def check_manager(username: str, manager: str | None, caller: str) -> None:
    """Where the caller may change its own tenants alone. Raises StepFailed."""
    if manager not in (None, caller):
        raise StepFailed(
            Failure("tenant_managed_by_another", f"Tenant {username} is managed by {manager}, not {caller}.")
        )


def is_publisher(job_id: str) -> bool:
    """Whether the server proved the caller: a publisher with an account of its own always lands on two tokens."""
    return "." in job_id
