"""`everest-bootstrap`: one subcommand for each thing that a person does with the gateway.

Exit codes: 0 done, 1 the job failed, 2 the command line, the settings or this machine are wrong, 3 the gateway refused,
4 the gateway cannot be reached or cannot answer now, 5 the time to wait is over and the job goes on, 130 interrupted,
141 who read the output has left.

BASE_URL and ADMIN_API_KEY say whom to call, else base_url and admin_api_key in ~/.config/everest-bootstrap.toml, mode
0600.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import orjson
import typer
from rich.console import RenderableType

from contracts.batches import MOST_PLANS
from gateway.client import tables
from gateway.client.answers import FINISHED, Document, Refused, Unfinished, Unreachable
from gateway.client.api import Api
from gateway.client.requests_file import InvalidRequestsFile, StoredBatch, read_batches
from gateway.client.settings import InvalidConfig, read_client_settings

FAILED, WRONG_USE, REFUSED, UNAVAILABLE, UNFINISHED, INTERRUPTED = 1, 2, 3, 4, 5, 130

app = typer.Typer(
    name="everest-bootstrap",
    help=__doc__,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback would show the key
)


def _check_given(given: str | list[str] | None) -> str | list[str] | None:
    """Empty is what a script's unset variable leaves: taken for an absent one it would mean more, all or anew."""
    if "" in ([given] if isinstance(given, str) else given or ()):
        raise typer.BadParameter("must not be empty")
    return given


def _text(meaning: str | None = None) -> Any:
    """An option whose value is a text."""
    return typer.Option(help=meaning, callback=_check_given)


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="for people, or for scripts")]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="a file with base_url and admin_api_key, mode 0600")
]
JobId = Annotated[str, typer.Argument(metavar="JOB_ID", callback=_check_given)]
Username = Annotated[str, typer.Argument(metavar="USER", callback=_check_given)]
NamespaceOption = Annotated[str | None, _text("the username by default")]
OperatorOption = Annotated[list[str] | None, _text("mongodb, postgresql or xtradb_cluster; may be repeated")]
RoleOption = Annotated[str | None, _text("developer, owner, viewer, or one of the deployment's own")]
SubjectOption = Annotated[list[str] | None, _text("an OIDC sub or a group that holds the role; may be repeated")]
NoAccountOption = Annotated[bool, typer.Option("--no-account", help="the subjects log in by SSO: no password")]
AmountOption = Annotated[str | None, _text("of the quota")]
TakeOwnershipOption = Annotated[bool, typer.Option("--take-ownership", help="adopt a namespace that is nobody's here")]
WaitOption = Annotated[bool, typer.Option("--wait", help="until it has finished, steps shown")]
LimitOption = Annotated[float | None, typer.Option("--timeout", help="seconds to wait at most; without it: to the end")]


@app.command()
def submit(
    username: Username,
    namespace: NamespaceOption = None,
    operator: OperatorOption = None,
    role: RoleOption = None,
    subject: SubjectOption = None,
    no_account: NoAccountOption = False,
    cpu_cores: AmountOption = None,
    ram_mb: AmountOption = None,
    disk_gb: AmountOption = None,
    take_ownership: TakeOwnershipOption = False,
    idempotency_key: Annotated[str | None, _text("the same key and request are the same job")] = None,
    wait_for_end: WaitOption = False,
    output: OutputOption = Output.TABLE,
    config: ConfigOption = None,
) -> None:
    """Onboard a tenant: submit a bootstrap job."""
    resources = _given(cpu_cores=cpu_cores, ram_mb=ram_mb, disk_gb=disk_gb)
    request = _make_request(username, namespace, operator, role, subject, no_account, resources, take_ownership)
    with _gateway(config) as api:
        accepted = api.submit(request, idempotency_key=idempotency_key)
        _show_accepted(api, accepted, output, wait_for_end=wait_for_end)


@app.command()
def plan(
    username: Username,
    namespace: NamespaceOption = None,
    operator: OperatorOption = None,
    role: RoleOption = None,
    subject: SubjectOption = None,
    no_account: NoAccountOption = False,
    cpu_cores: AmountOption = None,
    ram_mb: AmountOption = None,
    disk_gb: AmountOption = None,
    take_ownership: TakeOwnershipOption = False,
    output: OutputOption = Output.TABLE,
    config: ConfigOption = None,
) -> None:
    """Show what a submit would do, and do nothing; 1 when it would fail."""
    resources = _given(cpu_cores=cpu_cores, ram_mb=ram_mb, disk_gb=disk_gb)
    request = _make_request(username, namespace, operator, role, subject, no_account, resources, take_ownership)
    with _gateway(config) as api:
        document = api.plan(request)
        _show(document, tables.plan_view(document), output)
    if document["would"] == "fail":
        raise typer.Exit(FAILED)


