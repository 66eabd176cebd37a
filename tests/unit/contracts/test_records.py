"""The record: its transitions, its encoding, and that it always fits."""

import re
from collections.abc import Callable
from dataclasses import fields, replace

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.codes import CODES, Failure
from contracts.documents import job_document, result_document
from contracts.records import (
    MAX_RECORD_BYTES,
    CommandRecord,
    CredentialsSecret,
    IllegalTransition,
    JobRecord,
    LaterRecord,
    Outcome,
    Status,
    StepRecord,
    UnreadableRecord,
    decode_record,
    encode_record,
    fit,
    without_outputs,
)
from handlers.tools.compatibility import Versions, find_difference


def queued() -> JobRecord:
    return JobRecord("j1", "bootstrap", "nats", "hash", "t0", "t0", request={"username": "alice", "namespace": "alice"})


def ended() -> JobRecord:
    step = StepRecord("create_account", "t1", "t2", Outcome.CREATED, "cmd", 0, commands=(CommandRecord("cmd", 0),))
    record = queued().claimed("o", "t1").started("create_account", "t1").finished(step, "t2", ("a warning",))
    record = record.with_credentials(CredentialsSecret("everest-system", "bootstrap-j1")).started("add_namespace", "t2")
    failure = Failure("namespace_exists", "it is there")
    failed = StepRecord("add_namespace", "t2", "t3", Outcome.FAILED, error=failure)
    return record.failed(failure, "t3", step=failed)


def test_a_record_survives_the_wire() -> None:
    """Nested values come back as what they were."""
    record = ended().reopened("t4", from_start=False)
    assert decode_record(encode_record(record)) == record


def test_members_of_later_versions_are_left_out() -> None:
    """A handler of yesterday reads a record of tomorrow; blanks that keep room are no part of it."""
    body = encode_record(queued()).replace(b'{"job_id"', b'{"from_tomorrow":1,"job_id"') + b" " * 100
    assert decode_record(body) == queued()


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"null", b'{"stream":"EVEREST_JOBS","seq":2}', b"\xff", b'{"status":"?"}']
)
def test_foreign_bytes_are_unreadable(body: bytes) -> None:
    """A PubAck that somebody directed into the bucket is no record."""
    with pytest.raises(UnreadableRecord):
        decode_record(body)


@pytest.mark.parametrize("name", [part.name for part in fields(JobRecord) if part.name not in ("data", "version")])
def test_a_member_of_another_type_is_unreadable(name: str) -> None:
    """A typed value or none: whoever reads it never meets a number where a text is promised."""
    members = orjson.loads(encode_record(ended()))
    with pytest.raises(UnreadableRecord, match=name) as caught:
        decode_record(orjson.dumps({**members, name: [[]]}))
    assert not isinstance(caught.value, LaterRecord)


def test_what_a_later_version_knows_is_shown_as_it_is() -> None:
    """Codes, outcomes and members, also inside of steps; they break no document."""
    members = orjson.loads(encode_record(ended()))
    members["reason"] = members["error"]["code"] = "from_tomorrow"
    members["error"]["hint"] = ""
    members["steps"][0] |= {"outcome": "planned", "diff": ["+1"]}
    members["history"] = [{"attempt": 1, "finished_at": None, "reason": "x", "error": None, "losses": 0, "by": "bob"}]
    record = decode_record(orjson.dumps(members))
    job, result = job_document(record), result_document(record)
    assert (job["reason"], job["steps"][0]["outcome"], result["steps"][0]["outcome"]) == (
        "from_tomorrow",
        "planned",
        "planned",
    )
    assert job["error"] is not None
    assert (job["error"]["code"], job["error"]["retryable"]) == ("from_tomorrow", False)
    assert job["error"]["hint"]
    assert record.has_finished("create_account")
    assert not record.is_later


def test_a_record_of_a_later_version_is_shown_and_never_changed() -> None:
    """Readable, not writable: every transition refuses."""
    for record in (replace(queued(), version=2), replace(queued().claimed("o", "t"), version=2)):
        later = decode_record(encode_record(record))
        assert later.is_later
        assert job_document(later)["status"] == record.status
        with pytest.raises(LaterRecord):
            later.claimed("o", "t", lost=True)
        with pytest.raises(LaterRecord):
            later.failed(Failure("lost", "m"), "t")
        with pytest.raises(LaterRecord):
            later.requeued("t")


def test_what_only_a_later_version_can_read_is_neither_ours_nor_nobodys() -> None:
    """Its bytes must not be taken for rubbish, which may be written over."""
    with pytest.raises(LaterRecord):
        decode_record(orjson.dumps({**orjson.loads(encode_record(queued())), "version": 2, "steps": {}}))


def test_an_end_is_an_end() -> None:
    """Only a person's retry changes a finished record."""
    record = ended()
    changes: tuple[Callable[[], object], ...] = (
        lambda: record.claimed("o", "t"),
        lambda: record.started("s", "t"),
        lambda: record.handed_back("t"),
        lambda: record.failed(Failure("lost", "m"), "t"),
        lambda: record.succeeded("s", "t"),
        lambda: record.requeued("t"),
    )
    for change in changes:
        with pytest.raises(IllegalTransition):
            change()
    assert record.reopened("t", from_start=False).status is Status.QUEUED


