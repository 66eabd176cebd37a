"""Webhooks: whoever is declared hears of every end, signed, whatever was down, and nobody keeps others waiting."""

import asyncio
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from nats.js.errors import NotFoundError
from standardwebhooks.webhooks import Webhook as Signature

from contracts import names
from contracts.codes import Failure
from contracts.process.logs import moment
from contracts.process.settings import NatsSettings
from contracts.records import JobRecord
from gateway.commands.webhooks import make_secret
from gateway.jetstream import JetStream, connect
from gateway.webhooks.attempts import AT_ONCE, Attempt, WebhookClient, load_trust
from gateway.webhooks.declared import Webhook
from gateway.webhooks.sender import Pace, Sender
from tests.support.eventually import eventually
from tests.support.forks import run_fork
from tests.support.gateways import LATER, Gateway, ManualHandler, new_record, running_gateway, succeeded_record
from tests.support.peers.receivers import Receiver, receiving
from tests.support.servers import LIMIT_SECONDS, LOOPBACK, ROOT, NatsServer, free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = make_secret()
HURRIED = Pace(retry_for_seconds=600, delays=(0.1,), ack_wait_seconds=1.0)
PATIENT = replace(HURRIED, ack_wait_seconds=60.0)  # on a busy machine, too, nothing is brought twice


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def jetstream(server: NatsServer) -> AsyncIterator[JetStream]:
    connection = await connect(NatsSettings(nats_url=server.url), "a test")
    yield connection
    await connection.close()


def webhook(name: str, receiver: Receiver, **members: Any) -> Webhook:
    return Webhook(name, receiver.url, (SECRET,), **members)


@asynccontextmanager
async def working(
    jetstream: JetStream, *webhooks: Webhook, pace: Pace = HURRIED, limit_seconds: float = 15
) -> AsyncIterator[Counter[tuple[str, str]]]:
    """Senders that have begun; how often what came of an attempt. Left, they are killed."""
    counted: Counter[tuple[str, str]] = Counter()

    def count(name: str, outcome: str) -> None:
        counted[name, outcome] += 1

    senders = [
        Sender(jetstream, one, WebhookClient(one, limit_seconds), pace, count, lambda: moment(0)) for one in webhooks
    ]
    tasks = [asyncio.create_task(sender.run()) for sender in senders]
    try:
        for one in webhooks:
            await wait_for_consumer(jetstream, one)
        yield counted
    finally:
        for sender, task in zip(senders, tasks, strict=True):
            sender.stop()  # before Python 3.12 a fetch can lose a cancel
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def wait_for_consumer(jetstream: JetStream, one: Webhook) -> None:
    operation = f"CONSUMER.INFO.{names.EVENTS_STREAM}.{one.consumer}"
    await eventually(lambda: jetstream.api.find(operation), f"{one.consumer} is there")


async def end(manual: ManualHandler, jetstream: JetStream, record: JobRecord) -> int:
    """As a handler ends a job: the record, then its event."""
    revision = await manual.write(record)
    await jetstream.events.tell_end(record, revision)
    return revision


def ended(username: str, **changes: Any) -> JobRecord:
    return replace(succeeded_record(new_record(username)), **changes)


async def test_a_receiver_that_is_down_for_the_first_tries_hears_of_every_end_once(
    manual: ManualHandler, jetstream: JetStream
) -> None:
    """It refuses ten times, does not answer, and sends elsewhere; then each end is taken, its content once."""
    refusals = {11: 0, 12: 302, 13: 500}
    async with receiving(lambda number: 503 if number <= 10 else refusals.get(number, 204)) as receiver:
        async with working(jetstream, webhook("down", receiver), limit_seconds=1):
            records = [ended("tess", request={"username": "tess", "correlation": f"order {n}"}) for n in range(5)]
            revisions = [await end(manual, jetstream, record) for record in records]
            await eventually(lambda: len(receiver.taken) >= 5, "five are taken")
        assert len(receiver.brought) > 13
        ids = {f"{one.job_id}:{revision}" for one, revision in zip(records, revisions, strict=True)}
        assert {one.id for one in receiver.taken} == ids
        contents: dict[str, set[bytes]] = {}
        for one in receiver.brought:
            contents.setdefault(one.id, set()).add(one.body)
        assert all(len(bodies) == 1 for bodies in contents.values()), "an id stands for one content"
        for one in receiver.taken:
            told = Signature(SECRET).verify(one.body, one.headers)
            assert (told["type"], told["status"], told["username"]) == ("job.succeeded", "succeeded", "tess")
            assert told["inputs"]["resources"]["ram_mb"] == 2048
            assert told["correlation"].startswith("order ")
            assert one.headers["content-type"] == "application/json"


