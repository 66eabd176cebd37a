"""Where the gateway is and with which key to call it: from the environment, else from a file of one's own."""

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, PrivateAttr, SecretStr, ValidationError
from pydantic_core import ErrorDetails

CONFIG_FILE = "~/.config/everest-bootstrap.toml"


class InvalidConfig(Exception):
    """The client cannot know whom to call; the message says what to do."""


def _check_key(key: SecretStr) -> SecretStr:
    """What no header can hold is found here: further on an error would show it."""
    text = key.get_secret_value()
    if not (text.isascii() and text.isprintable() and text == text.strip()):
        raise ValueError("must be printable ASCII without blanks at its ends")
    return key


class ClientSettings(BaseModel):
    """`BASE_URL` and `ADMIN_API_KEY`, or the file's members of the same names in lower case."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = "http://localhost:8080"
    admin_api_key: Annotated[SecretStr, AfterValidator(_check_key)]
    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    def origin(self, name: str) -> str:
        """Where the member came from, as a message says it."""
        return self._origins.get(name, "the default")


def read_client_settings(config: Path | None, variables: Mapping[str, str] | None = None) -> ClientSettings:
    """The environment goes before the file, member by member. Raises InvalidConfig."""
    variables = os.environ if variables is None else variables
    given = {name: variables[name.upper()] for name in ClientSettings.model_fields if variables.get(name.upper())}
    path = (config or Path(variables.get("EVEREST_BOOTSTRAP_CONFIG") or CONFIG_FILE)).expanduser()
    stored = {} if given.keys() == ClientSettings.model_fields.keys() else _read_file(path, must_exist=bool(config))
    origins = dict.fromkeys(stored, str(path)) | {name: f"{name.upper()} of the environment" for name in given}
    try:
        settings = ClientSettings.model_validate({**stored, **given})
    except ValidationError as error:
        problems = [_describe(problem, origins) for problem in error.errors()]
        raise InvalidConfig(f"{'; '.join(problems)}. Set ADMIN_API_KEY, or write admin_api_key into {path}") from None
    settings._origins.update(origins)
    return settings


def _describe(problem: ErrorDetails, origins: Mapping[str, str]) -> str:
    name = str(problem["loc"][0])
    if problem["type"] == "missing":
        return f"there is no {name}"
    return f"{name} ({origins[name]}) {problem['msg'].removeprefix('Value error, ')}"


def _read_file(path: Path, *, must_exist: bool) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise InvalidConfig(f"{path} holds a key and others may read it: chmod 600 {path}")
            return tomllib.load(file)
    except FileNotFoundError:
        if must_exist:
            raise InvalidConfig(f"{path} does not exist") from None
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidConfig(f"{path} cannot be read: {error}") from None
