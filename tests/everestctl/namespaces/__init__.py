"""`everestctl namespaces …`: Helm releases of one chart, whose hook Jobs do the work."""
