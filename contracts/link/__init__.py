"""The one link to NATS, for gateway and handlers alike. No other package imports `nats`."""
