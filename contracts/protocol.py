"""The protocol as one table: what is written and what is answered, for each state of a record and each event.

What a delivery, a cancel or a retry meets is looked up here. All other rows say what the owner of a job and the
reconciler write; a test drives the real handler through crashes, silences and redeliveries at every await, and finds
each row and no other. A pair that is not in the table cannot happen, or is a fault of ours.
"""

from enum import StrEnum
from typing import NamedTuple

from contracts.records import JobRecord, Status

# A record that is held but silent for this many leases, and has no message, has lost its message.
SILENT_LEASES = 2
MAX_LOSSES = 20
# The lease counts as lost this part of a lease before its end, and is renewed each quarter of one.
MARGIN_PART = 1 / 6
RENEWAL_PART = 1 / 4
# Redelivery comes half a lease after the last sign of life on the message.
ACK_WAIT_PART = 1 / 2


class State(StrEnum):
    """What the bucket holds for a job."""

    ABSENT = "absent"
    QUEUED = "queued"
    HELD = "held"  # running, with an owner
    HANDED_BACK = "handed back"  # running, owner null
    FINISHED = "finished"  # succeeded or failed


class Event(StrEnum):
    """What happens to it."""

    # At a delivery.
    UNREADABLE = "a delivery whose body is no valid request"
    DELIVERY = "a delivery"
    SILENT = "its revision stood still for a full lease while a delivery watched it"
    LOSSES_SPENT = "the same, after MAX_LOSSES losses"
    TENANT_BUSY = "a delivery while another live job holds the tenant"
    # At the owner.
    STEP = "a step begins or ends well, or the lease is renewed"
    STEP_FAILED = "a step fails and may be tried again"
    STEP_REJECTED = "a step fails for good, or its budget is spent"
    STEPS_DONE = "the last step ends well"
    CANCEL_SEEN = "the owner finds a cancel between steps"
    STOPPED = "the handler is asked to stop"
    # From persons and the reconciler.
    BATCH = "a batch that it is of is accepted"
    CANCEL = "a person cancels"
    RETRY = "a person retries"
    MESSAGE_MISSING = "silent for SILENT_LEASES leases, and the stream holds no message"


class Write(StrEnum):
    """The change of the record, always by compare-and-set."""

    NOTHING = "-"
    CLAIM = "running, a new owner"
    TAKE_OVER = "running, a new owner, losses + 1"
    QUEUE = "queued, with the request; all records of a batch or none"
    WAIT = "queued, with the reason"
    CHECKPOINT = "the step"
    DELAY = "the failed step, retry_at, reason"
    SUCCEED = "succeeded"
    FAIL = "failed, with the code"
    HAND_BACK = "owner null"
    REOPEN = "queued, the history kept"
    REQUEUE = "owner null, else as before"
    CANCEL_MARK = "the cancel bucket, not the record"

    def leads_to(self, state: State) -> State:
        """What the bucket holds after this write over a record in `state`."""
        match self:
            case Write.CLAIM | Write.TAKE_OVER | Write.CHECKPOINT | Write.DELAY:
                return State.HELD
            case Write.SUCCEED | Write.FAIL:
                return State.FINISHED
            case Write.QUEUE | Write.WAIT | Write.REOPEN:
                return State.QUEUED
            case Write.HAND_BACK:
                return State.HANDED_BACK
            case Write.REQUEUE:
                return State.QUEUED if state is State.QUEUED else State.HANDED_BACK
            case _:
                return state


class Answer(StrEnum):
    """What the delivery, or the person, is told."""

    GO_ON = "go on"
    WATCH = "in_progress, and watch the record for a full lease"
    ACK = "confirmed ack"
    NAK = "nak at once"
    TERM = "TERM with the reason"
    DEAD_LETTER = "dead letter, then TERM with the reason"
    PUBLISH = "publish the request again"
    ACCEPTED = "202"
    REFUSED = "409"


class Row(NamedTuple):
    write: Write
    answer: Answer
    why: str


