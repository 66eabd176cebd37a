"""Records as handlers write them: of the size and shape that a real job has.

`python -m tests.laboratory.benchmarks.records` prints how fast they are read, against a plain pydantic model of the
same shape.
"""

import timeit
import typing
import uuid
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass, replace
from functools import partial
from typing import Any, Union

from pydantic import BaseModel, create_model

from contracts.kinds import read_request
from contracts.records import (
    CommandRecord,
    CredentialsSecret,
    JobRecord,
    Outcome,
    StepRecord,
    decode_record,
    encode_record,
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
    record = JobRecord(
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


def plain_model(shape: Any) -> Any:
    """A pydantic model with the members of a dataclass, and of those in it."""
    hints = typing.get_type_hints(shape)
    members = {
        part.name: (_plain_hint(hints[part.name]), ... if part.default is MISSING else part.default)
        for part in fields(shape)
    }
    return create_model(shape.__name__, **members)  # type: ignore[call-overload]  # the members are not known here


def _plain_hint(hint: Any) -> Any:
    if is_dataclass(hint):
        return plain_model(hint)
    parts = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        return tuple.__class_getitem__(tuple(map(_plain_hint, parts)))
    return Union[tuple(map(_plain_hint, parts))] if parts and type(None) in parts else hint  # noqa: UP007 - not literal


def _microseconds(read: Callable[[], object]) -> float:
    return min(timeit.repeat(read, number=1000, repeat=9)) * 1000


if __name__ == "__main__":
    plain: type[BaseModel] = plain_model(JobRecord)
    for record in (running_record(), finished_record()):
        body = encode_record(record)
        ours, theirs = (_microseconds(partial(read, body)) for read in (decode_record, plain.model_validate_json))
        print(f"{len(body):,} bytes: {ours:.1f} µs, plain model {theirs:.1f} µs: {theirs / ours:.2f} of its speed")
