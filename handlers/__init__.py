"""JetStream in, commands out: the processes that do the work."""
