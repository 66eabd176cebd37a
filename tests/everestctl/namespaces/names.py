"""The names that a command is given, and the namespaces that it finds by them."""

from __future__ import annotations

from tests.everestctl.characters import DIGITS, LOWER
from tests.everestctl.errors import ApiError, Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.everestctl.kube.api import Api, Object

MANAGED = "app.kubernetes.io/managed-by"
RESERVED = ("everest-system", "everest-monitoring", "everest-olm")

_NAME = LOWER | DIGITS | {"-"}


def read_names(text: str) -> list[str]:
    """Raises Failed before anything of the cluster is asked."""
    found = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not found:
        raise Failed("namespace list is empty. Specify at least one namespace")
    for name in found:
        if name in RESERVED:
            raise Failed(f"'{name}' namespace is reserved for Everest internals. Please specify another namespace")
        if not _is_label(name):
            raise Failed(
                "'namespace name' is not RFC 1035 compatible. The name should contain only lowercase alphanumeric "
                "characters or '-', start with an alphabetic character, end with an alphanumeric character"
            )
    return found


def _is_label(name: str) -> bool:
    return len(name) <= 63 and name[0] in LOWER and name[-1] != "-" and _NAME.issuperset(name)


def find_namespace(api: Api, name: str) -> Object | None:
    try:
        return api.get(f"/api/v1/namespaces/{name}")
    except (ApiError, Failed) as error:
        raise Failed(f"cannot check if namesapce exists: {error}") from None


def is_managed(namespace: Object | None) -> bool:
    return namespace is not None and (namespace["metadata"].get("labels") or {}).get(MANAGED) == "everest"
