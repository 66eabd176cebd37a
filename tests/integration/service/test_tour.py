"""`make dev` and `tests/tour.sh`, as a newcomer runs them."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.support.servers import LIMIT_SECONDS, LOOPBACK, ROOT, free_port

pytestmark = pytest.mark.slow


async def test_the_tour_is_as_promised(tmp_path: Path) -> None:
    """Every answer, with named keys and a change by hand; then the demo stops with 0."""
    keys = tmp_path / "keys"
    keys.touch()
    port, data = free_port(), tmp_path / "data"
    environment = {**os.environ, "ADMIN_API_KEY": "tour", "ADMIN_API_KEYS_FILE": str(keys)}
    places = {"PORT": str(port), "NATS_PORT": str(free_port()), "DATA_DIR": str(data)}
    demo = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.demo", cwd=ROOT, env=environment | places, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert demo.stdout is not None
        async with asyncio.timeout(LIMIT_SECONDS):
            while b"It serves until" not in (line := await demo.stdout.readline()):
                assert line, "the demo ended"
        tour = await asyncio.create_subprocess_exec(
            ROOT / "tests" / "tour.sh",
            cwd=ROOT,
            env=environment
            | {
                "BASE_URL": f"http://{LOOPBACK}:{port}",
                "PYTHON": sys.executable,
                "KUBECTL": str(Path(sys.executable).with_name("kubectl")),
                "DEMO_LOG": str(data / "demo.log"),
                "DEMO_KUBECONFIG": str(data / "simulated.kubeconfig"),
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(tour.communicate(), 5 * LIMIT_SECONDS)
        assert tour.returncode == 0, output.decode()
        assert "  -- " not in output.decode(), "a part was left out"
    finally:
        demo.send_signal(signal.SIGTERM)
        _, code = await asyncio.gather(demo.communicate(), demo.wait())
    assert code == 0
