"""A new password for a tenant's account: kept before it is set, proved before the old one goes."""
