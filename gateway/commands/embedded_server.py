"""The embedded NATS server: configuration and secrets in the data folder, an account for services on this machine."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from contracts import names
from contracts.link.user_keys import make_user_key
from gateway.commands.processes import find_program
from gateway.commands.publishers import format_account
from gateway.folders import find_nats_folder

LOCAL_PUBLISHER = "local"
_CONFIGURATION = "server-accounts.conf"


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """`folder` is the data folder; all of it is its owner's alone."""

    folder: Path

    @property
    def credentials(self) -> Path:
        return self.folder / "credentials"

    @property
    def argv(self) -> list[str]:
        return [find_program("sh"), str(find_nats_folder() / "start.sh")]

    @property
    def variables(self) -> Mapping[str, str]:
        """What start.sh reads, beside where the server listens."""
        return {
            "CREDENTIALS": str(self.credentials),
            "CONFIGURATION": str(self._configuration / _CONFIGURATION),
            "NATS_STORE_DIR": str(self.folder / "nats"),
            "NATS_SERVER": find_program("nats-server"),
        }

    def log_in_as(self, role: str) -> dict[str, str]:
        """The settings with which a child comes in."""
        return {"NATS_USER": role, "NATS_PASSWORD_FILE": str(self.credentials / role / "password")}

    def prepare(self) -> None:
        """Makes the folders, and a configuration that keeps the publishers it was given. Raises OSError."""
        for folder in (self.folder / "nats", self.credentials, self._configuration):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        publishers = self._configuration / "publishers.conf"
        for file in find_nats_folder().glob("*.conf"):
            if file.name != publishers.name:
                shutil.copyfile(file, self._configuration / file.name)
        if not publishers.exists():
            publishers.write_text(self._make_local_publisher())

    @property
    def _configuration(self) -> Path:
        return self.folder / "nats-server"

    def _make_local_publisher(self) -> str:
        """Its account; the seed is in a file beside the passwords."""
        nkey, seed = make_user_key()
        folder = self.credentials / LOCAL_PUBLISHER
        folder.mkdir(exist_ok=True, mode=0o700)
        file = folder / "user.nk"
        file.touch(mode=0o600)
        file.write_text(seed)
        return format_account(LOCAL_PUBLISHER, nkey, names.JOB_KINDS)
