"""The two sets of rights that ship with the handlers, for clusters that enforce them."""

from dataclasses import dataclass, field
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_HANDLERS = _ROOT / "handlers" / "k8s"
_NAMESPACES = (_ROOT / "nats" / "k8s" / "base" / "namespace.yaml", _HANDLERS / "common" / "identity.yaml")

USER = "system:serviceaccount:everest-bootstrap:handler"


@dataclass(frozen=True, slots=True)
class Rights:
    """`settings` are the handler's, as the rights ask for them; the manifests are applied in this order."""

    manifests: tuple[Path, ...]
    settings: dict[str, str] = field(default_factory=dict)


FLAT = Rights((_HANDLERS / "roles" / "roles.yaml",))
NARROW = Rights(
    (*_NAMESPACES, _HANDLERS / "roles-narrow" / "roles.yaml"),
    {
        "EVEREST_TENANT_ROLE": "everest-bootstrap-tenant",
        "EVEREST_CREDENTIALS_NAMESPACE": "everest-bootstrap-credentials",
    },
)
ADMISSION = _HANDLERS / "roles-narrow" / "admission.yaml"  # what holds narrow to itself; only a real API obeys it
VARIANTS = {"flat": FLAT, "narrow": NARROW}
