"""The rules of a request, and that its JSON Schema says the same."""

import contextlib
from typing import Any

import jsonschema
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.kinds import KINDS, read_request
from contracts.requests import (
    BootstrapRequest,
    InvalidRequest,
    NotJson,
    Operators,
    Resources,
    encode_request,
    request_hash,
)

SCHEMA = BootstrapRequest.model_json_schema()


def read(**members: Any) -> BootstrapRequest:
    request = read_request("bootstrap", orjson.dumps(members))
    assert isinstance(request, BootstrapRequest)
    return request


def fields_refused(**members: Any) -> set[str]:
    with pytest.raises(InvalidRequest) as caught:
        read(**members)
    return {problem.field for problem in caught.value.problems}


def test_defaults_are_filled_in() -> None:
    """Everything but the username is optional; absent operators stay absent, so that handlers may default them."""
    assert read(username="alice") == BootstrapRequest(
        username="alice",
        namespace="alice",
        take_ownership=False,
        resources=Resources(cpu_cores=2, ram_mb=2048, disk_gb=20),
    )


def test_numbers_given_as_strings_are_the_same_request() -> None:
    """Coercion happens before the hash: both spellings name one job."""
    texts = read(username="alice", resources={"cpu_cores": "8", "ram_mb": "4096", "disk_gb": "100"})
    numbers = read(username="alice", resources={"cpu_cores": 8, "ram_mb": 4096.0, "disk_gb": 100})
    assert texts == numbers
    assert request_hash("bootstrap", texts) == request_hash("bootstrap", numbers)
    assert isinstance(texts.resources.ram_mb, int)


def test_default_operators_are_used_only_where_none_are_named() -> None:
    """`EVEREST_DEFAULT_OPERATORS` never overrules a caller."""
    default = frozenset({"postgresql"})
    assert read(username="alice").with_operators(default).operators == Operators(postgresql=True)
    assert read(username="alice", operators={}).with_operators(default).operators == Operators()


def test_default_resources_are_used_member_by_member_where_none_are_given() -> None:
    """`EVEREST_DEFAULT_RESOURCES` never overrules a caller, and what the caller gave stays what is hashed."""
    default = Resources(cpu_cores=4, ram_mb=8192)
    request = read(username="alice", resources={"cpu_cores": 2})
    assert request.with_resources(default).resources.model_dump() == {"cpu_cores": 2, "ram_mb": 8192, "disk_gb": 20}
    assert read(username="alice").with_resources(default).resources == default
    assert request.given == {"username": "alice", "resources": {"cpu_cores": 2}}


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({}, "username"),
        ({"username": "al"}, "username"),
        ({"username": "admin"}, "username"),
        ({"username": "al-ice"}, "username"),
        ({"username": "alice\n"}, "username"),
        ({"username": "é" * 5}, "username"),
        ({"username": 7}, "username"),
        ({"username": None}, "username"),
        ({"username": "Alice"}, "namespace"),
        ({"username": "a_b"}, "namespace"),
        ({"username": "a" * 54}, "namespace"),
        ({"username": "default"}, "namespace"),
        ({"username": "alice", "namespace": "kube-system"}, "namespace"),
        ({"username": "alice", "namespace": "everest-olm"}, "namespace"),
        ({"username": "alice", "namespace": "a" * 54}, "namespace"),
        ({"username": "alice", "namespace": "-a"}, "namespace"),
        ({"username": "alice", "nonsense": None}, "nonsense"),
        ({"username": "alice", "take_ownership": "true"}, "take_ownership"),
        ({"username": "alice", "operators": []}, "operators"),
        ({"username": "alice", "operators": {"mysql": True}}, "operators.mysql"),
        ({"username": "alice", "operators": {"mongodb": 1}}, "operators.mongodb"),
        ({"username": "alice", "resources": {"cpu_cores": 0}}, "resources.cpu_cores"),
        ({"username": "alice", "resources": {"cpu_cores": 0.0999}}, "resources.cpu_cores"),
        ({"username": "alice", "resources": {"cpu_cores": 0.12345}}, "resources.cpu_cores"),
        ({"username": "alice", "resources": {"cpu_cores": True}}, "resources.cpu_cores"),
        ({"username": "alice", "resources": {"cpu_cores": "NaN"}}, "resources.cpu_cores"),
        ({"username": "alice", "resources": {"cpu_cores": "1e309"}}, "resources.cpu_cores"),
        ({"username": "alice", "resources": {"ram_mb": -1}}, "resources.ram_mb"),
        ({"username": "alice", "resources": {"ram_mb": 100.5}}, "resources.ram_mb"),
        ({"username": "alice", "resources": {"disk_gb": 1e30}}, "resources.disk_gb"),
        ({"username": "alice", "resources": {"disk_gb": " 5"}}, "resources.disk_gb"),
        ({"username": "alice", "unknown": 1}, "unknown"),
    ],
)
def test_each_broken_rule_names_its_field(members: dict[str, Any], field: str) -> None:
    """A problem names the field and what is accepted."""
    assert fields_refused(**members) == {field}


