"""The page's scripts: modules that a browser loads as they are, with no build between that would miss a name."""

import re
from pathlib import Path

import pytest

PAGES = Path(__file__).resolve().parents[3] / "gateway" / "pages"
SCRIPTS = sorted(str(path.relative_to(PAGES)) for path in PAGES.rglob("*.js"))
IMPORT = re.compile(r'^import \{ (.+) \} from "(\..+)";$', re.MULTILINE)
EXPORT = re.compile(r"^export (?:async )?(?:const|class|function\*?) (\w+)", re.MULTILINE)


@pytest.mark.parametrize("name", SCRIPTS)
def test_whatever_is_imported_is_there_and_used(name: str) -> None:
    """A browser refuses the whole page for a name that no module exports; which names are defined a linter sees."""
    text = (PAGES / name).read_text()
    assert text.count("\nimport ") == len(IMPORT.findall(text))
    for names, address in IMPORT.findall(text):
        exported = EXPORT.findall((PAGES / name).parent.joinpath(address).read_text())
        assert set(names.split(", ")) <= set(exported), address


def test_all_is_reached_from_the_page() -> None:
    """Nothing is served that the page does not load."""
    reached, ahead = set[Path](), [PAGES / "main.js"]
    while ahead:
        if (path := ahead.pop()) not in reached:
            reached.add(path)
            ahead += [(path.parent / address).resolve() for _, address in IMPORT.findall(path.read_text())]
    assert reached == set(PAGES.rglob("*.js"))
