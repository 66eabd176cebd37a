"""Warnings that say something of the deployment rather than of the job: true of each of its jobs, told once."""

# How they begin. A record keeps the text alone, so that is what they are known by, in every version.
NOTICES = (
    "EVEREST_RBAC_APPLY_CMD is not set: no role was bound",
    "Everest enforces no RBAC",
    "The quota is below Everest's smallest preset",
)


def is_notice(warning: str) -> bool:
    return warning.startswith(NOTICES)