def _rows() -> dict[tuple[State, Event], Row]:
    s, e, w, a = State, Event, Write, Answer
    return {
        (s.ABSENT, e.UNREADABLE): Row(w.FAIL, a.TERM, "the id can be read, so the failure has a record"),
        (s.QUEUED, e.UNREADABLE): Row(w.NOTHING, a.DEAD_LETTER, "the id belongs to a readable request"),
        (s.HELD, e.UNREADABLE): Row(w.NOTHING, a.DEAD_LETTER, "the id belongs to a readable request"),
        (s.HANDED_BACK, e.UNREADABLE): Row(w.NOTHING, a.DEAD_LETTER, "the id belongs to a readable request"),
        (s.FINISHED, e.UNREADABLE): Row(w.NOTHING, a.DEAD_LETTER, "a finished id is taken while it is retained"),
        (s.ABSENT, e.DELIVERY): Row(w.CLAIM, a.GO_ON, "the first handler to write owns it"),
        (s.QUEUED, e.DELIVERY): Row(w.CLAIM, a.GO_ON, "reopened, of a batch, or waited for its tenant"),
        (s.HANDED_BACK, e.DELIVERY): Row(w.CLAIM, a.GO_ON, "the owner gave it up: no lease to wait for"),
        (s.HELD, e.DELIVERY): Row(w.NOTHING, a.WATCH, "a delivery says nothing about the owner"),
        (s.FINISHED, e.DELIVERY): Row(w.NOTHING, a.ACK, "a duplicate, or the ack was lost"),
        (s.HELD, e.SILENT): Row(w.TAKE_OVER, a.GO_ON, "measured on the watcher's own clock"),
        (s.HELD, e.LOSSES_SPENT): Row(w.FAIL, a.ACK, "too_many_losses: it kills its handlers"),
        (s.ABSENT, e.TENANT_BUSY): Row(w.WAIT, a.ACK, "it has a place in the line; without room for one, nak later"),
        (s.QUEUED, e.TENANT_BUSY): Row(w.WAIT, a.ACK, "it has a place in the line; without room for one, nak later"),
        (s.HELD, e.STEP): Row(w.CHECKPOINT, a.GO_ON, "a later attempt skips what is finished"),
        (s.HELD, e.STEP_FAILED): Row(w.DELAY, a.GO_ON, "the delay is slept with the lease renewed"),
        (s.HELD, e.STEP_REJECTED): Row(w.FAIL, a.ACK, "saved, then acknowledged"),
        (s.HELD, e.STEPS_DONE): Row(w.SUCCEED, a.ACK, "saved, then acknowledged"),
        (s.HELD, e.CANCEL_SEEN): Row(w.FAIL, a.ACK, "between steps nothing is cut in half"),
        (s.HELD, e.STOPPED): Row(w.HAND_BACK, a.NAK, "only after the write: a nak alone would race with the lease"),
        (s.ABSENT, e.BATCH): Row(w.QUEUE, a.PUBLISH, "one commit for all; then the messages"),
        (s.ABSENT, e.CANCEL): Row(w.FAIL, a.ACCEPTED, "its message is acknowledged at its next delivery"),
        (s.QUEUED, e.CANCEL): Row(w.FAIL, a.ACCEPTED, "its message is acknowledged at its next delivery"),
        (s.HANDED_BACK, e.CANCEL): Row(w.FAIL, a.ACCEPTED, "nobody works on it"),
        (s.HELD, e.CANCEL): Row(w.CANCEL_MARK, a.ACCEPTED, "a cancel must not look like a lost lease"),
        (s.FINISHED, e.CANCEL): Row(w.NOTHING, a.REFUSED, "an end is an end"),
        (s.FINISHED, e.RETRY): Row(w.REOPEN, a.PUBLISH, "failed jobs only; the record first, then the message"),
        (s.QUEUED, e.RETRY): Row(w.NOTHING, a.REFUSED, "it has not ended"),
        (s.HELD, e.RETRY): Row(w.NOTHING, a.REFUSED, "it has not ended"),
        (s.HANDED_BACK, e.RETRY): Row(w.NOTHING, a.REFUSED, "it has not ended"),
        (s.ABSENT, e.RETRY): Row(w.NOTHING, a.REFUSED, "it has not ended"),
        (s.QUEUED, e.MESSAGE_MISSING): Row(w.REQUEUE, a.PUBLISH, "failed as lost where the request is not kept"),
        (s.HELD, e.MESSAGE_MISSING): Row(w.REQUEUE, a.PUBLISH, "failed as lost where the request is not kept"),
        (s.HANDED_BACK, e.MESSAGE_MISSING): Row(w.REQUEUE, a.PUBLISH, "failed as lost where the request is not kept"),
    }


TABLE = _rows()


def state_of(record: JobRecord | None) -> State:
    if record is None:
        return State.ABSENT
    if record.is_finished:
        return State.FINISHED
    if record.status is Status.QUEUED:
        return State.QUEUED
    return State.HELD if record.owner is not None else State.HANDED_BACK


def look_up(record: JobRecord | None, event: Event) -> Row:
    """The row for a record and an event. KeyError: the event cannot happen in this state."""
    return TABLE[state_of(record), event]


def draw_states() -> str:
    """The table as a Mermaid state diagram: every write that changes what the bucket holds."""
    labels: dict[tuple[State, State], list[str]] = {}
    for (state, event), row in TABLE.items():
        after = row.write.leads_to(state)
        if row.write not in (Write.NOTHING, Write.CANCEL_MARK) and (after is not state or state is State.HELD):
            labels.setdefault((state, after), []).append(event.name.lower())
    names = {state: state.value.replace(" ", "_") for state in State}
    arrows = (
        f"    {names[before]} --> {names[after]}: {', '.join(events)}" for (before, after), events in labels.items()
    )
    return "\n".join(["stateDiagram-v2", f"    [*] --> {names[State.ABSENT]}: published", *arrows])
