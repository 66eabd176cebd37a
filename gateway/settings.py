"""The gateway's settings. The environment is read here alone, called from `__main__`."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from contracts.process.settings import (
    InvalidSettings,
    LogLevel,
    NatsSettings,
    Port,
    Retention,
    Seconds,
    Settings,
    read_settings,
)

WELL_KNOWN_KEY = "changeme"


def _read_root_path(text: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*/?", text, re.ASCII):
        raise ValueError("must be a path like /everest")
    return text.rstrip("/")


def _read_proxies(text: object) -> object:
    if not isinstance(text, str):
        return text
    try:
        return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())
    except ValueError:
        raise ValueError("must be addresses or networks like 10.0.0.0/8, separated by commas") from None


LONGEST_WEBHOOK_RETRY_SECONDS = 518_400  # 6 days: an event is there for its last try, and is told as given up


def _check_retry(seconds: float) -> float:
    if seconds > LONGEST_WEBHOOK_RETRY_SECONDS:
        raise ValueError(f"must be at most {LONGEST_WEBHOOK_RETRY_SECONDS}: events are kept for 7 days")
    return seconds


RootPath = Annotated[str, AfterValidator(_read_root_path)]
Proxies = Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_read_proxies)]


class GatewaySettings(Settings):
    """Seconds where not said otherwise. Every member is the environment variable of the same name."""

    admin_api_key: str | None = Field(default=None, repr=False)
    admin_api_key_file: str | None = None
    admin_api_keys_file: str | None = None  # named keys, one a line: name:sha256-hex[:expiry-date]
    host: str = "0.0.0.0"  # the address to listen on
    port: Port = 8080
    query_timeout: Seconds = 60
    job_retention: Retention = 2_592_000  # 30 days; kept by the records of jobs that the gateway ends (a cancel)
    rate_limit: str | None = None  # per key, as "600/minute"; off when unset
    webhooks_file: str | None = None  # YAML, read again when it changes
    webhook_retry_for: Annotated[Seconds, AfterValidator(_check_retry)] = 259_200  # 3 days that a webhook is tried
    otel_exporter_otlp_endpoint: str | None = None  # where spans are sent; off when unset
    root_path: RootPath = ""  # what a proxy in front strips from the path, as /everest
    trusted_proxies: Proxies = ()  # addresses or networks, separated by commas, whose X-Forwarded-Prefix counts
    gateway_nonce: str | None = None  # answered by /healthz, so that who started it knows that it is the one
    log_level: LogLevel = "INFO"


@dataclass(frozen=True, slots=True)
class Environment:
    """All that the gateway takes from outside."""

    settings: GatewaySettings
    nats: NatsSettings
    admin_key: str

    @property
    def keys_file(self) -> Path | None:
        return Path(self.settings.admin_api_keys_file) if self.settings.admin_api_keys_file else None


def read_environment() -> Environment:
    """Raises InvalidSettings."""
    settings = read_settings(GatewaySettings, os.environ)
    return Environment(settings, read_nats_environment(), _read_admin_key(settings))


def _read_admin_key(settings: GatewaySettings) -> str:
    key = settings.admin_api_key
    if settings.admin_api_key_file:
        try:
            key = Path(settings.admin_api_key_file).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidSettings([f"ADMIN_API_KEY_FILE cannot be read: {type(error).__name__}"]) from None
    if not key:
        raise InvalidSettings(["ADMIN_API_KEY or ADMIN_API_KEY_FILE is required, and must not be empty"])
    return key


class ProvisionSettings(Settings):
    """`lease_seconds`: how long a handler may be silent; the handlers take it from the consumer.

    `audit_retention`: seconds that an entry of the audit is kept, 400 days; 0: for ever.
    """

    nats_replicas: Annotated[int, Field(ge=1, le=5)] = 1
    lease_seconds: Annotated[float, Field(ge=1)] = 60
    audit_retention: Annotated[int, Field(ge=0)] = 34_560_000


class StandaloneSettings(Settings):
    """Where the embedded NATS server listens and stores, and where the gateway will listen."""

    data_dir: str = "./.data"
    nats_port: Port = 4222
    host: str = "127.0.0.1"  # one machine's own; images say 0.0.0.0
    port: Port = 8080
    shutdown_grace: Annotated[float, Field(ge=0)] = 30


@dataclass(frozen=True, slots=True)
class StandaloneEnvironment:
    """`variables` are handed on to the children."""

    settings: StandaloneSettings
    variables: Mapping[str, str]


def read_nats_environment() -> NatsSettings:
    """Raises InvalidSettings."""
    return read_settings(NatsSettings, os.environ)


def read_provision_environment(replicas: int | None) -> tuple[NatsSettings, ProvisionSettings]:
    """`replicas` overrules NATS_REPLICAS. Raises InvalidSettings."""
    settings = read_settings(ProvisionSettings, os.environ)
    return read_nats_environment(), settings.model_copy(update={"nats_replicas": replicas or settings.nats_replicas})


def read_standalone_environment() -> StandaloneEnvironment:
    """Raises InvalidSettings: what its children would refuse is refused before anything starts."""
    read_environment()
    return StandaloneEnvironment(read_settings(StandaloneSettings, os.environ), dict(os.environ))
