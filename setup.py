"""What the wheel holds beside the packages: the files of nats/, and Swagger UI's, whose package the build asks for.

All else stands in pyproject.toml. nats/ cannot be a package of its own: in site-packages that folder is nats-py's.
"""

import importlib.util
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

_ROOT = Path(__file__).parent
_SWAGGER_UI = ("swagger-ui-bundle.js", "swagger-ui.css", "LICENSE", "VERSION")


class BuildWithFiles(build_py):
    """The packages, and in `gateway` the folders that a checkout has elsewhere (see gateway/folders.py)."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            gateway = Path(self.build_lib) / "gateway"
            _copy(_nats_files(), gateway / "nats")
            _copy([_find_swagger_ui() / name for name in _SWAGGER_UI], gateway / "swagger_ui")

    def get_source_files(self) -> list[str]:
        """What a source distribution must hold, so that a wheel can be built from it."""
        packed: list[str] = super().get_source_files()  # type: ignore[no-untyped-call]  # its stubs leave it untyped
        return [*packed, *(str(file.relative_to(_ROOT)) for file in _nats_files())]


def _nats_files() -> list[Path]:
    nats = _ROOT / "nats"
    return [*sorted(nats.glob("*.conf")), nats / "declarations.json", nats / "start.sh"]


def _find_swagger_ui() -> Path:
    found = importlib.util.find_spec("flask_swagger_ui")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("flask-swagger-ui is not installed: build with the requirements of pyproject.toml")
    return Path(found.submodule_search_locations[0]) / "dist"


def _copy(files: list[Path], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy(file, folder)


setup(cmdclass={"build_py": BuildWithFiles})
