"""Property: whatever a tool does with a password, nothing that is shown of its command holds it."""

import base64

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.records import CommandRecord, JobRecord, Status, StepRecord
from handlers.commands.outputs import show
from handlers.commands.running import Command, Completed
from handlers.commands.secret import Secret
from handlers.tools.failures import explain

# As they are generated (account.py), and longer than anything that a text holds by
# chance: hypothesis tries our own words.
passwords = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", min_size=14, max_size=38).map(
    "q7{}".format
)
NOISE = (
    b"\x1b[?25l\x1b[3A\xe2\x88\x99\xe2\x97\x8f\xe2\x88\x99 Provisioning\r\n\n\n\x1b[D",
    b"\x1b[31m",
    b"\r",
    b"\n",
    b"\x00\xff\xfe",
    b"error: ",
    b"password=",
    "❌ ".encode(),
)


@st.composite
def outputs(draw: st.DrawFn, password: str) -> bytes:
    """Words of a tool, with the password among them: in plain, in base64, cut by an escape, many times."""
    raw = password.encode()
    cut = draw(st.integers(1, len(raw) - 1))
    renderings = (raw, base64.b64encode(raw), raw[:cut] + b"\x1b[0m" + raw[cut:], raw + b"\r")
    parts = draw(st.lists(st.sampled_from((*NOISE, *renderings)) | st.binary(max_size=30), max_size=12))
    return b"".join(parts) * draw(st.integers(1, 60))


@pytest.mark.thorough
@given(st.data(), passwords, st.integers(40, 3000))
def test_no_rendering_holds_a_password(data: st.DataObject, password: str, limit: int) -> None:
    """The record as it is stored, the failure, and everything that a log line could be made of."""
    secret = Secret(password)
    command = Command(("everestctl", "accounts", "create", "-u", "alice", "-p", secret), secrets=(secret,))
    stdout, stderr = data.draw(outputs(password)), data.draw(outputs(password))
    moment = "2026-01-01T00:00:00Z"
    completed = Completed(command.shown, 1, stdout, stderr, False, False, moment, moment, 1.0, command.all_secrets)
    failure = explain(completed)
    step = StepRecord(
        "create_account",
        moment,
        command=completed.command,
        error=failure,
        stdout=show(stdout, limit, completed.secrets),
        stderr=show(stderr, limit, completed.secrets),
    )
    step_of_look = StepRecord("look", moment, commands=(CommandRecord(command.shown, 0),))
    record = JobRecord("1", "bootstrap", "x", "", moment, moment, Status.RUNNING, steps=(step, step_of_look))
    texts = [orjson.dumps(record).decode(), repr(command), repr(completed), str(failure), repr(record)]
    for text in texts:
        assert password not in text
        assert base64.b64encode(password.encode()).decode() not in text
