"""The alerts and the dashboard: of metrics that there are, and alarms that ring when they should and only then."""

import json
import os
import re
import shutil
import subprocess
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import prometheus_client
import pytest
import yaml

from contracts.codes import CODES
from contracts.process.settings import NatsSettings
from gateway.jetstream import Connection, JetStream
from gateway.jobs.waiting import Listeners
from gateway.metrics import Metrics
from handlers.metrics import PrometheusMetrics
from tests.support.manifests import find, render
from tests.support.servers import ROOT

PREFIX = "everest_bootstrap_"
# Prometheus adds them to what it scrapes, or makes them of a histogram.
ADDED_LABELS = {"instance", "le"}
RULES = find(render("secured"), "PrometheusRule", "everest-bootstrap")["spec"]
(GROUP,) = RULES["groups"]
DASHBOARD = json.loads(find(render("secured"), "ConfigMap", "everest-bootstrap-dashboard")["data"]["dashboard.json"])
# What Grafana puts in.
VARIABLES = {"$__rate_interval": "5m"}


def dashboard_expressions() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def known_series() -> dict[str, set[str]]:
    """Every series of gateway and handlers, with its labels."""
    metrics = Metrics(JetStream(Connection(NatsSettings(), "a test", "gateway")), Listeners())
    registry = prometheus_client.CollectorRegistry()
    client = SimpleNamespace(
        **{
            name: partial(getattr(prometheus_client, name), registry=registry)
            for name in ("Counter", "Gauge", "Histogram")
        }
    )
    PrometheusMetrics(client)
    collectors = [*metrics.registry._collector_to_names.items(), *registry._collector_to_names.items()]
    return {name: set(collector._labelnames) for collector, series in collectors for name in series}  # type: ignore[attr-defined]


EXPRESSIONS = [*(rule["expr"] for rule in GROUP["rules"]), *dashboard_expressions()]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_only_series_and_labels_that_there_are(expression: str) -> None:
    """A renamed metric must be renamed here too: an alert on nothing never rings."""
    known = known_series()
    mentioned = re.findall(rf"({PREFIX}\w+)(?:\{{([^}}]*)\}})?", expression)
    assert mentioned
    labels = set(ADDED_LABELS)
    for series, selector in mentioned:
        assert series in known
        assert set(re.findall(r"(\w+)\s*[!=]=?~?\"", selector)) <= known[series]
        labels |= known[series]
    for grouping in re.findall(r"by \(([^)]*)\)", expression):
        assert set(re.split(r",\s*", grouping)) <= labels


# What no picture needs: who reads them counts what a handler did by itself, or looks at one process.
UNPICTURED = {
    "stream_messages",
    *("handler_step_duration_seconds", "handler_retries", "handler_losses", "handler_dead_letters"),
}


def test_every_series_is_in_the_dashboard_or_an_alert() -> None:
    shown = " ".join(EXPRESSIONS)
    stems = {re.sub(r"_(total|bucket|count|sum|created)$", "", name) for name in known_series()}
    assert {stem.removeprefix(PREFIX) for stem in stems if stem not in shown} == UNPICTURED


def test_series_of_every_failure_begin_at_nothing() -> None:
    """Prometheus sees no increase in a series that begins at 1: the first failure of a code would ring no alarm."""
    metrics = Metrics(JetStream(Connection(NatsSettings(), "a test", "gateway")), Listeners())
    for code in ("lost", "cluster_unreachable", "forbidden"):
        labels = {"kind": "bootstrap", "status": "failed", "code": code}
        assert metrics.registry.get_sample_value(f"{PREFIX}jobs_ended_total", labels) == 0


def test_callers_mistakes_are_no_alarm() -> None:
    (rule,) = (rule for rule in GROUP["rules"] if rule["alert"] == "EverestBootstrapJobsFail")
    (excluded,) = re.findall(r'code!~"([^"]+)"', rule["expr"])
    mistakes = {
        *("cancelled", "invalid_request", "namespace_exists", "namespace_owned_by_another", "quota_rejected"),
        *("role_taken", "tenant_managed_by_another", "tenant_suspended", "offboarding_unfinished"),
        *("account_not_found", "databases_left", "namespace_kept", "tenant_not_found", "generation_conflict"),
    }
    assert set(excluded.split("|")) == mistakes
    assert mistakes <= set(CODES)


