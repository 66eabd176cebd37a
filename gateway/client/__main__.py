"""`python -m gateway.client`, the entry point of everest-bootstrap."""

import sys

from gateway.client.commands import main

if __name__ == "__main__":
    sys.exit(main())
