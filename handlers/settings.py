"""The handlers' settings. `read_environment` is the only place where a handler reads the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from contracts.requests import OPERATOR_NAMES
from contracts.settings import InvalidSettings, NatsSettings, read_settings


@dataclass(frozen=True, slots=True)
class HandlerSettings:
    """Seconds where not said otherwise. Every field is the environment variable of the same name."""

    subprocess_timeout: float = 60  # per command
    everest_namespace_timeout: float = 1800  # `namespaces add/update`: one operator may take 30 minutes
    everest_ready_timeout: float = 300  # how long verify_tenant waits for wanted engines; 0 looks once
    everest_require_usable: bool = False  # whether a tenant that cannot create a database yet is a failure
    max_output_chars: int = 20_000  # shown of each stream of a command
    everest_rbac_apply_cmd: str | None = None  # `{file}`, else ` --file <path>` is appended
    everest_default_operators: str | None = None  # names of the request's operator fields, separated by commas
    everest_credentials_namespace: str = "everest-system"
    everest_tenant_role: str | None = None  # a ClusterRole that the handler binds to itself in each tenant namespace
    limit_range_limit_percent: float = 25
    limit_range_request_percent: float = 12.5
    metrics_port: int | None = None
    max_attempts: int = 5  # step failures
    retry_for: float = 3600  # of infrastructure outage, added up
    shutdown_grace: float = 30
    job_retention: float = 2_592_000  # 30 days
    handler_concurrency: int = 8
    kubeconfig: str | None = None
    ready_file: str | None = None  # refreshed while the handler is ready; a probe tests its age
    log_level: str = "INFO"

    @property
    def default_operators(self) -> frozenset[str]:
        names = (self.everest_default_operators or "").split(",")
        return frozenset(name.strip() for name in names if name.strip())


@dataclass(frozen=True, slots=True)
class Environment:
    """All that a handler takes from outside."""

    settings: HandlerSettings
    nats: NatsSettings
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ImportSettings:
    """What everest-rbac-import takes from the environment; seconds."""

    subprocess_timeout: float = 60  # the handler ends it then, so it must have ended by itself before
    kubeconfig: str | None = None


def read_import_environment() -> tuple[ImportSettings, Mapping[str, str]]:
    """The settings of everest-rbac-import, and the environment for its commands. Raises InvalidSettings."""
    return read_settings(ImportSettings, os.environ), dict(os.environ)


def read_environment(variables: Mapping[str, str] | None = None) -> Environment:
    """Reads `os.environ` where no variables are given. Raises InvalidSettings."""
    variables = dict(os.environ) if variables is None else variables
    settings = read_settings(HandlerSettings, variables)
    problems = _check(settings)
    if problems:
        raise InvalidSettings(problems)
    return Environment(settings, read_settings(NatsSettings, variables), variables)


def _check(settings: HandlerSettings) -> list[str]:
    problems = []
    if unknown := settings.default_operators - set(OPERATOR_NAMES):
        problems.append(
            f"EVEREST_DEFAULT_OPERATORS names {len(unknown)} unknown operators; known: {', '.join(OPERATOR_NAMES)}"
        )
    if not 1 <= settings.handler_concurrency <= 256:
        problems.append("HANDLER_CONCURRENCY must be between 1 and 256")
    if not 0 < settings.limit_range_request_percent <= settings.limit_range_limit_percent <= 100:
        problems.append(
            "LIMIT_RANGE_REQUEST_PERCENT must be above 0 and at most LIMIT_RANGE_LIMIT_PERCENT, that at most 100"
        )
    if settings.subprocess_timeout <= 0 or settings.everest_namespace_timeout <= 0:
        problems.append("SUBPROCESS_TIMEOUT and EVEREST_NAMESPACE_TIMEOUT must be above 0")
    return problems
