"""What gateway and `standalone` say of where they are to listen: the setting to change."""

import pytest

from gateway.commands.standalone import CannotStart, _check_ports
from gateway.listening import CannotListen, listen
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


@pytest.mark.parametrize("host", ["no such host", "192.0.2.77"])
def test_a_host_that_is_not_here_is_named_and_no_port(host: str) -> None:
    with pytest.raises(CannotListen, match=f"HOST {host} is no address of this machine"):
        listen(host, free_port())


def test_a_port_that_is_taken_is_named_with_its_setting() -> None:
    with (
        listen("127.0.0.1", 0) as taken,
        pytest.raises(CannotListen, match=r"cannot be listened on .*; set NATS_PORT to another"),
    ):
        listen("127.0.0.1", taken.getsockname()[1], setting="NATS_PORT")
