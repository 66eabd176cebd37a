"""kubectl behind typed verbs. Every verb raises StepFailed with the code of what went wrong.

What changes the cluster is a command first (`to_create`, `to_patch`, …), so that it can be shown before it is run.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from contracts.codes import Failure
from handlers.commands.running import Command, Completed
from handlers.commands.secret import Secret
from handlers.results import RunCommand, StepFailed
from handlers.tools.failures import explain

Object = dict[str, Any]


# The last: a patch that names the UID of an object which another one of its name has replaced.
_CHANGED = (b"the object has been modified", b"Precondition failed", b"metadata.uid: Invalid value")


class AlreadyExists(Exception):
    """Somebody was faster, or an earlier attempt."""


class Changed(Exception):
    """The object is not what it was when it was read."""


@asynccontextmanager
async def at_once() -> AsyncIterator[asyncio.TaskGroup]:
    """A group for looks that need not wait for each other. The first that fails ends the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None


class Kubectl:
    def __init__(self, run: RunCommand, time_limit_seconds: float) -> None:
        self._run = run
        self._time_limit_seconds = time_limit_seconds

    async def get(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """None where there is no such object, which is another thing than a failed look."""
        where = ("-n", namespace) if namespace else ()
        completed = await self._must("get", kind, name, *where, "-o", "json", "--ignore-not-found")
        return _read_json(completed) if completed.stdout.strip() else None

    async def get_each(self, kind: str, names: Sequence[str], namespace: str) -> Sequence[Object]:
        """Those of two or more that are there, in this order."""
        completed = await self._must("get", kind, *names, "-n", namespace, "-o", "json", "--ignore-not-found")
        return tuple(_read_json(completed)["items"]) if completed.stdout.strip() else ()

    async def list(self, kind: str, namespace: str | None, selector: str | None = None) -> list[Object]:
        """`namespace` is None for kinds that are in none."""
        where = ("-n", namespace) if namespace else ()
        narrow = ("-l", selector) if selector else ()
        completed = await self._must("get", kind, *where, *narrow, "-o", "json")
        return list(_read_json(completed)["items"])

    async def find(self, kind: str, *wanted: tuple[str, str]) -> Sequence[Object]:
        """The objects that have one of these values in their metadata, where nothing but a look at all of them tells.

        kubectl picks them out, so that what it prints stays small. An object that fits twice comes twice.
        """
        filters = "".join(f'{{.items[?(@.metadata.{path}=="{value}")]}}' for path, value in wanted)
        return _read_documents(await self._must("get", kind, "-o", f"jsonpath={filters}"))

    async def find_metadata(self, kind: str, path: str) -> Sequence[Object]:
        """The metadata of all objects that have this member in theirs."""
        return _read_documents(
            await self._must("get", kind, "-o", f"jsonpath={{.items[?(@.metadata.{path})].metadata}}")
        )

    async def pick(
        self, kinds: Sequence[str], namespace: str, fields: Sequence[str]
    ) -> Sequence[tuple[str, ...]] | None:
        """These fields of each object of the kinds, an empty text where one is missing.

        None where a kind could not be read: what was printed is a part then. Raises nothing for that.
        """
        template = "{range .items[*]}" + r'{"\t"}'.join(f"{{{field}}}" for field in fields) + r'{"\n"}{end}'
        completed = await self._try("get", ",".join(kinds), "-n", namespace, "-o", f"jsonpath={template}")
        if completed.exit_code != 0:
            return None
        return [tuple(line.split("\t")) for line in completed.stdout.decode(errors="replace").splitlines()]

    def to_create(self, manifest: Object, secrets: Sequence[Secret] = ()) -> Command:
        """From stdin. Never `apply`, which copies what it applies into an annotation."""
        return self._change("create", "-f", "-", stdin=json.dumps(manifest).encode(), secrets=secrets)

    async def ask(self, manifest: Object) -> Object:
        """Creates a review, which is answered and not kept."""
        return _read_json(_succeeded(await self._review(manifest)))

    async def ask_all(self, manifests: Sequence[Object]) -> Sequence[Object]:
        """The same for many at once."""
        bundle = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        return _read_documents(_succeeded(await self._review(bundle)))

    def to_apply(self, namespace: str, manifest: str) -> Command:
        return self._change("apply", "-n", namespace, "-f", "-", stdin=manifest.encode())

    def to_patch(self, kind: str, name: str, change: Object, namespace: str | None = None) -> Command:
        """A merge patch, from stdin. With a resourceVersion in its metadata it is a compare-and-set."""
        where = ("-n", namespace) if namespace else ()
        argv = ("patch", kind, name, *where, "--type=merge", "--patch-file=/dev/stdin")
        return self._change(*argv, stdin=json.dumps(change).encode())

    def to_replace(self, manifest: Object) -> Command:
        """A compare-and-set by the resourceVersion in it."""
        return self._change("replace", "-f", "-", stdin=json.dumps(manifest).encode())

    def to_bind_role(self, namespace: str, name: str, cluster_role: str, user: str) -> Command:
        """A service account is bound by the name of its user."""
        return self._change(
            "create", "rolebinding", name, "-n", namespace, f"--clusterrole={cluster_role}", f"--user={user}"
        )

    async def bind_role(self, command: Command) -> None:
        """Leaves a binding that is there as it is."""
        completed = await self._run(command)
        if completed.exit_code != 0 and b"already exists" not in completed.stderr:
            raise StepFailed(explain(completed), completed)

    def to_delete(self, kind: str, name: str, namespace: str) -> Command:
        """Without waiting. Nothing there is fine."""
        return self._change("delete", kind, name, "-n", namespace, "--wait=false", "--ignore-not-found")

    def to_delete_exactly(self, path: str, uid: str, version: str) -> Command:
        """Only what was seen: another object of that name, or a changed one, stays."""
        options = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "preconditions": {"uid": uid, "resourceVersion": version},
        }
        return self._change("delete", "--raw", path, "-f", "-", stdin=json.dumps(options).encode())

    async def carry_out(self, command: Command) -> Completed:
        """Runs one of these commands."""
        return _succeeded(await self._run(command))

    async def try_out(self, command: Command) -> Completed:
        """What the cluster would say to one of these commands, admission included. It needs the same right."""
        argv = (*command.argv, "--dry-run=server")
        return _succeeded(await self._run(replace(command, argv=argv, changes=False)))

    async def try_out_all(self, command: Command) -> Sequence[Object]:
        """The same for several objects, as the cluster would store them."""
        argv = (*command.argv, "--dry-run=server", "-o", "json")
        completed = _succeeded(await self._run(replace(command, argv=argv, changes=False)))
        return tuple(_read_json(completed)["items"])

    async def write(self, command: Command) -> Completed:
        """The same for what somebody may have overtaken. Raises AlreadyExists, Changed."""
        completed = await self._run(command)
        if completed.exit_code != 0 and b"AlreadyExists" in completed.stderr:
            raise AlreadyExists
        if completed.exit_code != 0 and any(words in completed.stderr for words in _CHANGED):
            raise Changed
        return _succeeded(completed)

    async def _review(self, manifest: Object) -> Completed:
        """Without validation: for a review kubectl would want to list the cluster's CRDs, which nobody here may."""
        argv = ("create", "-f", "-", "-o", "json", "--validate=false")
        return await self._try(*argv, stdin=json.dumps(manifest).encode())

    async def _must(self, *arguments: str) -> Completed:
        return _succeeded(await self._try(*arguments))

    async def _try(self, *arguments: str, stdin: bytes | None = None) -> Completed:
        return await self._run(Command(("kubectl", *arguments), stdin, self._time_limit_seconds))

    def _change(self, *arguments: str, stdin: bytes | None = None, secrets: Sequence[Secret] = ()) -> Command:
        argv, limit_seconds = ("kubectl", *arguments), self._time_limit_seconds
        return Command(argv, stdin, limit_seconds, tuple(secrets), changes=True)


