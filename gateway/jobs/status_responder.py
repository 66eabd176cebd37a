"""The status request over NATS: every gateway answers with the document of GET /jobs/{job_id}, or a problem."""

from collections.abc import Callable

from contracts import names
from contracts.records import UnreadableRecord
from gateway.jetstream import JetStream, Unanswered
from gateway.jobs.errors import JobNotFound
from gateway.jobs.reading import Reader

_SUBJECTS = (names.status_subject("*"), names.status_subject("*.*"))


class StatusResponder:
    """`describe` gives the problem document of an error: the same that HTTP would answer."""

    def __init__(self, jetstream: JetStream, reader: Reader, describe: Callable[[Exception], bytes]) -> None:
        self._jetstream = jetstream
        self._reader = reader
        self._describe = describe

    async def start(self) -> None:
        for subject in _SUBJECTS:
            await self._jetstream.answer_requests(subject, self._answer)

    async def _answer(self, subject: str) -> bytes:
        job_id = subject.removeprefix(names.status_subject(""))
        try:
            snapshot = await self._reader.read(job_id) if names.is_job_id(job_id) else None
        except (Unanswered, UnreadableRecord) as error:
            return self._describe(error)
        return snapshot.document.body if snapshot else self._describe(JobNotFound())
