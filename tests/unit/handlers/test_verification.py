"""What verify_tenant concludes from what the cluster says: each doubt, and what it says of the tenant."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from contracts.records import JobRecord, Outcome, Status
from contracts.requests import BootstrapRequest, Operators
from handlers.bootstrap.verification import ENGINES, verify_tenant
from handlers.commands.running import Command, Completed
from handlers.results import StepFailed, StepResult
from handlers.settings import HandlerSettings
from handlers.tools.versions import ClusterFacts
from handlers.workflow import Context

LARGE = {"requests.cpu": "4", "requests.memory": "8Gi", "requests.storage": "100Gi", "limits.memory": "8Gi"}
FORBIDDEN = (
    'Error from server (Forbidden): User "h" cannot list resource "databaseengines" in API group "e" in the ns\n'
)


def engine(state: str = "installed", versions: Any = None) -> dict[str, Any]:
    offered = {"engine": {"16.4": {"status": "recommended"}}} if versions is None else versions
    metadata, spec = {"name": "percona-postgresql-operator"}, {"type": "postgresql"}
    return {"metadata": metadata, "spec": spec, "status": {"status": state, "availableVersions": offered}}


@dataclass(slots=True)
class Cluster:
    """What the commands of the step are told."""

    engines: list[list[dict[str, Any]]] = field(default_factory=lambda: [[engine()]])  # one look after the other
    hard: dict[str, str] | None = field(default_factory=lambda: dict(LARGE))
    enabled: str = "true"
    can: Callable[[str, str, str], bool] = lambda subject, action, place: (subject, place) == ("alice", "alice/any")
    client: str = "v1.16.2"
    engine_error: str = ""
    users: str = "alice:\n  enabled: true\n"
    looks: int = 0
    asked: list[tuple[str, ...]] = field(default_factory=list)

    async def run(self, command: Command) -> Completed:
        code, stdout, stderr = self._answer(tuple(map(str, command.argv)))
        return Completed(command.shown, code, stdout.encode(), stderr.encode(), False, False, "", "", 0.1)

    def _answer(self, argv: tuple[str, ...]) -> tuple[int, str, str]:
        self.asked.append(argv)
        match argv:
            case ("everestctl", "version"):
                return 0, f"Version: {self.client}\nServerVersion: v1.16.1\n", ""
            case ("everestctl", "settings", "rbac", "can", subject, action, _, place):
                return 0, "Yes\n" if self.can(subject, action, place) else "No\n", ""
            case ("kubectl", "get", kind, *_) if kind == ENGINES:
                if self.engine_error:
                    return 1, "", self.engine_error
                self.looks += 1
                return 0, json.dumps({"items": self.engines[min(self.looks, len(self.engines)) - 1]}), ""
            case ("kubectl", "get", "resourcequota", *_):
                return 0, "" if self.hard is None else json.dumps({"spec": {"hard": self.hard}}), ""
            case ("kubectl", "get", "secret", "everest-accounts", *_):
                users = base64.b64encode(self.users.encode()).decode()
                return 0, json.dumps({"data": {"users.yaml": users}}), ""
            case ("kubectl", "get", "configmap", *_):
                return 0, json.dumps({"data": {"enabled": self.enabled, "policy.csv": ""}}), ""
        raise AssertionError(argv)


async def find_caller(job_id: str) -> None:
    """No record is kept."""


async def verify(
    cluster: Cluster, *wanted: str, wait: float = 0, require: bool = False, role: str = "developer"
) -> StepResult:
    operators = Operators(**dict.fromkeys(wanted, True)) if wanted else Operators()
    request = BootstrapRequest(username="alice", namespace="alice", operators=operators, role=role)
    settings = HandlerSettings(everest_ready_timeout=wait, everest_require_usable=require)
    record = JobRecord("job-1", "bootstrap", "tests", "", "", "", Status.RUNNING)
    return await verify_tenant(Context(record, request, cluster.run, settings, ClusterFacts(), find_caller))


async def test_a_good_tenant_is_proved() -> None:
    """Every right on databases that the role gives, and twice no for who has none."""
    cluster = Cluster()
    result = await verify(cluster, "postgresql")
    assert (result.outcome, result.usable, result.warnings) == (Outcome.VERIFIED, True, ())
    asked = [argv[4:] for argv in cluster.asked if argv[:4] == ("everestctl", "settings", "rbac", "can")]
    actions = ("create", "delete", "read", "update")
    assert asked[:4] == [("alice", action, "database-clusters", "alice/any") for action in actions]
    assert asked[4:] == [
        ("everest-bootstrap-stranger", "read", "database-clusters", "alice/any"),
        ("role:alice", "read", "database-clusters", "everest-bootstrap-stranger/any"),
    ]


async def test_a_role_that_only_reads_is_proved_by_reading() -> None:
    cluster = Cluster(can=lambda subject, action, place: (subject, action, place) == ("alice", "read", "alice/any"))
    result = await verify(cluster, "postgresql", role="viewer")
    assert (result.outcome, result.usable, result.warnings) == (Outcome.VERIFIED, True, ())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"engines": [[]]}, "The engine postgresql is not there"),
        ({"engines": [[engine("installing", {})]]}, "The engine percona-postgresql-operator is installing"),
        ({"engines": [[engine(versions={})]]}, "offers no version, so no postgresql database can be created"),
        ({"engines": [[engine(versions={"backup": {"2.0": {}}})]]}, "https://check.percona.com"),
        ({"hard": None}, "ResourceQuota user-quota is gone"),
        ({"hard": LARGE | {"requests.storage": "20Gi"}}, "below Everest's smallest preset"),
        ({"can": lambda *_: False}, "alice may not create databases in namespace alice"),
        ({"users": "{}"}, "Account alice is gone"),
        ({"users": "alice:\n  enabled: false\n"}, "Account alice is disabled, and not by a suspension of this service"),
    ],
)
async def test_what_is_missing_is_named_and_fails_only_where_the_proof_is_required(
    changes: dict[str, Any], words: str
) -> None:
    result = await verify(Cluster(**changes), "postgresql")
    assert (result.outcome, result.usable) == (Outcome.UNVERIFIED, False)
    assert any(words in warning for warning in result.warnings), result.warnings
    with pytest.raises(StepFailed) as failed:
        await verify(Cluster(**changes), "postgresql", require=True)
    assert (failed.value.failure.code, failed.value.failure.retryable) == ("not_usable", True)
    assert words in failed.value.failure.message


@pytest.mark.parametrize(
    ("changes", "wanted", "warnings"),
    [
        ({}, (), ()),  # add_namespace has said that no operators were asked for
        ({"enabled": "false"}, ("postgresql",), ("Everest enforces no RBAC",)),
        ({"engine_error": FORBIDDEN}, ("postgresql",), ("Whether the tenant can be used could not be seen",)),
    ],
)
async def test_where_nothing_is_to_prove_or_to_be_seen_nothing_is_said_of_the_tenant(
    changes: dict[str, Any], wanted: tuple[str, ...], warnings: tuple[str, ...]
) -> None:
    result = await verify(Cluster(**changes), *wanted, wait=60)
    assert (result.outcome, result.usable) == (Outcome.UNVERIFIED, None)
    assert len(result.warnings) == len(warnings)
    assert all(said.startswith(words) for said, words in zip(result.warnings, warnings, strict=True))


async def test_engines_are_waited_for() -> None:
    """Their operators report a while after they are installed."""
    cluster = Cluster(engines=[[], [engine("installing", {})], [engine()]])
    assert (await verify(cluster, "postgresql", wait=60)).usable is True
    assert cluster.looks == 3


async def test_rights_that_reach_too_far_are_a_warning() -> None:
    """They keep the tenant from nothing."""
    result = await verify(Cluster(can=lambda *_: True), "postgresql")
    assert (result.outcome, result.usable, len(result.warnings)) == (Outcome.UNVERIFIED, True, 2)


async def test_the_version_of_the_handler_that_ends_the_job_is_told() -> None:
    result = await verify(Cluster(client="v1.15.2"), "postgresql")
    assert result.warnings == ("everestctl is v1.15.2 and Everest is v1.16.1: use the same minor version.",)
    assert (result.outcome, result.usable) == (Outcome.VERIFIED, True)
