"""What command lines print, as data: JSON as it is, Everest's tables by their columns, any other table by its cells.

Parsed from the whole output, never from what is shown of it.
"""

import json
import re
from collections.abc import Callable
from typing import Any

# Everest's tables (rodaine/table): every cell is padded, capabilities are a Go slice, and the order is random.
_ACCOUNT = re.compile(r"(?P<user>\S.*?)\s+\[(?P<capabilities>[^\[\]]*)\]\s+(?P<enabled>true|false)")
_NAMESPACE = re.compile(r"(?P<namespace>\S+)\s+(?P<managed>true|false)(?:\s+(?P<operators>\S.*))?")
_OPERATOR = re.compile(r"(?P<name>[^\s(]+)\((?P<version>[^)]*)\)")
# What separates a header from its rows, as psql and Markdown draw it.
_RULE = re.compile(r"[\s|+:=-]+")


def parse_accounts(stdout: str) -> Any:
    """The accounts, sorted by user: `{"user", "capabilities": […], "enabled"}` each."""
    return _parse(stdout, ("user", "capabilities", "enabled"), _read_account)


def parse_namespaces(stdout: str) -> Any:
    """The namespaces, sorted: `{"namespace", "managed", "operators": [{"name", "version"}]}` each."""
    return _parse(stdout, ("namespace", "managed", "operators"), _read_namespace)


def parse_table(text: str) -> list[dict[str, str]]:
    """The rows of any table, under its header's names in lower case; cells are split by `|`, else by whitespace.

    A row with more cells than the header keeps the rest in its last one; one with fewer leaves the last ones empty.
    """
    lines = [line for line in text.splitlines() if line.strip() and not _RULE.fullmatch(line)]
    if not lines:
        return []
    split = _choose_split(lines)
    header, *rows = [split(line) for line in lines]
    names = [name.lower() for name in header]
    return [_name_cells(names, row) for row in rows]


def _parse(stdout: str, names: tuple[str, ...], read_row: Callable[[str], dict[str, Any] | None]) -> Any:
    try:
        return json.loads(stdout)
    except ValueError:
        header, *lines = stdout.splitlines() or [""]
        rows = [read_row(line.strip()) for line in lines if line.strip()]
        if header.lower().split() == list(names) and all(rows):
            return sorted((row for row in rows if row), key=lambda row: str(row[names[0]]))
        return parse_table(stdout)


def _read_account(line: str) -> dict[str, Any] | None:
    match = _ACCOUNT.fullmatch(line)
    if match is None:
        return None
    return {
        "user": match["user"],
        "capabilities": match["capabilities"].split(),
        "enabled": match["enabled"] == "true",
    }


def _read_namespace(line: str) -> dict[str, Any] | None:
    match = _NAMESPACE.fullmatch(line)
    if match is None:
        return None
    operators = [operator.groupdict() for operator in _OPERATOR.finditer(match["operators"] or "")]
    return {"namespace": match["namespace"], "managed": match["managed"] == "true", "operators": operators}


def _choose_split(lines: list[str]) -> Callable[[str], list[str]]:
    if "|" in lines[0]:
        return lambda line: [cell.strip() for cell in line.strip().strip("|").split("|")]
    if any(re.search(r"\S\s{2,}\S", line) for line in lines):
        return lambda line: re.split(r"\s{2,}", line.strip())
    return str.split


def _name_cells(names: list[str], cells: list[str]) -> dict[str, str]:
    last = len(names) - 1
    kept = [*cells[:last], " ".join(cells[last:])] + [""] * max(0, last - len(cells))
    return dict(zip(names, kept, strict=True))
