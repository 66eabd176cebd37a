"""Headers as ASGI gives them, for the layers that look at one or two."""

from starlette.types import Scope


def find_header(scope: Scope, name: bytes) -> bytes | None:
    """The first of that name, which is in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            found: bytes = value
            return found
    return None


def find_all(scope: Scope, name: bytes) -> list[str]:
    """All of that name, which is in lower case, as texts."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def find_text(scope: Scope, name: bytes) -> str | None:
    """The same as text."""
    value = find_header(scope, name)
    return None if value is None else value.decode("latin-1")
