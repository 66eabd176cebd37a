"""`python -m gateway new-webhook NAME URL`: a secret, printed once, and the lines for WEBHOOKS_FILE."""

import base64
import secrets
import sys
from urllib.parse import urlsplit

from gateway.webhooks.declared import check_name

_SECRET_BYTES = 32
_TOLD = """\
1. The secret, shown once; keep it in a file of its own (mode 0600), and give it to the receiver:

   {secret}

2. The lines for WEBHOOKS_FILE, which is read again when it changes:

   webhooks:
   - name: {name}
     url: {url}
     secret_file: {name}.secret      # beside this file, or a whole path

   Further members: kinds, callers (all without), statuses (succeeded and failed without), enabled (true).
"""


def make_secret() -> str:
    """As Standard Webhooks has it."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"


def print_new_webhook(name: str, url: str) -> int:
    """Runs the command and gives its exit code."""
    try:
        check_name(name)
    except ValueError as error:
        print(f"no webhook was made: the name {error}", file=sys.stderr)
        return 2
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        print("no webhook was made: the address must be one of http or https", file=sys.stderr)
        return 2
    print(_TOLD.format(secret=make_secret(), name=name, url=url), end="")
    return 0
