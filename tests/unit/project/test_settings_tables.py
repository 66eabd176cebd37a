"""Every setting stands in a table of its side's README, with its default, and no other does."""

import re
from collections.abc import Sequence

import pytest
import yaml
from pydantic import BaseModel

from contracts.process.settings import NatsSettings
from gateway.client.settings import ClientSettings
from gateway.settings import GatewaySettings, ProvisionSettings, StandaloneSettings
from handlers.settings import HandlerSettings
from tests.support.servers import ROOT

MODELS: dict[str, Sequence[type[BaseModel]]] = {
    "gateway": (GatewaySettings, ProvisionSettings, StandaloneSettings, ClientSettings),
    "handlers": (HandlerSettings,),
    "nats": (NatsSettings,),
}


def defaults(models: Sequence[type[BaseModel]]) -> dict[str, set[str]]:
    """By the variable's name; what is required, off or empty shows as unset."""
    found: dict[str, set[str]] = {}
    for model in models:
        for name, field in model.model_fields.items():
            default = None if field.is_required() else field.default
            shown = "unset" if default in (None, "", ()) else str(default).lower() if default is False else str(default)
            found.setdefault(name.upper(), set()).add(shown)
    return found


def table(file: str) -> dict[str, set[str]]:
    section = (ROOT / file / "README.md").read_text().partition("\n## Settings\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.*?) \|", section, re.MULTILINE)
    names = [name for name, _ in rows]
    assert len(set(names)) == len(names)
    return {name: set(re.findall(r"`([^`]*)`", default)) or {default} for name, default in rows}


# Said by compose.yaml itself, or of no use there.
FIXED = {"HOST", "PORT", "KUBECONFIG", "READY_FILE", "METRICS_PORT", "GATEWAY_NONCE", "NATS_REPLICAS"}
# Named with a mount, or with a longer stop_grace_period: in a file of the operator's own, as README.md shows.
OF_AN_OVERRIDE = {"ADMIN_API_KEY_FILE", "ADMIN_API_KEYS_FILE", "WEBHOOKS_FILE", "EVEREST_ROLES_DIR", "SHUTDOWN_GRACE"}


@pytest.mark.parametrize(
    ("service", "model"), [("api", GatewaySettings), ("provision", ProvisionSettings), ("handler", HandlerSettings)]
)
def test_compose_hands_on_what_is_set(service: str, model: type[BaseModel]) -> None:
    """A setting that it did not name would be ignored in silence."""
    variables = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"][service]["environment"]
    named = set(variables) if isinstance(variables, dict) else {line.partition("=")[0] for line in variables}
    assert {name.upper() for name in model.model_fields} - named <= FIXED | OF_AN_OVERRIDE


@pytest.mark.parametrize("side", MODELS)
def test_code_and_table_are_equal(side: str) -> None:
    assert table(side) == defaults(MODELS[side])