@app.command()
def wait(
    job_id: JobId, timeout: LimitOption = None, output: OutputOption = Output.TABLE, config: ConfigOption = None
) -> None:
    """Wait for a job's end; 0 when it succeeded, 1 when it failed."""
    with _gateway(config) as api:
        with _telling_that_it_goes_on(job_id):
            finished = api.wait(job_id, timeout)
        _show_end(finished, output)


@app.command()
def watch(job_id: JobId, output: OutputOption = Output.TABLE, config: ConfigOption = None) -> None:
    """Show each transition of a job as it happens, to its end."""
    with _gateway(config) as api:
        _show_end(_follow(api, job_id, output), output)


@app.command()
def jobs(
    status: Annotated[str | None, _text("queued, running, succeeded or failed")] = None,
    username: Annotated[str | None, _text()] = None,
    namespace: Annotated[str | None, _text()] = None,
    kind: Annotated[str | None, _text()] = None,
    caller: Annotated[str | None, _text("the name of a key, or of a NATS account")] = None,
    since: Annotated[str | None, _text("a moment such as 2026-01-31T12:00:00Z")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    cursor: Annotated[str | None, _text("the next_cursor of a page")] = None,
    output: OutputOption = Output.TABLE,
    config: ConfigOption = None,
) -> None:
    """List jobs, last changed first."""
    filters = _given(
        status=status, username=username, namespace=namespace, kind=kind, caller=caller, since=since, cursor=cursor
    )
    with _gateway(config) as api:
        page = api.jobs(**filters, limit=limit)
        _show_page(page, tables.JobTable(page["jobs"]), output)


@app.command()
def job(job_id: JobId, output: OutputOption = Output.TABLE, config: ConfigOption = None) -> None:
    """Show a job as it is now."""
    with _gateway(config) as api:
        document = api.job(job_id)
        _show(document, tables.job_view(document), output)


@app.command()
def result(job_id: JobId, output: OutputOption = Output.TABLE, config: ConfigOption = None) -> None:
    """Show the result of a finished job, and where the password is."""
    with _gateway(config) as api:
        document = api.result(job_id)
        _show(document, tables.result_view(document), output)


@app.command()
def cancel(job_id: JobId, output: OutputOption = Output.TABLE, config: ConfigOption = None) -> None:
    """End a job before its next step."""
    with _gateway(config) as api:
        _show(api.cancel(job_id), f"{job_id}  is being cancelled", output)


@app.command()
def retry(
    job_id: JobId,
    from_start: Annotated[bool, typer.Option("--from-start", help="all steps again, not from the failed one")] = False,
    output: OutputOption = Output.TABLE,
    config: ConfigOption = None,
) -> None:
    """Queue a failed job again."""
    with _gateway(config) as api:
        _show(api.retry(job_id, from_start=from_start), f"{job_id}  is queued again", output)


@app.command()
def tenants(
    username: Annotated[str | None, _text()] = None,
    differs: Annotated[bool, typer.Option("--differs", help="only those that are not as they should be")] = False,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    cursor: Annotated[str | None, _text("the next_cursor of a page")] = None,
    output: OutputOption = Output.TABLE,
    config: ConfigOption = None,
) -> None:
    """List tenants by name, with their namespaces."""
    filters = _given(username=username, differs="true" if differs else None, cursor=cursor)
    with _gateway(config) as api:
        page = api.tenants(**filters, limit=limit)
        _show_page(page, tables.tenant_table(page["tenants"]), output)


@app.command()
def tenant(username: Username, output: OutputOption = Output.TABLE, config: ConfigOption = None) -> None:
    """Show what the cluster holds for a tenant, and what differs from its last finished job."""
    with _gateway(config) as api:
        document = api.tenant(username)
        _show(document, tables.tenant_view(document["data"]), output)


@app.command()
def offboard(
    username: Username,
    namespace: Annotated[str | None, _text("one of its namespaces; all of them by default")] = None,
    delete_databases: Annotated[
        bool, typer.Option("--delete-databases", help="with --confirm: databases, backups and volumes go too, for good")
    ] = False,
    keep_namespace: Annotated[
        bool, typer.Option("--keep-namespace", help="take Everest, claim and quota off, leave the rest")
    ] = False,
    delete_account: Annotated[
        bool, typer.Option("--delete-account", help="with --confirm: also one that no job made")
    ] = False,
    confirm: Annotated[str | None, _text("the namespace's name; the username where none is given")] = None,
    wait_for_end: WaitOption = False,
    output: OutputOption = Output.TABLE,
    config: ConfigOption = None,
) -> None:
    """Take a tenant away: its rights, its namespaces, its account. Nothing is lost that is not confirmed."""
    flags = {
        "delete_databases": delete_databases,
        "keep_namespace": keep_namespace,
        "delete_account": delete_account,
    }
    asked = {name: "true" for name, is_set in flags.items() if is_set} | _given(confirm=confirm)
    with _gateway(config) as api:
        accepted = api.offboard(username, namespace, **asked)
        _show_accepted(api, accepted, output, wait_for_end=wait_for_end)


@app.command()
def password(
    username: Username,
    wait_for_end: WaitOption = False,
    output: OutputOption = Output.TABLE,
    config: ConfigOption = None,
) -> None:
    """Give a tenant's account a new password; the result says which Secret holds it."""
    with _gateway(config) as api:
        _show_accepted(api, api.change(username, "password"), output, wait_for_end=wait_for_end)


@app.command()
def suspend(
    username: Username,
    pause_databases: Annotated[bool, typer.Option("--pause-databases", help="those that run, too")] = False,
    wait_for_end: WaitOption = False,
    output: OutputOption = Output.TABLE,
    config: ConfigOption = None,
) -> None:
    """Take a tenant's rights and logins away until it is resumed."""
    asked = {"pause_databases": "true"} if pause_databases else {}
    with _gateway(config) as api:
        _show_accepted(api, api.change(username, "suspend", **asked), output, wait_for_end=wait_for_end)


@app.command()
def resume(
    username: Username,
    wait_for_end: WaitOption = False,
    output: OutputOption = Output.TABLE,
    config: ConfigOption = None,
) -> None:
    """Give a suspended tenant back what was taken."""
    with _gateway(config) as api:
        _show_accepted(api, api.change(username, "resume"), output, wait_for_end=wait_for_end)


@app.command()
def handover(
    username: Username,
    caller: Annotated[str, typer.Argument(help="the name of a key, or of a publisher", callback=_check_given)],
    wait_for_end: WaitOption = False,
    output: OutputOption = Output.TABLE,
    config: ConfigOption = None,
) -> None:
    """Let another caller manage a tenant."""
    with _gateway(config) as api:
        _show_accepted(api, api.hand_over(username, caller), output, wait_for_end=wait_for_end)


@app.command()
def apply(
    file: Annotated[Path, typer.Option("--file", "-f", help="YAML with `requests:`, a list of bootstrap requests")],
    plan: Annotated[bool, typer.Option("--plan", help="only tell what it would do; 1 if it would fail")] = False,
    output: OutputOption = Output.TABLE,
    config: ConfigOption = None,
) -> None:
    """Show what each request of a file would do, submit all as one, and wait for the end; 1 when one of them failed.

    Nothing is sent of a file with a request that is not valid. All is accepted or nothing, a thousand requests at a
    time; of more than a hundred no plans are shown. The same file again is the same jobs, as long as their records are
    kept.
    """
    batches = _read_file(file)
    with _gateway(config) as api:
        if plan:
            raise typer.Exit(FAILED if _show_plans(api, batches, output) else 0)
        if output is Output.TABLE and sum(len(batch.requests) for batch in batches) <= MOST_PLANS:
            _show_plans(api, batches, output)
        accepted = [_submit_batch(api, batch) for batch in batches]
        finished = [job for batch in accepted for job in _follow_batch(api, batch, output)]
    _show({"jobs": finished}, tables.JobTable(finished), output)
    _exit_with_failures(finished)


@app.command()
def check(output: OutputOption = Output.TABLE, config: ConfigOption = None) -> None:
    """Tell whether the gateway is there, ready, and takes the key."""
    with _gateway(config) as api:
        document = api.readiness()
        _show(document, tables.readiness_view(api.base_url, document), output)
    if document["status"] != "ready":
        raise typer.Exit(UNAVAILABLE)


@contextmanager
def _gateway(config: Path | None) -> Iterator[Api]:
    """The gateway to call; what goes wrong with it becomes one message and an exit code."""
    try:
        settings = read_client_settings(config)
        with Api(settings, _tell) as api:
            yield api
    except InvalidConfig as error:
        _fail(f"config: {error}", WRONG_USE)
    except Refused as error:
        key = f" (the key: {settings.origin('admin_api_key')})" if error.status == 401 else ""
        problem = {"code": error.code, **error.problem, "detail": f"{error}{key}"}
        tables.show(tables.problem_view(problem), stderr=True)
        raise typer.Exit(UNAVAILABLE if error.is_temporary else REFUSED) from None
    except Unreachable as error:
        hint = "check BASE_URL, also whether it is http or https, and that the gateway runs"
        _fail(f"unreachable: {error}\nhint: {hint}", UNAVAILABLE)
    except Unfinished as error:
        _fail(f"unfinished: {error}\nhint: everest-bootstrap wait {error.job['job_id']}", UNFINISHED)


def _show_plans(api: Api, batches: list[StoredBatch], output: Output) -> bool:
    """Whether one of them would fail."""
    requests = [request for batch in batches for request in batch.requests]
    plans = [
        plan
        for start in range(0, len(requests), MOST_PLANS)
        for plan in api.plans(requests[start : start + MOST_PLANS])
    ]
    for number, plan in enumerate(plans):
        plan["index"] = number
    _show({"plans": plans}, tables.plan_table(requests, plans), output)
    return any("problem" in plan or plan["plan"]["would"] == "fail" for plan in plans)


def _submit_batch(api: Api, batch: StoredBatch) -> Document:
    """The accepted jobs, told at once: they go on, whatever becomes of the next batch or of this command."""
    try:
        accepted = api.submit_batch(batch.requests, batch.key)
    except Refused as error:
        raise error.of_requests(str(batch), batch.first) from None
    _tell(f"accepted: {batch}, batch {accepted['batch_id']}")
    return accepted


def _follow_batch(api: Api, accepted: Document, output: Output) -> list[Document]:
    """The finished jobs of a batch in the order of its requests; how far they are is shown meanwhile."""
    counts: dict[str, int] = {}
    while not counts or counts["queued"] or counts["running"]:
        before, counts = counts, api.batch(accepted["batch_id"])["counts"]
        if output is Output.TABLE and counts != before:
            _say(", ".join(f"{count} {status}" for status, count in counts.items() if count))
    return api.batch_jobs(accepted["batch_id"], [job["job_id"] for job in accepted["jobs"]])


def _read_file(file: Path) -> list[StoredBatch]:
    try:
        return read_batches(file)
    except InvalidRequestsFile as error:
        _fail(f"file: {error}", WRONG_USE)


def _show_accepted(api: Api, accepted: Document, output: Output, *, wait_for_end: bool) -> None:
    """The accepted job, or its end."""
    if wait_for_end:
        _show_end(_follow(api, accepted["job_id"], output), output)
    else:
        _show(accepted, f"{accepted['job_id']}  accepted; everest-bootstrap watch {accepted['job_id']}", output)


def _follow(api: Api, job_id: str, output: Output) -> Document:
    """The finished job; its transitions until then are shown meanwhile."""
    with _telling_that_it_goes_on(job_id):
        for event in api.events(job_id):
            if event.get("status") in FINISHED:
                return event  # with the members of the job's document
            kind = "transition" if "status" in event else "progress"
            _show({"type": kind, **event}, tables.event_line(event), output)
        return api.wait(job_id, None)


@contextmanager
def _telling_that_it_goes_on(job_id: str) -> Iterator[None]:
    """Who ends the waiting does not end the job."""
    try:
        yield
    except KeyboardInterrupt:
        _fail(f"interrupted: the job goes on\nhint: everest-bootstrap wait {job_id}", INTERRUPTED)


def _show_end(job: Document, output: Output) -> None:
    _show(job, tables.job_view(job), output)
    _exit_with_failures([job])


def _exit_with_failures(finished: list[Document]) -> None:
    if any(job["status"] == "failed" for job in finished):
        raise typer.Exit(FAILED)


def _show(document: Document, view: RenderableType, output: Output) -> None:
    if output is Output.JSON:
        _say(orjson.dumps(document).decode())
    else:
        tables.show(view)


def _show_page(page: Document, view: RenderableType, output: Output) -> None:
    _show(page, view, output)
    if page["next_cursor"] and output is Output.TABLE:
        _say(f"more: --cursor {page['next_cursor']}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()  # in a pipe, too, it is read as it happens


def _tell(text: str) -> None:
    """For who waits, beside what is read."""
    sys.stderr.write(f"{text}\n")


def _fail(message: str, code: int) -> NoReturn:
    _tell(message)
    raise typer.Exit(code) from None


def _make_request(
    username: str,
    namespace: str | None,
    operators: list[str] | None,
    role: str | None,
    subjects: list[str] | None,
    no_account: bool,
    resources: dict[str, Any],
    take_ownership: bool,
) -> Document:
    return _given(
        username=username,
        namespace=namespace,
        role=role,
        subjects=subjects or None,
        account=False if no_account else None,
        operators=dict.fromkeys(operators, True) if operators else None,
        take_ownership=take_ownership or None,
        resources=resources or None,
    )


def _given(**members: Any) -> dict[str, Any]:
    """Absence is sent as absence: defaults are the service's."""
    return {name: value for name, value in members.items() if value is not None}
