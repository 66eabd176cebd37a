"""The simulated Everest: a small Kubernetes API that the real kubectl talks to, and an everestctl on top of it.

`apiserver/` is the Kubernetes of it, `cluster` and `controllers` what lives in it, `tests/everestctl` the CLI, whose
launcher is in `bin/`. By hand: `python -m tests.simulator --everest-version 1.16.2` writes a kubeconfig and prints what
else is needed; `--everestctl-version` is the CLI's, where it is another (EVERESTCTL_VERSION in its environment wins).

What is to go wrong is asked for with `SimulatedEverest.set_faults(name=value, …)`, or POSTed as JSON to `/faults` of
the control address. Each call replaces the faults of the one before; settings stay.

Settings: `job_seconds`, `termination_seconds`, `database_seconds`, `engine_seconds` (see Cluster), `everest_version`
(an upgrade of server and CLI), `everestctl_version` (the CLI alone).

Of the cluster:
- `unreachable`: connections are refused. `unauthorized`: every answer is 401.
- `conflicts={name: count}`: so many writes of that object are told that somebody was faster.
- `denials=[{resource, verb?, name?, policy, binding?, message}]`: a ValidatingAdmissionPolicy; `{resource, webhook}`: a
  webhook that is away. `name` is a glob.
- `kubernetes_version="v1.25.0"`: of `/version`; charts want 1.27.
- `job_hangs`, `job_fails=count`: the Job that installs operators. `removal_job_hangs`, `removal_job_fails=count`: the
  one that takes them away.
- `namespace_stays`: namespaces stay Terminating. `databases_stay`: operators take no finalizer off; one that is not
  `everest.percona.com/…` nobody ever does.
- `no_version_service`: operators are installed and engines offer no versions; a text is the engine's status meanwhile.

Of every everestctl, or those that begin with the words of `only`, `times` times:
- `slow_seconds`, `hang`, `binary_output`, `output_bytes`, `fail={exit_code, stdout, stderr}`.
- `race_seconds`: between look and act; `write_race_seconds`: between the last read of the accounts and their write.
  `holds="race"`, `"write_race"` or `"poll"` (before each look of a removal at what it waits for): there as long as the
  fault lasts, see SimulatedEverest.wait_until_held.
- `chart_unreachable`: the chart's repository. `invalid_ownership`: the chart meets objects of another release.
- `removal_limit_seconds`: instead of the 900 and 300 seconds that `namespaces remove` waits; `poll_seconds`: instead of
  0.05 between its looks, which are 5 seconds apart in earnest.
- `cli_version`: of this run.
"""

from tests.simulator.effects import overlaps
from tests.simulator.running import SimulatedEverest, simulated_everest

__all__ = ["SimulatedEverest", "overlaps", "simulated_everest"]
