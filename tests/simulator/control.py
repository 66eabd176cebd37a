"""The side that tests and every everestctl talk to: what is to go wrong, what was done."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from tests.everestctl.version import Version
from tests.simulator.apiserver.asgi import Receive, Send, await_disconnect, read_body, send_json
from tests.simulator.cluster import Cluster
from tests.simulator.effects import Effects


class Control:
    """An ASGI application of its own, so that it answers while the API is away."""

    def __init__(self, cluster: Cluster, effects: Effects) -> None:
        self._cluster = cluster
        self._effects = effects
        self.set_reachable: Callable[[bool], Awaitable[None]] | None = None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """GET /state and /effects, POST /faults with what is to be wrong from now on."""
        if scope["type"] != "http":
            return
        if scope["method"] == "POST":
            await self._set_faults(json.loads(await read_body(receive)))
        if scope["path"] == "/effects":
            await send_json(send, 200, self._effects.as_json())
            return
        state = {"faults": self._cluster.faults, "has_server_crashed": self._cluster.has_server_crashed}
        await send_json(send, 200, state)

    async def _set_faults(self, wanted: dict[str, Any]) -> None:
        """Settings stay; the faults of before end."""
        if self.set_reachable:
            await self.set_reachable(not wanted.pop("unreachable", False))
        for name in Cluster.SETTINGS:
            if name in wanted:
                setattr(self._cluster, name, wanted.pop(name))
        if version := wanted.pop("everest_version", None):
            self._cluster.version = self._cluster.cli_version = Version(version)
        if version := wanted.pop("everestctl_version", None):
            self._cluster.cli_version = Version(version)
        self._cluster.faults = wanted

    async def hold_in_gap(self, receive: Receive, send: Send) -> None:
        """An everestctl stands between its look and its act: the fault `holds` keeps it there."""
        told = json.loads(await read_body(receive))
        self._effects.find(told["pid"]).held_in = told["gap"]
        while self._cluster.faults.get("holds") == told["gap"]:  # noqa: ASYNC110  # taken back by anybody, at any time
            await asyncio.sleep(0.02)
        self._effects.find(told["pid"]).held_in = None
        await send_json(send, 200, {})

    async def hold_command(self, receive: Receive, send: Send) -> None:
        """An everestctl says that it runs and hears what is to go wrong; its connection lasts as long as it does."""
        told = json.loads(await read_body(receive))
        run = self._effects.begin(told["argv"], told["pid"])
        faults = {"cli_version": self._cluster.cli_version.text, **self._faults_for(run.argv)}
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(faults).encode() + b"\n", "more_body": True})
        try:
            await await_disconnect(receive)
        finally:
            run.ended_at = asyncio.get_running_loop().time()

    def _faults_for(self, argv: list[str]) -> dict[str, Any]:
        """`only` narrows the faults to commands that begin with these words; `times` lets them pass after that many."""
        faults = self._cluster.faults
        only = faults.get("only")
        words = [word for word in argv if not word.startswith("-")]
        if only and words[: len(only.split())] != only.split():
            return {}
        if "times" in faults:
            if faults["times"] <= 0:
                return {}
            faults["times"] -= 1
        return faults
