"""`namespaces add` and `update`: both install or upgrade the chart's release."""

import os
import sys
from functools import partial
from typing import TYPE_CHECKING

from tests.everestctl.errors import ApiError, Failed
from tests.everestctl.kube.api import Api
from tests.everestctl.namespaces.helm import install
from tests.everestctl.namespaces.names import find_namespace, is_managed, read_names
from tests.everestctl.namespaces.operators import OPERATORS, list_subscriptions
from tests.everestctl.namespaces.steps import run_steps
from tests.everestctl.version import check_everest

if TYPE_CHECKING:
    from tests.everestctl.arguments import Flags
    from tests.everestctl.context import Context

_REPOSITORY = "https://percona.github.io/percona-helm-charts/"
_NO_CHART = "could not initialize Helm installer: failed to resolve Helm chart: "


def add(context: "Context", flags: "Flags", text: str) -> None:
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
    _provision(context, api, names, _read_operators(flags), "Provisioning database namespace")


def update(context: "Context", flags: "Flags", text: str) -> None:
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
    _provision(context, api, names, operators, "Updating database namespace")


def _read_operators(flags: "Flags") -> list[str]:
    wanted = {name: flags[f"operator.{name}"] for name in OPERATORS}
    if flags.given_last == "operator.mysql":
        wanted["xtradb-cluster"] = flags["operator.mysql"]
    return [name for name, is_wanted in wanted.items() if is_wanted]


def _warn_of_removal(api: Api, names: list[str], operators: list[str]) -> None:
    for name in names:
        present = {sub["metadata"]["name"] for sub in list_subscriptions(api, name)}
        if any(operator.package in present for flag, operator in OPERATORS.items() if flag not in operators):
            sys.stdout.write("⚠️  Removal of an installed operator is not supported. Proceeding without removal.\n")


def _provision(context: "Context", api: Api, names: list[str], operators: list[str], title: str) -> None:
    if not operators:
        raise Failed("no operators selected for installation. Minimum one operator must be selected")
    check_everest(api)
    _detect_environment(api)
    context.console.log("Detected Kubernetes environment: generic", "namespaces/add.go:255", "namespace-adder")
    run_steps(
        context,
        "namespace-adder",
        [(f"{title} '{name}'", partial(_install, context, api, name, operators)) for name in names],
    )


def _install(context: "Context", api: Api, name: str, operators: list[str]) -> None:
    _resolve_chart(context)
    install(context, api, name, operators)


def _detect_environment(api: Api) -> None:
    try:
        api.get("/api/v1/namespaces/openshift-marketplace")
        api.call("GET", "/apis/storage.k8s.io/v1/storageclasses")
    except ApiError as error:
        raise Failed(f"failed to detect Kubernetes environment: failed to detect cluster type: {error}") from None


def _resolve_chart(context: "Context") -> None:
    folder = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("HOME") and os.path.join(os.environ["HOME"], ".cache"))
    if not folder:
        raise Failed(_NO_CHART + "neither $XDG_CACHE_HOME nor $HOME are defined")
    if context.faults.get("chart_unreachable"):
        raise Failed(
            f'{_NO_CHART}looks like "{_REPOSITORY}" is not a valid chart repository or cannot be reached: '
            f'Get "{_REPOSITORY}index.yaml": dial tcp: lookup percona.github.io: no such host'
        )
