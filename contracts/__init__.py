"""What the gateway, the handlers and other services agree on. Pure: no I/O, no clock, no environment."""

__version__ = "0.2.0"
