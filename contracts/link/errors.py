"""What may come of asking NATS, by meaning."""


class Unanswered(Exception):
    """NATS did not answer: whether it did what was asked is not known."""


class NotSent(Unanswered):
    """Nothing was sent, or nobody was there to take it: it was certainly not done."""


class NotLetIn(NotSent):
    """No server took the connection in time, or the server refused its credentials."""


class NotProvisioned(Unanswered):
    """A stream, consumer or bucket is missing, or this user may not use it."""


class Conflict(Exception):
    """Another write came first: the revision is no longer the last."""


class Refused(Exception):
    """The stream does not take the message. The server uses one code for a full stream and a full subject."""

    def __init__(self, description: str) -> None:
        super().__init__(description)
        self.is_duplicate = "per subject" in description


class BucketFull(Refused):
    """The bucket has reached its size; smaller values of keys that exist still fit."""


class TooLarge(Exception):
    """The message is larger than the stream or the server takes, and always will be."""


class ManagementRefused(Exception):
    """The server does not make or change a stream or consumer as asked."""


class NodesAway(ManagementRefused):
    """Nodes that the copies need are off line: just started, or down. The same request may be met a little later."""


_HINTS = (
    (("authorization",), "check NATS_USER and NATS_PASSWORD, or the file of NATS_NKEY_FILE or NATS_CREDS_FILE"),
    (("ssl", "certificate", "tls"), "check NATS_TLS_CA, and that the server's certificate names the host of NATS_URL"),
    (("no server", "disconnected", "timeout"), "check NATS_URL, and that nats-server runs"),
)


def find_hint(reason: str) -> str | None:
    """What to do about a server that lets nobody in or refuses something: the settings to look at.

    None where its words say nothing of them.
    """
    reason = reason.lower()
    return next((hint for words, hint in _HINTS if any(word in reason for word in words)), None)
