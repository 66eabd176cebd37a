"""The shape of the code: who may import whom, and where processes, the environment and NATS are touched."""

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("contracts", "gateway", "handlers")
MAY_IMPORT = {"contracts": {"contracts"}, "gateway": {"gateway", "contracts"}, "handlers": {"handlers", "contracts"}}
LINK = "contracts/link/"
PROCESS = "contracts/process/"
PROCESS_MODULES = {"gateway/commands/processes.py", "handlers/commands/processes.py"}
STARTS_PROCESSES = {"subprocess", "multiprocessing", "pty"}
OS_STARTS_PROCESSES = {"fork", "forkpty", "posix_spawn", "posix_spawnp", "popen", "system", "execv", "execve", "spawnv"}
HTTP = {"starlette", "uvicorn", "httpx", "http", "prometheus_client"}
ENTRANCES = {"steps", "lists"}  # the modules that hold a workflow
WORKFLOWS = tuple(
    f"handlers.{folder.name}"
    for folder in sorted((ROOT / "handlers").iterdir())
    if ENTRANCES & {path.stem for path in folder.glob("*.py")}
)
OUTSIDE_THE_ENGINE = (
    *WORKFLOWS,
    *(f"handlers.{name}" for name in ("kinds", "preflight", "rbac", "tenants", "tools", "workflow")),
)
MOST_MODULES = 15
IMPURE = {"os", "time", "datetime", "random", "socket", "asyncio", "logging", "subprocess", "pathlib", "secrets"}


def modules(package: str) -> Iterator[tuple[str, ast.Module]]:
    paths = sorted((ROOT / package).rglob("*.py"))
    assert paths, f"{package} is not there: a rule about it would hold of nothing"
    for path in paths:
        yield path.relative_to(ROOT).as_posix(), parse(path)


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imported(tree: ast.Module) -> Iterator[str]:
    """Every module that is imported, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""


def attributes(tree: ast.Module, owner: str) -> Iterator[str]:
    """The names that are taken from a module: `os.environ` gives environ."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == owner:
            yield node.attr
        elif isinstance(node, ast.ImportFrom) and node.module == owner:
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_they_may(package: str) -> None:
    """Gateway and handlers never import each other, and nobody imports tests."""
    for name, tree in modules(package):
        ours = {module.partition(".")[0] for module in imported(tree)} & {*PACKAGES, "tests"}
        assert ours <= MAY_IMPORT[package], name


def imported_by(folder: str) -> set[str]:
    return {module for _, tree in modules(folder) for module in imported(tree)}


def test_the_engine_knows_neither_http_nor_tools_nor_workflows() -> None:
    """It runs plans under leases, whatever their steps do."""
    for module in imported_by("handlers/jobs"):
        assert module.partition(".")[0] not in HTTP, module
        assert not module.startswith(OUTSIDE_THE_ENGINE), module


def test_tools_and_commands_do_not_know_the_engine() -> None:
    for folder in ("handlers/tools", "handlers/commands", "handlers/rbac"):
        for module in imported_by(folder):
            assert not module.startswith(("handlers.jobs", "handlers.kinds", "handlers.workflow")), (folder, module)
    assert not [module for module in imported_by("handlers/commands") if module.startswith("handlers.tools")]


def test_one_module_names_the_workflows() -> None:
    """A kind is bound to what it does in one place; the steps of a kind may use those of another."""
    assert {"handlers.bootstrap", "handlers.offboarding", "handlers.queries"} < set(WORKFLOWS)
    for name, tree in modules("handlers"):
        folder = name.rpartition("/")[0].replace("/", ".")
        for module in imported(tree):
            if module.startswith(WORKFLOWS) and module.rpartition(".")[2] in ENTRANCES:
                assert name == "handlers/kinds.py" or module.startswith(folder), (name, module)


def test_no_folder_holds_more_modules_than_a_listing_shows() -> None:
    for package in PACKAGES:
        folders = Counter(name.rpartition("/")[0] for name, _ in modules(package))
        assert not {folder: count for folder, count in folders.items() if count > MOST_MODULES + 1}  # and its __init__


def test_contracts_are_pure() -> None:
    """No I/O, no clock, no environment.

    But for the link to NATS, which gateway and handlers share and which is all I/O: the rest does not import it. Nor
    are they processes: what those have alike formats the lines of a log, logs nothing, and knows the loop it stops.
    """
    for name, tree in modules("contracts"):
        if name.startswith(LINK):
            continue
        assert not any(module.startswith("contracts.link") for module in imported(tree)), name
        impure = {module.partition(".")[0] for module in imported(tree)} & IMPURE
        assert impure <= ({"logging", "datetime", "asyncio"} if name.startswith(PROCESS) else set()), name
        calls = {
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not calls & {"open", "print", "input"}, name


def test_nats_is_imported_in_one_package() -> None:
    """Gateway and handlers reach it by the same link, so that what one has learned of it the other knows."""
    found = {
        name.rpartition("/")[0] + "/"
        for package in PACKAGES
        for name, tree in modules(package)
        if {"nats", "nkeys"} & {module.partition(".")[0] for module in imported(tree)}
    }
    assert found == {LINK}


def test_processes_are_started_in_two_modules() -> None:
    for package in PACKAGES:
        for name, tree in modules(package):
            starts = STARTS_PROCESSES & {module.partition(".")[0] for module in imported(tree)}
            starts |= OS_STARTS_PROCESSES & set(attributes(tree, "os"))
            starts |= {
                attribute for attribute in attributes(tree, "asyncio") if attribute.startswith("create_subprocess")
            }
            assert not starts or name in PROCESS_MODULES, (name, starts)


def test_only_the_edge_speaks_http() -> None:
    """The engine of jobs raises what it means; one table in gateway/http turns that into answers."""
    for name, tree in modules("gateway"):
        names = set(imported(tree))
        if not name.startswith("gateway/http/"):
            assert not {"starlette", "uvicorn", "sse_starlette"} & {module.partition(".")[0] for module in names}, name
        if name.startswith(("gateway/jobs/", "gateway/listing/")):
            assert not [module for module in names if module.startswith("gateway.http")], name


def test_the_environment_is_read_in_settings() -> None:
    for package in PACKAGES:
        for name, tree in modules(package):
            if not name.endswith("settings.py"):
                assert not {"environ", "getenv", "environb"} & set(attributes(tree, "os")), name


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_happens_at_import(package: str) -> None:
    """On the top level: imports, definitions and constants, nothing that is run for its effect."""
    for name, tree in modules(package):
        for node in tree.body:
            is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            is_main = isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)
            is_typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            is_definition = isinstance(
                node,
                ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign
                | ast.AnnAssign | ast.AugAssign,
            )  # fmt: skip
            assert is_docstring or is_main or is_typing or is_definition, f"{name}:{node.lineno}"


def test_the_nats_folder_holds_no_python() -> None:
    """It would shadow the library of that name."""
    assert not list((ROOT / "nats").rglob("*.py"))
