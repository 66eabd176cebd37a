"""HTTP in, JetStream out."""
