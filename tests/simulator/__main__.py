"""`python -m tests.simulator`: serves the simulated cluster, writes a kubeconfig and prints both."""

import argparse
import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import uvicorn

from tests.everestctl.version import Version
from tests.simulator.api import Api
from tests.simulator.apiserver.store import Store, resource_of
from tests.simulator.cluster import Cluster
from tests.simulator.control import Control
from tests.simulator.effects import Effects
from tests.simulator.kubeconfigs import write_kubeconfig

LOOPBACK = "127.0.0.1"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--host", default=LOOPBACK, help="the address to serve the cluster on")
    parser.add_argument("--known-as", metavar="HOST", help="how clients reach that address, where it is another word")
    parser.add_argument("--port", type=int, default=0, help="any free one by default")
    parser.add_argument("--control-port", type=int, default=0, help="for tests: faults, state, effects")
    parser.add_argument("--data", type=Path, help="a file that keeps the cluster over restarts")
    parser.add_argument("--kubeconfig", type=Path, default=Path("simulated.kubeconfig"), help="where to write it")
    parser.add_argument("--roles", type=Path, nargs="*", default=[], help="manifests to apply at the start")
    parser.add_argument(
        "--user", default="", help="who the kubeconfig's user is; everything is allowed to nobody in particular"
    )
    parser.add_argument("--job-seconds", type=float, default=0.3, help="how long installing operators takes")
    parser.add_argument("--everest-version", metavar="X.Y.Z", help="of Everest's server; 1.10.0 by default")
    parser.add_argument(
        "--everestctl-version", metavar="X.Y.Z", help="of the simulated everestctl; the server's by default"
    )
    asyncio.run(serve(parser.parse_args()))
    return 0


async def serve(options: argparse.Namespace) -> None:
    if options.data:
        options.data.parent.mkdir(parents=True, exist_ok=True)
    cluster = Cluster(
        Store(options.data),
        options.job_seconds,
        version=Version(options.everest_version) if options.everest_version else None,
        cli_version=Version(options.everestctl_version) if options.everestctl_version else None,
    )
    cluster.resume()
    apply_manifests(cluster, options.roles)
    effects = Effects()
    control = Control(cluster, effects)
    api = Api(cluster, effects, control)
    listener = socket.create_server((options.host, options.port), backlog=1024)
    control_listener = socket.create_server((LOOPBACK, options.control_port))
    port = listener.getsockname()[1]
    address = f"http://{options.known_as or options.host}:{port}" + (f"/as/{options.user}" if options.user else "")
    options.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
    write_kubeconfig(options.kubeconfig, address)
    servers = [_Server(api, listener), _Server(control, control_listener)]
    control.set_reachable = servers[0].set_reachable
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_all, servers)
    facts = {
        "server": address,
        "kubeconfig": str(options.kubeconfig.resolve()),
        "control": f"http://{LOOPBACK}:{control_listener.getsockname()[1]}",
        "path": str(Path(__file__).parent / "bin"),
    }
    print(json.dumps(facts), flush=True)
    await asyncio.gather(*(server.answer() for server in servers))


def stop_all(servers: "list[_Server]") -> None:
    for server in servers:
        server.stop()


def apply_manifests(cluster: Cluster, files: list[Path]) -> None:
    if not files:
        return
    import yaml  # the demo's image has no roles to apply, and not this package

    for file in files:
        for document in filter(None, yaml.safe_load_all(file.read_text())):
            resource = resource_of(document)
            namespace = document["metadata"].get("namespace", "")
            if cluster.store.find(resource, namespace, document["metadata"]["name"]) is None:
                cluster.create(resource, namespace, document)


class _Server(uvicorn.Server):
    """A server on one listener, which can be away for a while."""

    def __init__(self, app: Any, listener: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(app, log_config=None, lifespan="off", http="httptools", ws="none", interface="asgi3")
        )
        self._listener = listener
        self._address = listener.getsockname()

    async def answer(self) -> None:
        await self.serve(sockets=[self._listener])

    def stop(self) -> None:
        self.should_exit = True
        self.force_exit = True

    async def set_reachable(self, is_reachable: bool) -> None:
        """Closed, connections are refused, as by a cluster that is away."""
        is_open = bool(self.servers and self.servers[0].is_serving())
        if is_open and not is_reachable:
            self.servers[0].close()
        elif not is_open and is_reachable:
            self._listener = socket.create_server(self._address[:2], backlog=1024)
            config, state = self.config, self.server_state

            def make_protocol() -> asyncio.Protocol:
                return config.http_protocol_class(config=config, server_state=state, app_state={})  # type: ignore[call-arg]

            self.servers[0] = await asyncio.get_running_loop().create_server(make_protocol, sock=self._listener)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


if __name__ == "__main__":
    sys.exit(main())