def test_a_held_record_is_claimed_only_as_lost() -> None:
    """Taking over says so, and counts."""
    record = queued().claimed("a", "t")
    with pytest.raises(IllegalTransition):
        record.claimed("b", "t")
    assert record.claimed("b", "t", lost=True).losses == 1
    assert record.handed_back("t").claimed("b", "t").losses == 0


def test_attempts_grow_by_real_attempts_only() -> None:
    """A loss, a hand-back and an outage cost no attempt; a failed step and a person's retry do."""
    record = queued().claimed("a", "t").claimed("b", "t", lost=True).handed_back("t").claimed("c", "t")
    assert record.attempt == 1
    step = StepRecord("s", "t", "t", Outcome.FAILED)
    outage = record.delayed(
        step, Failure("cluster_unreachable", "m"), "t", retry_at="t", delay_seconds=5, outage_seconds=7
    )
    assert (outage.attempt, outage.failures, outage.outage_seconds) == (1, 0, 7)
    failed = outage.delayed(step, Failure("conflict", "m"), "t", retry_at="t", delay_seconds=5, outage_seconds=0)
    assert (failed.attempt, failed.failures, failed.outage_seconds) == (2, 1, 0)
    again = failed.failed(Failure("conflict", "m"), "t").reopened("t", from_start=True).claimed("d", "t")
    assert (again.attempt, again.failures, again.losses, again.run) == (3, 0, 0, 2)


def test_a_retry_drops_what_an_earlier_handler_said_of_its_version() -> None:
    """It may be of another version that goes on; other warnings are the job's."""
    said = ("everestctl is v1.10.0 and Everest is v1.16.1: use the same minor version.", "a warning")
    failed = replace(ended(), warnings=said)
    assert failed.reopened("t", from_start=False).warnings == ("a warning",)
    assert find_difference(Versions("v1.10.0", "v1.16.1")) == said[0], "as handlers word it"


def test_retry_keeps_what_succeeded_and_the_history() -> None:
    """`from_start` runs all steps; the past stays readable either way."""
    kept = ended().reopened("t", from_start=False)
    assert [step.name for step in kept.steps] == ["create_account"]
    assert ended().reopened("t", from_start=True).steps == ()
    assert kept.history[0].reason == "namespace_exists"
    assert kept.history[0].steps == (("create_account", "created"), ("add_namespace", "failed"))


@settings(deadline=None)
@given(st.integers(0, 400_000), st.sampled_from(["x", "é", "\n", "😀", "\\"]), st.integers(0, 300))
def test_a_record_always_fits(length: int, letter: str, commands: int) -> None:
    """Whatever the commands said, and however it is escaped."""
    step = StepRecord(
        "s",
        "t",
        "t",
        Outcome.CREATED,
        stdout=letter * length,
        stderr=letter * length,
        commands=tuple(CommandRecord("kubectl get " + letter * 50, 0) for _ in range(commands)),
    )
    record = replace(queued().claimed("o", "t"), steps=(step, replace(step, name="s2")), warnings=(letter * length,))
    assert len(encode_record(fit(record))) <= MAX_RECORD_BYTES
    assert len(encode_record(without_outputs(record))) <= 16 * 1024


@given(st.integers(20_000, 400_000), st.lists(st.integers(0, 200_000), max_size=3))
@settings(deadline=None)
def test_a_cut_says_how_much_is_missing(length: int, limits: list[int]) -> None:
    """However often it was cut, and where the output had been cut before it came to the record."""
    shown = f"{'a' * 5000}\n… 1,000 characters cut …\n{'b' * length}"
    record = replace(queued().claimed("o", "t"), steps=(StepRecord("s", "t", stdout=shown),))
    for limit in limits:
        record = fit(record, limit)
    notes = re.compile(r"\n… ([0-9,]+) characters cut[^\n]*…\n")
    stdout = record.steps[0].stdout
    missing = sum(int(note.replace(",", "")) for note in notes.findall(stdout))
    assert missing + len(notes.sub("", stdout)) == 5000 + 1000 + length


@given(st.sampled_from(["x", "\x01", "ü"]), st.integers(0, 300_000))
@settings(deadline=None)
def test_a_record_fits_whatever_failed_however_often(letter: str, length: int) -> None:
    """The message of a failure is the job's summary too, and each reopened run keeps its own."""
    record = queued()
    for _ in range(3):
        failure = Failure("command_failed", letter * length)
        record = record.claimed("o", "t").failed(failure, "t", step=StepRecord("s", "t", error=failure))
        assert len(encode_record(fit(record))) <= MAX_RECORD_BYTES
        record = record.reopened("t", from_start=False)
        assert len(encode_record(fit(record))) <= MAX_RECORD_BYTES


def test_documents_say_what_the_record_holds() -> None:
    """The polled document and the result, of a failed job."""
    job, result = job_document(ended()), result_document(ended())
    assert job["status"] == result["overall_status"] == "failed"
    assert job["reason"] == "namespace_exists"
    assert job["result_url"] == "/jobs/j1/result"
    assert result["steps"][0]["commands"] == [{"command": "cmd", "exit_code": 0}]
    assert result["steps"][1]["error"]["hint"] == CODES["namespace_exists"].hint
    assert result["credentials_secret"]["read_with"].startswith("kubectl get secret bootstrap-j1 -n everest-system")
    assert "simulated" not in job
