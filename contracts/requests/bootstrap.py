"""The request that makes a tenant."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, ValidationInfo, field_validator

from contracts.requests.members import (
    OPERATOR_NAMES,
    ROLE_PATTERN,
    USERNAME_PATTERN,
    USERNAME_WORDING,
    Amount,
    Correlation,
    Generation,
    Namespace,
    Subjects,
    Username,
)
from contracts.requests.model import Request

_USERNAME = re.compile(USERNAME_PATTERN)


class Operators(Request):
    """Which database operators the namespace gets."""

    mongodb: bool = False
    postgresql: bool = False
    xtradb_cluster: bool = False

    first: ClassVar[Mapping[str, Any]] = dict.fromkeys(OPERATOR_NAMES, False)

    @property
    def wanted(self) -> frozenset[str]:
        return frozenset(name for name in OPERATOR_NAMES if getattr(self, name))

    @classmethod
    def of(cls, names: Iterable[str]) -> Self:
        return cls(**dict.fromkeys(names, True))


class Resources(Request):
    """What the namespace may use in all. The bounds keep every value a legal Kubernetes quantity."""

    cpu_cores: Annotated[float, Amount(0.1, 100_000, whole=False)] = Field(
        default=2, description="CPU cores, to a thousandth."
    )
    ram_mb: Annotated[int, Amount(64, 1_000_000_000)] = Field(default=2048, description="Memory in MiB.")
    disk_gb: Annotated[int, Amount(1, 10_000_000)] = Field(default=20, description="Storage in GiB.")

    first: ClassVar[Mapping[str, Any]] = {"cpu_cores": 2, "ram_mb": 2048, "disk_gb": 20}


class BootstrapRequest(Request):
    """Make a tenant: an Everest account, its namespace, its quota, its role."""

    account: bool = Field(
        default=True, description="False: no account and no password; `subjects` log in by SSO and hold the role."
    )
    username: Username = Field(
        description="The tenant's name, and its Everest account's: 3 to 63 letters, digits and underscores, not "
        "`admin`. Without an account hyphens and dots may stand inside of it."
    )
    namespace: Namespace = Field(
        default_factory=lambda given: given["username"],
        validate_default=True,
        description="RFC 1035, at most 53 characters, not `default`, `kube-…` or Everest's own. "
        "Defaults to the username; give one where that is no legal namespace.",
    )
    operators: Operators | None = Field(
        default=None, description="Absent: the handlers' EVEREST_DEFAULT_OPERATORS, else none."
    )
    take_ownership: bool = Field(default=False, description="Adopt a namespace that exists and is nobody's here.")
    resources: Resources = Field(
        default=Resources(),
        description="A member that is left out: the handlers' EVEREST_DEFAULT_RESOURCES, else 2 / 2048 / 20.",
    )
    subjects: Subjects = Field(
        default_factory=lambda given: (given["username"],) if given["account"] else (),
        validate_default=True,
        description="Who holds the role: OIDC `sub` values and group names. With an account its name is always among "
        "them; without one they are required.",
    )
    role: str | None = Field(
        default=None,
        pattern=ROLE_PATTERN,
        description="What the subjects may do: `developer`, `owner`, `viewer`, or a role of the deployment's own. "
        "Absent: the handlers' EVEREST_DEFAULT_ROLE.",
    )
    correlation: Correlation | None = Field(
        default=None, description="The caller's own mark, told in documents and events."
    )
    if_generation: Generation | None = Field(
        default=None,
        description="Only where the namespace's claim is at this generation, 0: where it has none. Else the job fails "
        "with `generation_conflict` and nothing is done.",
    )

    @field_validator("username")
    @classmethod
    def _check_account(cls, username: str, info: ValidationInfo) -> str:
        if info.data.get("account", True) and not _USERNAME.fullmatch(username):
            raise ValueError(USERNAME_WORDING)
        return username

    first: ClassVar[Mapping[str, Any]] = {
        "username": None,
        "namespace": None,
        "operators": None,
        "take_ownership": False,
        "resources": None,
    }

    @property
    def lasting(self) -> dict[str, Any]:
        """What is wanted of the tenant from now on: without the members that are of one job."""
        return self.model_dump(exclude={"correlation", "if_generation"})

    def with_operators(self, default: frozenset[str]) -> Self:
        """The effective request: `default` is used only where the caller named no operators."""
        return self if self.operators is not None else self.model_copy(update={"operators": Operators.of(default)})

    def with_resources(self, default: Resources) -> Self:
        """The effective request: `default` is used, member by member, only where the caller gave none."""
        return self.model_copy(update={"resources": default.model_copy(update=self.resources.given)})

    def with_role(self, default: str) -> Self:
        """The effective request: `default` is used only where the caller named no role."""
        return self if self.role is not None else self.model_copy(update={"role": default})
