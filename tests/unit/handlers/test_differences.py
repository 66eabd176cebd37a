"""What differs of a tenant: a namespace that an offboarding has begun to take away says that, and nothing else."""

from contracts.requests import BootstrapRequest, Resources
from handlers.queries.differences import Seen, compare, compare_account
from handlers.queries.expectations import read_expected
from handlers.settings import HandlerSettings
from handlers.tenants.claims import OFFBOARDING, OWNER, SPEC, Namespace
from handlers.tenants.spec import Spec, make_wanted

REQUEST = BootstrapRequest(username="alice", namespace="alice", role="x", resources=Resources())


def differ_in(**annotations: str) -> list[str]:
    """Of a bare namespace whose lines the policy lacks, and whose account is gone."""
    wanted = make_wanted(REQUEST.model_dump(mode="json"), managed_by="admin")
    spec = Spec.first(wanted, "job-1").with_applied(("g, alice, role:alice",))
    metadata = {
        "name": "alice",
        "resourceVersion": "1",
        "annotations": {OWNER: "alice", SPEC: spec.render(), **annotations},
    }
    claim = Namespace.of({"metadata": metadata})
    expected = read_expected("alice", claim, "alice", {})
    assert expected is not None
    found = [
        *compare_account(None, "alice", [expected]),
        *compare(Seen("alice", claim), expected, None, HandlerSettings()),
    ]
    return [difference.what for difference in found]


def test_what_an_offboarding_has_taken_is_nothing_to_be_repaired() -> None:
    assert differ_in() == ["account", "quota", "limit_range", "rbac"]
    assert differ_in(**{OFFBOARDING: "job-2"}) == ["offboarding"]
