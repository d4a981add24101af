"""torch's launcher, which ends with the process that called it, and its workers with it."""

from __future__ import annotations

from croco.artifacts import processes


def main() -> None:
    processes.end_with_parent()
    from torch.distributed.run import main as launch

    launch()


if __name__ == "__main__":
    main()
