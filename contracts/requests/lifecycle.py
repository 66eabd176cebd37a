"""The requests about a tenant that this service has made."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, ValidationInfo, field_validator

from contracts.requests.members import CALLER_PATTERN, Namespace, Username
from contracts.requests.model import Request


class TenantRequest(Request):
    """About a tenant that this service has made."""

    username: Username

    first: ClassVar[Mapping[str, Any]] = {"username": None}


class OffboardRequest(TenantRequest):
    """Take a tenant away: its rights, its namespace, and with its last one its account."""

    namespace: Namespace | None = Field(default=None, description="Absent: all namespaces of the tenant, in one job.")
    delete_databases: bool = Field(
        default=False, description="With `confirm`: databases, backups and volumes go too, for good."
    )
    keep_namespace: bool = Field(
        default=False, description="Take Everest, claim, quota and limit range off the namespace; leave the rest."
    )
    delete_account: bool = Field(
        default=False, description="With `confirm`: the account goes also where no job of this service made it."
    )
    confirm: str | None = Field(
        default=None,
        max_length=63,
        description="The name of the namespace, or the username where no namespace is given. Any other is refused.",
    )

    @field_validator("keep_namespace")
    @classmethod
    def _check_kept(cls, kept: bool, info: ValidationInfo) -> bool:
        if kept and info.data.get("delete_databases"):
            raise ValueError("and delete_databases exclude each other")
        return kept

    @field_validator("confirm")
    @classmethod
    def _check_confirm(cls, confirm: str | None, info: ValidationInfo) -> str | None:
        if confirm is None or not {"namespace", "username"} <= info.data.keys():
            return confirm
        what = "namespace" if info.data["namespace"] else "username"
        if confirm != info.data[what]:
            raise ValueError(f"must be the {what} that is taken away")
        return confirm

    @property
    def is_confirmed(self) -> bool:
        return self.confirm is not None


class PasswordRequest(TenantRequest):
    """Give the tenant's account a new password."""


class SuspendRequest(TenantRequest):
    """Take a tenant's rights and logins away until it is resumed."""

    pause_databases: bool = Field(default=False, description="Pause those of its databases that run, too.")


class ResumeRequest(TenantRequest):
    """Give a suspended tenant back what was taken."""


class RepairRequest(TenantRequest):
    """Make the cluster what the tenant's spec says, where it differs."""

    namespace: Namespace | None = Field(default=None, description="Absent: all namespaces of the tenant.")


class HandoverRequest(TenantRequest):
    """Let another caller manage the tenant."""

    caller: str = Field(pattern=CALLER_PATTERN, description="The name of the key, or of the publisher.")
