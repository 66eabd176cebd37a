"""The handlers' settings. The environment is read here alone, called from `__main__`."""

import os
from collections.abc import Mapping
from typing import Annotated, NamedTuple, Self

from pydantic import Field, model_validator

from contracts.process.settings import LogLevel, NatsSettings, Port, Retention, Seconds, Settings, read_settings
from contracts.requests import OPERATOR_NAMES, InvalidRequest, Resources, validate_request

NotNegative = Annotated[float, Field(ge=0)]
Percent = Annotated[float, Field(gt=0, le=100)]


class HandlerSettings(Settings):
    """Seconds where not said otherwise. Every member is the environment variable of the same name."""

    otel_exporter_otlp_endpoint: str | None = None  # where spans are sent; off when unset
    subprocess_timeout: Seconds = 60  # per command
    everest_namespace_timeout: Seconds = 1800  # `namespaces add/update`: one operator may take 30 minutes
    everest_ready_timeout: NotNegative = 300  # how long verify_tenant waits for wanted engines; 0 looks once
    everest_require_usable: bool = False  # whether a tenant that cannot create a database yet is a failure
    max_output_chars: Annotated[int, Field(ge=0)] = 20_000  # shown of each stream of a command
    everest_rbac_apply_cmd: str | None = None  # `{file}`, else ` --file <path>` is appended
    everest_default_operators: str | None = None  # names of the request's operator fields, separated by commas
    everest_credentials_namespace: str = "everest-system"
    everest_tenant_role: str | None = None  # a ClusterRole that the handler binds to itself in each tenant namespace
    everest_default_resources: str | None = None  # such as `cpu_cores=4,ram_mb=8192,disk_gb=100`; each may be left out
    everest_default_role: str = "developer"  # where the request names none
    everest_roles_dir: str | None = None  # `<role>.csv` each, before ours
    tenants_shared: bool = False  # whether a publisher may change the tenants of others
    limit_range_limit_percent: Percent = 25
    limit_range_request_percent: Percent = 12.5
    metrics_port: Port | None = None
    max_attempts: Annotated[int, Field(ge=1)] = 5  # step failures
    retry_for: NotNegative = 3600  # of infrastructure outage, added up
    shutdown_grace: NotNegative = 30
    job_retention: Retention = 2_592_000  # 30 days
    handler_concurrency: Annotated[int, Field(ge=1, le=256)] = 8
    kubeconfig: str | None = None
    ready_file: str | None = None  # refreshed while the handler is ready; a probe tests its age
    log_level: LogLevel = "INFO"

    @property
    def default_operators(self) -> frozenset[str]:
        names = (self.everest_default_operators or "").split(",")
        return frozenset(name.strip() for name in names if name.strip())

    @property
    def default_resources(self) -> Resources:
        """Raises ValueError, with what is wrong."""
        parts = [part.strip() for part in (self.everest_default_resources or "").split(",") if part.strip()]
        try:
            return validate_request(Resources, dict(_read_amount(part) for part in parts))
        except InvalidRequest as error:
            problems = "; ".join(f"{problem.field} {problem.message}" for problem in error.problems)
            raise ValueError(f"EVEREST_DEFAULT_RESOURCES: {problems}") from None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if unknown := self.default_operators - set(OPERATOR_NAMES):
            known = ", ".join(OPERATOR_NAMES)
            raise ValueError(f"EVEREST_DEFAULT_OPERATORS names {len(unknown)} unknown operators; known: {known}")
        _ = self.default_resources
        if self.limit_range_request_percent > self.limit_range_limit_percent:
            raise ValueError("LIMIT_RANGE_REQUEST_PERCENT must be at most LIMIT_RANGE_LIMIT_PERCENT")
        return self


def _read_amount(part: str) -> tuple[str, str]:
    name, separator, amount = part.partition("=")
    if not separator:
        raise ValueError("EVEREST_DEFAULT_RESOURCES must be amounts such as cpu_cores=4,ram_mb=8192,disk_gb=100")
    return name.strip(), amount.strip()


class Environment(NamedTuple):
    """All that a handler takes from outside."""

    settings: HandlerSettings
    nats: NatsSettings
    variables: Mapping[str, str]


def read_environment() -> Environment:
    """Raises InvalidSettings."""
    variables = dict(os.environ)
    return Environment(read_settings(HandlerSettings, variables), read_settings(NatsSettings, variables), variables)
