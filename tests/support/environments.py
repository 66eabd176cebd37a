"""Settings as a process would read them that was started with other variables."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from unittest.mock import patch

from handlers.settings import HandlerSettings, read_environment


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """These variables and no others. Not over an await: the environment is the whole process's."""
    with patch.dict(os.environ, variables, clear=True):
        yield


def handler_settings(variables: Mapping[str, str]) -> HandlerSettings:
    """Raises InvalidSettings."""
    with environment(variables):
        return read_environment().settings
