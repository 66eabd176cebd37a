"""Submits without HTTP: jobs published pipelined over one connection, which is as fast as NATS takes them.

`python -m tests.laboratory.benchmarks.publishing PORT SECONDS WINDOW` prints the jobs that were acknowledged a second.
"""

import sys
import time
import uuid

from contracts import names
from contracts.kinds import read_request
from contracts.requests import encode_request
from tests.laboratory.benchmarks.wire import Wire, encode_message

_HEADERS = f"NATS/1.0\r\n{names.HEADER_CALLER}: admin\r\n{names.HEADER_REQUEST_ID}: {uuid.uuid4().hex}\r\n\r\n".encode()


def publish(port: int, seconds: float, window: int) -> float:
    body = encode_request(read_request("bootstrap", b'{"username":"alice","operators":{"postgresql":true}}'))
    count = 0
    started_at = time.perf_counter()
    with Wire(port) as wire:
        while time.perf_counter() - started_at < seconds:
            free = window - wire.wait_until(window - 1)
            wire.send([encode_message(_new_subject(), _HEADERS, body) for _ in range(free)])
            count += free
        wire.wait_until(0)
    return count / (time.perf_counter() - started_at)


def _new_subject() -> bytes:
    return names.job_subject("bootstrap", str(uuid.uuid4())).encode()


if __name__ == "__main__":
    print(publish(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
