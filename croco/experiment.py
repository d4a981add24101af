"""`python -m croco.experiment NAME`: another word for `croco compare NAME`, an experiment's results."""

from __future__ import annotations

import sys

from croco.compare import main

if __name__ == "__main__":
    sys.exit(main())
