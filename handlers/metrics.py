"""What a handler counts. prometheus_client is imported only where a port is asked for: it doubles the start."""

from typing import Any

from contracts.process.settings import InvalidSettings


class Metrics:
    """Counts nothing where no port is asked for: what a handler did stays in its logs and in the records."""

    def count_job(self, kind: str, status: str, code: str) -> None: ...

    def observe_step(self, step: str, outcome: str, seconds: float) -> None: ...

    def count_retry(self, code: str) -> None: ...

    def count_loss(self, cause: str) -> None: ...

    def count_dead_letter(self, reason: str) -> None: ...

    def observe_start(self, seconds: float) -> None: ...


class PrometheusMetrics(Metrics):
    """Served on METRICS_PORT."""

    def __init__(self, client: Any) -> None:
        prefix = "everest_bootstrap_handler"
        self._jobs = client.Counter(f"{prefix}_jobs", "Jobs that this handler ended", ["kind", "status", "code"])
        self._steps = client.Histogram(
            f"{prefix}_step_duration_seconds",
            "Duration of steps, by outcome or failure code",
            ["step", "outcome"],
            buckets=(0.1, 0.5, 1, 5, 15, 60, 300, 900, 1800),
        )
        self._retries = client.Counter(f"{prefix}_retries", "Steps that are tried again", ["code"])
        self._losses = client.Counter(f"{prefix}_losses", "Leases lost, and jobs taken over from silence", ["cause"])
        self._dead = client.Counter(f"{prefix}_dead_letters", "Messages without a record of their own", ["reason"])
        self._start = client.Gauge(f"{prefix}_cold_start_seconds", "From process start to the first fetch")

    def count_job(self, kind: str, status: str, code: str) -> None:
        self._jobs.labels(kind, status, code).inc()

    def observe_step(self, step: str, outcome: str, seconds: float) -> None:
        self._steps.labels(step, outcome).observe(seconds)

    def count_retry(self, code: str) -> None:
        self._retries.labels(code).inc()

    def count_loss(self, cause: str) -> None:
        self._losses.labels(cause).inc()

    def count_dead_letter(self, reason: str) -> None:
        self._dead.labels(reason).inc()

    def observe_start(self, seconds: float) -> None:
        self._start.set(seconds)


def open_metrics(port: int | None) -> Metrics:
    """Serves /metrics on the port, or counts nothing where there is none. Raises InvalidSettings."""
    if port is None:
        return Metrics()
    import prometheus_client

    metrics = PrometheusMetrics(prometheus_client)
    try:
        prometheus_client.start_http_server(port)
    except OSError as error:
        raise InvalidSettings([f"METRICS_PORT {port} cannot be listened on: {error.strerror}"]) from None
    return metrics
