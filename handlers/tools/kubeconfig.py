"""The kubeconfig, looked at before any command runs: without one kubectl asks localhost:8080, whoever listens there.

Looked at as a text: what a handler must know of it stands in a few lines, and a YAML library costs its start.
"""

import os
import re
from functools import lru_cache
from pathlib import Path

from contracts.codes import Failure

SIMULATED_NAME = "simulated-everest"  # of the cluster and the current context in the simulator's kubeconfig

_MOST_BYTES = 4 * 1024 * 1024
# A member of the outermost mapping, in YAML or in JSON.
_CURRENT_CONTEXT = re.compile(r"(?:^|[{,]\s*)[\"']?current-context[\"']?\s*:[ \t]*[\"']?([^\s\"',}#]+)", re.MULTILINE)
_NAME = r"[\"']?name[\"']?\s*:\s*[\"']?{}[\"']?\s*(?:[,}}]|$)"


def find_kubeconfig(configured: str | None) -> Path:
    """The file that the CLIs read: KUBECONFIG, or the one in the home folder."""
    # os.path, because pathlib raises for a user without a home.
    return Path(configured or os.path.expanduser("~/.kube/config"))


def check_kubeconfig(configured: str | None) -> Failure | None:
    """Why no command can work with the kubeconfig; None when nothing is wrong that can be seen from here."""
    path = find_kubeconfig(configured)
    try:
        stat = path.stat()
    except FileNotFoundError:
        return _explain_absence(configured, path)
    except OSError as error:
        return Failure("kubeconfig_unreadable", f"{path} cannot be read: {error.strerror}.")
    return _check_file(path, (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))


@lru_cache(maxsize=4)
def _check_file(path: Path, _signature: tuple[int, ...]) -> Failure | None:
    """Read again only when it is another file, or has changed: it is looked at before each step of each job."""
    try:
        if path.is_dir():
            hint = "Docker makes a folder where the file that should be mounted is missing: put a kubeconfig there."
            return Failure("kubeconfig_missing", f"{path} is a folder, not a file.", hint)
        text = read_kubeconfig(path)
    except OSError as error:
        return Failure("kubeconfig_unreadable", f"{path} cannot be read: {error.strerror}.")
    except ValueError as error:
        return Failure("kubeconfig_invalid", f"{path} cannot be used: {error}.")
    if not text.strip():
        return Failure("kubeconfig_invalid", f"{path} is empty.")
    if current_context(text) is None:
        return Failure("kubeconfig_invalid", f"{path} names no current-context.")
    return None


def is_simulated(configured: str | None) -> bool:
    """Whether commands reach the simulated Everest. A kubeconfig that cannot be read reaches nothing."""
    try:
        text = read_kubeconfig(find_kubeconfig(configured))
    except (OSError, ValueError):
        return False
    is_named = re.search(_NAME.format(re.escape(SIMULATED_NAME)), text, re.MULTILINE) is not None
    return is_named and current_context(text) == SIMULATED_NAME


def read_kubeconfig(path: Path) -> str:
    """Raises OSError, and ValueError for what is no text."""
    with path.open("rb") as file:
        raw = file.read(_MOST_BYTES + 1)
    if len(raw) > _MOST_BYTES:
        raise ValueError("it is too large for a kubeconfig")
    if b"\0" in raw:
        raise ValueError("it is no text")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None


def current_context(text: str) -> str | None:
    match = _CURRENT_CONTEXT.search(text)
    return match[1] if match else None


def _explain_absence(configured: str | None, path: Path) -> Failure:
    if configured and ":" in configured:
        hint = "everestctl reads one file: merge them with kubectl config view --flatten."
        return Failure("kubeconfig_invalid", "KUBECONFIG names several files.", hint)
    return Failure("kubeconfig_missing", f"There is no kubeconfig at {path}.")
