"""Every name on the wire: streams, subjects, consumers, buckets, headers, job ids."""

import hashlib
import re
import uuid
from functools import lru_cache
from typing import NamedTuple

from contracts.kinds import KINDS

PREFIX = "everest.v1"

JOB_KINDS = tuple(kind.name for kind in KINDS.values() if not kind.is_query)
QUERY_KINDS = tuple(kind.name for kind in KINDS.values() if kind.is_query)

JOBS_STREAM = "EVEREST_JOBS"
QUERIES_STREAM = "EVEREST_QUERIES"
WAITING_STREAM = "EVEREST_WAITING"
DEAD_STREAM = "EVEREST_DEAD"
EVENTS_STREAM = "EVEREST_EVENTS"
PROGRESS_STREAM = "EVEREST_PROGRESS"
AUDIT_STREAM = "EVEREST_AUDIT"

# Kinds that version 0.1.0 does not know come by a consumer of their own: it would fail their jobs.
BOOTSTRAP_CONSUMER = "bootstrap"
LIFECYCLE_CONSUMER = "lifecycle"
QUERIES_CONSUMER = "queries"
WEBHOOK_CONSUMER_PREFIX = "webhook_"
CONSUMERS = (
    (JOBS_STREAM, BOOTSTRAP_CONSUMER),
    (JOBS_STREAM, LIFECYCLE_CONSUMER),
    (QUERIES_STREAM, QUERIES_CONSUMER),
)

JOBS_BUCKET = "everest_jobs"
TENANTS_BUCKET = "everest_tenants"
CANCELS_BUCKET = "everest_cancels"
ANSWERS_BUCKET = "everest_answers"

# The server tells here what is stored in the buckets of jobs and of answers, to who listens.
RECORD_SUBJECTS = f"{PREFIX}.records.>"
ANSWER_SUBJECTS = f"{PREFIX}.answers.>"
# The newest record of each job, put there by the server alone; and what else is an entry of the audit.
AUDITED_SUBJECTS = f"{PREFIX}.audit.jobs.>"
AUDIT_SUBJECTS = f"{PREFIX}.audit.>"

HEADER_CALLER = "Everest-Caller"
HEADER_BOUND = "Everest-Bound"  # there: the caller may change its own tenants alone
HEADER_BATCH = "Everest-Batch"  # <batch id>/<index>/<count>: which of how many jobs of one call
HEADER_REQUEST_ID = "X-Request-Id"
HEADER_TRACEPARENT = "traceparent"
HEADER_ENDED_BY = "Everest-Ended-By"  # of a record: a gateway ended it, and tells of that; else its handler does
HEADER_REASON = "Everest-Reason"
HEADER_SUBJECT = "Everest-Subject"
HEADER_SEQUENCE = "Everest-Sequence"

DIRECT_CALLER = "nats"
ADMIN_CALLER = "admin"

# What may stand for a header (RFC 9110): a server also takes others from who does not keep to it.
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)

_TOKEN = r"[A-Za-z0-9_-]{1,64}"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_JOB_ID = re.compile(rf"{_TOKEN}(\.{_TOKEN})?", re.ASCII)
JOB_ID_PATTERN = rf"^{_TOKEN}(\.{_TOKEN})?$"

_IDEMPOTENCY_NAMESPACE = uuid.UUID("5c6b8a52-3a53-5a0e-9a53-6f3c6f0a7b11")
_BATCH_NAMESPACE = uuid.UUID("0f7d3c1e-8f0c-5b4e-8d53-2b9a1c6e4d70")


def is_job_id(text: str) -> bool:
    """One token of `[A-Za-z0-9_-]{1,64}`, or two: `<caller>.<id>`."""
    return _JOB_ID.fullmatch(text) is not None


def is_query(kind: str) -> bool:
    """Whether jobs of this kind only read the cluster for a caller who waits. A kind of a later version is a job's."""
    return kind in KINDS and KINDS[kind].is_query


def job_subject(kind: str, job_id: str) -> str:
    """The subject that a job of this kind is published to."""
    return f"{KINDS[kind].subject}.{job_id}"


def job_subjects(stream: str, job_id: str) -> str:
    """Where the stream holds the job's message, whatever its kind."""
    return f"{PREFIX}.{'queries' if stream == QUERIES_STREAM else 'jobs'}.*.{job_id}"


def stream_of(kind: str) -> str:
    return QUERIES_STREAM if is_query(kind) else JOBS_STREAM


def consumer_of(kind: str) -> str:
    """The consumer that gives out jobs of this kind."""
    if is_query(kind):
        return QUERIES_CONSUMER
    return BOOTSTRAP_CONSUMER if kind == "bootstrap" else LIFECYCLE_CONSUMER


def consumed_kinds(consumer: str) -> tuple[str, ...]:
    """The kinds whose jobs the consumer gives out."""
    return tuple(kind for kind in KINDS if consumer_of(kind) == consumer)