def _succeeded(completed: Completed) -> Completed:
    if completed.exit_code != 0:
        raise StepFailed(explain(completed), _without_objects(completed))
    return completed


def _read_json(completed: Completed) -> Object:
    """Never from an output that was cut: half a list read as a whole one is a wrong answer."""
    if completed.overflowed:
        raise _unreadable(completed, "printed more than is read")
    try:
        value = json.loads(completed.stdout)
    except ValueError:
        raise _unreadable(completed, "printed no JSON") from None
    if not isinstance(value, dict):
        raise _unreadable(completed, "printed no object")
    return value


def _read_documents(completed: Completed) -> list[Object]:
    """kubectl prints one document after the other."""
    if completed.overflowed:
        raise _unreadable(completed, "printed more than is read")
    text = completed.stdout.decode(errors="replace").strip()
    decoder, documents, at = json.JSONDecoder(), [], 0
    try:
        while at < len(text):
            document, at = decoder.raw_decode(text, at)
            documents.append(document)
            at += len(text[at:]) - len(text[at:].lstrip())
    except ValueError:
        raise _unreadable(completed, "printed no JSON") from None
    return documents


def _unreadable(completed: Completed, what: str) -> StepFailed:
    failure = Failure("command_failed", f"`{completed.command}` {what}.")
    return StepFailed(failure, _without_objects(completed))


def _without_objects(completed: Completed) -> Completed:
    """A look at Secrets may have printed what nobody knows to mask: not for the record."""
    return replace(completed, stdout=b"") if completed.command.startswith("kubectl get secret") else completed
