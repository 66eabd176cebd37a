"""Where files are that the gateway reads and a checkout keeps elsewhere: wheels and images carry them inside."""

import importlib.util
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def find_nats_folder() -> Path:
    """Declarations and server configuration: in a wheel inside this package, else the folder beside it."""
    packed = _PACKAGE / "nats"
    return packed if packed.is_dir() else _PACKAGE.parent / "nats"


def find_swagger_ui() -> Path:
    """Swagger UI's own files: inside this package, in a checkout those of the package that the wheel is built with.

    Raises RuntimeError when neither is there.
    """
    packed = _PACKAGE / "swagger_ui"
    if packed.is_dir():
        return packed
    package = importlib.util.find_spec("flask_swagger_ui")  # looked up, and never imported
    if package is None or not package.submodule_search_locations:
        raise RuntimeError("Swagger UI's files are not there: install the project's requirements (make setup)")
    return Path(package.submodule_search_locations[0]) / "dist"
