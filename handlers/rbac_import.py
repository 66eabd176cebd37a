"""`python -m handlers.rbac_import`, the entry point of everest-rbac-import."""

import sys

from handlers.rbac.importer import main

if __name__ == "__main__":
    sys.exit(main())
