"""One process of a training run that is spread over several; started by `launch.command`, never by hand."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch.distributed as dist

from croco.artifacts import processes, refusals
from croco.errors import UserError
from croco.models import devices
from croco.training import fit, handover


def main() -> None:
    """Train as one of several; exit code 2 for bad input, whose line torch's launcher passes on."""
    processes.end_with_parent()
    devices.take(int(os.environ["LOCAL_RANK"]))  # before anything is built or loaded
    print(f"process {os.environ.get('RANK', 0)}: device {devices.mine}", flush=True)
    config, material, folder, store = handover.read(Path(sys.argv[1]))
    try:
        with refusals.told(store):
            fit.fit(config, material, folder, store, note=lambda row: None, say=lambda line: None)
            tell_peak(Path(sys.argv[1]))
    except UserError as error:
        print(f"croco: {error}", flush=True)
        sys.exit(2)
    leave()


def tell_peak(job: Path) -> None:
    """Leave what the process with the most held of its device; the first process writes it."""
    peaks: list[int] = [0] * dist.get_world_size()
    dist.all_gather_object(peaks, devices.peak())
    if dist.get_rank() == 0:
        (job / handover.PEAK).write_text(str(max(peaks)), encoding="utf-8")


def leave() -> None:
    """End what connects the processes before the interpreter goes: gloo's threads abort one that does not wait for them."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()  # none leaves while another still writes to it
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
