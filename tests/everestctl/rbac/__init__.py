"""`everestctl settings rbac …`: the policy as the real enforcer reads it, written from its recorded answers alone."""
