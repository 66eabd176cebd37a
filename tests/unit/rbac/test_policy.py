"""The policy text: read as Everest reads it, and edited without touching what others wrote."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.rbac.policy import (
    ADMIN_RULE,
    InvalidPolicy,
    check_rules,
    find_odd_actions,
    merge,
    parse_rules,
    read_wanted,
)

ALICE = """\
p, role:alice, namespaces, read, alice
p, role:alice, database-clusters, read, alice/*
g, alice, role:alice
"""


def keys(text: str) -> list[tuple[str, ...]]:
    return [(rule.kind, *rule.fields) for rule in parse_rules(text)]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("", []),
        ("# only a comment\n\n", []),
        ("g, admin, role:admin", [("g", "admin", "role:admin")]),
        ("g,admin,role:admin\r\n", [("g", "admin", "role:admin")]),
        ("  g,\t admin,  role:admin\n", [("g", "admin", "role:admin")]),
        ("g, alice , role:x \n", [("g", "alice ", "role:x ")]),
        ('p, "role:x", namespaces, "re""ad", "a,b"\n', [("p", "role:x", "namespaces", 're"ad', "a,b")]),
        ("g, a, role:x, more\n", [("g", "a", "role:x", "more")]),
        ("p, role:x, namespaces, read, \n", [("p", "role:x", "namespaces", "read", "")]),
        ("g, " + "a" * 200_000 + ", role:x\n", [("g", "a" * 200_000, "role:x")]),
    ],
)
def test_rules_are_read_as_go_reads_them(text: str, read: list[tuple[str, ...]]) -> None:
    assert keys(text) == read


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("hello world", "invalid policy line 'hello world'"),
        ("   ", "invalid policy line '   '"),
        (" # indented", "invalid policy line ' # indented'"),
        ("p", "invalid policy line"),
        ("p2, role:x, namespaces, read, x", "invalid policy line"),
        ("p , role:x, namespaces, read, x", "invalid policy line"),
        ("P, role:x, namespaces, read, x", "invalid policy line"),
        ("p, role:alice", "4 fields after the p, not 1"),
        ("p, role:alice, namespaces, read, alice, extra", "4 fields after the p, not 5"),
        ("g, alice", "2 fields after the g, not 1"),
        ("\r", "CR LF"),
        ('p, ro"le, namespaces, read, x', "quote"),
        ('p, "role:x, namespaces, read, x', "quoted field"),
        ('p, "role:x" , namespaces, read, x', "quoted field"),
        ("x" * 500, "invalid policy line 'xxx"),
    ],
)
def test_a_line_that_everest_cannot_read_is_named_by_its_number(line: str, reason: str) -> None:
    with pytest.raises(InvalidPolicy, match="line 3: ") as caught:
        parse_rules(f"# comment\ng, admin, role:admin\n{line}\ng, b, role:b\n")
    assert caught.value.line == 3
    assert reason in caught.value.reason
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("p, role:x, namespaces, read, alice ", "invalid policy term 'alice '"),
        ("p, role:x, namespaces, read, ", "invalid policy term ''"),
        ("p, role:x, name`spaces, read, alice", "invalid policy term 'name`spaces'"),
        ("p, role:nobody, namespaces, read, alice", "role 'role:nobody' is given to nobody"),
    ],
)
def test_a_rule_that_everest_refuses_is_named_by_its_line(line: str, reason: str) -> None:
    """The server ends on these; the number leads a person to the line."""
    with pytest.raises(InvalidPolicy, match="line 2: ") as caught:
        check_rules(parse_rules(f"g, u, role:x\n{line}\n"))
    assert reason in caught.value.reason


def test_a_user_may_have_rights_without_a_role() -> None:
    check_rules(parse_rules("p, alice, namespaces, read, *\n"))


def test_an_unknown_action_is_found_although_everest_takes_it() -> None:
    """`raed` is valid for everestctl and never matches."""
    rules = parse_rules("g, a, role:x\np, role:x, namespaces, raed, a\np, role:x, namespaces, *, a\n")
    check_rules(rules)
    assert [rule.line for rule in find_odd_actions(rules)] == [2]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "holds no rule"),
        ("# nothing\n\n", "holds no rule"),
        ("p, role:x, namespaces, raed, x\ng, u, role:x\n", "line 1: unknown action 'raed'; known: create, read"),
        ("g, u, role:x\np, role:x, namespaces, read, x \n", "line 2: a field"),
        ("g, u , role:x\n", "line 1: a g line"),
        ("g, u, role:x, more\n", "line 1: a g line"),
        ("g, , role:x\n", "line 1: a g line"),
    ],
)
def test_what_is_put_in_is_held_to_more_than_everest_checks(text: str, reason: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        read_wanted(text)
    assert reason in str(caught.value)


def test_a_role_that_nobody_gets_is_not_put_in() -> None:
    """Everest's server would end: the right and the role's g line come together or not at all."""
    with pytest.raises(InvalidPolicy, match="line 1: role 'role:x' is given to nobody"):
        merge("g, admin, role:admin\n", "p, role:x, namespaces, read, x\n")
    assert merge("g, u, role:x\n", "p, role:x, namespaces, read, x\n").changed


def test_an_empty_policy_gets_the_administrator_too() -> None:
    """Without the line the administrator is locked out as soon as RBAC is enabled."""
    assert merge("", ALICE).text == f"{ADMIN_RULE}\n{ALICE}"
    assert ADMIN_RULE not in merge("g,admin,  role:admin\n", ALICE).text


def test_rights_that_are_no_longer_wanted_go_and_no_g_line_does() -> None:
    """A person may have given a second user the tenant's role, or the tenant a second role."""
    stored = """\
g, admin, role:admin
# alice's
p, role:alice, namespaces, read, *
g, alice, role:alice
g, auditor, role:alice
g, alice, role:auditors
p, role:auditors, namespaces, read, *
p, role:alice2, namespaces, read, alice
g, alice2, role:alice2
"""
    merged = merge(stored, ALICE)
    assert merged.dropped == ("p, role:alice, namespaces, read, *",)
    assert merged.added == tuple(ALICE.splitlines()[:2])
    assert merged.text == stored.replace("p, role:alice, namespaces, read, *\n", "") + "\n".join(merged.added) + "\n"


def test_a_wanted_rule_stays_as_somebody_spelt_it_and_its_repetitions_go() -> None:
    admin, theirs = "g,admin,role:admin\n", "g,  alice,role:alice\np,role:alice,namespaces,read,alice\n"
    merged = merge(f"{admin}{theirs}{admin}{theirs}{ALICE}", ALICE)
    assert merged.text == f"{admin}{theirs}{admin}p, role:alice, database-clusters, read, alice/*\n"
    assert merged.added == ()
    assert len(merged.dropped) == 4


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        ("g, admin, role:admin", "g, admin, role:admin\ng, a, role:a"),
        ("g, admin, role:admin\r\n# x\r\n", "g, admin, role:admin\r\n# x\r\ng, a, role:a\r\n"),
        ("g, admin, role:admin\n\n\n", "g, admin, role:admin\n\n\ng, a, role:a\n"),
        ("g, admin, role:admin\r\ng, b, role:b", "g, admin, role:admin\r\ng, b, role:b\r\ng, a, role:a"),
    ],
)
def test_new_lines_end_as_the_stored_ones_do(stored: str, text: str) -> None:
    assert merge(stored, "g, a, role:a\r\n").text == text


names = st.text("abcxyz019_", min_size=1, max_size=4)
blanks = st.sampled_from(["", " ", "  ", "\t"])
resources = st.sampled_from(["namespaces", "database-clusters", "database-engines", "*"])
actions = st.sampled_from(["create", "read", "update", "delete", "*"])


@st.composite
def written_rules(draw: st.DrawFn, names: st.SearchStrategy[str] = names) -> str:
    """A rule in some spelling."""
    name = draw(names)
    if draw(st.booleans()):
        fields = ["g", draw(names), f"role:{name}"]
    else:
        fields = ["p", f"role:{name}", draw(resources), draw(actions), f"{name}/*"]
    fields = [f'"{field}"' if draw(st.integers(0, 9)) == 0 else field for field in fields]
    return ",".join(draw(blanks) + field for field in fields)


comments = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=12).map("#{}".format)
lines = st.one_of(written_rules(), comments, st.just(""))


@st.composite
def policies(draw: st.DrawFn) -> str:
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    # An empty line that ends in CR LF is not valid.
    parts = [line for line in draw(st.lists(lines, max_size=12)) if line or newline == "\n"]
    return newline.join(parts) + draw(st.sampled_from([newline, ""]) if parts else st.just(""))


@st.composite
def tenants(draw: st.DrawFn) -> str:
    """What is imported for one tenant."""
    name = draw(names)
    rights = draw(st.lists(st.tuples(resources, actions), max_size=4))
    written = [f"p, role:{name}, {what}, {action}, {name}/*" for what, action in rights]
    return "\n".join([*written, f"g, {name}, role:{name}"])


def of_tenant(text: str, tenant: str) -> list[tuple[str, ...]]:
    """The rights of the tenant's role and the tenant's own g lines."""
    role = keys(tenant)[-1][-1]
    return [key for key in keys(text) if (key[0] == "p" and key[1] == role) or key in keys(tenant)]


def lines_of_others(text: str, tenant: str) -> str:
    """The text without the lines that say what the tenant's policy is about; endings, comments and empty lines stay."""
    role = keys(tenant)[-1][-1]
    rules = {rule.line: rule for rule in parse_rules(text)}

    def is_about(number: int) -> bool:
        rule = rules.get(number)
        return rule is not None and (
            (rule.kind == "p" and rule.subject == role) or (rule.kind, *rule.fields) in keys(tenant)
        )

    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    return "".join(line for number, line in enumerate(lines, 1) if not is_about(number))


@given(policies(), tenants())
def test_editing_one_tenant_leaves_every_other_line_byte_identical(stored: str, tenant: str) -> None:
    """In the same order, comments and empty lines included: nobody loses a right to another's onboarding."""
    before, after = lines_of_others(stored, tenant), lines_of_others(merge(stored, tenant).text, tenant)
    assert after.startswith(before)
    assert after.removeprefix(before).strip("\r\n") in ("", ADMIN_RULE)


@given(policies(), tenants())
def test_the_tenant_has_exactly_what_is_wanted_and_the_administrator_stays(stored: str, tenant: str) -> None:
    merged = merge(stored, tenant)
    has_rights = any(rule.kind == "p" for rule in parse_rules(tenant))
    found = of_tenant(merged.text, tenant)
    assert set(keys(tenant)) <= set(found)
    assert len(found) == len(set(found)) or not has_rights
    if has_rights:
        assert set(found) == set(keys(tenant))
    assert ("g", "admin", "role:admin") in keys(merged.text)


@given(policies(), tenants())
def test_merging_twice_is_merging_once(stored: str, tenant: str) -> None:
    once = merge(stored, tenant)
    twice = merge(once.text, tenant)
    assert twice.text == once.text
    assert not twice.changed
    assert once.changed == (once.text != stored)


@given(policies(), tenants(), tenants())
def test_nothing_that_could_be_read_becomes_unreadable(stored: str, one: str, other: str) -> None:
    """The merged text is valid where the stored one was, whatever is put in after what."""
    is_valid = True
    try:
        check_rules(parse_rules(stored))
    except InvalidPolicy:
        is_valid = False
    merged = merge(merge(stored, one).text, other).text
    if is_valid:
        check_rules(parse_rules(merged))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_read_or_refused_with_a_line(text: str) -> None:
    refused_at = None
    try:
        rules = parse_rules(text)
    except InvalidPolicy as error:
        rules, refused_at = (), error.line
    assert refused_at is None or 1 <= refused_at <= text.count("\n") + 1
    assert all("\n" not in text[rule.start : rule.end - 1] for rule in rules)
