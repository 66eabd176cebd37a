"""The list of jobs, last changed first: records of the bucket, merged with queued jobs that have none yet."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import cached_property

from contracts import names
from contracts.batches import list_places
from contracts.documents import resolved_request
from contracts.records import JobRecord, UnreadableRecord
from gateway.jetstream import JetStream, Message
from gateway.jobs.reading import Reader, message_record, record_snapshot
from gateway.jobs.watch import STREAM
from gateway.listing.cursors import Cursor
from gateway.listing.sequences import Interval, read_backwards, read_newest, width_of

MAX_SCANNED = 1000  # records a page; a filter that matches few gets a cursor rather than a long wait
_QUEUE_SUBJECTS = f"{names.PREFIX}.jobs.>"
_CHUNK = 64
_NOTHING = Interval(1, 0)
_PAGE = 96  # records that are asked for at once: a usual page, and some that its filters leave out
# A job that moved while the last page was read is looked for this often before the caller gets a cursor for it.
_CLOSING_ROUNDS = 3


@dataclass(frozen=True)
class Filters:
    """`since` is RFC 3339 in UTC, to the millisecond, as records have it. Queries are listed only by their kind."""

    status: str | None = None
    username: str | None = None
    namespace: str | None = None
    kind: str | None = None
    caller: str | None = None
    since: str | None = None
    batch: str | None = None

    @cached_property
    def _of_batch(self) -> frozenset[str] | None:
        """The ids of the batch's jobs; None where any job is meant."""
        return frozenset(place.job_id for place in list_places(self.batch)) if self.batch else None

    def match(self, record: JobRecord) -> bool:
        return (
            (record.kind == self.kind if self.kind else not names.is_query(record.kind))
            and self.status in (None, record.status.value)
            and self.caller in (None, record.caller)
            and (self._of_batch is None or record.job_id in self._of_batch)
            and self._match_tenant(record)
        )

    def _match_tenant(self, record: JobRecord) -> bool:
        if self.username is None and self.namespace is None:
            return True
        asked = resolved_request(record)
        return self.username in (None, asked.get("username")) and self.namespace in (None, asked.get("namespace"))

    @property
    def allow_queued(self) -> bool:
        return self.status in (None, "queued") and self.kind in (None, *names.JOB_KINDS)


@dataclass(frozen=True, slots=True)
class Page:
    jobs: list[JobRecord]
    next_cursor: Cursor | None


@dataclass(frozen=True, slots=True)
class _Found:
    """One message of the bucket or the queue; `record` is None where it is not to be listed."""

    changed_at: str
    sequence: int
    is_record: bool
    record: JobRecord | None


