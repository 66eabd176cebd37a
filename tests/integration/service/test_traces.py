"""A caller's request id and trace context can be found wherever the job went."""

from pathlib import Path

from tests.simulator import simulated_everest
from tests.support.gateways import running_gateway
from tests.support.handlers import LEASE_SECONDS, Service, open_service
from tests.support.peers.collectors import Collector, Seen, collecting
from tests.support.servers import nats_server

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OF_BULK = "00-1bf7651916cd43dd8448eb211c80319d-b7ad6b7169203332-01"
GIVEN = {"traceparent": TRACEPARENT, "X-Request-Id": "find-me"}


async def test_a_trace_reaches_the_handler(tmp_path: Path) -> None:
    """The logs of gateway and handler, and the job; a query's log too."""
    async with open_service(tmp_path) as service, service.handler() as handler:
        job_id = await service.gateway.submit(GIVEN)
        await service.wait_until_finished(job_id)
        answered = await service.gateway.api.get("/accounts/list", headers=GIVEN)
        assert answered.status_code == 200

        job = await service.job(job_id)
        assert (job["traceparent"], job["request_id"]) == (TRACEPARENT, "find-me")
        claims = await handler.wait_for_event("job.claimed", 2)
        for line in (*claims, *(line for line in handler.log_lines() if line.get("step"))):
            assert (line["traceparent"], line["request_id"], line["caller"]) == (TRACEPARENT, "find-me", "admin")
        await service.gateway.stop()  # writes the last lines of its log
        told = [line for line in service.gateway.log_lines() if line.get("request_id") == "find-me"]
        assert [(line["path"], line["traceparent"]) for line in told] == [
            ("/bootstrap/users", TRACEPARENT),
            ("/accounts/list", TRACEPARENT),
        ]


async def test_what_is_no_trace_goes_nowhere(tmp_path: Path) -> None:
    async with open_service(tmp_path) as service, service.handler() as handler:
        job_id = await service.gateway.submit({"traceparent": "00-0-0-00"})
        await service.wait_until_finished(job_id)
        assert "traceparent" not in await service.job(job_id)
        assert not any("traceparent" in line for line in handler.log_lines())


async def test_spans_of_a_job_are_one_trace(tmp_path: Path) -> None:
    """From the caller's context through request, message, claim and steps to the commands; no secret is in any."""
    async with (
        collecting() as collector,
        nats_server(tmp_path, lease_seconds=LEASE_SECONDS) as server,
        simulated_everest(tmp_path / "everest") as everest,
    ):
        async with running_gateway(server.url, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url) as gateway:
            service = Service(server, everest, gateway, tmp_path)
            async with service.handler(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url):
                job_id = await gateway.submit(GIVEN, username="tracy")
                await service.wait_until_finished(job_id)
                bulk = {"requests": [{"username": "trudy"}, {"username": "tom"}]}
                answer = await gateway.api.post("/bootstrap/users/bulk", json=bulk, headers={"traceparent": OF_BULK})
                jobs = [job["job_id"] for job in answer.json()["jobs"]]
                for one in jobs:
                    await service.wait_until_finished(one)
        # Both have ended, and have sent what they had.
        trace_id = TRACEPARENT.split("-")[1]
        tree = collector.draw(trace_id)
        print("\n".join(tree))
        assert tree[:4] == [
            "POST /bootstrap/users",
            "  send everest.v1.jobs.bootstrap",
            "    process everest.v1.jobs.bootstrap",
            "      claim",
        ]
        steps = [line.strip() for line in tree if line.startswith("      step ")]
        assert steps[:2] == ["step create_account", "step add_namespace"]
        assert any(line.startswith("        everestctl") for line in tree)
        spans = {span.name: span for span in collector.seen if span.trace_id == trace_id}
        message = spans["send everest.v1.jobs.bootstrap"]
        assert message.attributes["messaging.message.id"] == job_id
        assert (message.attributes["messaging.system"], message.kind) == ("nats", 4)
        assert spans["process everest.v1.jobs.bootstrap"].kind == 5
        assert spans["POST /bootstrap/users"].attributes["http.response.status_code"] == 202
        assert {span.service for span in spans.values()} == {"everest-bootstrap-gateway", "everest-bootstrap-handler"}
        created = next(span for span in collector.seen if "accounts create" in str(span.attributes))
        assert "-p ********" in str(created.attributes["process.command_line"])
        assert created.attributes["process.exit.code"] == 0
        of_bulk = collector.draw(OF_BULK.split("-")[1])
        assert of_bulk[0] == "POST /bootstrap/users/bulk"
        print("\n".join(of_bulk))
        for one in jobs:
            expect_path(collector, one)


def expect_path(collector: Collector, job_id: str) -> None:
    """From the first step of a job of a batch up to the request of the batch, each below the one before."""
    by_id = {span.span_id: span for span in collector.seen}
    (delivery,) = (span for span in collector.seen if span.kind == 5 and is_about(span, job_id))
    step = next(span for span in collector.seen if span.parent_id == delivery.span_id and span.name.startswith("step "))
    message = by_id[delivery.parent_id]
    assert is_about(message, job_id)
    assert [span.name for span in (step, delivery, message, by_id[message.parent_id])] == [
        "step create_account",
        "process everest.v1.jobs.bootstrap",
        "send everest.v1.jobs.bootstrap",
        "POST /bootstrap/users/bulk",
    ]


def is_about(span: Seen, job_id: str) -> bool:
    return bool(span.attributes.get("messaging.message.id") == job_id)
