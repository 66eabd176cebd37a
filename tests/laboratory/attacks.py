"""`make attack`: runs every attack that must fail, and prints what came of each.

An attack is one or more tests; it is repelled when all of them pass. A test of their own keeps the names true.
"""

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INTEGRATION = "tests/integration"

# What is tried, and the tests that try it: file and name.
ATTACKS: dict[str, tuple[tuple[str, str], ...]] = {
    "a publisher changes what another manages": (
        (f"{INTEGRATION}/bootstrap/test_rights.py", "test_a_publisher_changes_its_own_tenants_alone"),
        (
            f"{INTEGRATION}/bootstrap/test_rights.py",
            "test_a_claim_of_the_first_version_is_managed_by_whoever_asked_for_it",
        ),
    ),
    "an old job is retried upon another's tenant": tuple(
        (f"{INTEGRATION}/bootstrap/test_retries.py", name)
        for name in (
            "test_a_namespace_that_is_anothers_by_now_is_left_alone",
            "test_a_tenant_that_was_suspended_or_given_to_another_is_left_alone",
            "test_what_was_declared_since_is_not_overwritten",
        )
    ),
    "a publisher names somebody as its tenant, for his account": (
        (
            f"{INTEGRATION}/tenants/test_accounts_of_others.py",
            "test_onboarding_somebody_is_no_way_into_his_account",
        ),
    ),
    "a publisher adopts a stranger's namespace": (
        (f"{INTEGRATION}/bootstrap/test_workflow.py", "test_who_has_but_its_own_tenants_adopts_nothing"),
        (f"{INTEGRATION}/bootstrap/test_workflow.py", "test_a_namespace_that_appears_meanwhile_is_not_adopted_either"),
    ),
    "a publisher has deleted what an administrator adopted for it": (
        (
            f"{INTEGRATION}/offboarding/test_offboarding.py",
            "test_a_publisher_takes_away_nothing_that_was_there_before_it",
        ),
    ),
    "an old offboarding is retried upon who came back": (
        (
            f"{INTEGRATION}/offboarding/test_offboarding.py",
            "test_an_old_offboarding_does_not_take_away_what_was_declared_since",
        ),
    ),
    "a key with scopes cancels and retries the jobs of others": (
        (f"{INTEGRATION}/gateway/http/test_keys.py", "test_a_key_with_scopes_changes_its_own_jobs_alone"),
    ),
    "a tenant is named like somebody's role": (
        (f"{INTEGRATION}/bootstrap/test_rights.py", "test_a_role_that_is_somebodys_is_not_taken_over"),
        (f"{INTEGRATION}/bootstrap/test_rights.py", "test_a_publisher_is_given_nobodys_name_and_nobodys_role"),
    ),
    "two tenants race for one namespace": (
        (f"{INTEGRATION}/bootstrap/test_retraction.py", "test_of_two_tenants_who_want_one_namespace_one_gets_it"),
        (f"{INTEGRATION}/bootstrap/test_retraction.py", "test_a_loser_that_dies_leaves_no_account_and_no_word_of_one"),
    ),
    "connections that send nothing, up to the limit of files": (
        (f"{INTEGRATION}/gateway/http/test_front_door.py", "test_a_crowd_that_sends_little_makes_room"),
        (
            f"{INTEGRATION}/gateway/http/test_front_door.py",
            "test_where_all_wait_the_reserve_answers_health_and_a_key_holder",
        ),
        (f"{INTEGRATION}/gateway/http/test_front_door.py", "test_silence_ends"),
    ),
    "endless and oversized headers": (
        (f"{INTEGRATION}/gateway/http/test_front_door.py", "test_a_header_section_has_a_limit"),
        (f"{INTEGRATION}/gateway/http/test_front_door.py", "test_endless_headers_are_not_kept"),
        (f"{INTEGRATION}/gateway/http/test_front_door.py", "test_unfinished_headers_have_a_limit_in_all"),
    ),
    "a body that drips, an answer that is not taken": (
        (f"{INTEGRATION}/gateway/http/test_front_door.py", "test_a_body_that_drips_after_its_answer_ends"),
        (f"{INTEGRATION}/gateway/http/test_front_door.py", "test_who_does_not_take_the_answer_is_left"),
    ),
    "odd but legal, and illegal requests": ((f"{INTEGRATION}/gateway/http/test_http.py", "test_an_odd_request"),),
    "twisted paths, by every method": (
        (f"{INTEGRATION}/gateway/http/test_paths.py", "test_a_twisted_path_leads_nowhere"),
        (f"{INTEGRATION}/gateway/http/test_pages.py", "test_nothing_else_is_served"),
    ),
    "forged cursors": (
        ("tests/unit/gateway/test_cursors.py", "test_what_is_no_cursor"),
        ("tests/unit/gateway/test_cursors.py", "test_any_bytes_are_refused_or_read"),
        (f"{INTEGRATION}/gateway/test_listing.py", "test_a_bad_parameter_is_refused"),
    ),
    "markup in every field": (
        (f"{INTEGRATION}/gateway/http/test_pages.py", "test_markup_stays_text"),
        (f"{INTEGRATION}/gateway/http/test_pages.py", "test_the_page_makes_nothing_of_markup"),
        (f"{INTEGRATION}/gateway/http/test_pages.py", "test_the_policy_is_strict"),
    ),
    "a full temporary folder": (
        (f"{INTEGRATION}/handlers/test_check.py", "test_a_full_temporary_folder_is_a_problem"),
        ("tests/unit/rbac/test_scratch.py", "test_the_step_waits_for_space"),
        ("tests/unit/rbac/test_scratch.py", "test_the_import_waits_for_space"),
    ),
    "somebody on the machine talks to the embedded NATS": (
        (f"{INTEGRATION}/service/test_standalone.py", "test_nobody_on_the_machine_comes_into_its_nats"),
        (f"{INTEGRATION}/nats/test_permissions.py", "test_nobody_comes_in_without_credentials"),
    ),
    "a publisher pulls, acknowledges or makes what is another's": (
        (f"{INTEGRATION}/nats/test_events.py", "test_a_publisher_reaches_no_consumer_but_its_own"),
        (f"{INTEGRATION}/nats/test_events.py", "test_what_is_pulled_for_somebody_else_arrives_nowhere"),
        (f"{INTEGRATION}/nats/test_events.py", "test_an_acknowledgement_ends_nothing_of_anothers"),
    ),
    "somebody writes over an entry of the audit": (
        (f"{INTEGRATION}/gateway/test_audit.py", "test_nobody_publishes_over_an_entry"),
    ),
    "a reply subject makes an answer act, or write": (
        (f"{INTEGRATION}/nats/test_replies.py", "test_no_answer_acts"),
        (f"{INTEGRATION}/nats/test_replies.py", "test_an_operators_answers_stay_in_its_account"),
        (f"{INTEGRATION}/nats/test_permissions.py", "test_a_reply_subject_overwrites_nothing"),
    ),
    "subjects that are not one's own": (
        (f"{INTEGRATION}/nats/test_permissions.py", "test_nobody_listens_to_others"),
        (f"{INTEGRATION}/nats/test_permissions.py", "test_nobody_sends_what_is_not_his"),
        (f"{INTEGRATION}/nats/test_permissions.py", "test_an_account_cannot_import_what_is_anothers"),
    ),
    "headers of a publisher: time to live, roll-up, batches, schedules": (
        (f"{INTEGRATION}/nats/test_permissions.py", "test_headers_of_a_publisher_harm_nobody"),
    ),
    "messages that are poison": (
        (f"{INTEGRATION}/handlers/test_poison.py", "test_a_request_with_any_headers_is_a_job"),
        (f"{INTEGRATION}/handlers/test_poison.py", "test_a_body_that_is_no_request_ends_as_a_failed_job"),
        (f"{INTEGRATION}/handlers/test_poison.py", "test_any_bytes_at_all_block_nobody"),
        (f"{INTEGRATION}/handlers/test_poison.py", "test_another_request_under_a_taken_id_is_a_dead_letter"),
    ),
    "a record of a later version": (
        (f"{INTEGRATION}/gateway/test_jobs.py", "test_a_record_of_a_later_version_is_shown_as_it_is"),
        (f"{INTEGRATION}/gateway/test_interventions.py", "test_what_a_later_version_wrote_is_shown_and_left_alone"),
    ),
    "a record that nobody can read": (
        (
            f"{INTEGRATION}/gateway/test_reconciler.py",
            "test_a_record_that_nobody_can_read_keeps_nobody_from_being_healed",
        ),
        (f"{INTEGRATION}/gateway/test_live.py", "test_who_waits_hears_of_a_record_that_nobody_can_count"),
    ),
    "one tenant's crowd in the queue": (
        (f"{INTEGRATION}/handlers/test_tenants.py", "test_each_begins_when_the_one_before_has_ended"),
        (f"{INTEGRATION}/handlers/test_tenants.py", "test_a_parked_job_is_queued_waits_and_can_be_cancelled"),
    ),
    "a full volume under NATS": ((f"{INTEGRATION}/gateway/test_outage.py", "test_a_full_volume_is_seen"),),
    "a full bucket": (
        (f"{INTEGRATION}/handlers/test_jobs.py", "test_a_full_bucket_starts_nothing_and_still_ends_what_runs"),
        (f"{INTEGRATION}/nats/test_link.py", "test_a_full_bucket_takes_a_value_again_at_every_revision"),
    ),
    "another spelling of a job's id": (
        (f"{INTEGRATION}/bootstrap/test_workflow.py", "test_another_spelling_of_a_job_id_reaches_nobodys_secret"),
    ),
    "an older handler beside a newer gateway": (
        (f"{INTEGRATION}/gateway/test_jobs.py", "test_what_an_older_handler_refused_is_known_under_its_key"),
    ),
    "a key that was removed, a broken line beside it": (
        ("tests/unit/gateway/test_keys.py", "test_a_key_that_was_removed_is_removed"),
        (
            "tests/unit/gateway/test_keys.py",
            "test_unbroken_lines_count_and_the_broken_one_is_told_after_a_while",
        ),
        (f"{INTEGRATION}/gateway/http/test_keys.py", "test_wrong_keys_are_slowed_and_counted"),
    ),
    "a removed address, a broken row beside it": (
        ("tests/unit/gateway/test_webhooks.py", "test_a_row_that_cannot_be_used_is_named_and_the_others_count"),
        ("tests/unit/gateway/test_webhooks.py", "test_of_a_file_that_cannot_be_read_nothing_counts"),
        (f"{INTEGRATION}/gateway/test_webhooks.py", "test_a_gateway_keeps_to_its_file"),
    ),
    "waiting for other imports, also of a frozen cluster": (
        (f"{INTEGRATION}/rbac/test_importer.py", "test_who_only_waited_for_others_has_not_failed"),
        (f"{INTEGRATION}/rbac/test_importer.py", "test_imports_into_another_cluster_are_not_waited_for"),
    ),
    "a flood of status requests": (("tests/unit/gateway/test_fair_queue.py", "test_accounts_take_turns"),),
    "kill -9 of handler and guard at once": (
        (
            f"{INTEGRATION}/handlers/test_guard.py",
            "test_a_handler_and_a_guard_killed_at_once_take_the_command_along",
        ),
    ),
    "a command that the memory limit kills": (
        ("tests/unit/handlers/tools/test_failures.py", "test_somebody_elses_signal_is_told_from_our_own"),
    ),
    "clocks that go back": (
        ("tests/unit/gateway/test_rate_limit.py", "test_a_window_moves"),
        ("tests/unit/handlers/test_clock.py", "test_a_job_never_ends_before_it_began"),
    ),
    "callers that leave": ((f"{INTEGRATION}/gateway/test_live.py", "test_a_wait_ends_with_its_connection"),),
    "names that YAML could read as something else": (
        (
            f"{INTEGRATION}/simulator/test_lifecycle.py",
            "test_names_that_mean_something_in_yaml_are_held_like_any_other",
        ),
    ),
    "a handler's token, for binding the tenant role to somebody else": (
        (
            f"{INTEGRATION}/bootstrap/test_least_privilege.py",
            "test_whoever_takes_the_handlers_token_can_bind_the_tenant_role_to_nobody_else",
        ),
    ),
    "a stranger, or another demo, where the demo starts": (
        (f"{INTEGRATION}/service/test_demo.py", "test_whoever_listens_on_the_port_gets_no_job_and_no_key"),
        (f"{INTEGRATION}/service/test_demo.py", "test_a_second_demo_in_the_folder_touches_nothing"),
    ),
}


