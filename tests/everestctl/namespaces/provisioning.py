"""`namespaces add` and `update`: both install or upgrade the chart's release."""

from __future__ import annotations

import os
import sys

from tests.everestctl.errors import ApiError, Failed
from tests.everestctl.namespaces.helm import install
from tests.everestctl.namespaces.names import find_namespace, is_managed, read_names
from tests.everestctl.namespaces.operators import OPERATORS, list_subscriptions
from tests.everestctl.namespaces.steps import run_steps
from tests.everestctl.version import Version, check_everest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from functools import partial

    from tests.everestctl.arguments import Flags
    from tests.everestctl.context import Context
    from tests.everestctl.kube.api import Api
else:
    from _functools import partial  # what functools has it from

_CHART = "everest-db-namespace"
_NO_CHART = "could not initialize Helm installer: failed to resolve Helm chart: "


class _Chart:
    """Of the server's version, from the CLI's repository."""

    def __init__(self, version: Version, repository: str) -> None:
        self.version = version
        self.repository = repository


def add(context: Context, flags: Flags, text: str) -> None:
    names = read_names(text)
    api = context.open_api()
    for name in names:
        found = find_namespace(api, name)
        if is_managed(found):
            raise Failed(f"'{name}': namespace already exists and is managed by Everest")
        if found is not None and not flags["take-ownership"]:
            raise Failed(
                f"'{name}': namespace already exists. HINT: set '--take-ownership' flag to use existing namespaces"
            )
    if not flags.names_operators and not flags["skip-wizard"]:
        raise Failed("could not open a new TTY: open /dev/tty: no such device or address")
    _provision(context, api, flags, names, _read_operators(flags), "Provisioning database namespace")


def update(context: Context, flags: Flags, text: str) -> None:
    names = read_names(text)
    api = context.open_api()
    for name in names:
        if not is_managed(find_namespace(api, name)):
            raise Failed(f"'{name}': namespace is not managed by Everest")
    if not flags.names_operators:
        raise Failed("can't ask user for operators to install: interactive mode is disabled")
    operators = _read_operators(flags)
    if operators:
        _warn_of_removal(api, names, operators)
    _provision(context, api, flags, names, operators, "Updating database namespace")


def _read_operators(flags: Flags) -> list[str]:
    wanted = {name: flags[f"operator.{name}"] for name in OPERATORS}
    if flags.given_last == "operator.mysql":
        wanted["xtradb-cluster"] = flags["operator.mysql"]
    return [name for name, is_wanted in wanted.items() if is_wanted]


def _warn_of_removal(api: Api, names: list[str], operators: list[str]) -> None:
    for name in names:
        present = {sub["metadata"]["name"] for sub in list_subscriptions(api, name)}
        if any(operator.package in present for flag, operator in OPERATORS.items() if flag not in operators):
            sys.stdout.write("⚠️  Removal of an installed operator is not supported. Proceeding without removal.\n")


def _provision(context: Context, api: Api, flags: Flags, names: list[str], operators: list[str], title: str) -> None:
    if not operators:
        raise Failed("no operators selected for installation. Minimum one operator must be selected")
    chart = _Chart(check_everest(api), flags["helm.repository"] or context.version.repository)
    _detect_environment(api)
    context.console.log("Detected Kubernetes environment: generic", "namespaces/add.go:255", "namespace-adder")
    run_steps(
        context,
        "namespace-adder",
        [(f"{title} '{name}'", partial(_install, context, api, chart, name, operators)) for name in names],
    )


def _install(context: Context, api: Api, chart: _Chart, name: str, operators: list[str]) -> None:
    _resolve_chart(context, chart)
    _check_chart(context, name)
    install(context, api, name, operators)


def _detect_environment(api: Api) -> None:
    try:
        api.get("/api/v1/namespaces/openshift-marketplace")
        api.call("GET", "/apis/storage.k8s.io/v1/storageclasses")
    except ApiError as error:
        raise Failed(f"failed to detect Kubernetes environment: failed to detect cluster type: {error}") from None


def _resolve_chart(context: Context, chart: _Chart) -> None:
    """The one in the cache, whatever its content is; else it is looked for. It is never put into the cache here."""
    folder = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("HOME") and os.path.join(os.environ["HOME"], ".cache"))
    if not folder:
        raise Failed(_NO_CHART + "neither $XDG_CACHE_HOME nor $HOME are defined")
    version, repository = chart.version, chart.repository
    if os.path.exists(os.path.join(folder, "everestctl", f"{_CHART}-{version.text}.tgz")):
        return
    if context.faults.get("chart_unreachable"):
        host = repository.split("/")[2]
        raise Failed(
            f'{_NO_CHART}looks like "{repository}" is not a valid chart repository or cannot be reached: '
            f'Get "{repository}index.yaml": dial tcp: lookup {host}: no such host'
        )
    if repository != version.chart_repository:
        raise Failed(f'{_NO_CHART}chart "{_CHART}" version "{version.text}" not found in {repository} repository')


def _check_chart(context: Context, name: str) -> None:
    """The faults of a chart that does not fit the cluster."""
    kubernetes = context.faults.get("kubernetes_version")
    if kubernetes and Version(kubernetes).minor < (1, 27):
        raise Failed(f"chart requires kubeVersion: >=1.27.0-0 which is incompatible with Kubernetes {kubernetes}")
    if context.faults.get("invalid_ownership"):
        wanted = "invalid ownership metadata; annotation validation error: "
        wanted += f'key "meta.helm.sh/release-name" must equal "{name}": current value is "another"'
        raise Failed(
            f'Unable to continue with install: OperatorGroup "everest-databases" in namespace "{name}" exists and '
            f"cannot be imported into the current release: {wanted}"
        )
