"""The date that chat templates are told which ask for one (`strftime_now`): the same for a run's whole life.

A template that asked the clock would make other ids tomorrow. So an artifacts folder has one date, that of its first artifact
with such a template; it stands in the file `DATE` there, and in the addresses of what was made with it.
"""

from __future__ import annotations

import datetime
import json
import os
import re
from pathlib import Path

import filelock

from croco.artifacts.files import write_atomically
from croco.errors import UserError

ASKS = "strftime_now"
CALL = re.compile(r"strftime_now\(\s*(['\"])(.*?)\1\s*\)")
FILE = "DATE"
VARIABLE = "CROCO_DATE"  # of the processes that this one starts

_keep_in: Path | None = None


def begin(given: str | None, root: Path) -> None:
    """From here on templates are told this date; with None that of the artifacts folder, which gets one when it is asked for.

    Raises:
        UserError: it is no date.
    """
    global _keep_in
    file = root / FILE
    found = given or (file.read_text(encoding="utf-8").strip() if file.is_file() else None)
    where = "date" if given else str(file)
    _keep_in = None if found else root
    today = datetime.date.today().isoformat()
    os.environ[VARIABLE] = _checked(found or today, where)


def _checked(said: str, where: str) -> str:
    try:
        return datetime.date.fromisoformat(said).isoformat()
    except ValueError:
        raise UserError(f"{where}: '{said}' is no date; write it as 2026-11-27") from None


def date() -> str:
    """As in `begin`, YYYY-MM-DD; without it today's."""
    global _keep_in
    if _keep_in is not None:
        file, _keep_in = _keep_in / FILE, None
        file.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(file.with_name(".folders.lock")):
            if not (file.is_file() and file.read_text(encoding="utf-8").strip()):  # else another process was first
                write_atomically(file, os.environ[VARIABLE] + "\n")
        os.environ[VARIABLE] = _checked(file.read_text(encoding="utf-8").strip(), str(file))
    return os.environ.get(VARIABLE) or datetime.date.today().isoformat()


def strftime_now(form: str) -> str:
    """What a template calls."""
    return datetime.date.fromisoformat(date()).strftime(form)


def told() -> dict[str, str]:
    """What processes on other machines are to have in their environment."""
    return {VARIABLE: os.environ[VARIABLE]} if os.environ.get(VARIABLE) else {}


def written_out(template: str) -> str:
    """A template that no longer asks, for tools that would answer with today: its calls are what they give."""
    return CALL.sub(lambda call: json.dumps(strftime_now(call[2]), ensure_ascii=False), template)
