"""The configuration that the chart gives NATS: servers start with it, and KEDA finds in them what it scales by."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from contracts.link.errors import Unanswered
from contracts.process.settings import NatsSettings
from contracts.protocol import ACK_WAIT_PART
from handlers.jetstream import connect
from tests.support.eventually import eventually
from tests.support.gateways import running_gateway
from tests.support.manifests import find, find_workload
from tests.support.servers import LOOPBACK, NatsServer, free_port

PASSWORDS = {role: f"p0{role}" for role in ("gateway", "handler", "provisioner")}
LEASE_SECONDS = 60.0


@asynccontextmanager
async def pods(variant: str, path: Path) -> AsyncIterator[list[NatsServer]]:
    """As many servers as the StatefulSet has pods, each with the files and the variables of its pod."""
    workload = find_workload(variant, "nats")
    conf = path / "etc"
    conf.mkdir()
    for name in ("nats-configuration", "nats-publishers"):
        for file, text in find(workload.objects, "ConfigMap", name)["data"].items():
            (conf / file).write_text(text)
    count = find(workload.objects, "StatefulSet", "nats")["spec"]["replicas"]
    ports = [free_port() for _ in range(count)]
    routes = ", ".join(f"nats://{LOOPBACK}:{port}" for port in ports)
    async with AsyncExitStack() as stack:
        servers = []
        for number, port in enumerate(ports):
            client_port = free_port()
            here = {
                "NATS_SERVER_NAME": f"nats-{number}",
                "NATS_CLIENT_ADVERTISE": f"localhost:{client_port}",
                "NATS_CLUSTER_LISTEN": f"{LOOPBACK}:{port}",
                "NATS_ROUTES": f"[{routes}]",
                **{f"NATS_{role.upper()}_PASSWORD": password for role, password in PASSWORDS.items()},
            }
            if "NATS_TLS_CA_FILE" in workload.variables:
                here |= {f"NATS_TLS_{part}_FILE": str(path / f"{part.lower()}.pem") for part in ("CERT", "KEY", "CA")}
            assert set(here) <= set(workload.variables)
            servers.append(NatsServer(path / f"nats-{number}", client_port, conf / "nats.conf", here))
            stack.push_async_callback(servers[-1].stop)
        await asyncio.gather(*(server.start() for server in servers))
        await asyncio.gather(*(server.wait_until_healthy() for server in servers))
        yield servers


async def make_certificates(folder: Path) -> None:
    """A CA, and one certificate that is good for a server and for a client, as nodes need it."""
    new = ("req", "-x509", "-days", "1", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    signed = ("-CA", "ca.pem", "-CAkey", "ca-key.pem", "-keyout", "key.pem", "-out", "cert.pem")
    said = (
        "basicConstraints=CA:FALSE",
        "subjectAltName=DNS:localhost,IP:127.0.0.1",
        "extendedKeyUsage=serverAuth,clientAuth",
    )
    extensions = [word for text in said for word in ("-addext", text)]
    for command in (
        (*new, "-subj", "/CN=a CA", "-keyout", "ca-key.pem", "-out", "ca.pem"),
        (*new, "-subj", "/CN=nats", *extensions, *signed),
    ):
        process = await asyncio.create_subprocess_exec(
            "openssl", *command, cwd=folder, stderr=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
        )
        _, stderr = await process.communicate()
        assert process.returncode == 0, stderr.decode()


def read_lag(servers: list[NatsServer], trigger: dict[str, str]) -> int:
    """As KEDA's scaler does: the names of the nodes from /varz, then the consumer's leader, whose numbers count."""
    known = {server.read_monitor("varz")["server_name"]: server for server in servers}
    if len(servers) > 1:
        told = set(servers[0].read_monitor("varz")["connect_urls"])
        assert told == {f"localhost:{server.port}" for server in servers}, "KEDA asks the nodes by these names"
    query = urlencode({"acc": trigger["account"], "consumers": "true", "config": "true"})
    for name, server in known.items():
        for consumer in find_consumers(server.read_monitor(f"jsz?{query}"), trigger):
            if consumer.get("cluster", {}).get("leader", name) == name:
                return int(consumer["num_pending"]) + int(consumer["num_ack_pending"])
    raise AssertionError("no node leads the consumer")


def find_consumers(answer: dict[str, Any], trigger: dict[str, str]) -> list[dict[str, Any]]:
    return [
        consumer
        for account in answer["account_details"]
        if account["name"] == trigger["account"]
        for stream in account.get("stream_detail", [])
        if stream["name"] == trigger["stream"]
        for consumer in stream.get("consumer_detail", [])
        if consumer["name"] == trigger["consumer"]
    ]


async def wait_for_lag(servers: list[NatsServer], trigger: dict[str, str], lag: int) -> None:
    async def is_so() -> bool:
        return await asyncio.to_thread(read_lag, servers, trigger) == lag

    await eventually(is_so, f"the lag is {lag}")


@pytest.mark.slow
async def test_with_tls_nothing_is_said_in_clear(tmp_path: Path) -> None:
    """With tls.enabled: the nodes find each other, clients shake hands first, and one without the CA gets nowhere."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on PATH: it makes the certificates")
    await make_certificates(tmp_path)
    async with pods("secured", tmp_path) as servers:
        trusted = {"NATS_URL": f"tls://localhost:{servers[0].port}", "NATS_TLS_CA": str(tmp_path / "ca.pem")}
        credentials: dict[str, Any] = {"NATS_USER": "provisioner", "NATS_PASSWORD": PASSWORDS["provisioner"]}
        await servers[0].provision(LEASE_SECONDS, len(servers), **credentials, **trusted)
        for refused in ({}, {"NATS_URL": trusted["NATS_URL"]}):
            with pytest.raises(Unanswered):
                await servers[0].provision(LEASE_SECONDS, len(servers), **credentials, **refused)


@pytest.mark.parametrize("variant", ["default", "small"])
async def test_what_waits_and_what_runs_is_the_lag(variant: str, tmp_path: Path) -> None:
    """From the pods' configuration to the number that KEDA scales by, with the credentials of each role."""
    (scaler,) = (part for part in find_workload("default", "handler").objects if part["kind"] == "ScaledJob")
    triggers = {trigger["metadata"]["consumer"]: trigger["metadata"] for trigger in scaler["spec"]["triggers"]}
    jobs, *others = (triggers.pop("bootstrap"), *triggers.values())
    async with pods(variant, tmp_path) as servers:
        credentials: dict[str, Any] = {"NATS_USER": "provisioner", "NATS_PASSWORD": PASSWORDS["provisioner"]}
        await servers[0].provision(LEASE_SECONDS, len(servers), **credentials)
        credentials = {"NATS_USER": "gateway", "NATS_PASSWORD": PASSWORDS["gateway"]}
        async with running_gateway(servers[0].url, tmp_path, **credentials) as gateway:
            await wait_for_lag(servers, jobs, 0)
            for number in range(3):
                await gateway.submit(username=f"user{number}")
            await wait_for_lag(servers, jobs, 3)
            settings = NatsSettings(nats_url=servers[0].url, nats_user="handler", nats_password=PASSWORDS["handler"])
            handler = await connect(settings, "a test", lambda: None)
            source = handler.source(jobs["stream"], jobs["consumer"])
            assert await source.bind() == LEASE_SECONDS * ACK_WAIT_PART
            delivery = await source.fetch()
            assert delivery is not None
            await wait_for_lag(servers, jobs, 3)
            await delivery.acknowledge()
            await wait_for_lag(servers, jobs, 2)
            await handler.close()
        for trigger in others:
            await wait_for_lag(servers, trigger, 0)
