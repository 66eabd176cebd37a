"""What the claims of a tenant say of its account, when a job has made it."""

from handlers.bootstrap.declaration import declare_account
from handlers.tenants.claims import JOB, OWNER, Claims, Namespace
from handlers.tenants.spec import Spec, make_wanted


def claim(name: str) -> Namespace:
    annotations = {OWNER: "ines", JOB: "an-earlier-job"}
    return Namespace.of({"metadata": {"name": name, "resourceVersion": "1", "annotations": annotations}})


def spec(*credentials: str) -> Spec:
    wanted = make_wanted({"role": "developer", "subjects": ("group",), "managed_by": "tests"}, account_created=False)
    return Spec.first(wanted, "an-earlier-job", credentials=credentials)


def test_every_claim_knows_the_account_and_the_own_ones_generation_is_left_to_its_step() -> None:
    """Also one that asked for no account: it may be the last that goes."""
    claims = Claims("ines", claim("own"), (claim("other"),))
    told = declare_account(claims, {"own": spec("before"), "other": spec()}, "job-2", "the-proof")
    assert {name: one.account_proof for name, one in told.items()} == dict.fromkeys(("own", "other"), "the-proof")
    assert (told["own"].credentials, told["other"].credentials) == (("job-2", "before"), ("job-2",))
    assert (told["own"].generation, told["own"].wanted.account_created) == (1, False)
    assert (told["other"].generation, told["other"].wanted.account_created) == (2, True)
    assert told["other"].changed_by("job-2") == ("account_created",)
    assert declare_account(claims, told, "job-2", "the-proof") == told, "a repeat writes nothing"
