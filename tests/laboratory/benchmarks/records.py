"""Records as handlers write them: of the size and shape that a real job has."""

import uuid
from dataclasses import replace

from contracts.kinds import read_request
from contracts.records import (
    CommandRecord,
    CredentialsSecret,
    JobRecord,
    Outcome,
    StepRecord,
    queued_record,
)
from contracts.requests import BootstrapRequest, request_hash
from handlers.bootstrap.quota import render_manifest
from tests.support.gateways import LATER, NOW

_BODY = b'{"username":"alice","operators":{"postgresql":true}}'
_LOOK = "kubectl get namespace alice -o json --ignore-not-found"
_CREATE = "everestctl accounts create -u alice -p ********"
_ADD = (
    "everestctl namespaces add alice --operator.mongodb=false --operator.postgresql=true "
    "--operator.xtradb-cluster=false --take-ownership"
)
_APPLY = "kubectl apply -n alice -f -"
_BIND = "everest-rbac-import --file /var/tmp/everest-bootstrap-x/policy.csv"


def running_record() -> JobRecord:
    """In its second step."""
    request = read_request("bootstrap", _BODY)
    assert isinstance(request, BootstrapRequest)
    record = queued_record(
        str(uuid.uuid4()),
        "bootstrap",
        "admin",
        request_hash("bootstrap", request),
        NOW,
        NOW,
        request={"username": "alice", "operators": {"postgresql": True}},
        request_id=uuid.uuid4().hex,
    )
    record = record.claimed(str(uuid.uuid4()), NOW).with_inputs(request.model_dump(), simulated=False)
    record = record.started("create_account", NOW).finished(_step("create_account", Outcome.CREATED, _CREATE), LATER)
    record = record.with_credentials(CredentialsSecret("everest-system", f"bootstrap-{record.job_id}"))
    return replace(record.started("add_namespace", LATER), write=str(uuid.uuid4()))


def finished_record() -> JobRecord:
    record = running_record()
    assert record.inputs is not None
    request = read_request("bootstrap", _BODY)
    assert isinstance(request, BootstrapRequest)
    quota = replace(
        _step("apply_resource_quota", Outcome.APPLIED, _APPLY),
        stdout="resourcequota/user-quota created\nlimitrange/user-limits created\n",
        manifest_preview=render_manifest(request.resources, 25, 12.5),
    )
    access = replace(
        _step("apply_rbac_policy", Outcome.APPLIED, _BIND),
        stdout="rbac_enforced=true\n",
        rbac_applied=True,
        rbac_enforced=True,
    )
    for step in (_step("add_namespace", Outcome.CREATED, _ADD), quota, access):
        record = record.started(step.name, LATER).finished(step, LATER)
    summary = "User alice and namespace alice created; quota applied; role bound."
    return replace(record.succeeded(summary, LATER), write=str(uuid.uuid4()))


def _step(name: str, outcome: Outcome, command: str) -> StepRecord:
    commands = (CommandRecord(_LOOK, 0), CommandRecord(command, 0), CommandRecord(_LOOK, 0))
    return StepRecord(name, NOW, LATER, outcome, command, 0, commands=commands)