class Listing:
    def __init__(self, jetstream: JetStream, reader: Reader) -> None:
        self._jetstream = jetstream
        self._reader = reader

    async def read_page(self, filters: Filters, limit: int, cursor: Cursor | None) -> Page:
        """Raises Unanswered.

        A batch has records before it has messages: where more of these come first than one page looks at, and no job
        is listed by them, the page is that of the records, and the next one goes on with both.
        """
        page = await self._read_page(filters, limit, cursor)
        if page.jobs or page.next_cursor is None or not filters.allow_queued:
            return page
        left = page.next_cursor
        records = await self._read_page(filters, limit, replace(left, queued=_NOTHING))
        return Page(records.jobs, replace(records.next_cursor or left.below(0), queued=left.queued))

    async def _read_page(self, filters: Filters, limit: int, cursor: Cursor | None) -> Page:
        stream = _stream_of(filters)
        cursor, width = await self._begin(stream, cursor)
        jobs: dict[str, _Found] = {}
        scanned = 0
        for _ in range(_CLOSING_ROUNDS):
            async with aclosing(self._merge(filters, cursor, width)) as merged:
                async for found in merged:
                    if len(jobs) >= limit or scanned >= MAX_SCANNED:
                        return _page(jobs, cursor)
                    scanned += 1
                    if found.record is not None and filters.match(found.record):
                        jobs[found.record.job_id] = found
                    cursor = _pass(cursor, found)
            cursor = replace(cursor, records=(), queued=_NOTHING)
            cursor = cursor.reaching((await self._jetstream.read_stream_state(stream)).last_sequence)
            if not cursor.records:
                return _page(jobs, None)
        return _page(jobs, cursor)

    async def _begin(self, stream: str, cursor: Cursor | None) -> tuple[Cursor, int]:
        """The cursor with what was written since, or that of a first page; and how many sequences hold a page."""
        if cursor is not None:
            records = await self._jetstream.read_stream_state(stream)
            return cursor.reaching(records.last_sequence), width_of(records, _PAGE)
        streams = (stream, names.JOBS_STREAM)
        records, queue = await asyncio.gather(*map(self._jetstream.read_stream_state, streams))
        queued = Interval(queue.first_sequence, queue.last_sequence) if queue.messages else _NOTHING
        return Cursor(0, (), queued).reaching(records.last_sequence), width_of(records, _PAGE)

    async def _merge(self, filters: Filters, cursor: Cursor, width: int) -> AsyncGenerator[_Found]:
        """Both lists as one, newest first, down to `since`."""
        async with (
            aclosing(self._read_records(_stream_of(filters), cursor, width)) as records,
            aclosing(self._read_queued(filters, cursor)) as queued,
        ):
            sides = [records, queued]
            heads = await _read_heads(sides)
            while any(heads):
                newest = max((head for head in heads if head), key=lambda found: found.changed_at)
                side = heads.index(newest)
                if filters.since and newest.changed_at < filters.since:
                    return
                yield newest
                heads[side] = await anext(sides[side], None)

    async def _read_records(self, stream: str, cursor: Cursor, width: int) -> AsyncGenerator[_Found]:
        intervals = cursor.records
        if intervals and intervals[0].high == cursor.top:
            window = Interval(max(intervals[0].low, cursor.top - width + 1), cursor.top)
            if (newest := await read_newest(self._jetstream, stream, window)) is not None:
                for message in reversed(newest):
                    yield _Found(message.published_at, message.sequence, True, _read(message))
                intervals = cursor.below(window.low).records
        for interval in intervals:
            async with aclosing(read_backwards(self._jetstream, stream, ">", interval)) as messages:
                async for message in messages:
                    yield _Found(message.published_at, message.sequence, True, _read(message))

    async def _read_queued(self, filters: Filters, cursor: Cursor) -> AsyncGenerator[_Found]:
        if not filters.allow_queued:
            return
        chunk: list[Message] = []
        backwards = read_backwards(self._jetstream, names.JOBS_STREAM, _QUEUE_SUBJECTS, cursor.queued)
        async with aclosing(backwards) as messages:
            async for message in messages:
                chunk.append(message)
                if len(chunk) == _CHUNK:
                    for found in await self._find_unrecorded(chunk):
                        yield found
                    chunk = []
        for found in await self._find_unrecorded(chunk):
            yield found

    async def _find_unrecorded(self, messages: list[Message]) -> list[_Found]:
        """A job that has a record is listed by it."""
        records = await asyncio.gather(*map(self._read_unrecorded, messages))
        return [
            _Found(message.published_at, message.sequence, False, record)
            for message, record in zip(messages, records, strict=True)
        ]

    async def _read_unrecorded(self, message: Message) -> JobRecord | None:
        job_id = names.read_subject(message.subject).job_id
        if job_id is None:
            return None  # a dead letter soon
        try:
            has_record = await self._reader.read_record(job_id) is not None
        except UnreadableRecord:
            has_record = True
        return None if has_record else message_record(job_id, message)


async def _read_heads(sides: list[AsyncGenerator[_Found]]) -> list[_Found | None]:
    """The first of each, asked for at once; all have answered before an error is raised, so that they can be closed."""
    heads = await asyncio.gather(*(anext(side, None) for side in sides), return_exceptions=True)
    for head in heads:
        if isinstance(head, BaseException):
            raise head
    return [head for head in heads if not isinstance(head, BaseException)]


def _stream_of(filters: Filters) -> str:
    """Queries are listed from where they are answered."""
    return names.bucket_stream(names.bucket_of(filters.kind)) if filters.kind else STREAM


def _read(message: Message) -> JobRecord | None:
    if message.is_deletion:
        return None
    try:
        return record_snapshot(message).record
    except UnreadableRecord:
        return None


def _pass(cursor: Cursor, found: _Found) -> Cursor:
    return cursor.below(found.sequence) if found.is_record else cursor.without_queued(found.sequence)


def _page(jobs: dict[str, _Found], cursor: Cursor | None) -> Page:
    newest_first = sorted(jobs.values(), key=lambda found: found.changed_at, reverse=True)
    return Page([found.record for found in newest_first if found.record], cursor)
