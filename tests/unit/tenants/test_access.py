"""Whose lines are whose: what is added, what goes, what stays, over any number of tenants, jobs and hands."""

import json
import random
from dataclasses import dataclass, field

import pytest

from handlers.rbac.enforcer import Enforcer
from handlers.rbac.policy import check_rules, edit, parse_rules, render_rule
from handlers.rbac.resources import KNOWN_RESOURCES
from handlers.rbac.roles import load_role
from handlers.rbac.stored_policy import KEY, StoredPolicy
from handlers.results import StepFailed
from handlers.tenants.access import AccessDecision, WantedAccess, decide_access, first_lines, role_of
from handlers.tenants.claims import JOB, OWNER, SPEC, Claims, Namespace

SEED = "g, admin, role:admin\n"
SPEC_TEXT = {"version": 1, "wanted": {"role": "developer", "subjects": [], "managed_by": "admin"}}


def claim(name: str, owner: str, applied: tuple[str, ...] | None, *, is_bound: bool = True) -> Namespace:
    """`applied` is None for a claim of version 0.1.0."""
    bound = {"applied": applied, "bound": is_bound}
    spec = {} if applied is None else {SPEC: json.dumps(SPEC_TEXT | bound)}
    metadata = {"name": name, "resourceVersion": "1", "annotations": {OWNER: owner, JOB: "job"} | spec}
    return Namespace.of({"metadata": metadata})


def want(username: str, namespace: str, role: str = "developer", *subjects: str) -> WantedAccess:
    holder = role_of(username)
    members = "\n".join(render_rule("g", subject, holder) for subject in subjects or (username,))
    rights = load_role(role, None).render(holder, namespace, KNOWN_RESOURCES).rules
    return WantedAccess(username, (*rights, *parse_rules(members)))


@dataclass
class Cluster:
    """The policy, and the claims by tenant and namespace; a job is done as the step does it."""

    policy: str = SEED
    claims: dict[str, dict[str, tuple[str, ...] | None]] = field(default_factory=dict)

    def decide(self, wanted: WantedAccess, namespace: str, *, take_ownership: bool = False) -> AccessDecision:
        known = self.claims.setdefault(wanted.username, {})
        claims = {name: claim(name, wanted.username, applied) for name, applied in known.items()}
        own = claims.pop(namespace, None) or claim(namespace, wanted.username, (), is_bound=False)
        stored = StoredPolicy.of({"data": {KEY: self.policy}})
        seen = Claims(wanted.username, own, tuple(claims.values()))
        return decide_access(seen, wanted, stored, take_ownership=take_ownership)

    def onboard(self, namespace: str, wanted: WantedAccess, *, killed: bool = False) -> None:
        decision = self.decide(wanted, namespace)
        known = self.claims[wanted.username]
        known[namespace] = decision.recorded
        edited = edit(self.policy, "\n".join(wanted.lines), "\n".join(decision.withdrawn))
        self.policy = edited.text
        if not killed:
            known[namespace] = decision.kept

    def may(self, subject: str, action: str, name: str, resource: str = "database-clusters") -> bool:
        return Enforcer(parse_rules(self.policy)).may(subject, action, resource, name)


def test_forty_tenants_and_an_administrator_disturb_nobody() -> None:
    """Mixed roles and subjects, in any order, twice, some killed between write and record: foreign lines stay."""
    chance = random.Random(1)
    cluster, foreign = Cluster(), [SEED.strip()]
    names = [f"tenant{number}" for number in range(40)]
    for round_number in range(3):
        for name in chance.sample(names, len(names)):
            role = chance.choice(["developer", "owner", "viewer"])
            subjects = (name, *chance.sample(["DB Admins", "CN=a,OU=b", "/x/y", "ops"], chance.randint(0, 3)))
            killed = chance.random() < 0.2 and round_number < 2
            cluster.onboard(chance.choice([name, f"{name}-2"]), want(name, name, role, *subjects), killed=killed)
            if chance.random() < 0.3:
                other = chance.choice([name for name in names if name in cluster.claims])
                right, member = f"p, role:{other}, backup-storages, read, extra/*", f"g,  helper{other} , role:{name}"
                line = chance.choice([right, member, f"# {other}"])
                foreign.append(line)
                cluster.policy += f"{line}\n"
        check_rules(parse_rules(cluster.policy))
    ours = {line for known in cluster.claims.values() for applied in known.values() for line in applied or ()}
    assert [line for line in cluster.policy.splitlines() if line not in ours] == foreign
    assert all(cluster.may(name, "read", f"{name}/db") for name in names)
    assert not any(cluster.may("stranger", "read", f"{name}/db") for name in names)
    assert not cluster.may("tenant1", "read", "tenant11/db")


