"""The kinds: one row each, and that everything which names one follows the row."""

import pytest

from contracts import names
from contracts.kinds import KINDS, QUERY_RETENTION_SECONDS, Kind, read_request, resolve
from contracts.requests import BootstrapRequest

LEAST = {
    "accounts-list": b"{}",
    "namespaces-list": b"{}",
    "handover": b'{"username":"alice","caller":"billing"}',
    "plan": b'{"kind":"bootstrap","request":{"username":"alice"}}',
}


def test_the_names_on_the_wire_follow_the_rows() -> None:
    assert {*names.JOB_KINDS, *names.QUERY_KINDS} == set(KINDS)
    for kind in KINDS.values():
        assert names.job_subject(kind.name, "a.b") == f"{kind.subject}.a.b"
        assert names.read_subject(f"{kind.subject}.a.b") == names.Address(kind.name, "a.b")
        assert names.is_query(kind.name) is kind.is_query
        assert kind.retention_seconds == (QUERY_RETENTION_SECONDS if kind.is_query else None)


@pytest.mark.parametrize("row", KINDS.values(), ids=list(KINDS))
def test_a_row_reads_its_own_request_and_knows_its_tenant(row: Kind) -> None:
    """At most one job works for a tenant at a time; queries work for nobody."""
    request = read_request(row.name, LEAST.get(row.name, b'{"username":"alice"}'))
    assert isinstance(request, row.request)
    assert row.tenant_of(request) == (None if row.is_query else "alice")


def test_a_request_is_resolved_as_far_as_it_is_known() -> None:
    """What an old record kept is shown with defaults; what nobody here can read, as it is."""
    assert resolve("bootstrap", {"username": "alice"}) == BootstrapRequest(username="alice").model_dump()
    assert resolve("bootstrap", {"from_tomorrow": 1}) == {"from_tomorrow": 1}
    assert resolve("from_tomorrow", {"username": "alice"}) == {"username": "alice"}
    assert resolve("bootstrap", None) == {}


def test_a_tenants_key_is_one_token_and_its_own() -> None:
    """A dot would make two tokens of it."""
    tenants = ["team.payments", "team-payments", "team_payments", "Team.payments", "t.e.a.m"]
    keys = [names.tenant_key(tenant) for tenant in tenants]
    assert len(set(keys)) == len(tenants)
    assert not any("." in key for key in keys)
    assert names.tenant_key("alice") == "alice"
