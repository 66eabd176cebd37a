"""What nats/ declares agrees with contracts; what is there is changed only where nothing can be lost."""

import itertools
import re
from typing import Any

import pytest
import yaml

from contracts import names
from contracts.kinds import QUERY_RETENTION_SECONDS
from gateway.commands.declarations import compare_consumer, compare_stream, read_declarations
from gateway.settings import LONGEST_WEBHOOK_RETRY_SECONDS
from gateway.webhooks.sender import DELAYS
from tests.support.servers import ROOT

DECLARED = read_declarations(replicas=1, ack_wait_seconds=30)
STREAMS = {stream["name"]: stream for stream in DECLARED.streams}
BUCKETS = [
    f"KV_{bucket}" for bucket in (names.JOBS_BUCKET, names.ANSWERS_BUCKET, names.TENANTS_BUCKET, names.CANCELS_BUCKET)
]
QUEUES = [names.JOBS_STREAM, names.QUERIES_STREAM]
DAY = 86_400 * 10**9
PERMISSIONS = (ROOT / "nats" / "permissions.conf").read_text()


# What is told to who listens: in which stream it is written, and where it is heard.
TOLD = {names.PROGRESS_STREAM: names.progress_subject(">")}


def test_names_are_those_of_contracts() -> None:
    """nats/ and contracts/ name the same streams, buckets and consumers, and nothing else."""
    assert set(STREAMS) == {
        *QUEUES,
        names.WAITING_STREAM,
        names.DEAD_STREAM,
        names.AUDIT_STREAM,
        names.EVENTS_STREAM,
        *TOLD,
        *BUCKETS,
    }
    consumers = {(consumer.stream, consumer.name) for consumer in DECLARED.consumers}
    assert consumers == set(names.CONSUMERS)
    assert not list((ROOT / "nats").rglob("*.py"))


def test_subjects_are_those_of_contracts() -> None:
    """Exactly the kinds of jobs there are, with ids of one token and of two: a mistyped kind finds no stream."""
    jobs = [names.job_subject(kind, token) for kind in names.JOB_KINDS for token in ("*", "*.*")]
    assert STREAMS[names.JOBS_STREAM]["subjects"] == jobs
    for consumer in DECLARED.consumers:
        wanted = [
            names.job_subject(kind, token) for kind in names.consumed_kinds(consumer.name) for token in ("*", "*.*")
        ]
        assert consumer.config["filter_subjects"] == (wanted if consumer.stream == names.JOBS_STREAM else [])
    assert (
        names.job_subject(names.QUERY_KINDS[0], "*").replace(names.QUERY_KINDS[0], "*")
        in (STREAMS[names.QUERIES_STREAM]["subjects"])
    )
    places = [names.waiting_subject("*", token) for token in ("*", "*.*")]
    assert STREAMS[names.WAITING_STREAM]["subjects"] == places
    assert STREAMS[names.DEAD_STREAM]["subjects"] == [names.dead_subject(">", "")[:-1]]
    for bucket in BUCKETS:
        assert STREAMS[bucket]["subjects"] == [f"$KV.{bucket.removeprefix('KV_')}.>"]


def test_permissions_name_only_what_exists() -> None:
    """A renamed stream, bucket or consumer must be renamed in the permissions too."""
    named = set(re.findall(r"\.(KV_everest_\w+|EVEREST_[A-Z]+)", PERMISSIONS))
    assert named == set(STREAMS) - set(TOLD)  # those are written and told, never asked
    for stream, subject in TOLD.items():
        written = STREAMS[stream]["subjects"][0][:-1]
        assert set(re.findall(rf"{re.escape(written)}[*.]+", PERMISSIONS)) == {
            f"{written}{ids}" for ids in ("*", "*.*")
        }
        assert STREAMS[stream]["republish"]["dest"] == subject
    assert STREAMS[f"KV_{names.JOBS_BUCKET}"]["republish"]["dest"] == names.RECORD_SUBJECTS
    assert STREAMS[f"KV_{names.ANSWERS_BUCKET}"]["republish"]["dest"] == names.ANSWER_SUBJECTS
    assert set(re.findall(r"\$KV\.(\w+)\.>", PERMISSIONS)) == {
        names.JOBS_BUCKET,
        names.ANSWERS_BUCKET,
        names.TENANTS_BUCKET,
        names.CANCELS_BUCKET,
    }
    for stream, consumer in re.findall(r"(?:NEXT|CONSUMER\.INFO|ACK)\.(EVEREST_\w+)\.(\w+)", PERMISSIONS):
        assert (stream, consumer) in {(part.stream, part.name) for part in DECLARED.consumers}


