"""What a claim remembers: above all which job has changed what of it, wherever that job was killed."""

from handlers.tenants.spec import Spec, list_changed, make_wanted

ASKED = {"role": "developer", "subjects": ("alice",), "resources": {"cpu_cores": 2.0, "disk_gb": 20}}


def first() -> Spec:
    return Spec.first(make_wanted(ASKED, managed_by="admin"), "job-1")


def test_all_of_a_new_claim_is_changed_by_its_job() -> None:
    changed = first().changed_by("job-1")
    assert {"role", "subjects", "resources.cpu_cores", "resources.disk_gb", "managed_by"} <= set(changed)
    assert first().changed_by("job-2") == ()


def test_a_change_names_its_members_and_its_job() -> None:
    """A job that wants the same is not told to have changed anything, and leaves it told who had."""
    asked = make_wanted({**ASKED, "role": "owner", "resources": {"cpu_cores": 4.0, "disk_gb": 20}}, managed_by="admin")
    changed = first().with_wanted(asked, "job-2")
    assert changed.changed_by("job-2") == ("resources.cpu_cores", "role")
    assert (changed.generation, changed.changed_by("job-1")) == (2, ())
    assert changed.with_wanted(asked, "job-3") == changed
    again = Spec.read(changed.render())
    assert again.with_wanted(asked, "job-2").changed_by("job-2") == ("resources.cpu_cores", "role"), "a repeat"


def test_two_changes_of_one_job_are_told_together() -> None:
    owner = make_wanted({**ASKED, "role": "owner"}, managed_by="admin")
    changed = first().with_wanted(owner, "job-2").with_suspended("job-2", suspended=True)
    assert list_changed([changed, first()], "job-2") == ("role", "suspended")


def test_a_claim_of_before_knows_of_no_change() -> None:
    old = Spec.read('{"version": 1, "wanted": {"role": "x", "subjects": [], "managed_by": "y"}}')
    assert old.changed_by("job-1") == ()
    assert old.with_suspended("job-1", suspended=True).changed_by("job-1") == ("suspended",)
