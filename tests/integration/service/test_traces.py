"""A caller's request id and trace context can be found wherever the job went."""

from pathlib import Path

from tests.support.handlers import open_house

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
GIVEN = {"traceparent": TRACEPARENT, "X-Request-Id": "find-me"}


async def test_a_trace_reaches_the_handler(tmp_path: Path) -> None:
    """The logs of gateway and handler, and the job; a query's log too."""
    async with open_house(tmp_path) as house, house.handler() as handler:
        job_id = await house.gateway.submit(GIVEN)
        await house.wait_until_finished(job_id)
        answered = await house.gateway.api.get("/accounts/list", headers=GIVEN)
        assert answered.status_code == 200

        job = await house.job(job_id)
        assert (job["traceparent"], job["request_id"]) == (TRACEPARENT, "find-me")
        claims = await handler.wait_for_event("job.claimed", 2)
        for line in (*claims, *(line for line in handler.log_lines() if line.get("step"))):
            assert (line["traceparent"], line["request_id"], line["caller"]) == (TRACEPARENT, "find-me", "admin")
        await house.gateway.stop()  # writes the last lines of its log
        told = [line for line in house.gateway.log_lines() if line.get("request_id") == "find-me"]
        assert [(line["path"], line["traceparent"]) for line in told] == [
            ("/bootstrap/users", TRACEPARENT),
            ("/accounts/list", TRACEPARENT),
        ]


async def test_what_is_no_trace_goes_nowhere(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house, house.handler() as handler:
        job_id = await house.gateway.submit({"traceparent": "00-0-0-00"})
        await house.wait_until_finished(job_id)
        assert "traceparent" not in await house.job(job_id)
        assert not any("traceparent" in line for line in handler.log_lines())
