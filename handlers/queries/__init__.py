"""What only reads the cluster for a caller who waits."""
