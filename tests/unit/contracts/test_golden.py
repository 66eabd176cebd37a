"""What 0.1.0 wrote is read: records of every shape, messages with their hashes, cancel marks.

The files in `tests/data/golden-0.1.0` were written by 0.1.0's own code and are never made anew.
"""

from pathlib import Path
from typing import Any

import orjson
import pytest

from contracts.cancels import CancelMark, decode_cancel, encode_cancel
from contracts.documents import job_document, result_document
from contracts.kinds import read_request
from contracts.records import decode_record, encode_record
from contracts.requests import request_hash

GOLDEN = Path(__file__).parents[2] / "data" / "golden-0.1.0"
RECORDS = sorted((GOLDEN / "records").glob("*.json"))
DOCUMENTS: dict[str, dict[str, Any]] = orjson.loads((GOLDEN / "documents.json").read_bytes())
MESSAGES: list[dict[str, Any]] = orjson.loads((GOLDEN / "messages.json").read_bytes())


def wire(document: Any) -> Any:
    return orjson.loads(orjson.dumps(document))


def without_later(made: Any, told: Any) -> Any:
    """What is said today, without members that 0.1.0 did not know, and steps that had not begun."""
    if isinstance(made, list) and isinstance(told, list):
        begun = [one for one in made if not (isinstance(one, dict) and one.get("state") == "pending")]
        return [without_later(*pair) for pair in zip(begun, told, strict=True)] if len(begun) == len(told) else made
    if not (isinstance(made, dict) and isinstance(told, dict)):
        return made
    return {name: without_later(made[name], told[name]) for name in made.keys() & told.keys()}


def test_every_shape_is_there() -> None:
    """A file that is lost would be a test that is lost."""
    assert {path.stem for path in RECORDS} == set(DOCUMENTS)
    assert len(RECORDS) == 28


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_says_what_it_said(path: Path) -> None:
    """Each member of the documents that 0.1.0 made of it is the same today; later members may be added."""
    record = decode_record(path.read_bytes())
    assert decode_record(encode_record(record)) == record
    told = DOCUMENTS[path.stem]
    made = {"job": wire(job_document(record))}
    if record.is_finished:
        made["result"] = wire(result_document(record))
    assert made.keys() == told.keys()
    for name, document in told.items():
        assert without_later(made[name], document) == document


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message["body"][:60])
def test_a_message_is_the_request_that_it_was(message: dict[str, Any]) -> None:
    """As a caller sent it and as 0.1.0's gateway published it: the same inputs, under the same hash."""
    for body in (message["body"], message["published"]):
        request = read_request(message["kind"], body.encode())
        assert request_hash(message["kind"], request) == message["hash"]


def test_a_cancel_is_still_meant() -> None:
    marks = [decode_cancel(body.encode()) for body in orjson.loads((GOLDEN / "cancels.json").read_bytes())]
    assert marks == [
        CancelMark("admin", "2026-01-31T12:03:00.000Z", 1),
        CancelMark("billing", "2026-01-31T12:03:00.000Z", 2),
    ]
    for mark in (CancelMark("admin", "2026-01-31T12:03:00.000Z", 1), CancelMark("admin", "t", 2, "ticket-7")):
        assert decode_cancel(encode_cancel(mark)) == mark
    assert decode_cancel(b"[]") is None
