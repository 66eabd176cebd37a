"""Who does not get the namespace gets no account either: what a job made for one is taken away again."""

import asyncio
import base64
import uuid
from typing import Any

import pytest

from contracts.names import credentials_secret_name
from contracts.records import Outcome
from handlers.tenants.claims import JOB, OWNER
from tests.simulator import SimulatedEverest
from tests.support.tenants import read_accounts
from tests.support.workflows import Bench, Intercept, die

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def claim(everest: SimulatedEverest, name: str, owner: str) -> None:
    """As another job does."""
    metadata = {"name": name, "labels": {"name": name}, "annotations": {OWNER: owner, JOB: "another-job"}}
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    await everest.create(manifest)


async def list_users(everest: SimulatedEverest) -> list[str]:
    return list(await read_accounts(everest))


async def test_of_two_tenants_who_want_one_namespace_one_gets_it(everest: SimulatedEverest, bench: Bench) -> None:
    """Both have looked before either has claimed."""
    both = await asyncio.gather(
        *(bench.attempt(f"both-{name}", username=f"both_{name}", namespace="both") for name in ("a", "b", "c"))
    )
    assert sorted(made.code or "" for made in both) == ["", *["namespace_owned_by_another"] * 2]
    (winner,) = (made for made in both if made.failure is None)
    assert winner.outcomes[:2] == [Outcome.CREATED, Outcome.CREATED]
    users = await list_users(everest)
    losers = [made for made in both if made.failure is not None]
    assert len([user for user in users if user.startswith("both_")]) == 1, "the losers' accounts are taken away"
    for loser in losers:
        assert loser.end.undone in ((), ("create_account",))
    secrets = await everest.get("secret", "-n", "everest-system")
    kept = [one for one in secrets["items"] if one["metadata"]["name"].startswith("bootstrap-")]
    made_for = [base64.b64decode(one["data"]["username"]).decode() for one in kept]
    assert len([user for user in made_for if user.startswith("both_")]) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (die("accounts create", after=True), None),  # before its step is saved
        (die("kubectl create", after=False, times=2), None),  # before the claim
        (die("kubectl create", after=False, times=2), die("kubectl replace", after=True)),
        (die("kubectl create", after=False, times=2), die("kubectl delete secret", after=True)),
    ],
)
async def test_a_loser_that_dies_leaves_no_account_and_no_word_of_one(
    everest: SimulatedEverest, bench: Bench, first: Intercept, second: Intercept | None
) -> None:
    """Wherever it died, the next attempt takes back what the job had made, and the record says so."""
    job_id = str(uuid.uuid4())
    name = f"late_{job_id[:8]}"
    request: dict[str, Any] = {"username": name, "namespace": name.replace("_", "-")}
    made = await bench.attempt(job_id, **request, intercept=first)
    assert name in await list_users(everest)
    await claim(everest, request["namespace"], "first_one")
    if second is not None:
        await bench.attempt(job_id, **request, done=made, intercept=second)
    refused = await bench.attempt(job_id, **request, done=made)
    assert (refused.failed_step, refused.code) == ("add_namespace", "namespace_owned_by_another")
    assert refused.end.undone == ("create_account",)
    assert name not in await list_users(everest)
    secrets = await everest.get("secret", "-n", "everest-system")
    assert credentials_secret_name(job_id) not in [one["metadata"]["name"] for one in secrets["items"]]


async def test_who_is_denied_a_namespace_by_the_cluster_gets_no_account_either(
    everest: SimulatedEverest, bench: Bench
) -> None:
    """By the act, not by a look before it. The corrected request makes the account that is the tenant's."""
    denial = {"resource": "namespaces", "verb": "create", "name": "jutta", "policy": "names", "message": "not so"}
    await everest.set_faults(denials=[denial])
    refused = await bench.attempt("denied-1", username="jutta")
    assert (refused.failed_step, refused.code) == ("add_namespace", "forbidden")
    assert (refused.end.undone, refused.end.changed) == (("create_account",), ())
    assert "jutta" not in await list_users(everest)
    secrets = await everest.get("secret", "-n", "everest-system")
    assert credentials_secret_name("denied-1") not in [one["metadata"]["name"] for one in secrets["items"]]
    made = await bench.attempt("denied-2", only="create_account", username="jutta", namespace="team-jutta")
    assert made.outcomes == [Outcome.CREATED]
