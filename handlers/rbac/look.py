"""A look at the policy that the cluster holds."""

from contracts.codes import CODES, Nature
from handlers.rbac.stored_policy import NAME, NAMESPACE, NoPolicy, StoredPolicy
from handlers.results import StepFailed
from handlers.tools.kubectl import Kubectl

_NOTHING = StoredPolicy("", (), False, None)


async def read_policy(kubectl: Kubectl) -> tuple[StoredPolicy, str]:
    """The policy that the cluster holds, or nothing and a warning that says why it was not seen. Raises StepFailed.

    A command of EVEREST_RBAC_APPLY_CMD may hold rights that the handler does not, or keep the policy elsewhere.
    """
    try:
        return StoredPolicy.of(await kubectl.get("configmap", NAME, NAMESPACE)), ""
    except NoPolicy as error:
        return _NOTHING, str(error)
    except StepFailed as error:
        if CODES[error.failure.code].nature is not Nature.PERMANENT:
            raise
        return _NOTHING, f"Whose lines the policy holds could not be seen: {error.failure.message}"
