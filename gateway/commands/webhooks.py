"""`python -m gateway new-webhook NAME URL`: a secret, printed once, and the lines for WEBHOOKS_FILE."""

import base64
import secrets
import sys

import orjson

from gateway.webhooks.declared import check_address, check_name

_SECRET_BYTES = 32
_TOLD = """\
1. The secret, shown once; keep it in a file of its own (mode 0600), and give it to the receiver:

   {secret}

2. The lines for WEBHOOKS_FILE, which is read again when it changes:

   webhooks:
   - name: {name}
     url: {url}
     secret_file: {file}      # beside this file, or a whole path

   One list of webhooks is in a file: to one that is there add the row.

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
    try:
        address = check_address(url)
    except ValueError as error:
        print(f"no webhook was made: the address cannot be used: {error}", file=sys.stderr)
        return 2
    lines = {"name": _quote(name), "url": _quote(address), "file": _quote(f"{name}.secret")}
    print(_TOLD.format(secret=make_secret(), **lines), end="")
    return 0


def _quote(text: str) -> str:
    """For YAML text, whatever is in it: 12 and no are none else, and of an address what follows a # would be lost."""
    return orjson.dumps(text).decode()
