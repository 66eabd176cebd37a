"""What a person sees: jobs, steps, tenants and problems as tables and lines."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from gateway.client.answers import Document

_UNBOUNDED_WIDTH = 240
_NARROW_WIDTH = 140
_LEAST_BESIDE_ID = 20  # columns: a status and a little of the rest
_TOLD_BY_NAMESPACES = ("namespace", "other_namespaces", "quota", "limit_range")  # of the first one, for older callers
_VERDICTS = {"change": "yellow", "nothing": "green", "fail": "red"}
_STYLES = {"succeeded": "green", "failed": "red", "running": "yellow", "queued": "cyan"}


@dataclass(frozen=True, slots=True)
class JobTable:
    """A line each; ids whole, because they are copied, over several lines where one has no room for them.

    Summaries have the room that is left.
    """

    jobs: Iterable[Document]

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        is_narrow = options.max_width < _NARROW_WIDTH
        between = () if is_narrow else ("KIND", "NAMESPACE", "CHANGED")
        table = _table("JOB", "STATUS", "TENANT", *between, "SUMMARY")
        table.expand = True
        for column in table.columns:
            column.no_wrap = column.header not in ("TENANT", "NAMESPACE")  # names give way before ids do
            column.overflow = "ellipsis"
        table.columns[-1].ratio = 1
        jobs = list(self.jobs)
        if any(len(job["job_id"]) > options.max_width - _LEAST_BESIDE_ID for job in jobs):
            table.columns[0].no_wrap, table.columns[0].overflow = False, "fold"
        for job in jobs:
            details = () if is_narrow else (job["kind"], _plain(job["namespace"]), _moment(job["changed_at"]))
            names = (_plain(job["job_id"]), _status(job["status"]), _plain(job["username"]))
            table.add_row(*names, *details, _plain(job["summary"]))
        yield table


def plan_table(requests: list[Document], plans: list[Document]) -> Table:
    """A line for each request: what it would change, or why it would fail."""
    table = _table("TENANT", "NAMESPACE", "WOULD", "STEPS")
    for request, planned in zip(requests, plans, strict=True):
        plan, problem = planned.get("plan"), planned.get("problem")
        inputs = plan["inputs"] if plan else request
        names = map(_plain, (inputs.get("username"), inputs.get("namespace")))
        if problem:
            table.add_row(*names, Text("not known", style="red"), _plain(_told(problem)))
        elif plan:
            steps = ", ".join(f"{step['name']}: {step['outcome']}" for step in plan["steps"])
            table.add_row(*names, Text(plan["would"], style=_VERDICTS.get(plan["would"], "")), _plain(steps))
    return table


def job_view(job: Document) -> RenderableType:
    """One job: its head, its steps, and what a person should know."""
    head = Text.assemble(f"{job['job_id']}  ", _status(job["status"]), f"  {job.get('summary') or ''}")
    parts: list[RenderableType] = [head]
    if job.get("retry_at"):
        parts.append(Text(f"next try at {job['retry_at']}, because of {job.get('reason')}"))
    if job.get("steps"):
        parts.append(_step_table(job["steps"]))
    parts += _warnings(job)
    if job.get("error"):
        parts.append(problem_view(job["error"]))
    return Group(*parts, *_simulated(job))


def result_view(result: Document) -> RenderableType:
    parts = [job_view({**result, "status": result["overall_status"]})]
    secret = result.get("credentials_secret")
    if secret:
        parts.append(Text(f"password: {secret['read_with']}"))
    return Group(*parts)


def event_line(event: Document) -> Text:
    """A transition; or, of a step that takes long, what it waits for, or else the last line of its command."""
    if "status" not in event:
        return Text(f"         {event['step']}  {_progress(event)}", style="dim")
    what = " ".join(event[name] for name in ("step", "outcome") if event.get(name))
    summary = event.get("summary") or ""
    if summary.startswith("Running"):  # as the status and the step have said
        summary = ""
    return Text("  ").join([_status(event["status"]), *(Text(part) for part in (what, summary) if part)])


def tenant_table(tenants: Iterable[Document]) -> Table:
    """A line for each namespace, under its tenant; what differs where it was asked for."""
    table = _table("TENANT", "NAMESPACE", "ROLE", "GENERATION", "STATE", "DIFFERS")
    for tenant in tenants:
        state = "suspended" if tenant["suspended"] else ""
        for namespace in tenant["namespaces"]:
            differs = [one for one in tenant.get("differences", []) if one["namespace"] in (None, namespace["name"])]
            table.add_row(
                *map(_plain, (tenant["username"], namespace["name"], namespace["role"], namespace["generation"])),
                "terminating" if namespace["terminating"] else state,
                _plain(" ".join(one["message"] for one in differs)),
            )
    return table


def plan_view(plan: Document) -> RenderableType:
    """What would be done, step by step, with what changes."""
    parts: list[RenderableType] = [Text.assemble("would ", (plan["would"], _VERDICTS.get(plan["would"], "")))]
    for step in plan["steps"]:
        parts.append(Text(f"{step['name']}: {step['outcome']}"))
        parts += [Text(f"  $ {command}") for command in step["commands"]]
        if step["diff"]:
            parts.append(Text("".join(f"  {line}\n" for line in step["diff"].splitlines()).rstrip("\n")))
        if step["error"]:
            parts.append(problem_view(step["error"]))
    return Group(*parts, *_warnings(plan), *_simulated(plan))


def tenant_view(tenant: Document) -> Text:
    """What the cluster holds for the tenant, as YAML."""
    told = {name: value for name, value in tenant.items() if name not in _TOLD_BY_NAMESPACES}
    return Text(yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=_UNBOUNDED_WIDTH).rstrip("\n"))


def readiness_view(address: str, readiness: Document) -> Text:
    """Whether a gateway works, and what an operator should know of it."""
    told = [f"\n{notice}" for notice in (*readiness.get("problems", []), *readiness.get("notices", []))]
    return Text(f"{address} is {readiness['status']} and takes the key{''.join(told)}")


def problem_view(problem: Document) -> Text:
    """Code, what happened, and what to do."""
    text = Text.assemble((f"{problem.get('code', 'error')}: ", "bold red"), str(_told(problem)))
    for field in problem.get("fields", []):
        where = f"requests[{field['index']}]." if "index" in field else ""
        text.append(f"\n  {where}{field.get('field')}: {field.get('message')}")
    if problem.get("job_id"):
        text.append(f"\njob_id: {problem['job_id']}")
    if problem.get("hint"):
        text.append(f"\nhint: {problem['hint']}")
    return text


def show(view: RenderableType, *, stderr: bool = False) -> None:
    """Where it is read by no terminal, lines are as long as they need, and no longer."""
    # Under NO_COLOR rich would still print in bold.
    console = Console(stderr=stderr, color_system=None if Console().no_color else "auto")
    if console.is_terminal:
        console.print(view, highlight=False)
        return
    console.width = _UNBOUNDED_WIDTH
    with console.capture() as shown:
        console.print(view, highlight=False)
    stream = sys.stderr if stderr else sys.stdout
    stream.writelines(f"{line.rstrip()}\n" for line in shown.get().splitlines())
    stream.flush()


def _warnings(document: Document) -> list[Text]:
    return [Text(f"warning: {warning}", style="yellow") for warning in document.get("warnings", [])]


def _simulated(document: Document) -> list[Text]:
    return [Text("Everest is simulated here.", style="magenta")] if document.get("simulated") else []


def _progress(progress: Document) -> str:
    awaited = ", ".join(f"{one['what']} {one['name']}: {one['state']}" for one in progress.get("waiting_for", []))
    return awaited or (progress["lines"] or progress["command"]).splitlines()[-1]


def _told(problem: Document) -> Any:
    return problem.get("detail") or problem.get("message") or problem.get("title", "")


def _step_table(steps: Iterable[Document]) -> Table:
    table = _table("STEP", "OUTCOME", "STARTED", "FINISHED")
    for step in steps:
        outcome = step.get("outcome") or step.get("state") or "running"
        table.add_row(step["name"], outcome, _moment(step.get("started_at")), _moment(step.get("finished_at")))
        if step.get("progress"):
            table.add_row("", Text(_progress(step["progress"]), style="dim"), _moment(step["progress"]["since"]), "")
    return table


def _table(*headers: str) -> Table:
    return Table(*headers, box=None, pad_edge=False)


def _moment(value: str | None) -> str:
    """To the second, as a person reads it; UTC as the service writes it."""
    return "" if value is None else value[:19].replace("T", " ")


def _status(status: str) -> Text:
    return Text(status, style=_STYLES.get(status, ""))


def _plain(value: Any) -> str:
    return "" if value is None else escape(str(value))
