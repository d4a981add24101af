"""axe-core, Deque's checker of what people with other eyes and hands can use; fetched when first asked for, never kept here."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from tests.support.browser import Tab

VERSION = "4.14.1"
KEPT = Path(tempfile.gettempdir()) / f"croco-axe-core-{VERSION}" / "axe.min.js"
PATIENCE = 60  # seconds


def program() -> str | None:
    """Its text, from npm; None where that does not answer."""
    npm = shutil.which("npm")
    if not KEPT.is_file():
        if npm is None:
            return None
        with tempfile.TemporaryDirectory() as folder:
            fetch = [npm, "pack", f"axe-core@{VERSION}", "--silent", "--pack-destination", folder]
            try:
                subprocess.run(fetch, check=True, capture_output=True, timeout=PATIENCE)
            except (subprocess.SubprocessError, OSError):
                return None
            with tarfile.open(next(Path(folder).glob("*.tgz"))) as package:
                text = package.extractfile("package/axe.min.js").read()  # type: ignore[union-attr]
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_bytes(text)
    return KEPT.read_text(encoding="utf-8")


def violations(tab: Tab, text: str) -> list[str]:
    """What it finds on the open page: rule, what is wrong, where."""
    tab.tell("(() => { document.querySelectorAll('details').forEach(d => { d.open = true; }); })()")
    tab.call("Runtime.evaluate", expression=text)
    run = "axe.run(document, { resultTypes: ['violations'] }).then(found => JSON.stringify(found.violations))"
    made: dict[str, Any] = tab.call("Runtime.evaluate", expression=run, awaitPromise=True, returnByValue=True)
    return [
        f"{one['id']}: {node['failureSummary']} ({node['html'][:200]})"
        for one in json.loads(made["result"]["value"])
        for node in one["nodes"]
    ]
