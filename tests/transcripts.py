"""What the real everestctl and kubectl answered, as recorded in tests/data/transcripts, and when two answers are alike.

Where they come from and what else is kept there, its README says. `<TIME>` stands for a timestamp, `<LAB>` for the
recorder's folder.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from handlers.tools.failures import classify

FOLDER = Path(__file__).resolve().parent / "data" / "transcripts"
FILES = ("accounts", "namespaces", "faults", "rbac-and-kubectl", "least-privilege")

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_NEXT_FRAME = re.compile(r"\x1b\[3A[●∙]{3} [^\r\n]*\r\n\n\n\x1b\[D")
_FRAME = re.compile(r"[●∙]{3} ")
_RESOLVER = re.compile(r"(lookup \S+) on \S+:53:")
_RESULT = re.compile(
    r"^(\S+/\S+|\w+ \"[^\"]+\") (created|configured|unchanged|replaced|annotated|deleted)\b", re.MULTILINE
)
_REASON = re.compile(r"Error from server \((\w+)\)")
_LABELS = re.compile(r"[\w./-]+=[\w.-]+")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command exited with and printed."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Transcript:
    case: str
    argv: tuple[str, ...]
    answer: Answer
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def program(self) -> str:
        return self.argv[0]


def read_transcripts(name: str) -> list[Transcript]:
    """In the order of their recording."""
    found = []
    for line in (FOLDER / f"{name}.jsonl").read_text().splitlines():
        value = json.loads(line)
        answer = Answer(value["rc"], value["stdout"], value["stderr"])
        found.append(Transcript(value["case"], tuple(value["argv"]), answer, value.get("env", {})))
    return found


def comparable(answer: Answer, folder: str = "<LAB>") -> Answer:
    """The answer without what may differ: times, folders, the resolver's address, frames of a spinner, row order."""
    return Answer(answer.code, _order_rows(_normal(answer.stdout, folder)), _normal(answer.stderr, folder))


def _normal(text: str, folder: str) -> str:
    text = _TIME.sub("<TIME>", text.replace(folder, "<LAB>"))
    text = _RESOLVER.sub(r"\1:", text)
    return _FRAME.sub("∙∙∙ ", _NEXT_FRAME.sub("", text))


def _order_rows(text: str) -> str:
    """Rows of accounts and namespaces come in any order; the header stays first."""
    lines = text.splitlines(keepends=True)
    if not lines or not all(line.endswith("  \n") for line in lines):
        return text
    header = [line for line in lines[:1] if line.isupper()]
    return "".join([*header, *sorted(lines[len(header) :])])


def meaning(transcript: Transcript, answer: Answer) -> dict[str, Any]:
    """What an answer of kubectl says, whatever its version: kubectl's words change, and what happened does not."""
    namespace = transcript.argv[transcript.argv.index("-n") + 1] if "-n" in transcript.argv else ""
    failure = classify(answer.stderr) if answer.code else None
    return {
        "code": answer.code,
        "results": sorted(_RESULT.findall(answer.stdout)),
        "reasons": _REASON.findall(answer.stderr),
        "failure": failure and failure.code,
        "object": _read_object(answer.stdout),
        "rows": sorted(_read_rows(answer.stdout, namespace)),
    }


def _read_object(stdout: str) -> dict[str, Any] | None:
    try:
        value = json.loads(stdout)
    except ValueError:
        return None
    if "metadata" not in value:
        return dict(value) if "clientVersion" not in value else {}
    return {"kind": value["kind"], "name": value["metadata"]["name"], "data": value.get("data")}


def _read_rows(stdout: str, namespace: str) -> list[tuple[str, ...]]:
    """Names and labels of a table's rows. Other namespaces were there when it was recorded, or were not."""
    rows: list[tuple[str, ...]] = []
    if stdout.startswith("{"):
        return rows
    for line in stdout.splitlines():
        name = line.split()[0] if line.split() else ""
        if name.islower() and len(line.split()) > 1 and not _RESULT.match(line):
            is_other = name.startswith("namespace/") and name != f"namespace/{namespace}"
            labels = [label for label in _LABELS.findall(line) if not label.startswith("modifiedAt=")]
            rows += [] if is_other else [(name, *sorted(labels))]
    return rows
