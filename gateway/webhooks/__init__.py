"""Webhooks: what happens to jobs, told to addresses that an operator has named."""
