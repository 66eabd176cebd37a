"""Who may do what: held to the recorded answers of the real enforcer, and to another implementation of its rules."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.rbac.enforcer import Enforcer, find_malformed
from handlers.rbac.globs import MalformedGlob, matches
from handlers.rbac.policy import ACTIONS, InvalidPolicy, Rule, check_rules, parse_rules, render_rule
from handlers.rbac.resources import GLOBAL_RESOURCES, KNOWN_RESOURCES, find_unknown, resources_of
from tests.everestctl.errors import Failed
from tests.everestctl.rbac.enforcer import is_allowed
from tests.everestctl.rbac.policy import check_policy
from tests.everestctl.rbac.policy import read_policy as read_as_recorded
from tests.transcripts import FOLDER

VERSION = (1, 16)
ERROR = "error"


def read_golden() -> list[dict[str, Any]]:
    pairs = [json.loads(line) for line in (FOLDER / "policy-golden.jsonl").read_text().splitlines()]
    # a ConfigMap's YAML given as a file; the text in a cluster is never one
    return [pair for pair in pairs if pair["case"] != "form-yaml-block"]


def read_valid(text: str) -> tuple[Rule, ...] | None:
    """None for what Everest's server would not start with."""
    try:
        rules = parse_rules(text)
        check_rules(rules)
    except InvalidPolicy:
        return None
    return None if find_unknown(rules, KNOWN_RESOURCES) else rules


def answer(rules: tuple[Rule, ...], question: tuple[str, str, str, str]) -> bool | str:
    try:
        return Enforcer(rules).may(*question)
    except MalformedGlob:
        return ERROR


def test_every_recorded_answer_is_ours() -> None:
    pairs = read_golden()
    assert len(pairs) > 700
    for pair in pairs:
        rules = read_valid(pair["policy"])
        assert (rules is not None) == (pair["validate"]["rc"] == 0), pair
        question = pair["question"]
        if rules is not None and len(question) == 4 and question[1] in ACTIONS:
            said = {"Yes\n": True, "No\n": False}.get(pair["can"]["out"], ERROR)
            assert answer(rules, question) == said, pair


SUBJECTS = ("alice", "bob", "DB Admins", "a,b", "admin")
ROLES = ("role:a", "role:b", "role:admin", "alice", "team")
OBJECTS = ("ns1/db1", "ns1/x", "ns2/db1", "ns11/db", "ns1", "ns2", "n", "", "*", "all", "a/b/c", "ns1/a-b")
PARTS = ("**", "**/", "/**", "ns1", "ns2", "db", "[a-n]", "[^n]", "[1", "[]", "n[s1]", "/*")
pieces = st.sampled_from((*"*?/-^]\\19abn", *PARTS))
patterns = st.one_of(
    st.sampled_from(["*", "*/*", "ns1/*", "ns1", "**", "ns1/db1", "ns*/*", "ns[12]/*", "ns1/**", "ns[1"]),
    st.lists(pieces, min_size=1, max_size=5).map("".join),
)
actions = st.one_of(st.sampled_from(ACTIONS), st.sampled_from(["raed", "r*", "re?d", "[cr]*", "[read", "*e*"]))
resources = st.sampled_from([*sorted(KNOWN_RESOURCES), *["*", "database-clusters"] * 4, "databases"])
fields = st.sampled_from(["{}", '"{}"', " {}", "\t{}"])


def spell(draw: st.DrawFn, kind: str, *values: str) -> str:
    """A line in one of many spellings; what needs quotes has them."""
    rendered = [value.strip() for value in render_rule(kind, "x", "x").split(",")[:1]]
    for value in values:
        plain = render_rule("g", value, "x").removeprefix("g, ").removesuffix(", x")
        rendered.append(draw(fields).format(value) if plain == value and '"' not in value else f" {plain}")
    return ",".join(rendered)


NOISE = (*[""] * 6, "# comment", "p, x", "hello", "   ", "g, a", 'p, "open', "p, a, b, c, d, e")


