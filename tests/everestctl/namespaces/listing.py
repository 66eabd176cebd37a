"""`namespaces list`: fails as a whole for one namespace that is not ready."""

from __future__ import annotations

from tests.everestctl.errors import ApiError, Failed
from tests.everestctl.namespaces.names import RESERVED, is_managed
from tests.everestctl.namespaces.operators import describe_installed
from tests.everestctl.output import print_table
from tests.everestctl.version import check_everest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.everestctl.arguments import Flags
    from tests.everestctl.context import Context


def show(context: Context, flags: Flags) -> None:
    api = context.open_api()
    check_everest(api)
    rows = []
    selector = "" if flags["all"] else "&labelSelector=app.kubernetes.io%2Fmanaged-by%3Deverest"
    for namespace in api.list(f"/api/v1/namespaces?fieldSelector=status.phase%3DActive{selector}"):
        name = namespace["metadata"]["name"]
        if name in RESERVED or name.startswith("kube-"):
            continue
        try:
            operators = describe_installed(api, name) if is_managed(namespace) else ""
        except (Failed, ApiError) as error:
            raise Failed(f"cannot get namespace subscriptions: {error}") from None
        rows.append([name, str(bool(operators)).lower(), operators])
    print_table(["NAMESPACE", "MANAGED", "OPERATORS"], rows)