def test_every_alert_says_what_to_do() -> None:
    assert len(GROUP["rules"]) == 11
    for rule in GROUP["rules"]:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]
        for file in re.findall(r"\w+/README\.md", rule["annotations"]["description"]):
            assert (ROOT / file).exists()


def test_the_dashboard_can_be_imported() -> None:
    """Ids are unique, panels do not overlap, and every query goes to the datasource that the viewer chose."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (column, row)
            for column in range(place["x"], place["x"] + place["w"])
            for row in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(column for column, _ in cells) < 24
        taken |= cells
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


@pytest.fixture
def promtool() -> str:
    program = shutil.which("promtool", path=f"{os.environ['PATH']}{os.pathsep}{ROOT / '.venv' / 'tools'}")
    if program is None:
        pytest.skip("promtool is not there: `make promtool` takes it out of Debian's package prometheus")
    return program


def check(program: str, *arguments: str | Path) -> None:
    completed = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    assert completed.returncode == 0, completed.stdout + completed.stderr


def test_every_expression_can_be_read(promtool: str, tmp_path: Path) -> None:
    queries = dashboard_expressions()
    for name, value in VARIABLES.items():
        queries = [query.replace(name, value) for query in queries]
    recorded = [{"record": f"panel_{number}", "expr": query} for number, query in enumerate(queries)]
    for name, groups in (("alerts", RULES["groups"]), ("panels", [{"name": "panels", "rules": recorded}])):
        file = tmp_path / f"{name}.yaml"
        file.write_text(yaml.safe_dump({"groups": groups}))
        check(promtool, "check", "rules", file)


def series(name: str, values: str, **labels: str) -> dict[str, str]:
    told = ", ".join(f'{key}="{value}"' for key, value in {"instance": "one", **labels}.items())
    return {"series": f"{PREFIX}{name}{{{told}}}", "values": values}


def storage(stream: str, held: str, most: str) -> tuple[dict[str, str], dict[str, str]]:
    return series("stream_bytes", held, stream=stream), series("stream_max_bytes", most, stream=stream)


UP = series("nats_connected", "1x60")
# What is seen each minute; the moment that is looked at; the alerts that ring then.
SCENES: dict[str, tuple[list[dict[str, str]], str, set[str]]] = {
    "all is well": ([UP, series("oldest_queued_seconds", "0+20x20 0x40")], "30m", set()),
    "NATS goes away": ([series("nats_connected", "1x10 0x20")], "14m", {"EverestBootstrapUnavailable"}),
    "a restart of NATS": ([series("nats_connected", "1x10 0 1x20")], "12m", set()),
    "one gateway of two": ([UP, series("nats_connected", "0x60", instance="two")], "30m", set()),
    "the gateways are gone": ([series("nats_connected", "1x10 stale")], "14m", {"EverestBootstrapUnavailable"}),
    "nobody takes jobs": ([UP, series("oldest_queued_seconds", "0+60x60")], "14m", {"EverestBootstrapQueueStalls"}),
    "jobs fail": (
        [
            UP,
            *(
                series(
                    "jobs_ended_total",
                    "0x10 1 1 2 2 3x40",
                    instance=gateway,
                    kind="bootstrap",
                    status="failed",
                    code="forbidden",
                )
                for gateway in ("one", "two")
            ),
        ],
        "20m",
        {"EverestBootstrapJobsFail"},
    ),
    "two jobs fail, seen by two gateways": (
        [
            UP,
            *(
                series(
                    "jobs_ended_total",
                    "0x10 1 2x40",
                    instance=gateway,
                    kind="bootstrap",
                    status="failed",
                    code="forbidden",
                )
                for gateway in ("one", "two")
            ),
        ],
        "20m",
        set(),
    ),
    "callers err": (
        [UP, series("jobs_ended_total", "0+1x60", kind="bootstrap", status="failed", code="namespace_exists")],
        "40m",
        set(),
    ),
    "NATS stores nothing": (
        [
            UP,
            series("unstored_total", "0x10 1 2 3 4x40", stream="EVEREST_JOBS"),
            series("unstored_total", "0x60", stream="KV_everest_jobs"),
        ],
        "15m",
        {"EverestBootstrapWritesFail"},
    ),
    "one write is lost": ([UP, series("unstored_total", "0x10 1x50", stream="EVEREST_JOBS")], "15m", set()),
    "a line of the keys is broken": (
        [UP, series("keys_file_broken", "0x10 1x50")],
        "14m",
        {"EverestBootstrapKeysFileBroken"},
    ),
    "a row of the webhooks is broken": (
        [UP, series("webhooks_file_broken", "0x10 1x50")],
        "14m",
        {"EverestBootstrapWebhooksFileBroken"},
    ),
    "a crowd": (
        [UP, series("http_connections", "0x10 95x50"), series("http_connections_limit", "100x60")],
        "20m",
        {"EverestBootstrapCrowded"},
    ),
    "a receiver is dead": (
        [
            UP,
            series("webhook_pending", "0x10 3x60", webhook="orders"),
            series("webhook_pending", "0x60", webhook="well"),
        ],
        "50m",
        {"EverestBootstrapWebhookWaits"},
    ),
    "a receiver takes its time": ([UP, series("webhook_pending", "3x20 0 3x20", webhook="orders")], "35m", set()),
    "a receiver is always at work": (
        [
            UP,
            series("webhook_pending", "8x60", webhook="orders"),
            series("webhook_tries_total", "0+30x60", webhook="orders", outcome="delivered"),
        ],
        "50m",
        set(),
    ),
    "a receiver lags ever more": (
        [
            UP,
            series("webhook_pending", "0+100x60", webhook="orders"),
            series("webhook_tries_total", "0+30x60", webhook="orders", outcome="delivered"),
        ],
        "50m",
        {"EverestBootstrapWebhookWaits"},
    ),
    "an event is given up": (
        [UP, series("webhook_tries_total", "0x10 1x50", webhook="orders", outcome="given_up")],
        "20m",
        {"EverestBootstrapWebhookGivenUp"},
    ),
    "the audit stands still": ([UP, series("audit_lag", "0x10 5x50")], "30m", {"EverestBootstrapAuditLags"}),
    "records fill the bucket": (
        [
            UP,
            *storage("KV_everest_jobs", "0+2x60", "100x60"),
            *storage("EVEREST_DEAD", "50x60", "-1x60"),
        ],
        "55m",
        {"EverestBootstrapStorageFills"},
    ),
    "tenants fill the bucket": (
        [
            UP,
            *storage("KV_everest_tenants", "95x60", "100x60"),
        ],
        "20m",
        {"EverestBootstrapStorageFills"},
    ),
    "events are kept as long as they fit": (
        [
            UP,
            *storage("EVEREST_EVENTS", "100x60", "100x60"),
        ],
        "20m",
        set(),
    ),
    "a caller's If-Match is of yesterday": (
        [UP, series("jobs_ended_total", "0+1x60", kind="bootstrap", status="failed", code="generation_conflict")],
        "40m",
        set(),
    ),
}


@pytest.mark.parametrize("scene", SCENES)
def test_alarms_ring_when_they_should(promtool: str, tmp_path: Path, scene: str) -> None:
    """Evaluated by Prometheus itself, minute by minute."""
    given, at, ringing = SCENES[scene]
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(RULES))
    seen: list[dict[str, Any]] = []
    for rule in GROUP["rules"]:
        # promtool compares every label and text; which ring is all that is asked here.
        query = f'count(ALERTS{{alertname="{rule["alert"]}", alertstate="firing"}}) or vector(0)'
        value = 1 if rule["alert"] in ringing else 0
        seen.append({"expr": query, "eval_time": at, "exp_samples": [{"labels": "{}", "value": value}]})
    test = {"interval": "1m", "input_series": given, "promql_expr_test": seen}
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": ["alerts.yaml"], "evaluation_interval": "1m", "tests": [test]}))
    check(promtool, "test", "rules", file)
