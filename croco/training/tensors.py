"""Files of tensors that training leaves to itself: whole or not at all, beside what they replace, and read as weights alone.

Lightning writes a checkpoint to the folder of temporary files and moves it: a copy where that is another disk, which a kill or a
full disk leaves in parts, under the name of the last whole one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from croco.artifacts.files import whole


def save(what: Any, path: Path) -> None:
    """Write what `torch.load` reads.

    Raises:
        OSError: it cannot be written; what was there before still is.
    """
    with whole(path) as temporary:
        try:
            with temporary.open("wb") as file:
                torch.save(what, file)
        except RuntimeError as error:  # torch's own, of the bytes that are lacking, in the place of why
            raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None


class Checkpoints(TorchCheckpointIO):
    """As Lightning's, written by `save`."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """See Lightning."""
        save(checkpoint, Path(path))
