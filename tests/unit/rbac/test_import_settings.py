"""The settings of an import: read by hand, as strictly as all others, and equal to the handler's."""

import subprocess
import sys

import pytest

from handlers.rbac.import_settings import ImportSettings, InvalidSetting, read_import_environment
from handlers.settings import HandlerSettings
from tests.support.environments import environment


def test_what_is_unset_or_empty_is_as_for_the_handler() -> None:
    for variables in ({}, {"SUBPROCESS_TIMEOUT": "", "KUBECONFIG": " "}):
        with environment(variables):
            settings, _ = read_import_environment()
        handlers = HandlerSettings.model_construct()
        assert settings == ImportSettings(handlers.subprocess_timeout, handlers.kubeconfig)


def test_what_is_set_is_read_and_handed_on() -> None:
    variables = {"SUBPROCESS_TIMEOUT": " 12.5 ", "KUBECONFIG": "/somewhere", "PATH": "/bin"}
    with environment(variables):
        assert read_import_environment() == (ImportSettings(12.5, "/somewhere"), variables)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("s3cret", "SUBPROCESS_TIMEOUT must be a number"),
        ("nan", "SUBPROCESS_TIMEOUT must be a number"),
        ("inf", "SUBPROCESS_TIMEOUT must be a number"),
        ("0", "SUBPROCESS_TIMEOUT must be above 0"),
        ("-1", "SUBPROCESS_TIMEOUT must be above 0"),
    ],
)
def test_a_setting_out_of_range_is_one_line(value: str, line: str) -> None:
    with environment({"SUBPROCESS_TIMEOUT": value}), pytest.raises(InvalidSetting) as caught:
        read_import_environment()
    assert str(caught.value) == line


def test_an_import_loads_nothing_that_takes_longer_than_itself() -> None:
    """It starts for every job."""
    program = "import sys, handlers.rbac.importer; print(*sorted({'pydantic', 'asyncio', 'yaml'} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert loaded.strip() == ""
