"""What the cluster holds at the end of a storm, as tests look at it: not through what is judged."""

import base64
from dataclasses import dataclass
from typing import Any

import yaml

from handlers.bootstrap.quota import QUOTA_NAME
from handlers.tenants.accounts_file import proves
from tests.support.handlers import Service


@dataclass(frozen=True, slots=True)
class Snapshot:
    namespaces: dict[str, Any]
    quotas: dict[str, Any]
    secrets: dict[str, Any]
    users: str
    system_id: str
    policy: str

    def find_password_fault(self, username: str, secret_name: str) -> str | None:
        """Why the password in the Secret is not the account's."""
        secret = self.secrets.get(secret_name)
        if secret is None:
            return "its password is kept nowhere"
        password = base64.b64decode(secret["data"]["password"]).decode()
        return None if proves(self.users, self.system_id, username, password) else "its password opens nothing"

    def is_enabled(self, username: str) -> bool | None:
        """None without an account."""
        account = (yaml.safe_load(self.users) or {}).get(username)
        return account and bool(account["enabled"])


async def read_snapshot(service: Service) -> Snapshot:
    async def items(*words: str) -> list[dict[str, Any]]:
        return list((await service.everest.get(*words))["items"])

    namespaces = {item["metadata"]["name"]: item for item in await items("ns")}
    quotas = {
        item["metadata"]["namespace"]: item
        for item in await items("resourcequota", "-A")
        if item["metadata"]["name"] == QUOTA_NAME
    }
    secrets = {item["metadata"]["name"]: item for item in await items("secrets", "-n", "everest-system")}
    users = base64.b64decode(secrets["everest-accounts"]["data"]["users.yaml"]).decode()
    policy = (await service.everest.get("configmap", "everest-rbac", "-n", "everest-system"))["data"]["policy.csv"]
    return Snapshot(namespaces, quotas, secrets, users, namespaces["everest-system"]["metadata"]["uid"], policy)
