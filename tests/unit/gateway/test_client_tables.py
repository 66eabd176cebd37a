"""What a person sees of jobs and tenants, on a terminal and in a pipe."""

import pytest
from rich.console import Console

from gateway.client import tables

JOB = {
    "job_id": "018f3c1e-2b7a-7c4d-9e10-5a6b7c8d9e0f",
    "status": "succeeded",
    "kind": "bootstrap",
    "username": "a_tenant_with_a_name",
    "namespace": "its-namespace",
    "changed_at": "2026-01-31T12:00:00.123Z",
    "summary": "word " * 50,
}


@pytest.mark.parametrize("width", [80, 120, 200])
def test_a_job_is_one_line_with_what_is_copied_whole(width: int) -> None:
    console = Console(width=width)
    with console.capture() as shown:
        console.print(tables.JobTable([JOB]), highlight=False)
    _, line = shown.get().splitlines()
    assert line.split()[:3] == [JOB["job_id"], "succeeded", "a_tenant_with_a_name"]
    assert ("its-namespace" in line) == (width == 200)


def test_a_long_name_gives_way_to_the_id() -> None:
    console = Console(width=80)
    with console.capture() as shown:
        console.print(tables.JobTable([{**JOB, "username": "n" * 63}]), highlight=False)
    _, line = shown.get().splitlines()
    job_id, status, name, *_ = line.split()
    assert (job_id, status, name.strip("n")) == (JOB["job_id"], "succeeded", "…")


def test_an_id_that_a_line_has_no_room_for_is_folded_and_not_cut() -> None:
    console, job_id = Console(width=80), "batch-of-november-" + "1234567890" * 8
    with console.capture() as shown:
        console.print(tables.JobTable([{**JOB, "job_id": job_id}]), highlight=False)
    _, *lines = shown.get().splitlines()
    assert "".join(line.split()[0] for line in lines if line[0] != " ") == job_id


@pytest.mark.parametrize(
    ("event", "line"),
    [
        ({"step": "create_account", "summary": "Running create_account."}, "running  create_account"),
        ({"step": "create_account", "outcome": "created", "summary": "Running."}, "running  create_account created"),
        ({"summary": "Running."}, "running"),
        (
            {"step": "add_namespace", "summary": "Handed back by a handler that stopped; the next one goes on."},
            "running  add_namespace  Handed back by a handler that stopped; the next one goes on.",
        ),
        ({"status": "queued", "summary": "Queued: waits for a handler."}, "queued  Queued: waits for a handler."),
    ],
)
def test_a_transition_says_each_thing_once(event: dict[str, str], line: str) -> None:
    assert tables.event_line({"status": "running", **event}).plain == line


def test_a_tenant_is_told_once_and_in_the_documents_words(capsys: pytest.CaptureFixture[str]) -> None:
    namespace = {"name": "erin", "quota": {"hard": {"limits.cpu": "4"}}}
    document = {"suspended": False, "namespaces": [namespace], "namespace": namespace, "quota": namespace["quota"]}
    tables.show(tables.tenant_view(document))
    assert capsys.readouterr().out.splitlines() == [
        "suspended: false",
        "namespaces:",
        "- name: erin",
        "  quota:",
        "    hard:",
        "      limits.cpu: '4'",
    ]


def test_a_problem_tells_which_job_it_is_about() -> None:
    """Its hint may say to ask for it."""
    problem = {"code": "outcome_unknown", "detail": "NATS did not answer in time.", "job_id": "one", "hint": "Ask."}
    told = tables.problem_view(problem).plain
    assert told.splitlines() == ["outcome_unknown: NATS did not answer in time.", "job_id: one", "hint: Ask."]