@pytest.mark.parametrize("kind", KINDS)
def test_each_rule_is_said_in_words(kind: str) -> None:
    """Whatever is broken, the message says what is accepted."""
    with pytest.raises(InvalidRequest) as caught:
        read_request(kind, orjson.dumps(dict.fromkeys(KINDS[kind].request.model_fields, "!") | {"nonsense": 1}))
    assert "is not valid" not in [problem.message for problem in caught.value.problems]


def test_every_problem_is_found_at_once_and_no_value_is_repeated() -> None:
    """The caller mends all in one go; a value could be a secret."""
    members = {"username": "s3cret!", "namespace": "S3CRET", "s3cret value": 1, "resources": {"ram_mb": "s3cret"}}
    with pytest.raises(InvalidRequest) as caught:
        read(**members)
    assert len(caught.value.problems) == 4
    assert "s3cret" not in str(caught.value).lower()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 10_000,
        b"[" * 300 + b"]" * 300,  # which Python reads and orjson does not
        b'{"username": NaN}',
        b'{"username":"alice","subjects":["\\ud800"]}',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
    ],
)
def test_what_is_no_json_is_said_so(body: bytes) -> None:
    """Any bytes end in one of two errors."""
    with pytest.raises(NotJson):
        read_request("bootstrap", body)


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"1", b"null"])
def test_json_of_another_shape_is_invalid(body: bytes) -> None:
    """A request is an object."""
    with pytest.raises(InvalidRequest):
        read_request("bootstrap", body)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """No input raises anything else."""
    with contextlib.suppress(NotJson, InvalidRequest):
        read_request("bootstrap", body)


json_values = st.none() | st.booleans() | st.integers(-5, 10**6) | st.floats(0, 10) | st.text(max_size=8)
members = st.fixed_dictionaries(
    {},
    optional={
        "username": st.from_regex(r"[A-Za-z0-9_]{2,6}", fullmatch=True) | json_values,
        "namespace": st.from_regex(r"[a-z][a-z0-9-]{0,5}", fullmatch=True) | json_values,
        "operators": st.dictionaries(st.sampled_from(["mongodb", "postgresql", "x"]), json_values, max_size=2)
        | json_values,
        "take_ownership": json_values,
        "account": json_values,
        "subjects": st.lists(st.sampled_from(["dba", "DB Admins", "role:x"]) | json_values, max_size=3) | json_values,
        "role": st.sampled_from(["owner", "Owner"]) | json_values,
        "correlation": st.text(max_size=4) | json_values,
        "resources": st.dictionaries(
            st.sampled_from(["cpu_cores", "ram_mb", "disk_gb"]),
            json_values | st.sampled_from(["8", "0.5", "64"]),
            max_size=3,
        )
        | json_values,
    },
)


@given(members)
def test_what_is_read_is_valid_by_the_published_schema(value: dict[str, Any]) -> None:
    """The JSON Schema never refuses what we publish, and that is the same request, with the same members given."""
    try:
        request = read(**value)
    except InvalidRequest:
        return
    published = encode_request(request)
    jsonschema.validate(orjson.loads(published), SCHEMA)
    again = read_request("bootstrap", published)
    assert (again, again.given) == (request, request.given)


@pytest.mark.parametrize("name", ["null", "Null", "true", "Yes", "off", "123", "1_000", "1e5", "0x1f", "0o17", "NaN"])
def test_names_that_yaml_could_take_for_something_else_are_names(name: str) -> None:
    """Everest quotes them where it keeps its accounts."""
    assert read(username=name, namespace="some").username == name


def test_null_is_absence() -> None:
    """For optional members, at every depth; a required one must be there."""
    nulls = read(
        username="alice",
        namespace=None,
        operators={"mongodb": None},
        take_ownership=None,
        resources={"ram_mb": None},
    )
    assert nulls.given == {"username": "alice", "operators": {}, "resources": {}}
    assert fields_refused(username=None) == {"username"}
    assert read(username="alice", operators=None).given == {"username": "alice"}


