"""A failed job that a person retries later: what it had made sure of may be otherwise by then."""

import json
from typing import Any

import pytest

from handlers.tenants.claims import SPEC
from tests.simulator import SimulatedEverest
from tests.support.arrangement import have_tenant
from tests.support.workflows import Attempt, Bench, die

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def do(everest: SimulatedEverest, *argv: str) -> None:
    code, _, stderr = await everest.run(*argv)
    assert code == 0, stderr


async def read_quota(everest: SimulatedEverest, namespace: str) -> Any:
    return (await everest.get("resourcequota", "user-quota", "-n", namespace))["spec"]


async def fail_before_quota(bench: Bench, job_id: str, **request: Any) -> Attempt:
    made = await bench.attempt(job_id, **request, intercept=die("kubectl apply", after=False))
    assert list(made.results) == ["create_account", "add_namespace"]
    return made


async def retry(bench: Bench, job_id: str, made: Attempt, **request: Any) -> Attempt:
    again = await bench.attempt(job_id, **request, done=made, run_number=2)
    assert not any("apply" in line or "import" in line for line in again.ran)
    return again


async def test_a_namespace_that_is_anothers_by_now_is_left_alone(everest: SimulatedEverest, bench: Bench) -> None:
    """Somebody deleted it, and the next tenant has it: its quota is not the old job's to set."""
    request: dict[str, Any] = {"username": "former", "namespace": "shared", "resources": {"cpu_cores": 0.1}}
    made = await fail_before_quota(bench, "former-1", **request)
    await do(everest, "kubectl", "delete", "namespace", "shared")
    await have_tenant(everest, bench, "latter-1", username="latter", namespace="shared")
    before = await read_quota(everest, "shared")
    again = await retry(bench, "former-1", made, **request)
    assert (again.failed_step, again.code) == ("apply_resource_quota", "namespace_owned_by_another")
    assert await read_quota(everest, "shared") == before


async def test_a_tenant_that_was_suspended_or_given_to_another_is_left_alone(
    everest: SimulatedEverest, bench: Bench
) -> None:
    portal = bench.called_by("portal")
    made = await fail_before_quota(portal, "portal.moved", username="moved")
    spec = json.loads((await everest.get("ns", "moved"))["metadata"]["annotations"][SPEC])
    for change, code in (
        ({"managed_by": "billing"}, "tenant_managed_by_another"),
        ({"suspended": True}, "tenant_suspended"),
    ):
        text = json.dumps(spec | {"wanted": spec["wanted"] | change})
        await do(everest, "kubectl", "annotate", "namespace", "moved", f"{SPEC}={text}", "--overwrite")
        again = await retry(portal, "portal.moved", made, username="moved")
        assert (again.failed_step, again.code) == ("apply_resource_quota", code)


async def test_what_was_declared_since_is_not_overwritten(everest: SimulatedEverest, bench: Bench) -> None:
    """The generation that the caller had seen is not the last one any more."""
    await have_tenant(everest, bench, "declared-1", username="declared")
    request: dict[str, Any] = {"username": "declared", "resources": {"cpu_cores": 3}, "if_generation": 1}
    made = await fail_before_quota(bench, "declared-2", **request)
    await bench.onboard("declared-3", username="declared", resources={"cpu_cores": 5})
    before = await read_quota(everest, "declared")
    again = await retry(bench, "declared-2", made, **request)
    assert (again.failed_step, again.code) == ("apply_resource_quota", "generation_conflict")
    assert await read_quota(everest, "declared") == before
    repeated = await bench.attempt("declared-4", username="declared", done=None, run_number=2)
    assert repeated.failure is None, "what nobody has changed is nobody's hindrance"
