"""The policy text: read as Everest reads it, and edited without touching what others wrote."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.rbac.policy import (
    ADMIN_RULE,
    SUSPENSION,
    InvalidPolicy,
    Rule,
    check_rules,
    edit,
    find_odd_actions,
    parse_rules,
    read_rules,
    read_wanted,
    render_rule,
    resume,
    suspend,
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
        ("p, role:nobody, namespaces, read, alice", "role 'role:nobody' does not exist"),
    ],
)
def test_a_rule_that_everest_refuses_is_named_by_its_line(line: str, reason: str) -> None:
    """The server ends on these; the number leads a person to the line."""
    with pytest.raises(InvalidPolicy, match="line 2: ") as caught:
        check_rules(parse_rules(f"g, u, role:x\n{line}\n"))
    assert reason in caught.value.reason


def test_the_administrators_role_needs_no_member() -> None:
    check_rules(parse_rules("p, role:admin, namespaces, read, *\n"))


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
        ("p, role:x, namespaces, raed, x\ng, u, role:x\n", "line 1: unknown action 'raed'; known: create, read"),
        ("g, u, role:x\np, role:x, namespaces, read, x \n", "line 2: a field"),
        ("g, u, role:x\np, role:x, namespaces, read, prod/[db\n", "line 2: a field"),
        ("g, u, role:x\np, role:x, namespaces, read, n?\n", "line 2: a field"),
        ("g, u, role:x\np, role:x, Namespaces, read, x\n", "line 2: a field"),
        ("g, u, role:x\np, role:x*, namespaces, read, x\n", "line 2: a field"),
        ("g, u , role:x\n", "line 1: a g line"),
        ("g, u\u2028v, role:x\n", "line 1: a g line"),
        ("g, u, role:x, more\n", "line 1: a g line"),
        ("g, u, role: x y\n", "line 1: a g line"),
        ("g, , role:x\n", "line 1: a g line"),
    ],
)
def test_what_is_put_in_is_held_to_more_than_everest_checks(text: str, reason: str) -> None:
    """In rights the strict alphabet that later versions of Everest take too; a member may be any text."""
    with pytest.raises(InvalidPolicy) as caught:
        read_wanted(text)
    assert reason in str(caught.value)


MEMBERS = ["DB Admins", "/Keycloak/dba", "CN=dba,OU=Groups,DC=example", 'the "old" team', "#1 team", "grüppe", "a'b"]


@pytest.mark.parametrize("member", MEMBERS)
def test_a_member_is_read_again_as_it_was_written(member: str) -> None:
    line = render_rule("g", member, "role:x")
    assert keys(line) == [("g", member, "role:x")]
    read_wanted(line)


def test_a_role_that_nobody_gets_is_not_put_in() -> None:
    """Everest's server would end: the right and the role's g line come together or not at all."""
    with pytest.raises(InvalidPolicy, match="line 1: role 'role:x' does not exist"):
        edit("g, admin, role:admin\n", "p, role:x, namespaces, read, x\n")
    with pytest.raises(InvalidPolicy, match="line 1: role 'role:x' does not exist"):
        edit("g, u, role:x\n", "p, role:x, namespaces, read, x\n", "g, u, role:x\n")
    assert edit("g, u, role:x\n", "p, role:x, namespaces, read, x\n").changed


def test_an_empty_policy_gets_the_administrator_too() -> None:
    """Without the line the administrator is locked out as soon as RBAC is enabled."""
    assert edit("", ALICE).text == f"{ADMIN_RULE}\n{ALICE}"
    assert ADMIN_RULE not in edit("g,admin,  role:admin\n", ALICE).text
    assert edit("g, admin, role:admin\n", "", "g, admin, role:admin\n").removed == ()


STORED = """\
g, admin, role:admin
# alice's
p,role:alice,  namespaces, read, *
g, alice, role:alice
g, auditor, role:alice
g, alice, role:auditors
p, role:auditors, namespaces, read, *
p, role:alice2, namespaces, read, alice
g, alice2, role:alice2
"""


def test_what_nobody_names_stays() -> None:
    """An administrator may have given the tenant's role a right or a member, or the tenant a second role."""
    edited = edit(STORED, ALICE)
    assert edited.removed == ()
    assert edited.added == tuple(ALICE.splitlines()[:2])
    assert edited.text == STORED + "\n".join(edited.added) + "\n"


