"""What nobody asked for costs nothing: it is not even imported."""

import subprocess
import sys

import pytest

from tests.support.servers import ROOT

UNASKED = ("opentelemetry", "standardwebhooks", "gateway.webhooks", "httpx")


@pytest.mark.parametrize("service", ["gateway.http.server", "handlers.service"])
def test_a_start_loads_neither_spans_nor_webhooks(service: str) -> None:
    """A handler that runs until it is idle starts for each job."""
    text = f"import sys, {service}; print([name for name in sys.modules if name.startswith({UNASKED!r})])"
    loaded = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
