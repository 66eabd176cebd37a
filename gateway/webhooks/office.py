"""The office: a courier for each webhook that is declared and enabled, kept to what the file says at the moment."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.jetstream import JetStream
from gateway.keys import sign_file
from gateway.webhooks.courier import AT_ONCE, Courier, Rounds
from gateway.webhooks.declared import InvalidWebhooks, Webhook, find_files, read_webhooks
from gateway.webhooks.post import Post

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0


@dataclass(slots=True)
class _Round:
    webhook: Webhook
    courier: Courier
    task: asyncio.Task[None]


class Office:
    """`count` is told of each outcome; `now` gives the moment."""

    def __init__(
        self,
        jetstream: JetStream,
        file: Path,
        rounds: Rounds,
        count: Callable[[str, str], None],
        now: Callable[[], str],
    ) -> None:
        """Raises InvalidWebhooks."""
        self._jetstream = jetstream
        self._file = file
        self._rounds = rounds
        self._count = count
        self._now = now
        self._files = find_files(file)
        self._signatures = self._sign()
        self._declared = read_webhooks(file)
        self._under_way: dict[str, _Round] = {}

    def list_enabled(self) -> list[Webhook]:
        return [webhook for webhook in self._declared if webhook.enabled]

    async def run(self) -> None:
        """Works until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    self._arrange(tasks)
                    await asyncio.sleep(_LOOK_SECONDS)
                    self._reload()
        finally:
            for under_way in self._under_way.values():
                under_way.courier.stop()

    def _reload(self) -> None:
        if self._sign() == self._signatures:
            return
        self._files = find_files(self._file)
        self._signatures = self._sign()
        try:
            self._declared = read_webhooks(self._file)
        except InvalidWebhooks as error:
            logger.error("webhooks.broken", extra={"problems": error.problems, "next": "those of before go on"})
            return
        logger.info("webhooks.reloaded", extra={"webhooks": [webhook.name for webhook in self._declared]})

    def _sign(self) -> tuple[tuple[int, ...] | None, ...]:
        """Changes when the file does, or one of the secrets that it names."""
        return tuple(map(sign_file, self._files))

    def _arrange(self, tasks: asyncio.TaskGroup) -> None:
        """A changed one gets another courier: the consumer goes on where it was."""
        wanted = {webhook.name: webhook for webhook in self.list_enabled()}
        for name, under_way in list(self._under_way.items()):
            if under_way.webhook != wanted.get(name):
                under_way.courier.stop()
                del self._under_way[name]
        for name, webhook in wanted.items():
            if name not in self._under_way:
                courier = Courier(
                    self._jetstream, webhook, Post(webhook, AT_ONCE), self._rounds, self._count, self._now
                )
                self._under_way[name] = _Round(webhook, courier, tasks.create_task(courier.run()))