@pytest.mark.parametrize("name", QUEUES)
def test_queues_refuse_rather_than_drop(name: str) -> None:
    """A queued job cannot be pushed out, expire, be purged or be queued twice."""
    stream = STREAMS[name]
    assert (stream["retention"], stream["storage"], stream["discard"]) == ("workqueue", "file", "new")
    assert (stream["max_msgs_per_subject"], stream["discard_new_per_subject"]) == (1, True)
    assert (stream["deny_delete"], stream["deny_purge"], stream["max_age"]) == (True, True, 0)
    assert stream["allow_msg_ttl"] is (name == names.QUERIES_STREAM), "a publisher's time to live would drop a job"
    assert stream["max_bytes"] > 0


@pytest.mark.parametrize("name", BUCKETS)
def test_buckets_are_read_from_the_leader(name: str) -> None:
    """Direct reads may be stale: lists alone ask for them, of records; a purge or roll-up would make a job unknown."""
    stream = STREAMS[name]
    assert (stream["allow_direct"], stream["allow_rollup_hdrs"], stream["deny_delete"], stream["deny_purge"]) == (
        name == f"KV_{names.JOBS_BUCKET}",
        False,
        True,
        True,
    )
    assert (stream["discard"], stream["max_msgs_per_subject"], stream["storage"]) == ("new", 1, "file")
    kept = {f"KV_{names.CANCELS_BUCKET}": 30 * DAY, f"KV_{names.ANSWERS_BUCKET}": int(QUERY_RETENTION_SECONDS) * 10**9}
    assert stream["max_age"] == kept.get(name, 0)


def test_what_is_kept_for_webhooks_outlives_their_last_try() -> None:
    """An event that is gone before it is tried for the last time would be given up without a word."""
    kept_seconds = STREAMS[names.EVENTS_STREAM]["max_age"] / 1e9
    assert kept_seconds - LONGEST_WEBHOOK_RETRY_SECONDS > 2 * DELAYS[-1]


def test_events_are_kept_under_the_subject_that_they_are_heard_on() -> None:
    """Seven days; whoever was away reads what whoever listened has heard."""
    stream = STREAMS[names.EVENTS_STREAM]
    assert stream["subjects"] == [names.told_subject(token) for token in ("*", "*.*")]
    assert stream["subject_transform"] == {"src": names.told_subject(">"), "dest": names.event_subject(">")}
    assert stream["republish"] == {"src": names.event_subject(">"), "dest": names.event_subject(">")}
    assert (stream["storage"], stream["discard"], stream["max_age"]) == ("file", "old", 7 * DAY)
    assert (stream["deny_delete"], stream["deny_purge"], stream["allow_msg_ttl"]) == (True, True, False)
    assert stream["max_bytes"] > 0


def test_the_audit_is_written_by_the_server_and_forgets_by_age_alone() -> None:
    """Nobody can publish over a job's entry, and the time to live of an ended record does not end its entry."""
    stream = read_declarations(replicas=1, ack_wait_seconds=30, audit_retention_seconds=400 * 86_400).streams[-1]
    assert stream["name"] == names.AUDIT_STREAM
    copied = {"src": f"$KV.{names.JOBS_BUCKET}.>", "dest": names.AUDITED_SUBJECTS}
    assert stream["sources"] == [{"name": f"KV_{names.JOBS_BUCKET}", "subject_transforms": [copied]}]
    assert stream["subjects"] == [names.act_subject("*", "*")]
    assert not _overlap(stream["subjects"][0], names.AUDITED_SUBJECTS)
    assert (stream["max_age"], stream["allow_msg_ttl"], stream["max_msgs_per_subject"]) == (400 * DAY, False, 1)
    assert (stream["deny_delete"], stream["deny_purge"], stream["allow_rollup_hdrs"]) == (True, True, False)


def test_consumers_wait_half_a_lease() -> None:
    """The handlers read their lease from the consumer."""
    for consumer in DECLARED.consumers:
        assert consumer.config["ack_wait"] == 30 * 10**9
        assert (consumer.config["max_deliver"], consumer.config["max_ack_pending"]) == (-1, 100_000)
        assert not consumer.config["backoff"], "it would replace ack_wait"