async def test_a_dead_receiver_delays_no_other(manual: ManualHandler, jetstream: JetStream) -> None:
    """One never answers, though it has more to hear than may be under way; the other hears of all of it at once."""
    async with receiving(lambda _: 0) as dead, receiving() as living:
        webhooks = webhook("dead", dead), webhook("living", living)
        async with working(jetstream, *webhooks):
            for _ in range(2 * AT_ONCE):
                await end(manual, jetstream, ended("uma"))
            await eventually(lambda: len(living.taken) == 2 * AT_ONCE, "all are taken")
            assert len(dead.brought) <= AT_ONCE


async def test_it_is_told_what_it_asked_for(manual: ManualHandler, jetstream: JetStream) -> None:
    """Kinds, callers and statuses; without statuses the two ends alone."""
    async with receiving() as receiver, receiving() as everything:
        one = webhook("chosen", receiver, callers=("portal",), statuses=("failed",), kinds=("bootstrap",))
        other = webhook("every", everything, statuses=("queued", "running", "succeeded", "failed"))
        async with working(jetstream, one, other, pace=PATIENT):
            await end(manual, jetstream, ended("vera", caller="portal"))
            failed = new_record("vera").failed(Failure("forbidden", "may not"), LATER)
            await end(manual, jetstream, failed)
            wanted = replace(failed, job_id="wanted", caller="portal")
            await end(manual, jetstream, wanted)
            running = new_record("vera").claimed("me", LATER)
            await jetstream.events.tell(running, await manual.write(running))
            await eventually(lambda: len(everything.taken) == 4, "every transition is taken")
            await eventually(lambda: receiver.taken, "one is taken")
        assert [json.loads(taken.body)["job_id"] for taken in receiver.taken] == ["wanted"]
        assert {json.loads(taken.body)["type"] for taken in everything.taken} == {
            "job.succeeded",
            "job.failed",
            "job.running",
        }


async def test_gateways_bring_each_once_between_them(manual: ManualHandler, jetstream: JetStream) -> None:
    async with receiving() as receiver:
        shared = webhook("shared", receiver)
        async with (
            working(jetstream, shared, pace=PATIENT) as one,
            working(jetstream, shared, pace=PATIENT) as other,
        ):
            for _ in range(30):
                await end(manual, jetstream, ended("wim"))
            await eventually(lambda: len(receiver.taken) >= 30, "all are taken")
            await eventually(lambda: (one + other)["shared", "delivered"] == 30, "each is counted once")
        assert len({taken.id for taken in receiver.taken}) == len(receiver.taken) == 30


async def test_who_is_killed_before_the_acknowledgement_repeats_it_under_its_id(
    manual: ManualHandler, jetstream: JetStream
) -> None:
    """The receiver had it; the next gateway cannot know."""
    async with receiving(lambda number: 0 if number == 1 else 200) as receiver:
        killed = webhook("killed", receiver)
        async with working(jetstream, killed):
            await end(manual, jetstream, ended("xenia"))
            await eventually(lambda: receiver.brought, "it is brought")
        async with working(jetstream, killed):
            await eventually(lambda: receiver.taken, "it is brought again")
        assert {one.id for one in receiver.brought} == {receiver.taken[0].id}
        assert len({one.body for one in receiver.brought}) == 1


@pytest.mark.parametrize(("status", "retry_for_seconds"), [(500, 0.0), (410, 600.0)])
async def test_a_receiver_that_stays_dead_is_given_up(
    manual: ManualHandler, jetstream: JetStream, gateway: Gateway, status: int, retry_for_seconds: float
) -> None:
    """Counted, and an entry of the audit; one that says 410 asks for no more of it. The rest goes on."""
    async with receiving(lambda _: status) as receiver:
        name = f"gone-{status}"
        pace = replace(HURRIED, retry_for_seconds=retry_for_seconds)
        async with working(jetstream, webhook(name, receiver), pace=pace) as counted:
            record = ended("yara")
            await end(manual, jetstream, record)
            await eventually(lambda: counted[name, "given_up"] == 1, "it is given up")
        entries = (await gateway.api.get("/audit")).json()["entries"]
        (entry,) = [one for one in entries if one.get("webhook") == name and one["username"] == "yara"]
        assert (entry["action"], entry["outcome"], entry["job_id"]) == ("webhook-given-up", "given up", record.job_id)
        info = await manual.jetstream.consumer_info(names.EVENTS_STREAM, f"webhook_{name}")
        assert (info.num_pending, info.num_ack_pending) == (0, 0)


