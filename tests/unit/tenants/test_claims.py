"""What a claim that cannot be read says, and what it tells a person to do."""

import pytest

from handlers.results import StepFailed
from handlers.tenants.claims import JOB, OWNER, SPEC, Namespace


@pytest.mark.parametrize(
    ("text", "reason", "hint"),
    [
        ('{"a"', "it is no JSON object", f"kubectl annotate namespace alice {SPEC}-"),
        ("[]", "it is no JSON object", f"kubectl annotate namespace alice {SPEC}-"),
        ('{"version": 1, "applied": 5}', "applied, wanted missing or of another type", "Mend it"),
        ('{"version": 2, "wanted": {"role": "x", "subjects": [], "managed_by": "y"}}', "of version 2", "Use a handler"),
    ],
)
def test_a_spec_that_cannot_be_read_says_why_and_what_to_do(text: str, reason: str, hint: str) -> None:
    annotations = {OWNER: "alice", JOB: "job", SPEC: text}
    found = Namespace.of({"metadata": {"name": "alice", "resourceVersion": "1", "annotations": annotations}})
    with pytest.raises(StepFailed) as failed:
        found.read_spec()
    assert reason in failed.value.failure.message
    assert hint in failed.value.failure.hint
