"""The two sets of rights that a handler may be given, for clusters that enforce them."""

from dataclasses import dataclass, field
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent / "data" / "roles"

USER = "handler"


@dataclass(frozen=True, slots=True)
class Rights:
    """`settings` are the handler's, as the rights ask for them; the manifests are applied in this order."""

    manifests: tuple[Path, ...]
    settings: dict[str, str] = field(default_factory=dict)
    credentials_namespace: str = "everest-system"


FLAT = Rights((_FOLDER / "flat.yaml",))
NARROW = Rights(
    tuple(_FOLDER / name for name in ("narrow-namespace.yaml", "narrow.yaml", "narrow-bindings.yaml")),
    {"EVEREST_TENANT_ROLE": "everest-bootstrap-tenant", "EVEREST_CREDENTIALS_NAMESPACE": "everest-bootstrap"},
    "everest-bootstrap",
)
VARIANTS = {"flat": FLAT, "narrow": NARROW}
