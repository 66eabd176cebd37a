"""One run: its console, its API, its version, and the faults that the simulated API asks of it."""

from __future__ import annotations

import os
import sys
import time

from tests.everestctl import json_text
from tests.everestctl.errors import Failed
from tests.everestctl.kube.api import Api, join_chunks
from tests.everestctl.output import Spinner
from tests.everestctl.version import DEFAULT, Version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tests.everestctl.kube.api import Connection
    from tests.everestctl.output import Console


class Context:
    def __init__(self, console: Console, kubeconfig: str, arguments: list[str]) -> None:
        self.console = console
        self.faults: dict[str, Any] = {}
        self.spinner: Spinner | None = None
        self._kubeconfig = kubeconfig
        self._arguments = arguments
        self._api: Api | None = None
        self._held: Connection | None = None

    @property
    def version(self) -> Version:
        """Of this CLI: EVERESTCTL_VERSION, or what the simulated API says."""
        said = os.environ.get("EVERESTCTL_VERSION") or self.faults.get("cli_version") or DEFAULT
        return Version(str(said))

    def open_api(self) -> Api:
        """For a command. Raises Failed, also where a CLI of 2.0 finds no server of its kind."""
        api = self._connect()
        if self.version.is_preview and api.get("/api/v1/namespaces/openeverest-system") is None:
            raise Failed("could not discover OpenEverest namespace")
        return api

    def _connect(self) -> Api:
        if self._api is None:
            self._api = Api(self._kubeconfig)
        return self._api

    def open_spinner(self) -> Spinner:
        self.spinner = Spinner(self.console, self.version.spinner_back)
        return self.spinner

    def report(self) -> None:
        """Tells the simulated API of this run, over a connection whose closing is the end of the process."""
        try:
            connection = self._connect().open("POST", "/simulator/commands", self._identity())
        except (Failed, OSError):
            self._api = None
            return
        try:
            told = _read_first_line(connection)
        except OSError:
            return
        if told is None:
            connection.close()
            return
        self._held = connection
        self.faults = json_text.read(told.decode())

    def _identity(self) -> dict[str, Any]:
        return {"argv": mask(self._arguments), "pid": os.getpid()}

    def obey_faults(self) -> None:
        """Those that concern every command. Raises SystemExit where it is to end by one."""
        if seconds := self.faults.get("slow_seconds"):
            time.sleep(seconds)
        if self.faults.get("hang"):
            time.sleep(86400)
        if self.faults.get("binary_output"):
            sys.stdout.buffer.write(bytes(range(256)) * 64)
            sys.stdout.flush()
        if size := self.faults.get("output_bytes"):
            line = b"x" * 1023 + b"\n"
            for _ in range(size // 1024):
                sys.stdout.buffer.write(line)
            sys.stdout.flush()
        if (failure := self.faults.get("fail")) is not None:
            sys.stderr.write(failure.get("stderr", ""))
            sys.stdout.write(failure.get("stdout", ""))
            raise SystemExit(failure.get("exit_code", 1))

    def pause_race(self, gap: str = "race_seconds") -> None:
        """Widens a gap in which the real one loses races: between look and act, or the last read and the write."""
        if self.faults.get(gap):
            time.sleep(self.faults[gap])
        self.wait_to_be_let_go(gap.removesuffix("_seconds"))

    def wait_to_be_let_go(self, gap: str) -> None:
        """Where the fault `holds` names this gap: the simulated API answers once it is taken back."""
        if self.faults.get("holds") != gap:
            return
        connection = self._connect().open("POST", "/simulator/gap", {"pid": os.getpid(), "gap": gap})
        while connection.recv(65536):
            pass


def _read_first_line(connection: Connection) -> bytes | None:
    """None where it is not the simulated API that answers."""
    connection.settimeout(5)
    head, _, first = connection.recv(65536).partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n")[0]:
        return None
    while b"\n" not in join_chunks(first):
        more = connection.recv(65536)
        if not more:
            return None
        first += more
    return join_chunks(first).partition(b"\n")[0]


def mask(arguments: list[str]) -> list[str]:
    """The command line without passwords."""
    masked, hides_next = [], False
    for word in arguments:
        if hides_next:
            masked.append("********")
            hides_next = False
        elif word in ("-p", "--password", "--new-password"):
            masked.append(word)
            hides_next = True
        else:
            flag = next((one for one in ("-p", "--password=", "--new-password=") if word.startswith(one)), None)
            masked.append(f"{flag}********" if flag and word != flag else word)
    return masked
