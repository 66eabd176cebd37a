"""The status request over NATS: every gateway answers with the document of GET /jobs/{job_id}, or a problem.

Questions are answered side by side, and in turn for each account: who asks for thousands delays nobody else.
"""

import asyncio
import logging
from collections.abc import Callable

from contracts import names
from contracts.records import UnreadableRecord
from gateway.jetstream import JetStream, Question, Unanswered
from gateway.jobs.errors import JobNotFound, TooManyQuestions
from gateway.jobs.fair_queue import FairQueue
from gateway.jobs.reading import Reader

logger = logging.getLogger(__name__)

SIDE_BY_SIDE = 16
MOST_WAITING = 1000  # of an account
_SUBJECTS = (names.status_subject("*"), names.status_subject("*.*"))


class StatusResponder:
    """`describe` gives the problem document of an error: the same that HTTP would answer."""

    def __init__(self, jetstream: JetStream, reader: Reader, describe: Callable[[Exception], bytes]) -> None:
        self._jetstream = jetstream
        self._reader = reader
        self._describe = describe
        self._questions: FairQueue[Question] = FairQueue(MOST_WAITING)

    async def run(self) -> None:
        """Answers until cancelled."""
        for subject in _SUBJECTS:
            await self._jetstream.take_questions(subject, self._take)
        async with asyncio.TaskGroup() as group:
            for _ in range(SIDE_BY_SIDE):
                group.create_task(self._answer_in_turn())

    async def _take(self, question: Question) -> None:
        account, _, rest = _job_id_of(question).partition(".")
        if not self._questions.put(account if rest else names.ADMIN_CALLER, question):
            await question.answer(self._describe(TooManyQuestions()))

    async def _answer_in_turn(self) -> None:
        while True:
            question = await self._questions.take()
            try:
                await question.answer(await self._find_answer(_job_id_of(question)))
            except Exception:  # of this question alone, whatever somebody has written as a record
                logger.exception("status.crashed", extra={"job_id": _job_id_of(question)})

    async def _find_answer(self, job_id: str) -> bytes:
        try:
            snapshot = await self._reader.read(job_id) if names.is_job_id(job_id) else None
        except (Unanswered, UnreadableRecord) as error:
            return self._describe(error)
        return snapshot.document().body if snapshot else self._describe(JobNotFound())


def _job_id_of(question: Question) -> str:
    return question.subject.removeprefix(names.status_subject(""))
