"""The Kubernetes API, by a few calls over plain HTTP by hand: importing http.client doubles the start.

`_socket` is what `socket` is made of, without its hundreds of named constants.
"""

from __future__ import annotations

import _socket

from tests.everestctl import json_text
from tests.everestctl.errors import ApiError, Failed
from tests.everestctl.kube.kubeconfig import read_kubeconfig

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from typing import Any

    Object = dict[str, Any]
    Connection = _socket.socket

MERGE_PATCH = "application/merge-patch+json"
_UNAUTHORIZED = "failed to get server groups: the server has asked for the client to provide credentials"


class Api:
    """Who cannot reach it raises Failed, whom it refuses ApiError."""

    def __init__(self, path: str) -> None:
        cluster, user = read_kubeconfig(path)
        self._server = str(cluster["server"]).rstrip("/")
        is_tls = self._server.startswith("https:")
        address, _, base = self._server.rpartition("//")[2].partition("/")
        self._base = f"/{base}" if base else ""
        host, _, port = address.partition(":")
        self._host, self._port = host, int(port) if port.isdigit() else 443 if is_tls else 80
        self._authorization = f"Bearer {user['token']}" if user.get("token") else None
        self._context = _make_context(cluster, user) if is_tls else None
        self._is_discovered = False

    def get(self, path: str) -> Object | None:
        """None where there is no such object."""
        try:
            return self.call("GET", path)
        except ApiError as error:
            if error.reason == "NotFound":
                return None
            raise

    def list(self, path: str) -> list[Object]:
        return list(self.call("GET", path)["items"])

    def call(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Object:
        if not self._is_discovered:
            self._is_discovered = True
            self._discover()
        code, answer = self._request(method, path, body, kind)
        if code == 401:
            raise Failed(_UNAUTHORIZED)
        value = json_text.read(answer.decode()) if answer else {}
        if code >= 400:
            raise ApiError(value)
        return dict(value)

    def delete(self, path: str) -> None:
        """As Helm does. Without the policy a Job would wait for the garbage collector to orphan its pods."""
        self.call("DELETE", path, {"propagationPolicy": "Background"})

    def ensure(self, path: str, body: Object) -> None:
        """Creates it where it is not there."""
        try:
            self.call("POST", path, body)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise

    def open(self, method: str, path: str, body: Any) -> Connection:
        """Sends a request and leaves the connection to the caller."""
        connection = self._connect()
        self._send(connection, method, path, body, "application/json")
        return connection

    def _discover(self) -> None:
        """The real client asks for the groups before anything else, and fails there when the cluster is away."""
        code, _ = self._request("GET", "/api")
        if code == 401:
            raise Failed(_UNAUTHORIZED)

    def _request(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> tuple[int, bytes]:
        connection = self._connect()
        try:
            self._send(connection, method, path, body, kind)
            return _read_response(connection)
        except OSError as error:
            raise Failed(f'failed to get server groups: Get "{self._server}{path}": {error.strerror}: EOF') from None
        finally:
            connection.close()

    def _connect(self) -> Connection:
        try:
            connection = _dial(self._host, self._port)
        except OSError as error:
            raise self._unreachable(f"dial tcp {self._host}:{self._port}: {_explain_dial(error)}") from None
        if self._context is None:
            return connection
        import socket

        try:
            return self._context.wrap_socket(socket.socket(fileno=connection.detach()), server_hostname=self._host)
        except OSError as error:
            connection.close()
            raise self._unreachable(_explain_tls(error)) from None

    def _unreachable(self, why: str) -> Failed:
        return Failed(f'failed to get server groups: Get "{self._server}/api": {why}')

    def _send(self, connection: Connection, method: str, path: str, body: Any, kind: str) -> None:
        payload = b"" if body is None else json_text.write(body).encode()
        lines = [
            f"{method} {self._base}{path} HTTP/1.1",
            f"Host: {self._host}:{self._port}",
            "Accept: application/json",
            "Connection: close",
            f"Content-Type: {kind}",
            f"Content-Length: {len(payload)}",
        ]
        if self._authorization:
            lines.append(f"Authorization: {self._authorization}")
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + payload)


def join_chunks(body: bytes) -> bytes:
    """The whole chunks of a chunked body, which need not have ended."""
    joined = b""
    while b"\r\n" in body:
        size, _, body = body.partition(b"\r\n")
        length = int(size or b"0", 16)
        if len(body) < length:
            break
        joined += body[:length]
        body = body[length + 2 :]
    return joined


def _dial(host: str, port: int) -> Connection:
    """As socket.create_connection does; a name as bytes is looked up as it stands, without a codec. Raises OSError."""
    refused = OSError("no address")
    for family, kind, protocol, _, address in _socket.getaddrinfo(host.encode(), port, 0, _socket.SOCK_STREAM):
        connection = _socket.socket(family, kind, protocol)
        try:
            connection.settimeout(60)
            connection.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            connection.connect(address)
            return connection
        except OSError as error:
            connection.close()
            refused = error
    raise refused


def _make_context(cluster: Object, user: Object) -> ssl.SSLContext:
    import base64
    import ssl
    import tempfile

    context = ssl.create_default_context()
    if "certificate-authority-data" in cluster:
        context.load_verify_locations(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    elif "certificate-authority" in cluster:
        _load(context.load_verify_locations, "certificate-authority", cluster["certificate-authority"])
    if "client-certificate-data" in user:
        with tempfile.NamedTemporaryFile() as pair:
            pair.write(base64.b64decode(user["client-certificate-data"]) + b"\n")
            pair.write(base64.b64decode(user["client-key-data"]))
            pair.flush()
            context.load_cert_chain(pair.name)
    elif "client-certificate" in user:
        _load(context.load_cert_chain, "client-cert", user["client-certificate"], user["client-key"])
    return context


def _load(load: Any, word: str, path: str, *more: str) -> None:
    try:
        load(path, *more)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise Failed(f"invalid configuration: unable to read {word} {path} due to open {path}: {reason}") from None


def _explain_dial(error: OSError) -> str:
    if isinstance(error, _socket.gaierror):
        return "lookup: no such host"
    return f"connect: {(error.strerror or 'i/o timeout').lower()}"


def _explain_tls(error: OSError) -> str:
    """In Go's words."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    return f"tls: {error.strerror or error}"


def _read_response(connection: Connection) -> tuple[int, bytes]:
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    if not head:
        raise OSError(0, "unexpected EOF")
    is_chunked = b"transfer-encoding: chunked" in head.lower()
    return int(head.split(b" ", 2)[1]), join_chunks(body) if is_chunked else body
