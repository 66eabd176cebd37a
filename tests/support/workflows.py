"""The steps of a bootstrap as a handler runs them, with real commands against a cluster, and without NATS."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import orjson

from contracts.codes import Failure
from contracts.kinds import read_request
from contracts.records import JobRecord, Outcome, Status, StepRecord
from contracts.requests import PlanQuery
from handlers.bootstrap.steps import STEPS
from handlers.commands.running import Command, Commands, Completed, child_environment
from handlers.kinds import Surroundings, make_plan
from handlers.preflight.checking import make_runner
from handlers.results import RunCommand, StepFailed, StepResult
from handlers.tools.versions import ClusterFacts
from tests.support.environments import handler_settings

RBAC_IMPORT = f"{sys.executable} -m handlers.rbac_import"  # everest-rbac-import, where nothing was installed
MOST_ATTEMPTS = 5  # as MAX_ATTEMPTS
_MOMENT = "2026-01-01T00:00:00Z"

Intercept = Callable[[RunCommand], RunCommand]


class Cut(Exception):
    """The handler dies here, as far as the test is concerned."""


@dataclass(slots=True)
class Attempt:
    """What came of running the steps once."""

    results: dict[str, StepResult] = field(default_factory=dict)
    failure: StepFailed | None = None
    failed_step: str | None = None
    remembered: dict[str, dict[str, Any]] = field(default_factory=dict)  # by the record, of the steps
    commands: list[Command] = field(default_factory=list)
    completed: list[Completed] = field(default_factory=list)

    @property
    def end(self) -> StepFailed:
        """How it failed."""
        assert self.failure is not None, "it did not fail"
        return self.failure

    @property
    def outcomes(self) -> list[Outcome]:
        return [result.outcome for result in self.results.values()]

    @property
    def warnings(self) -> list[str]:
        return [warning for result in self.results.values() for warning in result.warnings]

    @property
    def code(self) -> str | None:
        return self.failure.failure.code if self.failure else None

    @property
    def ran(self) -> list[str]:
        """The commands as a record shows them."""
        return [command.shown for command in self.commands]

    def result(self, step: str) -> StepResult:
        assert step in self.results, f"{self.failed_step}: {self.failure}"
        return self.results[step]


@dataclass(slots=True)
class Bench:
    """`variables` reach the cluster; `settings` are the handler's, by their names in the environment."""

    commands: Commands
    variables: Mapping[str, str]
    settings: Mapping[str, str]
    facts: ClusterFacts = field(default_factory=ClusterFacts)
    callers: dict[str, str] = field(default_factory=dict)  # of the jobs whose records are kept
    caller: str = "tests"
    is_bound: bool = False

    def having(self, **settings: str) -> "Bench":
        """The same with other settings, an empty one left out. Asks again for what it knows of the cluster."""
        changed = {name: value for name, value in {**self.settings, **settings}.items() if value}
        return replace(self, settings=changed, facts=ClusterFacts())

    def called_by(self, caller: str, *, is_bound: bool = False) -> "Bench":
        return replace(self, caller=caller, is_bound=is_bound)

    async def attempt(
        self,
        job_id: str,
        *,
        kind: str = "bootstrap",
        done: Attempt | None = None,
        retried: Attempt | None = None,
        run_number: int = 1,
        only: str = "",
        intercept: Intercept = lambda run: run,
        **request: Any,
    ) -> Attempt:
        """Runs the steps that `done` has not finished. What `intercept` makes of running a command is what runs.

        `only`: this step alone, for what no other step has a part in.
        `retried` is an earlier run, which a person has retried from its start.
        """
        settings = handler_settings({**self.variables, **self.settings})
        wanted = read_request(kind, orjson.dumps(request))
        moment = _MOMENT
        record = JobRecord(job_id, kind, self.caller, "", moment, moment, Status.RUNNING)
        record = replace(record, bound=self.is_bound, run=run_number)
        if retried:
            ended = replace(record, steps=_to_records(retried)).failed(Failure("cancelled", "It was."), moment)
            record = ended.reopened(moment, from_start=True).claimed("tests", moment)
        made = Attempt(dict(done.results), remembered=dict(done.remembered)) if done else Attempt()
        run = intercept(self._note(made))
        self.callers[job_id] = self.caller
        for step in make_plan(Surroundings(settings, self.facts, self._find_caller), record, wanted).steps:
            if step.name in made.results or only not in ("", step.name):
                continue
            begun = StepRecord(step.name, _MOMENT, found=made.remembered.get(step.name))
            record = replace(record, steps=(*_to_records(made), begun))
            try:
                made.results[step.name] = await step.ensure(record, run, partial(_remember, made, step.name))
            except StepFailed as error:
                made.failure, made.failed_step = error, error.step or step.name
                break
            except Cut:
                made.failed_step = step.name
                break
        return made

    async def plan(self, kind: str = "bootstrap", **request: Any) -> dict[str, Any]:
        """What a job would do, by a handler's answer to the query."""
        settings = handler_settings({**self.variables, **self.settings})
        moment = _MOMENT
        record = JobRecord("a-plan", "plan", self.caller, "", moment, moment, Status.RUNNING, bound=self.is_bound)
        query = PlanQuery(kind=kind, request=request)
        (step,) = make_plan(Surroundings(settings, self.facts, self._find_caller), record, query).steps
        return dict((await step.ensure(record, make_runner(self.commands), _remember_nothing)).data)

    async def onboard(self, job_id: str, **request: Any) -> Attempt:
        """Attempts until it succeeds or fails for good, as a handler does, but without its pauses."""
        made = await self.finish(job_id, await self.attempt(job_id, **request), **request)
        assert made.failure is None, made.failure
        assert list(made.results) == [step.name for step in STEPS]
        return made

    async def offboard(self, job_id: str, **request: Any) -> Attempt:
        """The same, whatever its end."""
        made = await self.attempt(job_id, kind="offboard", **request)
        return await self.finish(job_id, made, kind="offboard", **request)

    async def finish(self, job_id: str, made: Attempt, **request: Any) -> Attempt:
        """Goes on until it succeeds or fails for good."""
        for _ in range(MOST_ATTEMPTS - 1):
            is_cut = made.failure is None and made.failed_step is not None
            if not is_cut and (made.failure is None or not made.failure.failure.retryable):
                break
            made = await self.attempt(job_id, done=made, **request)
        return made

    async def _find_caller(self, job_id: str) -> str | None:
        return self.callers.get(job_id)

    def _note(self, made: Attempt) -> RunCommand:
        run = make_runner(self.commands)

        async def note(command: Command) -> Completed:
            made.commands.append(command)
            completed = await run(command)
            made.completed.append(completed)
            return completed

        return note


