"""The documents that describe the service, and what makes them."""
