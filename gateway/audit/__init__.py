"""The audit: who asked for what, when, and what came of it."""
