"""The status request over NATS: every gateway answers with the document of GET /jobs/{job_id}, or a problem."""

import orjson

from contracts import names
from contracts.records import UnreadableRecord
from gateway.http.problems import Problem, problem_document
from gateway.jetstream import JetStream, Unanswered
from gateway.jobs.reading import Reader

_SUBJECTS = (names.status_subject("*"), names.status_subject("*.*"))


class Responder:
    def __init__(self, jetstream: JetStream, reader: Reader) -> None:
        self._jetstream = jetstream
        self._reader = reader

    async def start(self) -> None:
        for subject in _SUBJECTS:
            await self._jetstream.answer_requests(subject, self._answer)

    async def _answer(self, subject: str) -> bytes:
        job_id = subject.removeprefix(names.status_subject(""))
        try:
            snapshot = await self._reader.read(job_id) if names.is_job_id(job_id) else None
        except Unanswered:
            return _encode(Problem("queue_unavailable"))
        except UnreadableRecord:
            return _encode(Problem("record_unreadable"))
        return snapshot.document.body if snapshot else _encode(Problem("job_not_found"))


def _encode(problem: Problem) -> bytes:
    return orjson.dumps(problem_document(problem))
