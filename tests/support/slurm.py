"""A SLURM of two nodes on this machine, without root, accounts or a database, where its daemons are installed."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

INSTALLED = all(shutil.which(program) for program in ("slurmctld", "slurmd", "sbatch", "scontrol"))
NODES = ("n0", "n1")
CONF = """\
ClusterName=croco
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/none
AuthInfo=cred_expire=5
CredType=cred/none
SlurmUser={user}
SlurmdUser={user}
SlurmctldPidFile={folder}/ctld.pid
SlurmctldLogFile={folder}/ctld.log
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdSpoolDir={folder}/spool.%n
StateSaveLocation={folder}/state
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
SlurmdTimeout=10
MinJobAge=3600
NodeName=n0 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=4
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=4
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=local Nodes=ALL Default=YES MaxTime=60 PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes=ALL MaxTime=60 PriorityTier=9 PreemptMode=OFF
"""
# Clusters keep accounts; this one has none to ask, and a driver that hears nothing of a killed job waits for ever.
SACCT = """\
#!{python}
import re, subprocess, sys
asked = re.split("[_.]", sys.argv[sys.argv.index("-j") + 1])[0]
said = subprocess.run(["scontrol", "-o", "show", "job", asked], capture_output=True, text=True).stdout
print("JobID|State|NodeList")
for line in said.splitlines():
    job = dict(re.findall(r"(\\w+)=(\\S*)", line))
    name = job["ArrayJobId"] + "_" + job["ArrayTaskId"] if "ArrayTaskId" in job else job["JobId"]
    print("|".join((name, job["JobState"], job.get("NodeList", ""))))
"""


def _ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which `sbatch` finds the daemons, which end with the block."""
    for name in ("state", "bin", *(f"spool.{node}" for node in NODES)):
        (folder / name).mkdir(parents=True)
    host = socket.gethostname().split(".")[0]
    conf = CONF.format(folder=folder, host=host, user=getpass.getuser(), ports=_ports(3))
    (folder / "slurm.conf").write_text(conf)
    sacct = folder / "bin" / "sacct"
    sacct.write_text(SACCT.format(python=sys.executable))
    sacct.chmod(sacct.stat().st_mode | stat.S_IXUSR)
    environment = {
        **os.environ,
        "SLURM_CONF": str(folder / "slurm.conf"),
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
    }
    commands = [["slurmctld", "-D", "-c"], *(["slurmd", "-D", "-N", node] for node in NODES)]
    daemons = [
        subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for command in commands
    ]
    try:
        _wait_until_idle(environment)
        yield environment
    finally:
        subprocess.run(["scancel", "--user", getpass.getuser()], env=environment, capture_output=True, timeout=30)
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(timeout=30)


def kill_node(environment: dict[str, str], node: str) -> int:
    """Everything that runs on a node ends at once, its daemon first; returns how many processes of jobs that were."""
    folder = Path(environment["SLURM_CONF"]).parent
    os.kill(int((folder / f"slurmd.{node}.pid").read_text()), signal.SIGKILL)
    tasks = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _runs_on(pid, environment, node)]
    watchers = {parent for parent in map(_parent, tasks) if _title(parent).startswith("slurmstepd")}
    for pid in [*watchers, *tasks]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(tasks)


def _runs_on(pid: int, environment: dict[str, str], node: str) -> bool:
    try:
        said = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return {f"SLURM_CONF={environment['SLURM_CONF']}".encode(), f"SLURMD_NODENAME={node}".encode()} <= set(said)


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def _wait_until_idle(environment: dict[str, str], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    said = ""
    while time.monotonic() < deadline:
        said = subprocess.run(["sinfo", "-h", "-N", "-o", "%T"], env=environment, capture_output=True, text=True).stdout
        if set(said.split()) == {"idle"}:
            return
        time.sleep(0.2)
    raise RuntimeError(f"SLURM did not come up: {said}")