@st.composite
def policies(draw: st.DrawFn) -> str:
    lines = []
    for _ in range(draw(st.integers(1, 6))):
        if draw(st.booleans()):
            holder = draw(st.sampled_from((*ROLES, *SUBJECTS[:2])))
            lines.append(spell(draw, "p", holder, draw(resources), draw(actions), draw(patterns)))
        else:
            lines.append(spell(draw, "g", draw(st.sampled_from((*SUBJECTS, *ROLES))), draw(st.sampled_from(ROLES))))
    lines += [spell(draw, "g", "helper", role) for role in ROLES[:2] if draw(st.integers(0, 3))]
    noise = draw(st.sampled_from(NOISE))
    ending = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    return ending.join([*lines, *([noise] if noise else [])])


questions = st.tuples(
    st.sampled_from((*SUBJECTS, *ROLES)),
    st.sampled_from(ACTIONS),
    st.sampled_from(sorted(KNOWN_RESOURCES)),
    st.sampled_from(OBJECTS),
)


@pytest.mark.thorough
@settings(max_examples=400)
@given(policies(), st.lists(questions, min_size=1, max_size=6))
def test_two_implementations_agree_on_validity_and_on_who_may_do_what(
    text: str, asked: list[tuple[str, str, str, str]]
) -> None:
    """The simulator's enforcer was written from the recorded answers by itself; neither knows the other."""
    try:
        policy = read_as_recorded(text)
        check_policy(policy, VERSION)
    except Failed:
        assert read_valid(text) is None
        return
    rules = read_valid(text)
    assert rules is not None
    for question in asked:
        try:
            said: bool | str = is_allowed(policy, VERSION, *question)
        except Failed:
            said = ERROR
        assert answer(rules, question) == said, question


NAMES = ("ns1", "ns2", "n", "ns11")


@pytest.mark.thorough
@settings(max_examples=150)
@given(policies(), st.sampled_from(NAMES))
def test_who_has_access_is_whoever_may_do_something_there(text: str, namespace: str) -> None:
    rules = read_valid(text)
    if rules is None or find_malformed(rules):
        return
    enforcer = Enforcer(rules)
    found = enforcer.find_subjects(namespace) - {"role:admin"}
    ends = ("x", "db", "db1", "a", "1", "-", "^", "n", "b", "ns1", "ns2", "s", "9", "ab", "dbx", "a-b")
    for subject in {*SUBJECTS, *ROLES, "helper"} - {"admin", "role:admin"}:
        reached = any(
            enforcer.may(subject, action, resource, name)
            for action in ACTIONS[:-1]
            for resource in ("namespaces", "database-clusters", "backup-storages")
            for name in ([namespace] if resource in GLOBAL_RESOURCES else [f"{namespace}/{end}" for end in ends])
        )
        if reached and "role:admin" not in enforcer.roles_of(subject):
            assert subject in found, subject


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("a/**", "a", True),
        ("a/**/", "a", True),
        ("a/**/b", "a/b", True),
        ("a**", "ab/c", False),
        ("**/b", "x/y/b", True),
        ("n[a-z/]x", "n/x", True),
        ("[^a]", "b", True),
        ("[a-]", "-", True),
        ("\\*", "*", True),
        ("\\*", "x", False),
        ("a***", "a", False),
        ("", "", True),
        ("?", "/", False),
    ],
)
def test_globs_are_doublestars(pattern: str, name: str, expected: bool) -> None:
    """What no recorded answer shows: as the library's source has it (doublestar v4.8.1, match.go)."""
    assert matches(pattern, name) is expected


def test_resources_are_those_of_both_versions() -> None:
    assert resources_of("v1.16.2", "1.6.0") == resources_of("v1.4.1")
    assert "pod-scheduling-policies" in resources_of("1.7.0") - resources_of("1.6.0")
    assert resources_of("0.0.0-dev", "1.16.1") == KNOWN_RESOURCES
