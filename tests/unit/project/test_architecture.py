"""The shape of the house: who may import whom, and where processes, the environment and NATS are touched."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("contracts", "gateway", "handlers")
MAY_IMPORT = {"contracts": {"contracts"}, "gateway": {"gateway", "contracts"}, "handlers": {"handlers", "contracts"}}
NATS_MODULES = {"gateway/jetstream.py", "handlers/jetstream.py"}
PROCESS_MODULES = {"gateway/commands/processes.py", "handlers/commands/processes.py"}
STARTS_PROCESSES = {"subprocess", "multiprocessing", "pty"}
OS_STARTS_PROCESSES = {"fork", "forkpty", "posix_spawn", "posix_spawnp", "popen", "system", "execv", "execve", "spawnv"}
IMPURE = {"os", "time", "datetime", "random", "socket", "asyncio", "logging", "subprocess", "pathlib", "secrets"}


def modules(package: str) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / package).rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


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


def test_contracts_are_pure() -> None:
    """No I/O, no clock, no environment. Log lines are formatted there, and nothing is logged."""
    for name, tree in modules("contracts"):
        impure = {module.partition(".")[0] for module in imported(tree)} & IMPURE
        assert impure <= ({"logging", "datetime"} if name == "contracts/logs.py" else set()), name
        calls = {
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not calls & {"open", "print", "input"}, name


def test_nats_is_imported_in_two_modules() -> None:
    found = {
        name
        for package in PACKAGES
        for name, tree in modules(package)
        if {"nats", "nkeys"} & {module.partition(".")[0] for module in imported(tree)}
    }
    assert found == NATS_MODULES


def test_processes_are_started_in_two_modules() -> None:
    for package in PACKAGES:
        for name, tree in modules(package):
            starts = STARTS_PROCESSES & {module.partition(".")[0] for module in imported(tree)}
            starts |= OS_STARTS_PROCESSES & set(attributes(tree, "os"))
            starts |= {
                attribute for attribute in attributes(tree, "asyncio") if attribute.startswith("create_subprocess")
            }
            assert not starts or name in PROCESS_MODULES, (name, starts)


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
