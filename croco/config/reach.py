"""Whether Hugging Face's hub answers, asked once: where it does not, nothing asks again, and what this machine has is read."""

from __future__ import annotations

import functools
import os

TIMEOUT = 5.0  # seconds
HOW = "connect, name a mirror with HF_ENDPOINT, or give a folder of this machine"


@functools.cache
def missing() -> str | None:
    """Why the hub cannot be reached, with what to do; None where it can. Libraries would each try five times and say so.

    From then on this process, and those that it starts, read the cache alone.
    """
    from huggingface_hub import constants, get_session

    if not constants.HF_HUB_OFFLINE:
        try:
            get_session().head(constants.ENDPOINT, timeout=TIMEOUT)
        except Exception as error:  # of the HTTP library, of many kinds
            constants.HF_HUB_OFFLINE = True
            os.environ["HF_HUB_OFFLINE"] = "1"
            return f"{constants.ENDPOINT} cannot be reached ({' '.join(str(error).split())}); {HOW}"
        return None
    return f"HF_HUB_OFFLINE is set; unset it, or {HOW.removeprefix('connect, ')}"


def why(error: Exception) -> str:
    """What a library says of the hub, in one line: that it is out of reach, where that is so."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    offline = any(
        word in said.lower() for word in ("offline", "connection", "couldn't reach", "cannot find the requested")
    )
    return (missing() or said) if offline else said
