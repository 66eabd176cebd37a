"""What is installed is whole: provision, standalone and the pages work from the wheel, far from any checkout."""

import asyncio
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

import contracts
from tests.support.eventually import eventually
from tests.support.servers import LOOPBACK, ROOT, free_port, nats_server

KEY = "a-key-for-tests"
NOT_INSTALLED = (
    *("gateway/image/", "gateway/chart/", "handlers/image/"),
    "gateway/openapi/openapi.yaml",
)
PAGES = ("/", "/docs", "/docs/assets/swagger-ui-bundle.js", "/docs/assets/swagger-ui.css", "/openapi.json")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a source distribution, as an installer does it, but from what is installed here."""
    folder = tmp_path_factory.mktemp("wheel")
    build(folder, "build_sdist")
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder / "source", filter="data")
    build(folder, "build_wheel", next((folder / "source").iterdir()))
    return next(folder.glob("*.whl"))


def build(folder: Path, hook: str, source: Path = ROOT) -> None:
    """By the standard's own hooks, in a copy: a build leaves folders behind."""
    copy = folder / f"{hook}-copy"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns(".*", "tests", "*.egg-info", "build", "__pycache__"))
    program = f"from setuptools import build_meta; build_meta.{hook}({str(folder)!r})"
    subprocess.run([sys.executable, "-c", program], cwd=copy, check=True, capture_output=True, timeout=120)


def test_one_version(wheel: Path) -> None:
    """Of the package, the OpenAPI document, and the images, which take it from the package."""
    assert wheel.name.split("-")[1] == contracts.__version__
    with zipfile.ZipFile(wheel) as archive:
        assert f'"version": "{contracts.__version__}"' in archive.read("gateway/openapi/openapi.json").decode()


def test_every_file_of_a_package_is_in_the_wheel(wheel: Path) -> None:
    """But for what belongs to images, clusters and readers. Nothing of nats/ lands in nats-py's folder."""
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    listed = subprocess.run(
        ["git", "ls-files", "contracts", "gateway", "handlers"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    wanted = {
        name
        for name in listed.stdout.split()
        if not name.startswith(NOT_INSTALLED) and not name.endswith((".md", ".png")) and (ROOT / name).exists()
    }
    assert wanted - packed == set()
    assert not [name for name in packed if name.startswith(("nats/", "tests/"))]


async def test_the_wheel_alone_provisions_and_stands_alone(wheel: Path, tmp_path: Path) -> None:
    """With what is installed here beside it; the checkout is not on the path."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    variables = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    told = await run(sys.executable, "-c", "import gateway; print(gateway.__file__)", cwd=tmp_path, env=variables)
    assert told.startswith(str(tmp_path))
    await assert_it_provisions(Path(sys.executable), variables, tmp_path)
    await assert_it_stands_alone(Path(sys.executable), variables, tmp_path)


@pytest.mark.slow
async def test_pip_installs_it_into_an_empty_environment(tmp_path: Path) -> None:
    """`pip install .`, then provision; `pip install .[embedded]`, then standalone. Asks the package index."""
    python = tmp_path / "venv" / "bin" / "python"
    await run(sys.executable, "-m", "venv", str(tmp_path / "venv"))
    await run(str(python), "-m", "pip", "install", "--quiet", str(ROOT))
    listed = await run(str(python), "-m", "pip", "list", "--format=freeze")
    assert not {"flask", "werkzeug", "jinja2"} & {line.partition("==")[0].lower() for line in listed.splitlines()}
    variables = {**os.environ, "PATH": f"{python.parent}{os.pathsep}{os.defpath}"}
    await assert_it_provisions(python, variables, tmp_path)
    await run(str(python), "-m", "pip", "install", "--quiet", f"{ROOT}[embedded]")
    await assert_it_stands_alone(python, variables, tmp_path)
    assert "everest-bootstrap" in await run(str(python.parent / "everest-bootstrap"), "--help")


async def run(*argv: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=cwd, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def assert_it_provisions(python: Path, variables: Mapping[str, str], folder: Path) -> None:
    async with nats_server(folder / "provisioned") as server:
        environment = {**variables, "NATS_URL": server.url}
        assert "changes made" in await run(str(python), "-m", "gateway", "provision", cwd=folder, env=environment)
        again = await run(str(python), "-m", "gateway", "provision", cwd=folder, env=environment)
        assert again.strip() == "everything is as declared"


async def assert_it_stands_alone(python: Path, variables: Mapping[str, str], folder: Path) -> None:
    async with standalone(python, variables, folder) as api:
        for page in PAGES:
            answer = await api.get(page)
            assert answer.status_code == 200, page
        accepted = await api.post("/bootstrap/users", json={"username": "alice"}, headers={"X-Admin-Key": KEY})
        assert accepted.status_code == 202


@asynccontextmanager
async def standalone(python: Path, variables: Mapping[str, str], folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    port = free_port()
    settings = {
        "PORT": str(port),
        "HOST": LOOPBACK,
        "NATS_PORT": str(free_port()),
        "DATA_DIR": str(folder / "standing alone"),
        "ADMIN_API_KEY": KEY,
    }
    process = await asyncio.create_subprocess_exec(
        str(python), "-m", "gateway", "standalone", "--handlers", "0", cwd=folder, env={**variables, **settings}
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{port}") as api:
            await eventually(lambda: is_ready(api), "the gateway is ready")
            yield api
    finally:
        if process.returncode is None:
            process.terminate()
        assert await process.wait() == 0


async def is_ready(api: httpx.AsyncClient) -> bool:
    return (await api.get("/readyz")).status_code == 200
