"""`make test-api`: schemathesis reads /openapi.json of a live gateway, tries what it promises, and prints a summary."""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from pathlib import Path

from tests.support.gateways import KEY
from tests.support.handlers import Service, open_service
from tests.support.servers import ROOT

# Longer than the longest wait that a request may ask for.
REQUEST_SECONDS = 75


async def main() -> int:
    options = _read_arguments()
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # so that nothing is left running
    with tempfile.TemporaryDirectory() as folder:
        async with open_service(Path(folder)) as service, service.handler():
            return await _run(service, options)


async def _run(service: Service, options: argparse.Namespace) -> int:
    # Not --header: that would send the key also where its absence is what is tried.
    configuration = service.folder / "schemathesis.toml"
    configuration.write_text(f'[auth.openapi.adminKey]\napi_key = "{KEY}"\n')
    command = [
        options.program,
        f"--config-file={configuration}",
        "run",
        str(service.gateway.api.base_url.join("/openapi.json")),
        f"--max-examples={options.examples}",
        f"--request-timeout={REQUEST_SECONDS}",
        "--workers=1",
        "--no-color",
        *([f"--seed={options.seed}"] if options.seed else []),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.laboratory.fuzzing.hooks"}
    process = await asyncio.create_subprocess_exec(*command, cwd=service.folder, env=environment)
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.laboratory.fuzzing", description=__doc__)
    parser.add_argument("program", help="the schemathesis to run, absolute: it lives apart from what it tests")
    parser.add_argument("--examples", type=int, default=30, help="for each operation")
    parser.add_argument("--seed", type=int, help="to repeat a run")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
