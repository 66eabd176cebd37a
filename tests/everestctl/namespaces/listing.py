"""`namespaces list`: fails as a whole for one namespace that is not ready."""

from typing import TYPE_CHECKING

from tests.everestctl.errors import ApiError, Failed
from tests.everestctl.namespaces.names import RESERVED, is_managed
from tests.everestctl.namespaces.operators import describe_installed
from tests.everestctl.output import print_table
from tests.everestctl.version import check_everest

if TYPE_CHECKING:
    from tests.everestctl.arguments import Flags
    from tests.everestctl.context import Context


def show(context: "Context", flags: "Flags") -> None:
    api = context.open_api()
    check_everest(api)
    rows = []
    for namespace in api.list("/api/v1/namespaces"):
        name = namespace["metadata"]["name"]
        is_hidden = "deletionTimestamp" in namespace["metadata"] or name in RESERVED or name.startswith("kube-")
        if is_hidden or (not is_managed(namespace) and not flags["all"]):
            continue
        try:
            operators = describe_installed(api, name)
        except (Failed, ApiError) as error:
            raise Failed(f"cannot get namespace subscriptions: {error}") from None
        rows.append([name, str(bool(operators)).lower(), operators])
    print_table(["NAMESPACE", "MANAGED", "OPERATORS"], rows)
