"""The gateway's settings. `read_environment` is the only place where the gateway reads the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from contracts.settings import InvalidSettings, NatsSettings, read_settings

WELL_KNOWN_KEY = "changeme"


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Seconds where not said otherwise. Every field is the environment variable of the same name."""

    admin_api_key: str | None = None
    admin_api_key_file: str | None = None
    admin_api_keys_file: str | None = None  # named keys, one a line: name:sha256-hex[:expiry-date]
    host: str = "0.0.0.0"  # the address to listen on
    port: int = 8080
    query_timeout: float = 60
    job_retention: float = 2_592_000  # 30 days; kept by the records of jobs that the gateway ends (a cancel)
    rate_limit: str | None = None  # per key, as "600/minute"; off when unset
    gateway_nonce: str | None = None  # answered by /healthz, so that who started it knows that it is the one
    log_level: str = "INFO"


@dataclass(frozen=True, slots=True)
class Environment:
    """All that the gateway takes from outside."""

    settings: GatewaySettings
    nats: NatsSettings
    admin_key: str

    @property
    def keys_file(self) -> Path | None:
        return Path(self.settings.admin_api_keys_file) if self.settings.admin_api_keys_file else None


def read_environment(variables: Mapping[str, str] | None = None) -> Environment:
    """Reads `os.environ` where no variables are given. Raises InvalidSettings."""
    variables = dict(os.environ) if variables is None else variables
    settings = read_settings(GatewaySettings, variables)
    problems = _check(settings)
    if problems:
        raise InvalidSettings(problems)
    return Environment(settings, read_settings(NatsSettings, variables), _read_admin_key(settings))


def _check(settings: GatewaySettings) -> list[str]:
    problems = []
    if settings.port > 65535:
        problems.append("PORT must be at most 65535")
    if settings.query_timeout <= 0:
        problems.append("QUERY_TIMEOUT must be above 0")
    if settings.job_retention < 1:
        problems.append("JOB_RETENTION must be at least 1")
    if settings.log_level.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        problems.append("LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR")
    return problems


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


@dataclass(frozen=True, slots=True)
class ProvisionSettings:
    """`lease_seconds`: how long a handler may be silent; the handlers take it from the consumer."""

    nats_replicas: int = 1
    lease_seconds: float = 60


@dataclass(frozen=True, slots=True)
class StandaloneSettings:
    """Where the embedded NATS server listens and stores, and where the gateway will listen."""

    data_dir: str = "./.data"
    nats_port: int = 4222
    host: str = "127.0.0.1"  # one machine's own; images say 0.0.0.0
    port: int = 8080
    shutdown_grace: float = 30


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
    if settings.lease_seconds < 1:
        raise InvalidSettings(["LEASE_SECONDS must be at least 1"])
    return read_nats_environment(), replace(settings, nats_replicas=replicas or settings.nats_replicas)


def read_standalone_environment() -> StandaloneEnvironment:
    """Raises InvalidSettings: what its children would refuse is refused before anything starts."""
    read_environment()
    return StandaloneEnvironment(read_settings(StandaloneSettings, os.environ), dict(os.environ))
