"""The routes of each resource, from a request to its answer."""
