"""The process that has imported what tests start, and forks at each request. It lives as long as who started it.

A request is one message with a JSON document (`module`, `arguments`, `environment`, `is_leader`) and three open files:
stdout, stderr, and the socket on which the fork's pid is told, and its exit status when it has ended.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
from typing import Any, NoReturn

from tests.support.forks.starts import MOST_BYTES

PRELOADED = (
    "gateway.client.commands",
    "gateway.commands.dead_letters",
    "gateway.commands.provision",
    "gateway.commands.publishers",
    "gateway.http.server",
    "gateway.webhooks.dispatcher",
    "handlers.commands.running",
    "handlers.offboarding.steps",
    "handlers.preflight.checking",
    "handlers.preflight.outside",
    "handlers.preflight.readiness",
    "handlers.queries.planning",
    "handlers.queries.tenant_list",
    "handlers.rbac.importer",
    "handlers.service",
    "httpcore",
    "pydantic.dataclasses",
    "tests.simulator.api",
    "tests.simulator.kubeconfigs",
    "uvicorn.lifespan.off",
    "uvicorn.protocols.http.httptools_impl",
)


def main() -> None:
    for name in PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # what is never looked at by a collection is not copied by a fork
    request = _serve(socket.socket(fileno=0))
    if request is not None:
        _run(request["module"])


def _run(module: str) -> NoReturn:
    """Ends as Python does, but without tidying up: that would first copy all the memory that the forks share."""
    status = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        status = end.code or 0
    threading._shutdown()  # type: ignore[attr-defined]  # joins threads, as multiprocessing does with its forks
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


def _serve(requests: socket.socket) -> dict[str, Any] | None:
    """In a fork: what it is to be. In this process, once nobody asks any more: None."""
    bell, ring = socket.socketpair()
    for end in (bell, ring):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(ring.fileno(), warn_on_full_buffer=False)
    running: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([requests, bell], [], [])
        if bell in ready:
            bell.recv(4096)
            _reap(running)
            continue
        document, descriptors, _, _ = socket.recv_fds(requests, MOST_BYTES, 3)
        if not document:
            return None
        stdout, stderr, news = descriptors
        pid = os.fork()
        if pid == 0:
            _drop(requests, bell, ring, *running.values())
            return _become(json.loads(document), stdout, stderr, socket.socket(fileno=news))
        os.close(stdout)
        os.close(stderr)
        running[pid] = socket.socket(fileno=news)


def _reap(running: dict[int, socket.socket]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        # Who started it may not listen any more.
        with running.pop(pid) as news, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            news.send(json.dumps({"status": os.waitstatus_to_exitcode(status)}).encode())


def _drop(*ends: socket.socket) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for end in ends:
        end.close()


def _become(request: dict[str, Any], stdout: int, stderr: int, news: socket.socket) -> dict[str, Any]:
    if request["is_leader"]:
        os.setsid()
    with open(os.devnull) as nothing:
        for target, source in enumerate((nothing.fileno(), stdout, stderr)):
            os.dup2(source, target)
    os.close(stdout)
    os.close(stderr)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = [request["module"], *request["arguments"]]
    with news:
        try:
            news.send(json.dumps({"pid": os.getpid()}).encode())
        except (BrokenPipeError, ConnectionResetError):
            os._exit(1)  # who asked for it has left meanwhile
    return request


if __name__ == "__main__":
    main()