def main() -> int:
    tests = sorted({f"{file}::{name}" for row in ATTACKS.values() for file, name in row})
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = ["-q", "-m", "slow or not slow", "-o", "junit_family=xunit2", f"--junitxml={report}"]
        subprocess.run([sys.executable, "-m", "pytest", *options, *tests], cwd=ROOT, check=False)
        outcomes = read_outcomes(report)
    width = max(map(len, ATTACKS))
    results = {attack: judge(outcomes, row) for attack, row in ATTACKS.items()}
    for attack, result in results.items():
        print(f"{attack:<{width}}  ->  {result}")
    return 0 if set(results.values()) <= {"repelled", "passed over"} else 1


def read_outcomes(report: Path) -> dict[str, set[str]]:
    """For each test, by module and name, what came of all its cases."""
    outcomes: dict[str, set[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}.{(case.get('name') or '').partition('[')[0]}"
        kinds = {child.tag for child in case} & {"failure", "error", "skipped"}
        outcomes.setdefault(name, set()).update(kinds or {"passed"})
    return outcomes


def judge(outcomes: dict[str, set[str]], row: Iterable[tuple[str, str]]) -> str:
    """A test that did not run repels nothing."""
    kinds: set[str] = set()
    for file, name in row:
        kinds |= outcomes.get(f"{file.removesuffix('.py').replace('/', '.')}.{name}", {"missing"})
    if kinds & {"failure", "error", "missing"}:
        return "NOT REPELLED"
    return "repelled" if "passed" in kinds else "passed over"


if __name__ == "__main__":
    sys.exit(main())
