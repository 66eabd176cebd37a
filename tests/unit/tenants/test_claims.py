"""What is read of a claim, what is written into it, and what one that cannot be used tells a person to do."""

import json
from collections.abc import Mapping

import pytest

from contracts.requests import BootstrapRequest, Resources
from handlers.commands.running import Command, Completed
from handlers.results import StepFailed
from handlers.tenants.claims import (
    JOB,
    LABEL,
    OFFBOARDING,
    OWNER,
    SPEC,
    Claims,
    Namespace,
    check_generation,
    to_write_spec,
    to_write_specs,
)
from handlers.tenants.spec import Spec, make_wanted
from handlers.tools.kubectl import Kubectl


@pytest.mark.parametrize(
    ("text", "reason", "hint"),
    [
        ('{"a"', "it is no JSON object", f"kubectl annotate namespace alice {SPEC}-"),
        ("[]", "it is no JSON object", f"kubectl annotate namespace alice {SPEC}-"),
        ('{"version": 1, "applied": 5}', "applied, wanted missing or of another type", "Mend it"),
        ('{"version": 2, "wanted": {"role": "x", "subjects": [], "managed_by": "y"}}', "of version 2", "Use a handler"),
        ('{"version": 2, "wanted": ["of", "another", "type"]}', "of version 2", "Use a handler"),
    ],
)
def test_a_spec_that_cannot_be_read_says_why_and_what_to_do(text: str, reason: str, hint: str) -> None:
    annotations = {OWNER: "alice", JOB: "job", SPEC: text}
    found = Namespace.of({"metadata": {"name": "alice", "resourceVersion": "1", "annotations": annotations}})
    with pytest.raises(StepFailed) as failed:
        found.read_spec()
    assert reason in failed.value.failure.message
    assert hint in failed.value.failure.hint


async def run(command: Command) -> Completed:
    raise AssertionError(f"nothing is run: {command.shown}")


KUBECTL = Kubectl(run, 60)


def claim_of(spec: Spec, **annotations: str) -> Namespace:
    metadata = {
        "name": "alice",
        "resourceVersion": "1",
        "annotations": {OWNER: "alice", JOB: "job-1", SPEC: spec.render(), **annotations},
        "labels": {LABEL: "true"},
    }
    return Namespace.of({"metadata": metadata})


def written_by(command: Command) -> Mapping[str, str | None]:
    annotations: Mapping[str, str | None] = json.loads(command.stdin or b"")["metadata"]["annotations"]
    return annotations


def test_a_tenant_that_is_being_taken_away_stays_so_whoever_writes_its_claim() -> None:
    """A handover, a suspension, a password: only what declares the tenant anew takes the mark off."""
    spec = Spec.first(make_wanted({"role": "x", "subjects": ()}, managed_by="admin"), "job-1")
    leaving = claim_of(spec, **{OFFBOARDING: "job-2"})
    handed = spec.with_wanted(spec.wanted.model_copy(update={"managed_by": "portal"}), "job-3")
    claims = Claims("alice", leaving, ())
    (handover,) = to_write_specs(KUBECTL, claims, {"alice": handed})
    assert written_by(handover)[OFFBOARDING] == "job-2"
    assert to_write_specs(KUBECTL, claims, {"alice": spec}) == ()
    anew = to_write_spec(KUBECTL, leaving, spec)
    assert anew is not None
    assert written_by(anew) == {OFFBOARDING: None, SPEC: spec.render()}
    assert to_write_spec(KUBECTL, claim_of(spec), spec) is None


def asking(cpu_cores: float, if_generation: int) -> BootstrapRequest:
    return BootstrapRequest(
        username="alice",
        namespace="alice",
        role="x",
        resources=Resources(cpu_cores=cpu_cores),
        if_generation=if_generation,
    )


def check(request: BootstrapRequest, job_id: str, spec: Spec) -> str | None:
    try:
        check_generation(Claims("alice", claim_of(spec), ()), request, job_id)
    except StepFailed as failed:
        return failed.failure.code
    return None


def test_a_repeat_goes_on_until_another_has_declared_something_else() -> None:
    """Also of the job that was to make the claim, and did: retried later, it would undo what was declared since."""
    first = asking(3, if_generation=0)
    spec = Spec.first(make_wanted(first.lasting, managed_by="admin"), "job-1")
    assert check(first, "job-1", spec) is None, "its own repeat"
    assert check(first, "job-9", spec) == "generation_conflict", "another's"
    handed = spec.with_wanted(spec.wanted.model_copy(update={"managed_by": "portal"}), "job-2")
    assert check(first, "job-1", handed) is None, "it wants what it wanted"
    since = handed.with_wanted(make_wanted(asking(5, 0).lasting, managed_by="portal"), "job-3")
    assert check(first, "job-1", since) == "generation_conflict"
    assert check(asking(5, if_generation=1), "job-3", since) is None, "its own repeat"
