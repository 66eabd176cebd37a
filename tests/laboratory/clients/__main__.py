"""`make test-clients`: generates a client with each generator, compiles it, and takes it through its tour.

What arrived is compared with what was sent; a summary of each tour is printed.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

from tests.support.gateways import KEY
from tests.support.handlers import Service, open_service
from tests.support.servers import ROOT

_HERE = Path(__file__).parent
_DOCUMENT = ROOT / "gateway" / "openapi" / "openapi.json"


async def main() -> int:
    options = _read_arguments()
    with tempfile.TemporaryDirectory(prefix="everest-clients-") as folder:
        python = await _make_python_tour(options.environment, Path(folder))
        typescript = await _make_typescript_tour(options.environment / "node", Path(folder))
        async with open_service(Path(folder)) as service, service.handler():
            for name, tour in (("openapi-python-client", python), ("openapi-typescript", typescript)):
                _check(name, await _take(tour, service))
    return 0


async def _make_python_tour(environment: Path, folder: Path) -> list[str]:
    """A tour is a command that takes an address, a key and a username."""
    generator = environment / "bin" / "openapi-python-client"
    made = folder / "everest-bootstrap-client"
    await _run(str(generator), "generate", "--path", str(_DOCUMENT), "--output-path", str(made), "--fail-on-warning")
    shutil.copy(_HERE / "tour.py", made)
    await _run(str(environment / "bin" / "mypy"), "--check-untyped-defs", str(made / "everest_bootstrap_client"))
    return [str(environment / "bin" / "python"), str(made / "tour.py")]


async def _make_typescript_tour(environment: Path, folder: Path) -> list[str]:
    made = folder / "typescript"
    made.mkdir()
    (made / "node_modules").symlink_to(environment / "node_modules")
    (made / "package.json").write_text('{"type": "module"}')
    shutil.copy(_HERE / "tour.ts", made)
    programs = environment / "node_modules" / ".bin"
    await _run(str(programs / "openapi-typescript"), str(_DOCUMENT), "--output", str(made / "api.ts"))
    strictly = ["--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext", "--types", "node"]
    await _run(str(programs / "tsc"), *strictly, "tour.ts", cwd=made)
    return ["node", str(made / "tour.js")]


async def _take(tour: list[str], service: Service) -> dict[str, Any]:
    username = f"c{uuid.uuid4().hex[:10]}"
    address = str(service.gateway.api.base_url).rstrip("/")
    return dict(json.loads(await _run(*tour, address, KEY, username)))


def _check(generator: str, seen: dict[str, Any]) -> None:
    """Nothing that was sent was lost on the way, and nothing else was made of it."""
    sent, job, inputs = seen["sent"], seen["job"], seen["result"]["inputs"]
    assert sent["operators"] == {"postgresql": True}, "the client adds members that nobody gave"
    assert job["status"] == seen["result"]["overall_status"] == "succeeded", job
    assert (inputs["username"], inputs["namespace"]) == (sent["username"], sent["namespace"])
    assert inputs["operators"] == {"mongodb": False, "postgresql": True, "xtradb_cluster": False}
    assert inputs["resources"] == {"cpu_cores": 4.5, "ram_mb": 2048, "disk_gb": 64}
    assert seen["listed"] == [job["job_id"]]
    assert seen["tenant"]["namespace"]["name"] == sent["namespace"]
    steps = ", ".join(f"{step['name']} {step['outcome']}" for step in seen["result"]["steps"])
    print(f"{generator}: sent {json.dumps(sent)}; {job['status']}: {steps}; tenant in {sent['namespace']}", flush=True)


async def _run(*argv: str, cwd: Path | None = None) -> str:
    """What it printed. Raises AssertionError with what it complained of when it fails."""
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complaint = await process.communicate()
    assert process.returncode == 0, f"{' '.join(argv)}\n{said.decode()}{complaint.decode()}"
    return said.decode()


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.laboratory.clients", description=__doc__)
    parser.add_argument("environment", type=Path, help="where the generators are, absolute: they live apart from ours")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
