"""What is told of a job's end: the event that is kept, what a webhook brings, the entries of the audit."""

from pathlib import Path

import orjson
from standardwebhooks.webhooks import Webhook as Signature

from contracts.records import Status
from contracts.reporting.events import HEADER_ID
from contracts.reporting.webhooks import webhook_id
from tests.support.eventually import eventually
from tests.support.gateways import Gateway, manual_handler
from tests.support.peers.receivers import Receiver
from tests.support.servers import NatsServer

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


def declare_webhook(folder: Path, name: str, receiver: Receiver) -> Path:
    """The file that declares it."""
    (folder / f"{name}.secret").write_text(SECRET)
    file = folder / f"{name}.yaml"
    file.write_text(f"webhooks: [{{name: {name}, url: '{receiver.url}', secret_file: {name}.secret}}]")
    return file


async def find_end(server: NatsServer, job_id: str, status: Status = Status.SUCCEEDED) -> str:
    """The id of the event of the job's end, once it is kept; it tells of the record as that is."""
    async with manual_handler(server) as manual:
        found: list[str] = []

        async def look() -> bool:
            message = await manual.find_event(job_id)
            if message is None:
                return False
            event = orjson.loads(message.data)
            found[:] = [message.headers[HEADER_ID]]
            assert found == [f"{job_id}:{event['revision']}"]
            return bool(event["status"] == status)

        await eventually(look, lambda: f"the end of {job_id} is told: {found}")
        assert (await manual.read(job_id)).status is status
        return found[0]


async def expect_taken(receiver: Receiver, end_id: str) -> None:
    """It was brought until it was taken, each time as the same and with a signature that is good."""
    name = webhook_id(end_id)
    await eventually(lambda: any(one.id == name for one in receiver.taken), f"{end_id} is taken")
    assert len({one.body for one in receiver.brought if one.id == name}) == 1, "an id stands for one content"
    for one in receiver.brought:
        Signature(SECRET).verify(one.body, one.headers)


async def find_entries(gateway: Gateway, username: str) -> list[tuple[str, str]]:
    """Action and outcome of each entry about the tenant, once none of them is under way."""
    found: list[tuple[str, str]] = []

    async def look() -> bool:
        answer = await gateway.api.get("/audit", params={"username": username})
        found[:] = [(entry["action"], entry["outcome"]) for entry in answer.json()["entries"]]
        return bool(found) and not {"queued", "running"} & {outcome for _, outcome in found}

    await eventually(look, lambda: f"what {username} had is over: {found}")
    return found
