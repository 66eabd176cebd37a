"""Whether a handler can do its work: tools, cluster, rights."""