def test_what_is_withdrawn_goes_however_it_is_spelt() -> None:
    withdrawn = 'p, "role:alice", namespaces, read, *\ng, alice, role:auditors\n'
    edited = edit(STORED, ALICE, withdrawn)
    assert edited.removed == ("p,role:alice,  namespaces, read, *", "g, alice, role:auditors")
    kept = [line for line in STORED.splitlines(keepends=True) if line.rstrip("\n") not in edited.removed]
    # the auditors' role lost its last member, and without one the policy would be invalid
    assert edited.added == (*ALICE.splitlines()[:2], "g, role:auditors, role:auditors")
    assert edited.text == "".join(kept) + "\n".join(edited.added) + "\n"
    check_rules(parse_rules(edited.text))


def test_p_and_g_lines_go_in_one_write_and_what_is_wanted_stays() -> None:
    gone = edit(f"{ADMIN_RULE}\n{ALICE}", "", ALICE)
    assert gone.text == f"{ADMIN_RULE}\n"
    assert edit(f"{ADMIN_RULE}\n{ALICE}", ALICE, ALICE).changed is False


def test_a_wanted_rule_stays_as_somebody_spelt_it_and_as_often() -> None:
    theirs = "g,admin,role:admin\ng,  alice,role:alice\np,role:alice,namespaces,read,alice\n"
    edited = edit(f"{theirs}{theirs}", ALICE)
    assert edited.text == f"{theirs}{theirs}p, role:alice, database-clusters, read, alice/*\n"
    assert edited.removed == ()


def test_a_line_that_cannot_be_read_is_kept_and_named() -> None:
    """Whether the policy is valid is everestctl's to say."""
    stored = f"{ADMIN_RULE}\nhello world\n"
    assert edit(stored, ALICE).text == stored + ALICE
    read = read_rules(stored)
    assert [rule.line for rule in read.rules] == [1]
    assert read.fault is not None
    assert read.fault.line == 2


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
    assert edit(stored, "g, a, role:a\r\n").text == text


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
        fields = ["p", f"role:{name}", draw(resources), draw(actions), f"{name.replace('_', '-')}/*"]
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
    written = [f"p, role:{name}, {what}, {action}, {name.replace('_', '-')}/*" for what, action in rights]
    return "\n".join([*written, f"g, {name}, role:{name}"])


@given(policies(), tenants(), tenants())
def test_every_line_that_is_not_withdrawn_is_byte_identical(stored: str, wanted: str, withdrawn: str) -> None:
    """In the same order, comments and empty lines included: nobody loses a right to another's onboarding."""
    edited = edit(stored, wanted, withdrawn)
    gone = set(keys(withdrawn)) - set(keys(wanted)) - {("g", "admin", "role:admin")}
    rules = {rule.line: rule for rule in parse_rules(stored)}
    lines = re.findall(r"[^\n]*\n|[^\n]+", stored)
    kept = [line for number, line in enumerate(lines, 1) if number not in rules or of(rules[number]) not in gone]
    assert edited.text.startswith("".join(kept))
    assert tuple(line.strip("\r\n") for line in lines if line not in kept) == edited.removed


def of(rule: Rule) -> tuple[str, ...]:
    return (rule.kind, *rule.fields)


@given(policies(), tenants(), tenants())
def test_what_is_wanted_is_there_and_the_administrator_stays(stored: str, wanted: str, withdrawn: str) -> None:
    found = keys(edit(stored, wanted, withdrawn).text)
    assert {*keys(wanted), ("g", "admin", "role:admin")} <= set(found)


