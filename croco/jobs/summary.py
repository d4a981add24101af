"""What became of a sweep's jobs, as a table, and where they failed."""

from __future__ import annotations

from pathlib import Path

from croco.evals.comparing.stored import SEEDS
from croco.jobs.outcomes import Outcome
from croco.show.tables import Table

LAST_LINES = 3  # of a traceback: where, what stands there, why


def told_apart(jobs: list[Outcome]) -> tuple[list[list[str]], list[str]]:
    """(words that tell each job from the others, words that all have)."""
    shared = set.intersection(*(set(job.overrides) for job in jobs)) if len(jobs) > 1 else set()
    return [[w for w in job.overrides if w not in shared] for job in jobs], [
        w for w in jobs[0].overrides if w in shared
    ]


def names(jobs: list[Outcome]) -> list[str]:
    """Short ones: what a group chooses stands for itself (`method=dpo` is `dpo`), and seeds tell no job from another."""
    found = []
    for words in told_apart(jobs)[0]:
        kept = [word for word in words if word.partition("=")[0] not in SEEDS]
        short = [word.partition("=")[2] if word.partition("=")[0].isalnum() else word for word in kept]
        found.append(" ".join(short) or "tuned")
    return found


def table(name: str, jobs: list[Outcome]) -> Table:
    """A row per job: the words that tell it from the others, and what became of it."""
    words_of, fixed = told_apart(jobs)
    rows = []
    for job, own in zip(jobs, words_of, strict=True):
        words = " ".join(own) or "(the defaults)"
        report = Path(job.report).name if job.report is not None else None
        rows.append((words, job.metric, job.state, report, Path(job.folder).name, job.failure or ""))
    note = f"The same in all: {' '.join(fixed)}" if fixed else ""
    return Table(f"Sweep {name}", ("job", "metric", "state", "report", "log", "failure"), rows, note)


def traces(jobs: list[Outcome]) -> list[str]:
    """The traceback of each defect, in Markdown."""
    return [
        f"`{' '.join(job.overrides)}`, in {job.folder}\n\n```\n{job.trace}```" for job in jobs if job.trace is not None
    ]


def last_lines(jobs: list[Outcome]) -> list[str]:
    """Where each defect happened; equal ones once."""
    ends = ["\n".join(job.trace.splitlines()[-LAST_LINES:]) for job in jobs if job.trace is not None]
    return list(dict.fromkeys(ends))
