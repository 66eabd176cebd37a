"""Fills the bucket of a server with finished jobs: `python -m tests.laboratory.benchmarks.seeding PORT COUNT`."""

import sys
import uuid

from contracts import names
from contracts.records import encode_record
from tests.laboratory.benchmarks.records import finished_record
from tests.laboratory.benchmarks.wire import Wire, encode_message

_RETENTION = "2592000s"  # as handlers write it
_BATCH = 500
_MOST_UNACKNOWLEDGED = 4000  # the server drops what a stream cannot take in time


def job_id_of(number: int) -> str:
    """The ids are the same in every run."""
    return str(uuid.UUID(int=number + 1, version=4))


def publish(port: int, count: int) -> None:
    """The raw protocol: a client library would take longer than the server."""
    template = finished_record()
    pattern = encode_record(template).replace(template.job_id.encode(), b"%(id)s").replace(b"alice", b"%(name)s")
    head = f"NATS/1.0\r\nNats-TTL: {_RETENTION}\r\n\r\n".encode()
    with Wire(port) as wire:
        batch: list[bytes] = []
        for number in range(count):
            job_id = job_id_of(number)
            body = pattern % {b"id": job_id.encode(), b"name": b"tenant%d" % number}
            subject = f"$KV.{names.JOBS_BUCKET}.{job_id}".encode()
            batch.append(encode_message(subject, head, body))
            if len(batch) == _BATCH:
                wire.wait_until(_MOST_UNACKNOWLEDGED)
                wire.send(batch)
                batch.clear()
        wire.send(batch)
        wire.wait_until(0)


if __name__ == "__main__":
    publish(int(sys.argv[1]), int(sys.argv[2]))
