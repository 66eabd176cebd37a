"""The bootstrap of a tenant: its steps and what they look at."""
