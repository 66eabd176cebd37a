"""The list of jobs, in the order of their last change."""
