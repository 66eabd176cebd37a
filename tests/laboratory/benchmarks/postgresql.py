"""PostgreSQL as Debian packages it, on a data folder of its own, as somebody without rights."""

import asyncio
import importlib.util
import os
import pwd
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.laboratory.benchmarks.figures import PassedOver
from tests.support.servers import LOOPBACK

_PACKAGED = Path("/usr/lib/postgresql")
_USER = "postgres"  # whom the package makes; PostgreSQL does not start for root


async def make_command(port: int) -> tuple[list[str], Path]:
    """What starts a server on new data, and the folder to remove after it. Raises PassedOver."""
    programs = _find_programs()
    folder = Path(tempfile.mkdtemp(prefix="everest-bench-postgresql-"))  # not in another's: its user comes in here
    as_user = _become_somebody(folder)
    await _run([*as_user, programs / "initdb", "-D", folder / "data", "-U", _USER, "--auth=trust"])
    options = {"port": port, "listen_addresses": LOOPBACK, "unix_socket_directories": folder, "max_connections": 50}
    settings = [f"--{name}={value}" for name, value in options.items()]
    return [*as_user, str(programs / "postgres"), "-D", str(folder / "data"), *settings], folder


def _find_programs() -> Path:
    """The newest that is installed."""
    if importlib.util.find_spec("asyncpg") is None:
        raise PassedOver("asyncpg is not installed: make bench does it")
    if found := sorted(_PACKAGED.glob("*/bin/initdb")):
        return found[-1].parent
    if on_path := shutil.which("initdb"):
        return Path(on_path).parent
    raise PassedOver("PostgreSQL is not installed: apt-get install postgresql")


def _become_somebody(folder: Path) -> list[str]:
    if os.geteuid() != 0:
        return []
    try:
        user = pwd.getpwnam(_USER)
    except KeyError:
        raise PassedOver(f"PostgreSQL does not start for root, and there is no user {_USER}") from None
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--"]


async def _run(argv: Sequence[str | Path]) -> None:
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, cwd="/"
    )
    _, said = await process.communicate()
    if process.returncode:
        raise PassedOver(f"{argv[-4:]} failed: {said.decode(errors='replace')[-300:]}")