@pytest.mark.parametrize(
    ("drift", "changed", "refused"),
    [
        ({}, (), ()),
        ({"max_bytes": 1}, ("max_bytes",), ()),
        ({"max_bytes": -1}, (), ()),  # an operator who gave more keeps it
        ({"max_age": DAY}, ("max_age",), ()),
        ({"num_replicas": 3}, (), ("num_replicas",)),
        ({"deny_purge": False, "allow_direct": True}, ("allow_direct", "deny_purge"), ()),
        ({"subjects": ["everest.v1.jobs.bootstrap.*"]}, ("subjects",), ()),
        ({"subjects": ["everest.v1.jobs.>"]}, (), ("subjects",)),
        ({"retention": "limits"}, (), ("retention",)),
        ({"storage": "memory"}, (), ("storage",)),
        ({"discard": "old"}, (), ("discard",)),
        ({"allow_msg_ttl": True}, (), ("allow_msg_ttl",)),
        ({"max_msgs_per_subject": 2}, (), ("max_msgs_per_subject",)),
    ],
)
def test_a_stream_changes_only_where_nothing_is_lost(
    drift: dict[str, Any], changed: tuple[str, ...], refused: tuple[str, ...]
) -> None:
    """Limits grow, guards are added; what could lose jobs or copies of them is for a person."""
    wanted = STREAMS[names.JOBS_STREAM]
    found = compare_stream({**wanted, **drift}, wanted)
    assert found.changed == changed
    assert tuple(reason.split()[0] for reason in found.refused) == refused
    for key in drift:
        assert found.config[key] == (wanted[key] if key in changed else drift[key])


def test_what_the_server_leaves_out_is_no_drift() -> None:
    """Its answers hold no false, zero or empty members."""
    wanted = STREAMS[names.JOBS_STREAM]
    assert compare_stream({key: value for key, value in wanted.items() if value}, wanted).changed == ()


@pytest.mark.parametrize(
    ("drift", "changed", "refused"),
    [
        ({"ack_wait": 1, "filter_subject": "x", "backoff": [1, 2]}, ("ack_wait", "backoff", "filter_subject"), 0),
        ({"deliver_policy": "new"}, (), 1),
        ({"ack_policy": "none"}, (), 1),
    ],
)
def test_a_consumer_changes_where_the_server_lets_it(
    drift: dict[str, Any], changed: tuple[str, ...], refused: int
) -> None:
    """What the server never changes is for a person: the consumer has to be made anew."""
    wanted = DECLARED.consumers[0].config
    found = compare_consumer({**wanted, **drift}, wanted)
    assert (found.changed, len(found.refused)) == (changed, refused)


@pytest.mark.parametrize("role", ["gateway", "handler"])
def test_roles_come_in_by_their_own_door(role: str) -> None:
    """What is imported keeps its name, but for the door and for the ways of the API and of events."""
    part = PERMISSIONS.partition(f"{role}_imports: [")[2].partition("\n]")[0]
    ways = re.findall(r'service: \{ account: EVEREST, subject: "([^"]+)" \}, to: "([^"]+)"', part)
    assert len(ways) == part.count("service: ") > 10
    for inside, outside in ways:
        name = outside.replace("everest.v1.api.", "$JS.API.")
        name = name.replace("everest.v1.events.", "everest.v1.told.")  # as version 0.1.0 has it
        for stream, subject in TOLD.items():
            name = name.replace(subject[:-1], STREAMS[stream]["subjects"][0][:-1])
        door = "reading" if ".DIRECT.GET." in name else role  # several answers
        assert inside == f"{door}.{name}"


def test_compose_shows_each_service_its_own_secret_only() -> None:
    """The server makes them in three volumes; a service reaches the one of its role."""
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    assert services["nats"]["entrypoint"] == ["sh", "/etc/everest/start.sh"]
    folder = services["nats"]["environment"]["CREDENTIALS"]
    for name, role in (("provision", "provisioner"), ("api", "gateway"), ("handler", "handler")):
        variables = services[name]["environment"]
        if isinstance(variables, list):
            variables = dict(line.partition("=")[::2] for line in variables)
        assert (variables["NATS_USER"], variables["NATS_PASSWORD_FILE"]) == (role, "/credentials/password")
        assert f"{role}:{folder}/{role}" in services["nats"]["volumes"]
        assert [volume for volume in services[name]["volumes"] if "/credentials" in volume] == [
            f"{role}:/credentials:ro"
        ]


def _overlap(one: str, other: str) -> bool:
    pairs = zip(one.split("."), other.split("."), strict=False)
    for mine, its in pairs:
        if ">" in (mine, its):
            return True
        if mine != its and "*" not in (mine, its):
            return False
    return one.count(".") == other.count(".")


@pytest.mark.parametrize("kind", ["service", "stream"])
def test_no_import_fits_two_exports(kind: str) -> None:
    """The server takes one of them at random for who may import it, and does not start when that is the wrong one."""
    exports = re.findall(rf'\{{ {kind}: "([^"]+)"', PERMISSIONS.partition("everest_exports: [")[2].partition("\n]")[0])
    assert exports
    assert not [pair for pair in itertools.combinations(exports, 2) if _overlap(*pair)]
