"""What `standalone` says before anything starts of where it is to listen."""

import pytest

from gateway.commands.standalone import CannotStart, _check_ports
from gateway.settings import StandaloneSettings
from tests.support.servers import free_port


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"port": 4321, "nats_port": 4321}, "port 4321 cannot be both PORT and NATS_PORT"),
        (
            {"host": "no such host", "port": 1, "nats_port": free_port()},
            "HOST no such host is no address of this machine",
        ),
    ],
)
def test_what_cannot_be_listened_on_is_named(settings: dict[str, int | str], said: str) -> None:
    with pytest.raises(CannotStart, match=said):
        _check_ports(StandaloneSettings.model_validate(settings))
