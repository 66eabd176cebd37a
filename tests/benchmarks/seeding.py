"""Fills the bucket of a server with finished jobs: `python -m tests.benchmarks.seeding PORT COUNT`."""

import socket
import sys
import uuid

from contracts import names
from contracts.records import encode_record
from tests.benchmarks.records import finished_record
from tests.servers import LOOPBACK

_RETENTION = "2592000s"  # as handlers write it
_BATCH = 500
_MOST_UNACKNOWLEDGED = 4000  # the server drops what a stream cannot take in time
_SILENCE_SECONDS = 60


def job_id_of(number: int) -> str:
    """The ids are the same in every run."""
    return str(uuid.UUID(int=number + 1, version=4))


def publish(port: int, count: int) -> None:
    """The raw protocol: a client library would take longer than the server."""
    template = finished_record()
    pattern = encode_record(template).replace(template.job_id.encode(), b"%(id)s").replace(b"alice", b"%(name)s")
    head = f"NATS/1.0\r\nNats-TTL: {_RETENTION}\r\n\r\n".encode()
    with _Wire(port) as wire:
        batch: list[bytes] = []
        for number in range(count):
            job_id = job_id_of(number)
            body = head + pattern % {b"id": job_id.encode(), b"name": b"tenant%d" % number}
            subject = f"$KV.{names.JOBS_BUCKET}.{job_id}".encode()
            batch.append(b"HPUB %s _INBOX.seed %d %d\r\n%s\r\n" % (subject, len(head), len(body), body))
            if len(batch) == _BATCH:
                wire.send(batch)
                batch.clear()
        wire.send(batch)
        wire.wait_until(0)


class _Wire:
    """A connection to NATS that counts acknowledgements."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((LOOPBACK, port), timeout=_SILENCE_SECONDS)
        self._unacknowledged = 0
        self._rest = b""
        self._socket.recv(65536)
        self._socket.sendall(b'CONNECT {"verbose":false,"headers":true}\r\nSUB _INBOX.seed 1\r\n')

    def __enter__(self) -> "_Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, messages: list[bytes]) -> None:
        self.wait_until(_MOST_UNACKNOWLEDGED)
        self._socket.sendall(b"".join(messages))
        self._unacknowledged += len(messages)

    def wait_until(self, most: int) -> None:
        while self._unacknowledged > most:
            *lines, self._rest = (self._rest + self._socket.recv(1 << 20)).split(b"\r\n")
            for line in lines:
                if line.startswith(b'{"error"'):
                    raise RuntimeError(line.decode())
                self._unacknowledged -= line.startswith(b'{"stream"')


if __name__ == "__main__":
    publish(int(sys.argv[1]), int(sys.argv[2]))
