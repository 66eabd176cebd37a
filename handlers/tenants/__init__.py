"""Tenants as the cluster knows them: who claimed which namespace, what is wanted there, whose lines are whose."""
