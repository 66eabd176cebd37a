"""Answers of queries: what an earlier handler wrote is read as what is promised today."""

from typing import Any

import jsonschema

from contracts.answers import read_tenant
from contracts.schemas import make_schema

NAMESPACE = {
    "name": "alice",
    "owner": "alice",
    "job": "j1",
    "managed": True,
    "terminating": False,
    "release": "deployed",
    "operators": [{"name": "mongodb", "installed": True, "version": "1.19.1"}],
}
OF_FIRST_VERSION: dict[str, Any] = {
    "username": "alice",
    "account": {"user": "alice", "capabilities": ["login"], "enabled": True},
    "namespace": NAMESPACE,
    "other_namespaces": ["alice-too"],
    "quota": {"hard": {"requests.cpu": "2"}, "used": {}},
    "limit_range": None,
    "rbac": {"enforced": True, "lines": ["g, alice, role:alice"]},
    "last_job": None,
    "differences": [{"what": "limit_range", "message": "There is none.", "mend": "Submit the same request again."}],
}


def test_a_tenant_as_version_0_1_0_told_of_it() -> None:
    """It knew one namespace, and none of what claims say today."""
    tenant = read_tenant(OF_FIRST_VERSION)
    jsonschema.validate({"data": tenant}, make_schema("tenant-answer"))
    (namespace,) = tenant["namespaces"]
    assert (namespace["name"], namespace["generation"], namespace["quota"]) == ("alice", None, tenant["quota"])
    assert [(one["namespace"], one["what"]) for one in namespace["differences"]] == [("alice", "limit_range")]
    gone = read_tenant(OF_FIRST_VERSION | {"namespace": None, "quota": None})
    jsonschema.validate({"data": gone}, make_schema("tenant-answer"))
    assert (gone["namespaces"], gone["differences"][0]["namespace"]) == ([], None)


def test_a_tenant_of_today_stays_as_it_is() -> None:
    today = dict(read_tenant(OF_FIRST_VERSION), suspended=False)
    assert read_tenant(today) == today
