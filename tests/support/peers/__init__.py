"""Who is at the other end in tests: callers on NATS, receivers of what is told, and what stands in between."""
