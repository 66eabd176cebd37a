"""What differs between versions of the CLI, and the commands that show versions."""

from __future__ import annotations

import sys

from tests.everestctl import json_text
from tests.everestctl.errors import ApiError, Failed, Usage
from tests.everestctl.output import now
from tests.everestctl.usage import VERSION_USAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.everestctl.arguments import Flags
    from tests.everestctl.context import Context
    from tests.everestctl.kube.api import Api

SYSTEM = "everest-system"
DEFAULT = "1.10.0"
OLD_REPOSITORY = "https://percona.github.io/percona-helm-charts/"
NEW_REPOSITORY = "https://openeverest.github.io/helm-charts/"

_NEWEST = (1, 99)
_NOT_INSTALLED = "everest is not installed in the cluster"
_COMMITS = {
    "1.10.0": "4f731536bde9126689f29628bd872e4fbdc5228f",
    "1.16.1": "4ebfda6fef6d8bda10bb9c3fb95f8e8a9e38bfd5",
}


class Version:
    """A version of the CLI or the server."""

    def __init__(self, text: str) -> None:
        self.text = text.removeprefix("v")
        major, minor, *_ = [int(part) if part.isdigit() else 0 for part in f"{self.text}.0".split(".")]
        self.minor = (major, minor) if major else _NEWEST  # 0.0.0 is a development build

    @property
    def is_preview(self) -> bool:
        """Of 2.0: another product that shares the name."""
        return self.minor >= (2, 0)

    @property
    def has_status(self) -> bool:
        return self.minor >= (1, 15)

    @property
    def repository(self) -> str:
        """Where the charts are fetched from: it moved with 1.14."""
        return NEW_REPOSITORY if self.minor >= (1, 14) else OLD_REPOSITORY

    @property
    def chart_repository(self) -> str | None:
        """Where this version's chart is to be found: the old index ends at 1.13.0, the new one begins at 1.13.1."""
        if self.is_preview:
            return None
        is_new = self.minor >= (1, 14) or (self.minor == (1, 13) and self.text != "1.13.0")
        return NEW_REPOSITORY if is_new else OLD_REPOSITORY

    @property
    def spinner_back(self) -> str:
        """How bubbletea goes back to the begin of a line; seen in 1.10.0 and 1.16.1, when it changed is not known."""
        return "\r" if self.minor >= (1, 14) else "\x1b[D"

    @property
    def commit(self) -> str:
        return _COMMITS.get(self.text, (self.text.encode().hex() + "0" * 40)[:40])


def read_server_version(api: Api) -> str:
    """The image's tag. Raises Failed or ApiError."""
    for name in ("everest-server", "percona-everest"):
        found = api.get(f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/{name}")
        if found:
            return str(found["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2])
    raise Failed(_NOT_INSTALLED)


def check_everest(api: Api) -> Version:
    try:
        version = Version(read_server_version(api))
    except ApiError as error:
        raise Failed(f"{error}\nfailed to get Everest version") from None
    if version.minor < (1, 4):
        raise Failed("operation not supported for this version of Everest")
    return version


def show_version(context: Context, flags: Flags) -> None:
    server = None if flags["client-only"] else _find_server_version(context)
    version = f"v{context.version.text}"
    if context.console.is_json:
        value = {"projectName": "everestctl", "version": version, "fullCommit": context.version.commit}
        value |= {"serverVersion": server} if server else {}
        sys.stdout.write(json_text.write(value) + "\n")
        return
    sys.stdout.write(f"ProjectName: everestctl\nVersion: {version}\nFullCommit: {context.version.commit}\n")
    if server:
        sys.stdout.write(f"ServerVersion: {server}\n")


def _find_server_version(context: Context) -> str:
    try:
        api = context.open_api()
    except Failed as error:
        raise Usage(str(error), VERSION_USAGE) from None
    try:
        return f"v{read_server_version(api).removeprefix('v')}"
    except (Failed, ApiError) as error:
        if str(error) == _NOT_INSTALLED:
            return "[NOT INSTALLED]"
        component = '{"component": "version"}'
        sys.stderr.write(f"{now()}\terror\teverestctl\tcommands/version.go:66\t{error}\t{component}\n")
        raise Usage(str(error), VERSION_USAGE) from None