def _to_records(made: Attempt) -> tuple[StepRecord, ...]:
    return tuple(
        StepRecord(name, _MOMENT, _MOMENT, outcome=done.outcome, found=done.found)
        for name, done in made.results.items()
    )


async def _remember(made: Attempt, step: str, found: dict[str, Any]) -> None:
    made.remembered[step] = found


async def _remember_nothing(found: dict[str, Any]) -> None:
    raise AssertionError(f"a plan wanted to write {found}")


@asynccontextmanager
async def open_bench(variables: Mapping[str, str], **settings: str) -> AsyncIterator[Bench]:
    settings = {
        "EVEREST_RBAC_APPLY_CMD": RBAC_IMPORT,
        "SUBPROCESS_TIMEOUT": "60",
        "EVEREST_READY_TIMEOUT": "0",
        **settings,
    }
    async with Commands(child_environment(variables)) as commands:
        yield Bench(commands, variables, settings)


def cut_at(number: int, after_seconds: float) -> Intercept:
    """Kills the command of this number, from 0, after so long, as the guard does when the handler dies."""
    return _end_at(number, _is_any, partial(_kill, after_seconds))


def cut_at_change(number: int, after_seconds: float | None) -> Intercept:
    """Kills the command of this number, from 0, among those that change the cluster; None: right after it."""
    return _end_at(number, _is_change, partial(_kill, after_seconds))


def die(words: str, *, after: bool, times: int = 1) -> Intercept:
    """The handler dies right before or after the command of these words, at the `times`th of them."""
    return _end_at(times - 1, lambda command: words in command.shown, _let_run if after else _leave_out)


def die_at(number: int, *, after: bool) -> Intercept:
    """The handler dies right before or after the change of this number, from 0."""
    return _end_at(number, _is_change, _let_run if after else _leave_out)


def _end_at(
    number: int, is_meant: Callable[[Command], bool], last: Callable[[RunCommand, Command], Awaitable[None]]
) -> Intercept:
    """The handler ends with the command of this number, from 0, among those that are meant; `last` is done of it."""

    def intercept(run: RunCommand) -> RunCommand:
        left = number

        async def watched(command: Command) -> Completed:
            nonlocal left
            left -= is_meant(command)
            if left != -1 or not is_meant(command):
                return await run(command)
            await last(run, command)
            raise Cut

        return watched

    return intercept


def _is_any(command: Command) -> bool:
    return True


def _is_change(command: Command) -> bool:
    return command.changes


async def _kill(after_seconds: float | None, run: RunCommand, command: Command) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(after_seconds):
            await run(command)


async def _let_run(run: RunCommand, command: Command) -> None:
    await run(command)


async def _leave_out(run: RunCommand, command: Command) -> None:
    pass
