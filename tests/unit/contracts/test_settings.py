"""Settings: read from the environment, and a wrong one told in one line with its name and without its value."""

import pytest

from contracts.process.settings import InvalidSettings, NatsSettings, Settings, read_settings
from gateway.settings import GatewaySettings, ProvisionSettings, StandaloneSettings
from handlers.settings import HandlerSettings

MODELS = (GatewaySettings, HandlerSettings, NatsSettings, ProvisionSettings, StandaloneSettings)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_setting_has_a_default_and_an_empty_one_is_unset(model: type[Settings]) -> None:
    unset = {name.upper(): "" for name in model.model_fields}
    assert read_settings(model, unset) == read_settings(model, {}) == model.model_construct()


@pytest.mark.parametrize(
    ("model", "name", "value", "line"),
    [
        (GatewaySettings, "PORT", "s3cret", "PORT must be a whole number"),
        (GatewaySettings, "PORT", "0", "PORT must be at least 1"),
        (GatewaySettings, "PORT", "65536", "PORT must be at most 65535"),
        (GatewaySettings, "QUERY_TIMEOUT", "0", "QUERY_TIMEOUT must be above 0"),
        (
            GatewaySettings,
            "WEBHOOK_RETRY_FOR",
            "518401",
            "WEBHOOK_RETRY_FOR must be at most 518400: events are kept for 7 days",
        ),
        (GatewaySettings, "QUERY_TIMEOUT", "inf", "QUERY_TIMEOUT must be a number"),
        (GatewaySettings, "JOB_RETENTION", "0", "JOB_RETENTION must be at least 1"),
        (GatewaySettings, "LOG_LEVEL", "s3cret", "LOG_LEVEL must be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        (HandlerSettings, "LOG_LEVEL", "s3cret", "LOG_LEVEL must be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        (HandlerSettings, "METRICS_PORT", "99999", "METRICS_PORT must be at most 65535"),
        (HandlerSettings, "MAX_ATTEMPTS", "0", "MAX_ATTEMPTS must be at least 1"),
        (HandlerSettings, "JOB_RETENTION", "0", "JOB_RETENTION must be at least 1"),
        (HandlerSettings, "JOB_RETENTION", "9999999999", "JOB_RETENTION must be at most 9e+09"),
        (HandlerSettings, "SUBPROCESS_TIMEOUT", "-1", "SUBPROCESS_TIMEOUT must be above 0"),
        (HandlerSettings, "HANDLER_CONCURRENCY", "257", "HANDLER_CONCURRENCY must be at most 256"),
        (HandlerSettings, "EVEREST_REQUIRE_USABLE", "s3cret", "EVEREST_REQUIRE_USABLE must be true or false"),
        (
            HandlerSettings,
            "EVEREST_DEFAULT_OPERATORS",
            "mongodb,s3cret",
            "EVEREST_DEFAULT_OPERATORS names 1 unknown operators; known: mongodb, postgresql, xtradb_cluster",
        ),
        (
            HandlerSettings,
            "EVEREST_DEFAULT_RESOURCES",
            "cpu_cores=s3cret,gpus=1",
            "EVEREST_DEFAULT_RESOURCES: cpu_cores must be a number, or a string of digits; "
            "gpus is no field of the request (known: cpu_cores, disk_gb, ram_mb)",
        ),
        (
            HandlerSettings,
            "EVEREST_DEFAULT_RESOURCES",
            "s3cret",
            "EVEREST_DEFAULT_RESOURCES must be amounts such as cpu_cores=4,ram_mb=8192,disk_gb=100",
        ),
        (
            HandlerSettings,
            "LIMIT_RANGE_REQUEST_PERCENT",
            "30",
            "LIMIT_RANGE_REQUEST_PERCENT must be at most LIMIT_RANGE_LIMIT_PERCENT",
        ),
        (ProvisionSettings, "LEASE_SECONDS", "0.5", "LEASE_SECONDS must be at least 1"),
        (ProvisionSettings, "NATS_REPLICAS", "6", "NATS_REPLICAS must be at most 5"),
        (StandaloneSettings, "NATS_PORT", "-1", "NATS_PORT must be at least 1"),
    ],
)
def test_a_setting_out_of_range_is_one_line(model: type[Settings], name: str, value: str, line: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        read_settings(model, {name: value})
    assert caught.value.problems == [line]
    assert "s3cret" not in str(caught.value)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(InvalidSettings) as caught:
        read_settings(GatewaySettings, {"PORT": "x", "QUERY_TIMEOUT": "-1"})
    assert len(caught.value.problems) == 2


def test_a_secret_is_in_no_rendering_of_the_settings() -> None:
    variables = {"NATS_PASSWORD": "s3cret", "ADMIN_API_KEY": "s3cret"}
    assert "s3cret" not in f"{read_settings(NatsSettings, variables)!r} {read_settings(GatewaySettings, variables)}"


def test_a_variable_counts_in_any_case_and_text_is_stripped() -> None:
    """As it was when pydantic-settings read the environment: deployments may rely on it."""
    settings = read_settings(NatsSettings, {"nats_user": " alice ", "NATS_URL": "nats://one"})
    assert (settings.nats_user, settings.nats_url) == ("alice", "nats://one")