async def attempt(url: str, limit_seconds: float = 15) -> Attempt:
    client = WebhookClient(Webhook("tried", url, (SECRET,)), limit_seconds)
    try:
        return await client.attempt("id", b"{}")
    finally:
        await client.close()


async def test_the_reason_tells_what_to_mend() -> None:
    """Never a word of the receiver's, and never its address."""
    assert (await attempt(f"http://{LOOPBACK}:{free_port()}/")).reason == "ConnectError: ConnectionRefusedError"
    assert (await attempt("http://xn--/")).reason == "IDNAError"
    async with receiving(lambda _: 0) as silent:
        assert (await attempt(silent.url, limit_seconds=0.1)).reason == "TimeoutError"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1", "ImportError"),
        ("HTTPS_PROXY", "nonsense://a", "ValueError"),
        ("SSL_CERT_FILE", "/nowhere", "FileNotFoundError"),
    ],
)
async def test_a_proxy_that_cannot_be_used_is_a_failed_try(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    """Of the webhooks alone: the gateway goes on, and so does the courier."""
    load_trust.cache_clear()
    monkeypatch.setenv(name, value)
    assert await attempt("https://receiver.invalid/") == Attempt(
        False, False, f"proxy or certificates of the environment: {reason}"
    )


async def test_webhooks_share_what_they_trust() -> None:
    """Two hundred would keep the loop for seconds."""
    load_trust.cache_clear()
    for _ in range(3):
        assert not (await attempt(f"https://{LOOPBACK}:1/")).is_taken
    assert load_trust.cache_info().misses == 1


async def test_a_receiver_may_ask_for_time(manual: ManualHandler, jetstream: JetStream) -> None:
    """`Retry-After` is kept to, as Standard Webhooks has it; a date is that of the receiver's clock."""
    async with receiving(lambda _: 429, more="Retry-After: 1\r\n") as busy:
        assert (await attempt(busy.url)).wait_seconds == 1
        async with working(jetstream, webhook("busy", busy)) as counted:
            begun = time.monotonic()
            await end(manual, jetstream, ended("zita"))
            await eventually(lambda: counted["busy", "failed"] == 2, "it is tried again")
            assert time.monotonic() - begun >= 1
    dates = "Date: Fri, 27 Nov 1970 00:00:00 GMT\r\nRetry-After: Fri, 27 Nov 1970 00:01:30 GMT\r\n"
    async with receiving(lambda _: 503, more=dates) as busy:
        assert (await attempt(busy.url)).wait_seconds == 90


async def test_a_job_that_went_on_is_told_as_its_event_has_it(manual: ManualHandler, jetstream: JetStream) -> None:
    """It failed, and a person retried it before the receiver was there; of one that is forgotten the event is left."""
    async with receiving(lambda number: 503 if number <= 2 else 200) as receiver:
        async with working(jetstream, webhook("late", receiver)):
            failed = new_record("zoe").failed(Failure("forbidden", "may not"), LATER)
            await end(manual, jetstream, failed)
            await manual.write(failed.reopened(LATER, from_start=True))
            await jetstream.events.tell_end(replace(failed, job_id="forgotten"), 7)
            await eventually(lambda: len(receiver.taken) == 2, "both are taken")
        for one in receiver.taken:
            told = json.loads(one.body)
            assert (told["status"], told["reason"], told["summary"]) == ("failed", "forbidden", "may not")


def declare(folder: Path, *rows: str) -> Path:
    (folder / "a.secret").write_text(SECRET)
    file = folder / "webhooks.yaml"
    file.write_text("webhooks:\n" + "\n".join(f"- {{{row}, secret_file: a.secret}}" for row in rows))
    return file


async def test_a_gateway_keeps_to_its_file(server: NatsServer, manual: ManualHandler, tmp_path: Path) -> None:
    """What is declared while it runs works within moments; of a broken file the rows count that are whole."""
    async with receiving(lambda number: 500 if number == 1 else 200) as first, receiving() as second:
        file = declare(tmp_path, f"name: first, url: '{first.url}'")
        async with running_gateway(server.url, tmp_path, WEBHOOKS_FILE=str(file)) as gateway:
            await wait_for_webhook(manual, "first")
            job_id = await cancelled(gateway)
            await eventually(lambda: first.taken, "it is taken", limit_seconds=30)
            assert json.loads(first.taken[0].body)["job_id"] == job_id
            metrics = (await gateway.nobody.get("/metrics")).text
            assert 'everest_bootstrap_webhook_tries_total{outcome="failed",webhook="first"} 1.0' in metrics
            assert 'everest_bootstrap_webhook_pending{webhook="first"}' in metrics
            assert first.url not in gateway.read_log()
            declare(tmp_path, f"name: first, url: '{first.url}', enabled: false", f"name: second, url: '{second.url}'")
            await wait_for_webhook(manual, "second")
            await eventually(lambda: '"webhooks.reloaded"' in gateway.read_log(), "it is read")
            await cancelled(gateway)
            await eventually(lambda: second.taken, "it is taken")
            assert len(first.taken) == 1
            declare(tmp_path, f"name: first, url: '{first.url}'", "name: x y")
            await eventually(lambda: '"webhooks.broken"' in gateway.read_log(), "it is told")
            await eventually(lambda: len(first.taken) == 2, "the row that is whole counts, and goes on where it was")
            assert "everest_bootstrap_webhooks_file_broken 1.0" in (await gateway.nobody.get("/metrics")).text
            await cancelled(gateway)
            await eventually(lambda: len(first.taken) == 3, "it is told what comes")
            assert len(second.taken) == 1, "what was removed is told no more"
            assert (await gateway.nobody.get("/readyz")).status_code == 200
        async with running_gateway(server.url, tmp_path, WEBHOOKS_FILE=str(file)) as gateway:
            assert '"webhooks.broken"' in gateway.read_log()
            await cancelled(gateway)
            await eventually(lambda: len(first.taken) == 4, "a gateway that starts meanwhile does as one that runs")


async def cancelled(gateway: Gateway) -> str:
    job_id = await gateway.submit(username="carla")
    assert (await gateway.api.post(f"/jobs/{job_id}/cancel")).status_code == 202
    return job_id


async def wait_for_webhook(manual: ManualHandler, name: str) -> None:
    async def look() -> bool:
        try:
            await manual.jetstream.consumer_info(names.EVENTS_STREAM, f"webhook_{name}")
        except NotFoundError:
            return False
        return True

    await eventually(look, f"{name} is there")


async def new_webhook(name: str, url: str) -> tuple[int, str, str]:
    ended = await run_fork("gateway", "new-webhook", name, url, environment=os.environ)
    return ended.code, ended.stdout, ended.stderr


WRONG: Sequence[tuple[str, str]] = (("a name", "https://example.org"), ("name", "ftp://example.org"), ("name", "here"))


async def test_new_webhook_prints_a_secret_that_signs() -> None:
    code, output, _ = await new_webhook("orders", "https://example.org/hook")
    assert code == 0
    (secret,) = (word for word in output.split() if word.startswith("whsec_"))
    assert Signature(secret).sign("a", datetime.now(UTC), "{}").startswith("v1,")
    assert 'url: "https://example.org/hook"' in output
    for name, url in WRONG:
        code, output, errors = await new_webhook(name, url)
        assert (code, output) == (2, "")
        assert errors.startswith("no webhook was made")


async def test_the_receiver_of_the_readme_verifies(manual: ManualHandler, jetstream: JetStream) -> None:
    """As it stands, but for its port: it takes what is signed, and refuses what is not."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    (text,) = (block for block in blocks if block.startswith("import http.server"))
    port = free_port()
    environment = {**os.environ, "WEBHOOK_SECRET": SECRET}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", text.replace("9000", str(port))), env=environment, stdout=asyncio.subprocess.PIPE
    )
    url = f"http://{LOOPBACK}:{port}"
    try:
        async with httpx.AsyncClient() as stranger:
            refused = await eventually(lambda: stranger.post(url, json={}), "it listens")
            assert refused.status_code == 401
        async with working(jetstream, Webhook("readme", url, (SECRET,))) as counted:
            record = ended("adam")
            revision = await end(manual, jetstream, record)
            assert process.stdout is not None
            said = await asyncio.wait_for(process.stdout.readline(), LIMIT_SECONDS)
            assert said.decode().split() == [f"{record.job_id}:{revision}", record.job_id, "succeeded"]
            await eventually(lambda: counted["readme", "delivered"] == 1, "it is taken")
    finally:
        process.kill()
        await process.wait()
