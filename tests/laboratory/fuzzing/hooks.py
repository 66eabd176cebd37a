"""What schemathesis cannot know. It runs in an environment of its own, so nothing of ours is imported here."""

import re
import uuid
from typing import Any

import schemathesis

_LEGAL_KEY = re.compile(r"[!-~]([ -~]{0,253}[!-~])?", re.ASCII)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """A legal key is made a new one: used twice for different requests, it is refused, and rightly so.

    So is the user of the examples, or all its jobs would wait for each other; and a long wait is made a short one.
    """
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and _LEGAL_KEY.fullmatch(key):
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    if isinstance(case.body, dict) and case.body.get("username") == "alice":
        case.body["username"] = f"t{uuid.uuid4().hex[:12]}"
    wait = str((case.query or {}).get("wait", ""))
    if wait.isascii() and wait.isdecimal() and int(wait) > 1:
        case.query["wait"] = 1
