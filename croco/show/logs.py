"""A run's own log: without secrets, without signs that act on a reader's terminal, and never the end of what it tells of.

Both classes are named by conf/hydra/job_logging/croco.yaml.
"""

from __future__ import annotations

import logging
import sys

from croco.show import secrets
from croco.show.visible import visible


class Plain(logging.Formatter):
    """Formats as usual, then masks and writes out; tracebacks too."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(secrets.masked(super().format(record)), lines=True)


class File(logging.FileHandler):
    """That it cannot be written, as on a full disk, is said once, in one line; logging prints a traceback each time."""

    told = False

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self.told:
            self.told = True
            print(f"croco: warning: {self.baseFilename}: cannot be written ({error.strerror})", file=sys.stderr)
