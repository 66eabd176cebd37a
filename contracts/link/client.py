"""nats-py's client, made to outlive what publishers may send.

At bytes that it did not expect, nats-py stops reading the connection. The same message would come again after each
reconnection, and no handler would ever work on another one.
"""

import re

import nats.protocol.parser
from nats.aio.client import Client
from nats.aio.msg import Msg

# nats-py ends a subject at any blank, the server at a space or a tab only.
_MSG = re.compile(rb"\AMSG[ \t]+([^ \t\r\n]+)[ \t]+([^ \t\r\n]+)[ \t]+(([^ \t\r\n]+)[ \t]+)?(\d+)\r\n")
_HMSG = re.compile(rb"\AHMSG[ \t]+([^ \t\r\n]+)[ \t]+([^ \t\r\n]+)[ \t]+(([^ \t\r\n]+)[ \t]+)?(\d+)[ \t]+(\d+)\r\n")
_STATUS_HEADERS = ("Status", "Description")


class LinkClient(Client):
    """A client for subjects, headers and bodies of any bytes."""

    def __init__(self) -> None:
        super().__init__()
        nats.protocol.parser.MSG_RE, nats.protocol.parser.HMSG_RE = _MSG, _HMSG

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        try:
            return await super()._process_headers(headers)
        except (UnicodeDecodeError, IndexError):
            return None

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        if headers and reply.startswith(b"$JS.ACK."):
            # A delivery, and no status of the server: nats-py takes it for one by headers that anybody can send.
            headers = {name: value for name, value in headers.items() if name not in _STATUS_HEADERS}
        message: Msg = super()._build_message(sid, _to_utf8(subject), _to_utf8(reply), data, headers)
        return message


def _to_utf8(text: bytes) -> bytes:
    return text.decode(errors="replace").encode()
