"""compose.yaml, as the README's lines use it."""

import json
import os
import re
import subprocess
import time
from collections.abc import Sequence
from secrets import token_hex
from typing import Any

from tests.laboratory.image.containers import Container, ask, follow, submit, wait_until_ready
from tests.laboratory.image.engine import run
from tests.laboratory.image.surroundings import ROOT, Surroundings

LEASE_SECONDS = "6"  # a killed handler is missed sooner than in production
INSTALL_SECONDS = "8"  # long enough to be killed in
FOUND_SECONDS = 60
DEMO = ("-f", "compose.yaml", "-f", "compose.demo.yaml")


class Composition:
    """A Compose client in the checkout."""

    def __init__(self, here: Surroundings, client: Sequence[str], *files: str) -> None:
        self._here = here
        self._words = (*client, *files)

    def __call__(self, *words: str) -> str:
        variables: dict[str, Any] = {
            **self._here.variables,
            "LEASE_SECONDS": LEASE_SECONDS,
            "SIMULATED_INSTALL_SECONDS": INSTALL_SECONDS,
        }
        return run(*self._words, *words, cwd=self._here.checkout, **variables)

    def handlers(self) -> list[Container]:
        return [Container(name) for name in self("ps", "-q", "handler").split()]

    def remove(self) -> None:
        self("down", "-v", "--remove-orphans")


def the_readme_works_as_it_stands(here: Surroundings, client: Sequence[str]) -> None:
    """docker-compose up --build -d and the curl lines of the README's Quickstart, pasted"""
    blocks = quickstart()
    first = blocks[0].replace("docker-compose", " ".join(client))
    assert "docker-compose up --build -d" in blocks[0], blocks[0]
    _paste(here, first)
    wait_until_ready()
    job_id, answers = "", []
    for block in blocks[1:]:
        text = _paste(here, *blocks[0].splitlines()[1:], block.replace("<JOB_ID>", job_id))
        answers.append(json.loads(text))
        if not job_id:
            job_id = answers[0]["job_id"]
            assert answers[0]["status_url"] == f"/jobs/{job_id}"
            follow(job_id)
    _, job, result, accounts = answers
    assert job["status"] == "succeeded", job
    assert [step["name"] for step in result["steps"]][:2] == ["create_account", "add_namespace"]
    assert result["inputs"]["operators"]["postgresql"] is True, "EVEREST_DEFAULT_OPERATORS"
    assert "alice" in [account["user"] for account in accounts["data"]]
    composition = Composition(here, client)
    (handler,) = composition.handlers()
    processes = handler.processes()
    assert {uid for uids in processes.values() for uid in uids} == {"10001"}, processes


def a_killed_handler_loses_nothing(here: Surroundings, client: Sequence[str]) -> None:
    """--scale handler=3, and docker kill of the one that runs a job: another goes on with it"""
    composition = Composition(here, client)
    composition("up", "-d", "--scale", "handler=3")
    wait_until_ready()
    handlers = composition.handlers()
    assert len(handlers) == 3, handlers
    here.set_install_seconds(10)
    try:
        job_id = submit(f"killed{token_hex(4)}")  # the cluster keeps those of another client's turn
        _wait_for_step(job_id, "add_namespace")
        (worker,) = [handler for handler in handlers if job_id in handler.logs()]
        run("docker", "kill", worker.name)
        job = follow(job_id)
    finally:
        here.set_install_seconds(0.3)
    assert job["status"] == "succeeded", job
    assert job["losses"] == 1, job
    (other,) = [
        handler for handler in composition.handlers() if job_id in handler.logs() and handler.name != worker.name
    ]
    assert ask("GET", f"/jobs/{job_id}/result")["credentials_secret"]["name"]
    assert other.inspect("{{.State.Running}}") == "true"


def down_and_up_again_loses_nothing(here: Surroundings, client: Sequence[str]) -> None:
    """docker-compose down and up: finished jobs are there, one that was only accepted is done"""
    composition = Composition(here, client)
    before = ask("GET", "/jobs?status=succeeded")["jobs"]
    assert len(before) >= 2, before
    composition("stop", "handler")
    waiting = submit("waiting")
    assert ask("GET", f"/jobs/{waiting}")["status"] == "queued"
    composition("down")
    composition("up", "-d")
    wait_until_ready()
    job = follow(waiting)
    assert job["status"] == "succeeded", job
    after = {job["job_id"]: job for job in ask("GET", "/jobs?status=succeeded")["jobs"]}
    assert [after[job["job_id"]] for job in before] == before
    composition.remove()


def the_demo_file_needs_no_cluster(here: Surroundings, client: Sequence[str]) -> None:
    """with compose.demo.yaml: a simulated Everest, three handlers, one of them killed in the middle of a job"""
    composition = Composition(here, client, *DEMO)
    composition("up", "--build", "-d", "--scale", "handler=3")
    try:
        wait_until_ready()
        job_id = submit("shown", operators={"postgresql": True, "mongodb": True})
        _wait_for_step(job_id, "add_namespace")
        (worker,) = [handler for handler in composition.handlers() if job_id in handler.logs()]
        run("docker", "kill", worker.name)
        job = follow(job_id)
        assert (job["status"], job["losses"], job["simulated"]) == ("succeeded", 1, True), job
        result = ask("GET", f"/jobs/{job_id}/result")
        assert result["rbac_applied"] is True, result["steps"]
    finally:
        composition.remove()


def quickstart() -> list[str]:
    """The lines to paste of the README's section."""
    section = (ROOT / "README.md").read_text().partition("## Quickstart")[2].partition("\n## ")[0]
    return re.findall(r"```bash\n(.*?)```", section, re.DOTALL)


def _paste(here: Surroundings, *lines: str) -> str:
    """Into a shell, in the checkout; gives stdout."""
    script = "set -euo pipefail\n" + "\n".join(lines)
    inherited = {name: value for name, value in os.environ.items() if name == "PATH" or name.startswith("DOCKER_")}
    variables = {**here.variables, "LEASE_SECONDS": LEASE_SECONDS}
    ended = subprocess.run(
        ["bash", "-c", script],
        cwd=here.checkout,
        env={**inherited, **variables},  # no setting of the person who runs this
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, f"{script}\n{ended.stdout[-3000:]}{ended.stderr[-3000:]}"
    return ended.stdout


def _wait_for_step(job_id: str, name: str) -> dict[str, Any]:
    end = time.monotonic() + FOUND_SECONDS
    while True:
        job = dict(ask("GET", f"/jobs/{job_id}"))
        if name in [step["name"] for step in job["steps"] if step["state"] != "pending"]:
            return job
        assert time.monotonic() < end, job
        time.sleep(0.1)