def test_a_changed_role_takes_its_own_lines_away_in_this_namespace_alone() -> None:
    cluster = Cluster()
    cluster.onboard("one", want("alice", "one", "owner"))
    cluster.onboard("two", want("alice", "two", "owner"))
    cluster.policy += "p, role:alice, database-cluster-backups, *, one/*\n"  # an administrator's, and ours too
    cluster.onboard("one", want("alice", "one", "viewer"))
    assert cluster.may("alice", "read", "one/db")
    assert not cluster.may("alice", "delete", "one/db")
    assert cluster.may("alice", "delete", "two/db")


def test_what_was_there_before_is_never_ours() -> None:
    """Also where it says the same: whoever wrote it may count on it."""
    cluster = Cluster(SEED + "\n".join(first_lines("alice", "alice")) + "\n")
    cluster.onboard("alice", want("alice", "alice"))
    cluster.onboard("alice", want("alice", "alice", "viewer"))
    assert cluster.may("alice", "delete", "alice/db")
    assert not set(cluster.claims["alice"]["alice"] or ()) & set(first_lines("alice", "alice"))


def test_a_claim_of_the_first_version_explains_its_eight_lines() -> None:
    lines = "\n".join(first_lines("alice", "alice"))
    cluster = Cluster(f"{SEED}{lines}\ng, auditor, role:alice\n", {"alice": {"alice": None}})
    cluster.onboard("alice", want("alice", "alice", "viewer"))
    assert not cluster.may("alice", "delete", "alice/db")
    assert cluster.may("auditor", "read", "alice/db")
    assert len(first_lines("alice", "alice")) == 8


TAKEN = ["p, role:alice, backup-storages, read, dev/*", "g, bob, role:alice", "g, role:alice, role:admin"]


@pytest.mark.parametrize("line", TAKEN)
def test_a_role_that_no_claim_explains_is_somebodys(line: str) -> None:
    """Rules, members, or what it is a member of; with take_ownership it is adopted, and its members are known."""
    cluster = Cluster(f"{SEED}{line}\ng, x, role:alice\n")
    with pytest.raises(StepFailed, match="role_taken") as refused:
        cluster.decide(want("alice", "alice"), "alice")
    assert refused.value.step == "apply_rbac_policy"
    adopted = cluster.decide(want("alice", "alice"), "alice", take_ownership=True)
    assert "x" in adopted.members
    assert adopted.withdrawn == ()


def test_rights_that_others_gave_to_a_tenants_name_are_known() -> None:
    """An account of that name gets them; where only others hold the role, nobody does."""
    given = ["p, alice, database-clusters, *, */*", "g, alice, role:ops"]
    cluster = Cluster(SEED + "\n".join(given) + "\n")
    cluster.onboard("alice", want("alice", "alice"))
    again = cluster.decide(want("alice", "alice"), "alice")
    assert [rule.shown for rule in again.beyond] == given
    assert again.withdrawn == ()
    assert cluster.decide(want("alice", "alice", "developer", "a group"), "alice").beyond == ()


@pytest.mark.parametrize("line", [*TAKEN, "g, alice, role:admin", "p, alice, database-clusters, *, */*"])
def test_who_may_not_adopt_is_given_nothing_of_others(line: str) -> None:
    """Not by take_ownership either; what others give a tenant that is there is no reason to leave it alone."""
    stored = StoredPolicy.of({"data": {KEY: f"{SEED}{line}\ng, x, role:alice\n"}})
    wanted, nobody = want("alice", "alice"), Claims("alice", None, ())
    with pytest.raises(StepFailed, match="role_taken") as refused:
        decide_access(nobody, wanted, stored, take_ownership=True, may_adopt=False)
    assert "an administrator may have this one" in refused.value.failure.hint
    own = Claims("alice", claim("alice", "alice", first_lines("alice", "alice")), ())
    assert decide_access(own, wanted, stored, take_ownership=False, may_adopt=False).withdrawn == ()


def test_what_an_administrator_adds_to_a_tenants_role_takes_nothing_over() -> None:
    cluster = Cluster()
    cluster.onboard("alice", want("alice", "alice"))
    cluster.policy += f"{TAKEN[0]}\n{TAKEN[1]}\n"
    cluster.onboard("alice", want("alice", "alice", "owner"))
    assert cluster.policy.count(TAKEN[0]) == cluster.policy.count(TAKEN[1]) == 1
