"""Everest's RBAC policy: read, merged, written."""
