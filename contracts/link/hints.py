"""What to do about a server that lets nobody in or refuses something, by its own words."""

_HINTS = (
    (("authorization",), "check NATS_USER and NATS_PASSWORD, or the file of NATS_NKEY_FILE or NATS_CREDS_FILE"),
    (("ssl", "certificate", "tls"), "check NATS_TLS_CA, and that the server's certificate names the host of NATS_URL"),
    (("no server", "disconnected", "timeout"), "check NATS_URL, and that nats-server runs"),
)


def find_hint(reason: str) -> str | None:
    """The settings to look at; None where the words say nothing of them."""
    reason = reason.lower()
    return next((hint for words, hint in _HINTS if any(word in reason for word in words)), None)
