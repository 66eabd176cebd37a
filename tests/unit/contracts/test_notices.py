"""What holds for every job of a deployment is known by how its text begins."""

import pytest

from contracts.notices import NOTICES, is_notice
from handlers.bootstrap import access
from handlers.bootstrap.quota import find_shortage

TEXTS = (access.UNSET, access.UNENFORCED, find_shortage({"requests.cpu": "10m"}) or "")


@pytest.mark.parametrize("text", TEXTS)
def test_handlers_begin_notices_as_the_gateway_knows_them(text: str) -> None:
    assert is_notice(text)


def test_every_notice_is_one_that_a_handler_gives() -> None:
    assert all(any(text.startswith(notice) for text in TEXTS) for notice in NOTICES)
