"""What stands around a job or a sweep on the command line: help, words that are wrong, an interrupt, the exit code."""

from __future__ import annotations

import argparse
import os
import select
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from croco.artifacts import refusals
from croco.cli import signals
from croco.errors import UserError
from croco.show import secrets
from croco.show.visible import visible

HELP = {"--help", "-h"}
UNREAD = 141  # as a shell calls a process that died of SIGPIPE
LEFT_ALONE = "nobody reads what is printed any more; the same command goes on where it stopped"
WHOLE_ERRORS = "HYDRA_FULL_ERROR"
REFUSED_BY_SLURM = "FailedJobError"  # submitit's
MOST_OF_HYDRA = 400  # characters: it lists all it knows


def command(
    name: str,
    told: str | None,
    ask: Callable[[argparse.ArgumentParser], object],
    do: Callable[[argparse.Namespace], int],
    arguments: Sequence[str] | None = None,
) -> int:
    """A command that is no job: what it asks for, what it does; returns the exit code (0, or 2 for bad input)."""
    parser = argparse.ArgumentParser(
        prog=f"croco {name}", description=told, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ask(parser)
    signals.listen()
    try:
        with refusals.told(Path.cwd()):
            return do(parser.parse_intermixed_args(arguments))
    except UserError as error:
        say(error)
        return 2
    except KeyboardInterrupt:
        signals.say(signals.said())
        return signals.code()
    except BrokenPipeError:
        if not unread():
            raise
        return 0


def say(error: object) -> None:
    """The one line of what went wrong, for a terminal: what acts on one is written out, and secrets are masked."""
    print(f"croco: {visible(secrets.masked(str(error)))}", file=sys.stderr)


def run(name: str, main: Callable[[], Any], arguments: Sequence[str]) -> int:
    """Call the Hydra function of a command, or answer in its place; returns the exit code."""
    from croco.cli import words  # Hydra stands behind it, and commands that are no jobs need none

    signals.listen()
    try:
        if HELP & set(arguments):
            print(words.help_text(name), flush=True)
            return 0
        words.check(arguments)
        return _called(main)
    except UserError as error:
        say(error)
        return 2
    except KeyboardInterrupt:
        signals.say(_interrupted())
        return signals.code()
    except BrokenPipeError:  # of the help
        unread()
        return 0


def unread() -> bool:
    """Whether nobody reads what is printed any more (`croco status | head`); then nothing is, for what is left of the process."""
    standard = select.poll()
    standard.register(1, select.POLLOUT)
    if not any(events & select.POLLERR for _, events in standard.poll(0)):
        return False
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    return True


def _called(main: Callable[[], Any]) -> int:
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    code = 0
    asked = os.environ.get(WHOLE_ERRORS)
    os.environ[WHOLE_ERRORS] = "1"  # Hydra raises what it else prints, in its own words and with code 1
    try:
        main()
    except (HydraException, OmegaConfBaseException) as error:
        if asked:
            raise
        raise UserError(" ".join(str(error).split())[:MOST_OF_HYDRA]) from None
    except Exception as error:
        if isinstance(error, BrokenPipeError) and unread():
            say(LEFT_ALONE)
            return UNREAD
        if asked:
            raise
        code = _defect(error)
    except SystemExit as ended:  # Hydra's, after it has said why; or the job's own
        code = ended.code if isinstance(ended.code, int) else 1
    sweep = _sweep()
    try:
        return code if sweep is None else max(code, sweep.close())
    except OSError as error:
        return max(code, _defect(error))


def _defect(error: Exception) -> int:
    """What nobody foresaw, in one line; the run's log has its traceback, where it had begun. Returns the exit code."""
    named, why = getattr(error, "filename", None), " ".join(str(error).split())
    if type(error).__name__ == REFUSED_BY_SLURM:
        last = (str(error).strip().splitlines() or ["no word why"])[-1]
        raise UserError(f"hydra/launcher=slurm: SLURM took no job ({last}); `sinfo` says whether it is there") from None
    if (refusal := refusals.of(error, _folder())) is not None:
        raise refusal from None
    if isinstance(error, OSError) and named is not None:
        raise UserError(f"{named}: {error.strerror}; choose another place, or mend that") from None
    say(
        f"a defect of croco's: {type(error).__name__}: {why}; its traceback is in the run's log, and with {WHOLE_ERRORS}=1 here"
    )
    return 1


def _folder() -> Path:
    """Where Hydra writes, whose errors do not say it."""
    sweep = _sweep()
    module = sys.modules.get("croco.jobs.sweep")
    return sweep.folder if sweep is not None else getattr(module, "logs", None) or Path.cwd()


def _sweep() -> Any:
    """The sweep that this process drives; where Hydra has begun none, its module, which is not light, was never loaded."""
    module = sys.modules.get("croco.jobs.sweep")
    return None if module is None else module.current


def _interrupted() -> str:
    sweep = _sweep()
    return f"{signals.said()}; the same command goes on where it stopped" if sweep is None else sweep.interrupted()
