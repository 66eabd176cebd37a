"""KV buckets: read by the leader, written by compare-and-set."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from contracts import names
from contracts.link.api import Api
from contracts.link.errors import BucketFull, Refused
from contracts.link.messages import Message
from contracts.link.streams import read_last

# A full bucket takes only what is no larger than before, headers included: a revision that gains a digit would end the
# lease of a job that runs. The server reads the zeros in front as a number.
_REVISION_DIGITS = 20
_EXPECTED = "Nats-Expected-Last-Subject-Sequence"


class Entry(NamedTuple):
    """What a bucket holds under a key. `value` is None where there is none; `revision` is then 0, or a tombstone's."""

    value: bytes | None
    revision: int


class Bucket:
    """One bucket."""

    def __init__(self, api: Api, name: str) -> None:
        self._api = api
        self._name = name

    async def read(self, key: str) -> Entry:
        """Raises NotProvisioned, Unanswered."""
        message = await self.read_message(key)
        if message is None:
            return Entry(None, 0)
        return Entry(None if message.is_deletion else message.body, message.sequence)

    async def read_message(self, key: str) -> Message | None:
        """The key's last message, also one that marks its end. Raises NotProvisioned, Unanswered."""
        return await read_last(self._api, names.bucket_stream(self._name), names.bucket_subject(self._name, key))

    async def create_together(self, values: Iterable[tuple[str, bytes]], seconds: float) -> None:
        """Writes values of keys that have none yet, all of them or, where one has, none.

        Raises Conflict, BucketFull, TooLarge, NotProvisioned, NotSent, Unanswered.
        """
        messages = ((names.bucket_subject(self._name, key), value) for key, value in values)
        try:
            await self._api.publish_together(messages, {_EXPECTED: "0"}, seconds)
        except Refused as error:
            raise BucketFull(f"{self._name}, several keys: {error}") from error

    async def write(
        self,
        key: str,
        value: bytes,
        *,
        last: int | None = None,
        ttl_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> int:
        """Writes, if `last` is given only when it is still the key's revision (0: no value yet). Gives the new one.

        Raises Conflict, BucketFull, TooLarge, NotSent, Unanswered.
        """
        sent = dict(headers or {})
        if last is not None:
            sent[_EXPECTED] = f"{last:0{_REVISION_DIGITS}}"
        if ttl_seconds is not None:
            sent["Nats-TTL"] = f"{max(1, int(ttl_seconds))}s"
        try:
            return await self._api.publish(names.bucket_subject(self._name, key), value, sent)
        except Refused as error:
            raise BucketFull(f"{self._name}, {key}: {error}") from error
