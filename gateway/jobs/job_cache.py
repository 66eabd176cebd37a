"""Jobs as the gateway knows them at one moment, and those that were asked for a moment ago.

The cache is kept true by the watch on the bucket, and nothing is served while the watch is not known to be alive. An
entry lives a minute at most, and never longer than its record: one that expires tells nobody. So absence is never kept.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import orjson

from contracts.documents import Job, Result, job_document, result_document
from contracts.records import JobRecord

ENTRY_SECONDS = 60
MAX_ENTRIES = 20_000


class Document:
    """A document's bytes and their entity tag: equal bytes have equal tags in every gateway."""

    __slots__ = ("body", "etag")

    def __init__(self, document: Job | Result) -> None:
        self.body = orjson.dumps(document)
        self.etag = f'"{hashlib.blake2b(self.body, digest_size=12).hexdigest()}"'


class Snapshot:
    """A job at one moment, its documents encoded once.

    `revision` is the record's in the bucket, 0 while the stream alone says that the job is queued; `expires_at` when
    the bucket forgets it, in seconds since 1970 by the server's clock, None where it does not.
    """

    def __init__(self, record: JobRecord, revision: int, expires_at: float | None = None) -> None:
        self.record = record
        self.revision = revision
        self.expires_at = expires_at
        self._documents: dict[str, Document] = {}

    def document(self, prefix: str = "") -> Document:
        """With links that begin with the prefix."""
        if prefix not in self._documents:
            self._documents[prefix] = Document(job_document(self.record, prefix))
        return self._documents[prefix]

    @cached_property
    def result(self) -> Document:
        return Document(result_document(self.record))


@dataclass(eq=False, slots=True)
class Read:
    """One read of the bucket that is under way."""

    job_id: str
    generation: int
    is_outdated: bool = False


@dataclass(frozen=True, slots=True)
class _Entry:
    snapshot: Snapshot
    expires_at: float


class JobCache:
    """`clock` counts seconds and never goes back, `server_now` is the server's, None while it is not known.

    `is_true` says whether the watch is alive at this moment.
    """

    def __init__(
        self, clock: Callable[[], float], server_now: Callable[[], float | None], is_true: Callable[[], bool]
    ) -> None:
        self._clock = clock
        self._server_now = server_now
        self._is_true = is_true
        self._entries: dict[str, _Entry] = {}
        self._reads: dict[str, list[Read]] = {}
        self._generation = 0

    def find(self, job_id: str) -> Snapshot | None:
        entry = self._entries.get(job_id)
        if entry is None or not self._is_true():
            return None
        if entry.expires_at <= self._clock():
            del self._entries[job_id]
            return None
        return entry.snapshot

    def begin(self, job_id: str) -> Read:
        """Called before the bucket is read, so that what happens meanwhile is noticed."""
        read = Read(job_id, self._generation)
        self._reads.setdefault(job_id, []).append(read)
        return read

    def end(self, read: Read, snapshot: Snapshot | None) -> None:
        """Keeps what was read, unless a newer event came or the watch was interrupted while it was read."""
        reads = self._reads[read.job_id]
        reads.remove(read)
        if not reads:
            del self._reads[read.job_id]
        if snapshot is not None and not read.is_outdated and read.generation == self._generation and self._is_true():
            self._keep(read.job_id, snapshot)

    def is_interested(self, job_id: str) -> bool:
        return job_id in self._entries or job_id in self._reads

    def update(self, job_id: str, snapshot: Snapshot | None) -> None:
        """The watch saw a new value; None: one that is no job."""
        for read in self._reads.get(job_id, ()):
            read.is_outdated = True
        if snapshot is None:
            self._entries.pop(job_id, None)
        else:
            self._keep(job_id, snapshot)

    def drop(self, job_id: str) -> None:
        """Forgets a job that this gateway has just changed: its own event may still be on the way."""
        self.update(job_id, None)

    def clear(self) -> None:
        """The watch was interrupted: whatever is known, or being read, may have changed unseen."""
        self._entries.clear()
        self._generation += 1

    def _keep(self, job_id: str, snapshot: Snapshot) -> None:
        # Taken out and put in again, so that the first entry is always the oldest.
        self._entries.pop(job_id, None)
        self._entries[job_id] = _Entry(snapshot, self._clock() + self._limit_seconds(snapshot))
        if len(self._entries) > MAX_ENTRIES:
            del self._entries[next(iter(self._entries))]

    def _limit_seconds(self, snapshot: Snapshot) -> float:
        """How long it may be served."""
        if snapshot.expires_at is None:
            return ENTRY_SECONDS
        now = self._server_now()
        return 0 if now is None else min(ENTRY_SECONDS, snapshot.expires_at - now)
