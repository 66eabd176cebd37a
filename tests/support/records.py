"""Records among what a process publishes."""

from contracts import names
from contracts.records import JobRecord, UnreadableRecord, decode_record
from tests.support.peers.proxy import Publish


def read_published(publish: Publish) -> JobRecord | None:
    """The record that is written, None for any other publish."""
    if not publish.subject.startswith(f"$KV.{names.JOBS_BUCKET}."):
        return None
    try:
        return decode_record(publish.payload[publish.payload.index(b"{") :])
    except UnreadableRecord:
        return None
