"""The rules of a request, and that its JSON Schema says the same."""

import contextlib
from typing import Any

import jsonschema
import orjson
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.requests import (
    BootstrapRequest,
    InvalidRequest,
    NotJson,
    Operators,
    Resources,
    encode_request,
    read_request,
    request_hash,
)

SCHEMA = pydantic.TypeAdapter(BootstrapRequest).json_schema()


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
    assert read(username="alice") == BootstrapRequest("alice", "alice", None, False, Resources(2, 2048, 20))


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
        ({"username": "alice", "namespace": None}, "namespace"),
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


def test_every_problem_is_found_at_once_and_no_value_is_repeated() -> None:
    """The caller mends all in one go; a value could be a secret."""
    members = {"username": "s3cret!", "namespace": "S3CRET", "s3cret value": 1, "resources": {"ram_mb": "s3cret"}}
    with pytest.raises(InvalidRequest) as caught:
        read(**members)
    assert len(caught.value.problems) == 4
    assert "s3cret" not in str(caught.value).lower()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[" * 10_000, b'{"username": NaN}', b"\xef\xbb\xbf{}", "{}".encode("utf-16")]
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
    """The JSON Schema never refuses what we accept."""
    try:
        request = read(**value)
    except InvalidRequest:
        return
    jsonschema.validate(value, SCHEMA)
    assert read_request("bootstrap", encode_request(request)) == request