def bucket_of(kind: str) -> str:
    """Where the records of jobs of this kind are."""
    return ANSWERS_BUCKET if is_query(kind) else JOBS_BUCKET


def bucket_stream(bucket: str) -> str:
    """The stream that a bucket is to the server."""
    return f"KV_{bucket}"


def bucket_subject(bucket: str, key: str) -> str:
    """What is published here becomes the key's value; `>` for all keys."""
    return f"$KV.{bucket}.{key}"


def act_subject(action: str, token: str) -> str:
    """An entry of the audit that is no job's; what is published again under the token takes the place of the first."""
    return f"{PREFIX}.audit.acts.{action}.{token}"


def audited_subject(job_id: str) -> str:
    """A job's newest record in the audit."""
    return f"{PREFIX}.audit.jobs.{job_id}"


def event_subject(job_id: str) -> str:
    return f"{PREFIX}.events.{job_id}"


def told_subject(job_id: str) -> str:
    """Where an event is published, to be kept; it is stored, and heard, as `event_subject`."""
    return f"{PREFIX}.told.{job_id}"


def progress_subject(job_id: str) -> str:
    """Where a running step tells what it is at, to who listens."""
    return f"{PREFIX}.progress.{job_id}"


def status_subject(job_id: str) -> str:
    return f"{PREFIX}.status.{job_id}"


def waiting_subject(tenant: str, job_id: str) -> str:
    """The place of a job that waits for its tenant."""
    return f"{waiting_subjects(tenant)[:-1]}{job_id}"


def waiting_subjects(tenant: str) -> str:
    """All places in a tenant's line."""
    return f"{PREFIX}.waiting.{tenant_key(tenant)}.>"


def read_waiting(subject: str) -> tuple[str, str]:
    """The tenant and the job id of a place."""
    tenant, _, job_id = subject.removeprefix(f"{PREFIX}.waiting.").partition(".")
    return tenant.replace("=", "."), job_id


def dead_subject(kind: str, token: str) -> str:
    """`token` is a job id, or `seq-<n>` where not even an id can be read."""
    return f"{PREFIX}.dead.{kind}.{token}"


class Address(NamedTuple):
    """What a job's subject says: its kind and, when it is a legal one, its id."""

    kind: str
    job_id: str | None


def read_subject(subject: str) -> Address:
    """The address in a subject of EVEREST_JOBS or EVEREST_QUERIES. `job_id` is None when its tokens are no legal id."""
    kind, _, job_id = subject.removeprefix(f"{PREFIX}.jobs.").removeprefix(f"{PREFIX}.queries.").partition(".")
    return Address(kind, job_id if is_job_id(job_id) else None)


def caller_of(job_id: str, header: str | None) -> str:
    """Who asked: proved by the server in a two-token id, claimed by the header in a one-token id."""
    token, dot, _ = job_id.partition(".")
    if dot:
        return token
    return header if header and re.fullmatch(_TOKEN, header, re.ASCII) else DIRECT_CALLER


def idempotent_job_id(caller: str, key: str) -> str:
    """The same caller and Idempotency-Key always name the same job (UUIDv5)."""
    return str(uuid.uuid5(_IDEMPOTENCY_NAMESPACE, f"{caller}\n{key}"))


def idempotent_batch_id(caller: str, key: str) -> str:
    """The same caller and Idempotency-Key always name the same batch, and no job (UUIDv5)."""
    return str(uuid.uuid5(_BATCH_NAMESPACE, f"{caller}\n{key}"))


def batch_job_id(batch_id: str, index: int) -> str:
    """The job of a request in a batch, the first at 0 (UUIDv5): who knows the batch knows its jobs."""
    return _uuid5(_read_uuid(batch_id), str(index))


@lru_cache(maxsize=16)
def _read_uuid(text: str) -> bytes:
    return uuid.UUID(text).bytes


def _uuid5(namespace: bytes, name: str) -> str:
    """As `str(uuid.uuid5(…))`, for a quarter of its cost: a batch has a thousand."""
    digest = bytearray(hashlib.sha1(namespace + name.encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_batch_id(text: str) -> bool:
    return _UUID.fullmatch(text) is not None


def tenant_key(username: str) -> str:
    """The tenant's key in its bucket: one token, though a name may hold dots. `=` is in no name."""
    return username.replace(".", "=")


def credentials_secret_name(job_id: str) -> str:
    """The Secret that holds a created account's password: legal in Kubernetes, and no other job's.

    Other spellings of a UUID (capitals, no hyphens) are other jobs.
    """
    if _UUID.fullmatch(job_id):
        return f"bootstrap-{job_id}"
    return f"bootstrap-{hashlib.sha256(job_id.encode()).hexdigest()}"


def second_secret_name(job_id: str, username: str) -> str:
    """The Secret of a job whose id a job for another account has used before: no job's id has two lines."""
    return credentials_secret_name(f"{job_id}\n{username}")
