"""Lines of a run's own log: without secrets, and without signs that act on the terminal of who reads it."""

from __future__ import annotations

import logging

from croco.show import secrets
from croco.show.visible import visible


class Plain(logging.Formatter):
    """Formats as usual, then masks and writes out; tracebacks too. Named by conf/hydra/job_logging/croco.yaml."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(secrets.masked(super().format(record)), lines=True)