@given(policies(), tenants(), tenants())
def test_editing_twice_is_editing_once(stored: str, wanted: str, withdrawn: str) -> None:
    once = edit(stored, wanted, withdrawn)
    twice = edit(once.text, wanted, withdrawn)
    assert twice.text == once.text
    assert not twice.changed
    assert once.changed == (once.text != stored)


@given(policies(), tenants(), tenants())
def test_a_valid_policy_stays_valid(stored: str, wanted: str, withdrawn: str) -> None:
    """Whatever is put in and taken out: an invalid policy ends Everest's server."""
    edited = edit(stored, wanted, withdrawn).text
    if is_valid(stored):
        check_rules(parse_rules(edited))


def is_valid(text: str) -> bool:
    try:
        check_rules(parse_rules(text))
    except InvalidPolicy:
        return False
    return True


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_read_or_refused_with_a_line(text: str) -> None:
    refused_at = None
    try:
        rules = parse_rules(text)
    except InvalidPolicy as error:
        rules, refused_at = (), error.line
    assert refused_at is None or 1 <= refused_at <= text.count("\n") + 1
    assert all("\n" not in text[rule.start : rule.end - 1] for rule in rules)


def test_a_suspended_tenants_lines_are_comments_and_come_back_byte_for_byte() -> None:
    """However they were spelt; a comment that somebody else wrote is never brought to life."""
    stored = (
        "# alice's\np,role:alice , namespaces, read, alice\n#p, role:alice, namespaces, read, alice\n"
        '  p, role:alice, "database-clusters", read, alice/*\ng, alice, role:alice'
    ).replace("role:alice ", "role:alice")
    suspended = suspend(stored, ALICE)
    assert keys(suspended.text) == []
    assert suspended.text.count("#everest-bootstrap ") == 3
    assert suspended.removed == tuple(stored.split("\n")[at] for at in (1, 3, 4))
    assert suspend(suspended.text, ALICE).changed is False
    resumed = resume(suspended.text, ALICE)
    assert resumed.text == stored
    assert resume(resumed.text, ALICE).changed is False


def test_nobody_elses_suspended_line_is_resumed() -> None:
    stored = f"{SUSPENSION}g, bob, role:bob\n{SUSPENSION}not a rule\n{SUSPENSION}g, alice, role:alice\n"
    assert resume(stored, ALICE).text == stored.replace(f"{SUSPENSION}g, alice", "g, alice")


def test_a_role_whose_rights_stay_keeps_a_member_while_its_tenant_is_suspended() -> None:
    """An administrator gave the role a right of his own: without a member it would stop Everest's server."""
    foreign = "p, role:alice, backup-storages, read, alice/*\n"
    stored = foreign + ALICE.rstrip("\n")
    suspended = suspend(stored, ALICE)
    assert keys(suspended.text) == [*keys(foreign), ("g", "role:alice", "role:alice")]
    assert resume(suspended.text, ALICE, "g, role:alice, role:alice").text == stored
    without = suspended.text.replace(f"{SUSPENSION}g, alice, role:alice", "")
    left = resume(without, ALICE, "g, role:alice, role:alice").text
    assert ("g", "role:alice", "role:alice") in keys(left), "its members are gone, and its rights are not"
    bare = without.replace("g, role:alice, role:alice\n", "")
    check_rules(parse_rules(resume(bare, ALICE).text))


@given(policies(), tenants())
def test_what_is_suspended_comes_back_as_it_was(stored: str, tenant: str) -> None:
    """Of a valid policy every byte, and it is valid all the time; in another a role may come back with a member."""
    suspended = suspend(stored, tenant)
    assert not set(keys(tenant)) & set(keys(suspended.text))
    resumed = resume(suspended.text, tenant, "\n".join(suspended.added)).text
    if is_valid(stored):
        check_rules(parse_rules(suspended.text))
        assert resumed == stored
