"""NATS in its raw protocol, for what a client library would be slower at than the server."""

import socket

from tests.support.servers import LOOPBACK

_SILENCE_SECONDS = 60


def encode_message(subject: bytes, headers: bytes, body: bytes) -> bytes:
    """A publish that asks for the stream's acknowledgement."""
    return b"HPUB %s _INBOX.wire %d %d\r\n%s%s\r\n" % (subject, len(headers), len(headers) + len(body), headers, body)


class Wire:
    """A connection to NATS that counts acknowledgements."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((LOOPBACK, port), timeout=_SILENCE_SECONDS)
        self._unacknowledged = 0
        self._rest = b""
        self._socket.recv(65536)
        self._socket.sendall(b'CONNECT {"verbose":false,"headers":true}\r\nSUB _INBOX.wire 1\r\n')

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, messages: list[bytes]) -> None:
        self._socket.sendall(b"".join(messages))
        self._unacknowledged += len(messages)

    def wait_until(self, most: int) -> int:
        """Gives how many are unacknowledged, at most so many. Raises RuntimeError for a refusal."""
        while self._unacknowledged > most:
            *lines, self._rest = (self._rest + self._socket.recv(1 << 20)).split(b"\r\n")
            for line in lines:
                if line.startswith(b'{"error"'):
                    raise RuntimeError(line.decode())
                self._unacknowledged -= line.startswith(b'{"stream"')
        return self._unacknowledged