def test_a_message_carries_only_what_the_caller_gave() -> None:
    """A default that changes, or a new member, changes no message that waits."""
    assert encode_request(read(username="alice")) == b'{"username":"alice"}'
    given = {"username": "alice", "namespace": "alice", "take_ownership": False, "resources": {"ram_mb": 2048}}
    assert orjson.loads(encode_request(read(**given))) == given


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({}, "is required"),
        ({"username": 7}, "must be a string"),
        ({"username": "al"}, "must be 3 to 63 letters, digits or underscores"),
        ({"username": "admin"}, "admin is Everest's own account"),
        (
            {"username": "default"},
            "give one: it defaults to the username, and that name is reserved for Everest",
        ),
        ({"username": "a_b"}, "give one: it defaults to the username, and a namespace must be at most 53 lowercase"),
        ({"username": "a_b", "namespace": None}, "give one: it defaults to the username, and a namespace must be"),
        ({"username": "alice", "namespace": "kube-x"}, "is reserved for Everest or Kubernetes"),
        ({"username": "alice", "namespace": "A"}, "must be at most 53 lowercase letters, digits or '-', start with"),
        ({"username": "alice", "take_ownership": 1}, "must be true or false"),
        ({"username": "alice", "operators": [1]}, "must be a JSON object"),
        ({"username": "alice", "resources": 1}, "must be a JSON object"),
        ({"username": "alice", "resources": {"ram_mb": "x"}}, "must be a number, or a string of digits"),
        ({"username": "alice", "resources": {"ram_mb": 64.5}}, "must be a whole number"),
        ({"username": "alice", "resources": {"ram_mb": 1}}, "must be between 64 and 1000000000"),
        ({"username": "alice", "resources": {"cpu_cores": 0.1234}}, "must have at most three decimals"),
        ({"username": "alice", "resources": {"x": 1}}, "is no field of the request (known: cpu_cores, disk_gb, ram_mb"),
        ({"username": "alice", "x": 1}, "is no field of the request (known: "),
    ],
)
def test_the_wording_is_stable(members: dict[str, Any], message: str) -> None:
    """Callers know it, and it is the same over REST and NATS."""
    with pytest.raises(InvalidRequest) as caught:
        read(**members)
    (problem,) = caught.value.problems
    assert problem.message.startswith(message)


def test_a_member_that_stands_twice_is_refused() -> None:
    """Which of the two was meant? The member is named, its value is not."""
    with pytest.raises(NotJson, match="username") as caught:
        read_request("bootstrap", b'{"username":"s3cret","username":"alice"}')
    assert "s3cret" not in str(caught.value)


class TomorrowsResources(Resources):
    storage_class: str = "standard"


class TomorrowsRequest(BootstrapRequest):
    """A later version of the request: more members, and other defaults."""

    take_ownership: bool = True
    resources: Resources = TomorrowsResources()
    role: str = "developer"


@pytest.mark.parametrize("members", [{}, {"resources": {}}, {"operators": {"mongodb": True}, "take_ownership": False}])
def test_a_later_version_changes_no_hash(members: dict[str, Any]) -> None:
    """Unfinished jobs and idempotent repeats survive an upgrade, whatever the new defaults are."""
    today = read(username="alice", **members)
    for role in ({}, {"role": "developer"}):
        tomorrow = TomorrowsRequest.model_validate({"username": "alice", **members, **role})
        assert request_hash("bootstrap", tomorrow) == request_hash("bootstrap", today)


def test_a_later_member_counts_where_it_differs() -> None:
    """Then the hash says that 0.1.0 could not have made it."""
    today = request_hash("bootstrap", read(username="alice"))
    one, other = (
        request_hash("bootstrap", TomorrowsRequest.model_validate({"username": "alice", "role": role}))
        for role in ("owner", "viewer")
    )
    assert len({today, one, other}) == 3
    assert one.startswith("2:")
    nested = TomorrowsRequest(username="alice", resources=TomorrowsResources(storage_class="fast"))
    assert request_hash("bootstrap", nested).startswith("2:")


def test_who_holds_the_role_is_resolved() -> None:
    """The account holds it, with whoever is named beside; each once."""
    assert read(username="alice").subjects == ("alice",)
    assert read(username="alice", subjects=[]).subjects == ("alice",)
    groups = ["DB Admins", "/Keycloak/dba", "CN=dba,OU=x", "alice", "DB Admins"]
    assert read(username="alice", subjects=groups).subjects == ("alice", "DB Admins", "/Keycloak/dba", "CN=dba,OU=x")
    assert read(username="team-payments", account=False, subjects=["dba"]).subjects == ("dba",)


