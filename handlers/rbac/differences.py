"""What an edit changes in a policy, as a unified diff."""

import difflib

MOST_BYTES = 4096  # of a diff in a record
_CUT = "… cut\n"


def diff(before: str, after: str) -> str:
    """Empty where both are the same."""
    lines = difflib.unified_diff(_lines(before), _lines(after), "stored", "merged")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def shorten(text: str) -> str:
    """What a record shows of a diff: whole lines, and at most MOST_BYTES."""
    if len(text.encode()) <= MOST_BYTES:
        return text
    kept = text.encode()[: MOST_BYTES - len(_CUT.encode())].decode(errors="ignore")
    return kept[: kept.rfind("\n") + 1] + _CUT


def _lines(text: str) -> list[str]:
    """Ended by line feeds alone, as Everest splits them."""
    *lines, last = text.split("\n")
    return [f"{line}\n" for line in lines] + ([last] if last else [])
