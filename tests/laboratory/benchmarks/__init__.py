"""Ratios measured side by side: `make bench` prints all of them, `make bench ROW=submit` one row.

Every figure compares two things in one run, in turn, on the same machine, and is the median of its rounds: what a
machine does alone says little. Processes are real: nats-server with `sync_interval: always`, gateways, handlers.
"""
