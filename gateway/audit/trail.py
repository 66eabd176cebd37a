"""Reading the audit, newest first: the newest record of each job as entries, and the acts between them."""

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from operator import itemgetter

from contracts import names
from contracts.records import UnreadableRecord, decode_record
from contracts.reporting.entries import Entry, UnreadableEntry, decode_act, entries_of
from gateway.jetstream import JetStream, Message
from gateway.listing.cursors import Cursor
from gateway.listing.sequences import Interval, read_backwards

MAX_SCANNED = 1000  # messages a page; a filter that matches few gets a cursor rather than a long wait
# What moved while the last page was read is looked for this often before the caller gets a cursor for it.
_CLOSING_ROUNDS = 3
_AUDITED_PREFIX = names.AUDITED_SUBJECTS[:-1]


@dataclass(frozen=True, slots=True)
class EntryFilters:
    """`since` and `until` are RFC 3339 in UTC, to the millisecond. An entry lasts from when it was asked to its end."""

    caller: str | None = None
    username: str | None = None
    namespace: str | None = None
    kind: str | None = None
    since: str | None = None
    until: str | None = None

    def match(self, entry: Entry) -> bool:
        return (
            self.caller in (None, entry["caller"])
            and self.username in (None, entry["username"])
            and self.namespace in (None, entry["namespace"])
            and self.kind in (None, entry["kind"])
            and (self.until is None or entry["at"] <= self.until)
            and (self.since is None or _ended_at(entry) >= self.since)
        )


def _ended_at(entry: Entry) -> str:
    """Of what goes on: beyond every moment."""
    return "9" if entry["outcome"] in ("queued", "running") else entry["finished_at"] or entry["at"]


@dataclass(frozen=True, slots=True)
class EntryPage:
    """Those of one job come together, so that there may be a few more than were asked for."""

    entries: list[Entry]
    next_cursor: Cursor | None


_Found = tuple[int, list[Entry]]  # the sequence of a message, and what it tells


class Trail:
    def __init__(self, jetstream: JetStream) -> None:
        self._jetstream = jetstream

    async def read_page(self, filters: EntryFilters, limit: int, cursor: Cursor | None) -> EntryPage:
        """While jobs change a page may repeat an entry but never misses one. Raises NotProvisioned, Unanswered."""
        cursor = (cursor or Cursor(0, (), Interval(1, 0))).reaching(await self._read_top())
        found: dict[str, _Found] = {}  # by subject: what moved while it was read is told once
        scanned = 0
        for _ in range(_CLOSING_ROUNDS):
            for interval in cursor.records:
                backwards = read_backwards(self._jetstream, names.AUDIT_STREAM, names.AUDIT_SUBJECTS, interval)
                async with aclosing(backwards) as messages:
                    async for message in messages:
                        if _count(found) >= limit or scanned >= MAX_SCANNED:
                            return _page(found, cursor)
                        if filters.since and message.published_at < filters.since:
                            break
                        scanned += 1
                        found.pop(message.subject, None)
                        if told := [*filter(filters.match, read_entries(message))]:
                            found[message.subject] = message.sequence, told
                        cursor = cursor.below(message.sequence)
            cursor = replace(cursor, records=()).reaching(await self._read_top())
            if not cursor.records:
                return _page(found, None)
        return _page(found, cursor)

    async def _read_top(self) -> int:
        return (await self._jetstream.read_stream_state(names.AUDIT_STREAM)).last_sequence


def _count(found: Mapping[str, _Found]) -> int:
    return sum(len(entries) for _, entries in found.values())


def _page(found: Mapping[str, _Found], cursor: Cursor | None) -> EntryPage:
    """Newest first, also what came while the page was read."""
    newest_first = sorted(found.values(), key=itemgetter(0), reverse=True)
    return EntryPage([entry for _, entries in newest_first for entry in entries], cursor)


def read_entries(message: Message) -> list[Entry]:
    """Those in a message of the stream; none in what is unreadable, and in an answer of version 0.1.0 to a query."""
    try:
        if not message.subject.startswith(_AUDITED_PREFIX):
            return [decode_act(message.body)]
        record = decode_record(message.body)
    except (UnreadableEntry, UnreadableRecord):
        return []
    return [] if names.is_query(record.kind) else entries_of(record)
