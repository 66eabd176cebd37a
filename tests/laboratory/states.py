"""The picture of the protocol's table in the README of contracts; `make documents` draws it."""

import re
from pathlib import Path

from contracts.protocol import draw_states

README = Path(__file__).parents[2] / "contracts" / "README.md"
_DRAWING = re.compile(r"```mermaid\nstateDiagram-v2.*?```", re.DOTALL)


def redraw(text: str) -> str:
    """The README with the picture as the table has it now."""
    return _DRAWING.sub(f"```mermaid\n{draw_states()}\n```", text)
