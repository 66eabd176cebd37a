"""The dispatcher: a sender for each webhook that is declared and enabled, kept to what the file says at the moment."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.jetstream import JetStream
from gateway.operator_files import Breakage, sign_file
from gateway.webhooks.attempts import WebhookClient
from gateway.webhooks.declared import Webhook, find_files, read_webhooks
from gateway.webhooks.sender import Pace, Sender

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0


@dataclass(slots=True)
class _Running:
    webhook: Webhook
    sender: Sender
    task: asyncio.Task[None]


class Dispatcher:
    """What was removed is told no more, whatever else is wrong with the file: what it missed waits in its consumer.

    `count` is told of each outcome; `now` gives the moment, `clock` counts seconds.
    """

    def __init__(
        self,
        jetstream: JetStream,
        file: Path,
        pace: Pace,
        count: Callable[[str, str], None],
        now: Callable[[], str],
        clock: Callable[[], float],
    ) -> None:
        self._jetstream = jetstream
        self._file = file
        self._pace = pace
        self._count = count
        self._now = now
        self._breakage = Breakage(clock)
        self._look(again=False)
        self._under_way: dict[str, _Running] = {}

    def list_enabled(self) -> list[Webhook]:
        return [webhook for webhook in self._declared if webhook.enabled]

    @property
    def is_broken(self) -> bool:
        """Whether rows of the file, or all of it, count for nothing."""
        return self._breakage.is_there

    def find_notices(self) -> list[str]:
        """What has been wrong with the file for longer than a slip. Jobs are taken all the same."""
        return [f"{problem}. What its receiver is to hear waits." for problem in self._breakage.find_lasting()]

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            try:
                while True:
                    self._arrange(tasks)
                    await asyncio.sleep(_LOOK_SECONDS)
                    self._reload()
            finally:  # before they are waited for: before Python 3.12 a fetch can lose a cancel
                for under_way in self._under_way.values():
                    under_way.sender.stop()

    def _reload(self) -> None:
        if self._sign() != self._signatures:
            self._look(again=True)

    def _look(self, *, again: bool) -> None:
        """Also at the start a broken row is no reason to take no jobs: a gateway may be moved at any time."""
        problems = self._read()
        names = [webhook.name for webhook in self.list_enabled()]
        if problems:
            following = "the other rows count; what is not told meanwhile waits"
            logger.error("webhooks.broken", extra={"problems": problems, "webhooks": names, "next": following})
        elif again:
            logger.info("webhooks.reloaded", extra={"webhooks": names})

    def _read(self) -> list[str]:
        """Gives what is wrong. The files are looked at before they are read: what changes in between is read again."""
        self._files = find_files(self._file)
        self._signatures = self._sign()
        self._declared, problems = read_webhooks(self._file)
        self._breakage.note(problems)
        return problems

    def _sign(self) -> tuple[tuple[int, ...] | None, ...]:
        """Changes when the file does, or one of the secrets that it names."""
        return tuple(map(sign_file, self._files))

    def _arrange(self, tasks: asyncio.TaskGroup) -> None:
        """A changed one gets another sender: the consumer goes on where it was."""
        wanted = {webhook.name: webhook for webhook in self.list_enabled()}
        for name, under_way in list(self._under_way.items()):
            if under_way.webhook != wanted.get(name):
                under_way.sender.stop()
                del self._under_way[name]
        for name, webhook in wanted.items():
            if name not in self._under_way:
                sender = Sender(self._jetstream, webhook, WebhookClient(webhook), self._pace, self._count, self._now)
                self._under_way[name] = _Running(webhook, sender, tasks.create_task(sender.run()))
