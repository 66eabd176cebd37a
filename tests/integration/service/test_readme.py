"""Every block of the README, pasted as it stands; `<JOB_ID>` and the addresses aside."""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.simulator import SimulatedEverest, simulated_everest
from tests.support.servers import LIMIT_SECONDS, LOOPBACK, ROOT
from tests.support.standalone import KEY, Standalone, standalone

beside_the_service = pytest.mark.asyncio(loop_scope="module")

BLOCKS = re.findall(r"^```(bash|python)\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
# Run elsewhere: the demo's by tests/integration/service/test_demo.py, what needs an engine by `make test-image`.
# What receives webhooks: by tests/integration/gateway/test_webhooks.py.
# By `make test-image`, `make test-chart` and the like.
ELSEWHERE = ("make ", "docker ", "docker-compose ", "gh ", "helm ", "import http.server")
CURLS = [text for language, text in BLOCKS if language == "bash" and "curl " in text]
CLIENT = [text for language, text in BLOCKS if language == "bash" and "\neverest-bootstrap " in text]
NATS = [text for language, text in BLOCKS if language == "bash" and "nats-local " in text]
PYTHON = [text for language, text in BLOCKS if language == "python" and not text.startswith(ELSEWHERE)]
# What a curl ends with here: its status. A finished job can be asked for in every way but to be cancelled.
CURLRC = 'write-out = "\\n%{method} %{http_code} %{url_effective}\\n"\n'
ANSWERS = {"GET": {"200"}, "POST": {"200", "202"}, "DELETE": {"202"}}


@dataclass(frozen=True, slots=True)
class Checkout:
    """A folder with the service's data folder in it, where the README's lines are pasted."""

    folder: Path
    service: Standalone
    failed_job: str

    async def paste(self, *argv: str) -> str:
        variables = {
            **os.environ,
            "HOME": str(self.folder),
            "BASE_URL": f"http://{LOOPBACK}:{self.service.port}",
            "ADMIN_API_KEY": KEY,
            "NATS_URL": f"nats://{LOOPBACK}:{self.service.nats_port}",
        }
        process = await asyncio.create_subprocess_exec(
            *argv, cwd=self.folder, env=variables, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        said, _ = await asyncio.wait_for(process.communicate(), 3 * LIMIT_SECONDS)
        assert process.returncode == 0, said.decode()
        return said.decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def checkout(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Checkout]:
    folder = tmp_path_factory.mktemp("checkout")
    (folder / ".curlrc").write_text(CURLRC)
    async with simulated_everest(folder / "everest") as everest, standalone(everest, folder / ".data") as service:
        await service.wait_until_ready()
        yield Checkout(folder, service, await make_failed_job(everest, service))


async def make_failed_job(everest: SimulatedEverest, service: Standalone) -> str:
    """A job that can be followed, fetched and retried: it wants a namespace that is nobody's."""
    code, _, complaint = await everest.run("kubectl", "create", "namespace", "foreign")
    assert code == 0, complaint
    request = {"username": "stranger", "namespace": "foreign"}
    job = (await service.api.post("/bootstrap/users", json=request, params={"wait": "60"})).json()
    assert job["reason"] == "namespace_exists"
    return str(job["job_id"])


def test_every_block_is_run() -> None:
    run_here = {*CURLS, *CLIENT, *NATS, *PYTHON}
    assert [text for _, text in BLOCKS if text not in run_here and not text.startswith(ELSEWHERE)] == []
    assert all((CURLS, CLIENT, NATS, PYTHON))


@beside_the_service
@pytest.mark.parametrize("block", CLIENT)
async def test_the_command(checkout: Checkout, block: str) -> None:
    (checkout.folder / ".venv").symlink_to(sys.prefix)
    said = await checkout.paste("bash", "-euo", "pipefail", "-c", block)
    assert "is ready and takes the key" in said
    assert "erin" in said


@beside_the_service
@pytest.mark.parametrize("block", CURLS, ids=lambda block: block.split("\n")[0][:40])
async def test_curl(checkout: Checkout, block: str) -> None:
    """No answer is an error, but for cancelling what has ended."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not on PATH")
    said = await checkout.paste("bash", "-euo", "pipefail", "-c", block.replace("<JOB_ID>", checkout.failed_job))
    answers = re.findall(r"^(GET|POST|PUT|DELETE) (\d+) (\S+)$", said, re.MULTILINE)
    assert len(answers) == len(re.findall(r"^curl ", block, re.MULTILINE))
    for method, status, url in answers:
        assert status in (ANSWERS[method] if not url.endswith("/cancel") else {"409"}), said


@beside_the_service
@pytest.mark.parametrize("block", NATS)
async def test_nats(checkout: Checkout, block: str) -> None:
    """The acknowledgement is shown, and the status of the job."""
    program = shutil.which("nats", path=f"{os.environ['PATH']}{os.pathsep}{ROOT / '.venv' / 'tools'}")
    if program is None:
        pytest.skip("the command nats is not there: `make nats-cli` builds it")
    script = f'PATH="{Path(program).parent}:$PATH"\n{block}'
    said = (await checkout.paste("bash", "-O", "expand_aliases", "-euo", "pipefail", "-c", script)).replace(" ", "")
    assert '"stream":"EVEREST_JOBS"' in said
    assert '"job_id":"local.order-42"' in said


@beside_the_service
@pytest.mark.parametrize("block", PYTHON)
async def test_python(checkout: Checkout, block: str) -> None:
    """It follows its job to the end, or hears of that afterwards."""
    here = block.replace("nats://127.0.0.1:4222", f"nats://{LOOPBACK}:{checkout.service.nats_port}")
    said = await checkout.paste(sys.executable, "-c", here)
    assert "succeeded" in said.strip().splitlines()[-1]
