"""The socket that a gateway listens on, and which setting to change where there can be none."""

import errno
import os
import socket


class CannotListen(Exception):
    """The message names the setting."""


def listen(host: str, port: int, *, setting: str = "PORT") -> socket.socket:
    """`setting` is the one that the port is of. Raises CannotListen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.getaddrinfo(host, port, family)  # create_server would tell of a name by a number that says nothing
        return socket.create_server((host, port), family=family, backlog=2048)
    except socket.gaierror as error:
        reason = error.strerror
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        if error.errno != errno.EADDRNOTAVAIL:
            raise CannotListen(f"port {port} cannot be listened on ({reason}); set {setting} to another") from None
    raise CannotListen(f"HOST {host} is no address of this machine ({reason}); set another")
