"""CroCo: preference optimisation across languages from English preferences alone (arXiv 2605.26293).

import croco
run = croco.open("runs/report/...")    # what a finished run made: croco/exchange/library.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from croco.exchange.library import Run as Run
    from croco.exchange.library import open_run as open

__version__ = "0.1.0"
__all__ = ["Run", "__version__", "open"]


def __getattr__(name: str) -> Any:
    """`open` and `Run` when they are asked for: Arrow is not light, and `croco --help` needs none."""
    if name not in ("open", "Run"):
        raise AttributeError(f"module 'croco' has no attribute '{name}'")
    from croco.exchange import library

    return library.open_run if name == "open" else library.Run
