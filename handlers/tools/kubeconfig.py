"""The kubeconfig, looked at before any command runs: without one kubectl asks localhost:8080, whoever listens there."""

import os
from functools import lru_cache
from pathlib import Path

from contracts.codes import Failure
from handlers.tools.kubeconfig_context import Context, InvalidKubeconfig, check_files, read_context

SIMULATED_NAME = "simulated-everest"  # of the cluster and the current context in the simulator's kubeconfig

_MOST_BYTES = 4 * 1024 * 1024
_FOLDER = "Docker makes a folder where the file that should be mounted is missing: put a kubeconfig there."
_SEVERAL = "everestctl reads one file. Mount what this prints: kubectl config view --flatten --minify --raw"

Signature = tuple[int, ...]


def find_kubeconfig(configured: str | None) -> Path:
    """The file that the CLIs read: KUBECONFIG, or the one in the home folder."""
    # os.path, because pathlib raises for a user without a home.
    return Path(configured or os.path.expanduser("~/.kube/config"))


def check_kubeconfig(configured: str | None) -> Failure | None:
    """Why no command can work with the kubeconfig; None when nothing is wrong that can be seen from here."""
    path = find_kubeconfig(configured)
    try:
        stat = path.stat()
        if path.is_dir():
            return Failure("kubeconfig_missing", f"{path} is a folder, not a file.", _FOLDER)
        # Read again only when it is another file, or has changed: it is looked at before each step of each job.
        context = _read(path, (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
        check_files(context, path.parent)
    except FileNotFoundError:
        return _explain_absence(configured, path)
    except OSError as error:
        return Failure("kubeconfig_unreadable", f"{path} cannot be read: {error.strerror}.")
    except InvalidKubeconfig as error:
        return Failure("kubeconfig_invalid", f"{path} cannot be used: {error}.", error.hint)
    return None


def is_simulated(configured: str | None) -> bool:
    """Whether commands reach the simulated Everest. A kubeconfig that cannot be used reaches nothing."""
    try:
        context = read_context(_read_text(find_kubeconfig(configured)))
    except (OSError, InvalidKubeconfig):
        return False
    return context.name == context.cluster_name == SIMULATED_NAME


@lru_cache(maxsize=4)
def _read(path: Path, _signature: Signature) -> Context:
    """Raises OSError, InvalidKubeconfig."""
    return read_context(_read_text(path))


def _read_text(path: Path) -> str:
    """Raises OSError, InvalidKubeconfig."""
    with path.open("rb") as file:
        raw = file.read(_MOST_BYTES + 1)
    if len(raw) > _MOST_BYTES:
        raise InvalidKubeconfig("it is too large for a kubeconfig")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidKubeconfig("it is not UTF-8") from None


def _explain_absence(configured: str | None, path: Path) -> Failure:
    if configured and ":" in configured:
        return Failure("kubeconfig_invalid", "KUBECONFIG names several files.", _SEVERAL)
    return Failure("kubeconfig_missing", f"There is no kubeconfig at {path}.")
