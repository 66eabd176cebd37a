"""The two sets of rights that ship with the handlers, for clusters that enforce them."""

from dataclasses import dataclass, field
from pathlib import Path

from tests.support.manifests import RENDERED

_FLAT = RENDERED / "default" / "handlers"
_NARROW = RENDERED / "secured" / "handlers"

USER = "system:serviceaccount:everest-bootstrap:handler"


@dataclass(frozen=True, slots=True)
class Rights:
    """`settings` are the handler's, as the rights ask for them; the manifests are applied in this order.

    `admission` holds the handler to its own namespaces: a policy, which only a real API obeys.
    """

    manifests: tuple[Path, ...]
    admission: Path
    settings: dict[str, str] = field(default_factory=dict)


FLAT = Rights((_FLAT / "roles.yaml",), _FLAT / "admission.yaml")
NARROW = Rights(
    (RENDERED / "namespace.yaml", _NARROW / "identity.yaml", _NARROW / "roles.yaml"),
    _NARROW / "admission.yaml",
    {
        "EVEREST_TENANT_ROLE": "everest-bootstrap-tenant",
        "EVEREST_CREDENTIALS_NAMESPACE": "everest-bootstrap-credentials",
    },
)
VARIANTS = {"flat": FLAT, "narrow": NARROW}