def test_a_tenant_without_an_account_may_have_a_name_of_its_own() -> None:
    """Hyphens and dots inside; the namespace defaults to it where it is legal."""
    assert read(username="team-payments", account=False, subjects=["dba"]).namespace == "team-payments"
    assert read(username="team.payments", account=False, subjects=["dba"], namespace="pay").username == "team.payments"
    query = read_request("tenant", b'{"username":"team.payments"}')
    assert query.given == {"username": "team.payments"}


@pytest.mark.parametrize(
    ("members", "field", "message"),
    [
        ({"username": "team-payments"}, "username", "must be 3 to 63 letters, digits or underscores"),
        ({"username": "team-payments", "account": None}, "username", "must be 3 to 63 letters"),
        ({"username": "-ab", "account": False, "subjects": ["x"]}, "username", "must be 3 to 63 letters"),
        ({"username": "ab.", "account": False, "subjects": ["x"]}, "username", "must be 3 to 63 letters"),
        ({"username": "a..b", "account": False, "subjects": ["x"], "namespace": "n"}, "username", "must not hold two"),
        ({"username": "admin", "account": False, "subjects": ["x"]}, "username", "admin is Everest's own account"),
        ({"username": "team.pay", "account": False, "subjects": ["x"]}, "namespace", "give one: it defaults to the"),
        ({"username": "alice", "account": False}, "subjects", "is required where account is false"),
        ({"username": "alice", "account": False, "subjects": []}, "subjects", "is required where account is false"),
        ({"username": "alice", "account": "no"}, "account", "must be true or false"),
        ({"username": "alice", "subjects": "dba"}, "subjects", "must be a list"),
        ({"username": "alice", "subjects": ["x"] * 51}, "subjects", "must have at most 50 members"),
        ({"username": "alice", "subjects": ["a", 7]}, "subjects.1", "must be a string"),
        ({"username": "alice", "subjects": [None]}, "subjects.0", "must be a string"),
        ({"username": "alice", "subjects": [""]}, "subjects.0", "must not be empty"),
        ({"username": "alice", "subjects": ["x" * 257]}, "subjects.0", "must have at most 256 characters"),
        ({"username": "alice", "subjects": ["a", "b\nc"]}, "subjects.1", "must not hold control characters"),
        ({"username": "alice", "subjects": ["dba "]}, "subjects.0", "must not hold control characters, nor blanks"),
        ({"username": "alice", "subjects": ["role:admin"]}, "subjects.0", "must not be admin, nor begin with role:"),
        ({"username": "alice", "subjects": ["admin"]}, "subjects.0", "must not be admin, nor begin with role:"),
        ({"username": "alice", "role": "Owner"}, "role", "must be 1 to 63 lowercase letters, digits, '-' or '_'"),
        ({"username": "alice", "role": "../x"}, "role", "must be 1 to 63 lowercase letters"),
        ({"username": "alice", "correlation": ""}, "correlation", "must not be empty"),
        ({"username": "alice", "correlation": "x" * 129}, "correlation", "must have at most 128 characters"),
        ({"username": "alice", "correlation": "a\tb"}, "correlation", "must be printable characters"),
    ],
)
def test_the_rules_of_roles_and_their_holders(members: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(**members)
    (problem,) = caught.value.problems
    assert (problem.field, problem.message[: len(message)]) == (field, message)


@pytest.mark.parametrize(
    ("members", "field", "message"),
    [
        ({"namespace": "a", "confirm": "alice"}, "confirm", "must be the namespace that is taken away"),
        ({"confirm": "a"}, "confirm", "must be the username that is taken away"),
        ({"delete_databases": True, "keep_namespace": True}, "keep_namespace", "and delete_databases exclude"),
        ({"namespace": "A", "confirm": "b"}, "namespace", ""),
    ],
)
def test_what_is_taken_away_is_confirmed_by_its_name(members: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_request("offboard", orjson.dumps({"username": "alice", **members}))
    (problem,) = caught.value.problems
    assert (problem.field, problem.message[: len(message)]) == (field, message)


def test_what_is_said_in_other_words_is_the_same_request() -> None:
    """Defaults that are written out, and subjects in any spelling of the default."""
    least = request_hash("bootstrap", read(username="alice"))
    assert request_hash("bootstrap", read(username="alice", account=True, subjects=["alice"])) == least
    for other in (
        {"role": "owner"},
        {"subjects": ["dba"]},
        {"correlation": "x"},
        {"account": False, "subjects": ["a"]},
    ):
        assert request_hash("bootstrap", read(username="alice", **other)).startswith("2:")
