"""From one command to a process for each GPU that the job was given.

`msdd` starts them itself, so that the rules of the workflow stay one command: on one host by
torchrun's agent, on several hosts of a SLURM job by srun and an agent on each.
"""

import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid

from msdd.errors import MsddError
from msdd.pipeline import gpus
from msdd.pipeline.stop import EXIT, Stopped

RENDEZVOUS = "MSDD_RENDEZVOUS"  # host:port, for the agents on the hosts of a job
PR_SET_PDEATHSIG = 1  # of linux/prctl.h
PATIENCE = 5  # seconds
AGAIN = "the same command goes on from the last checkpoint"


def spread(arguments: list[str]) -> bool:
    """Run `msdd ARGUMENTS` in a process for each GPU of the job; False if this process is enough.

    MSDD_GPUS says how many GPUs the job has, on all its hosts together; SLURM, how many hosts.
    Raises MsddError that names the process which failed. Does not return where srun takes over.
    """
    if "RANK" in os.environ:
        end_with_parent()
        return False
    given, nodes = gpus.requested(), hosts()
    if given and given % nodes:
        raise MsddError(f"MSDD_GPUS={given} on {nodes} hosts: ask for as many GPUs on each")
    each = 1 if given is None else given // nodes
    gpus.lease(each)
    if nodes == 1 and each <= 1:
        return False
    if nodes > 1 and RENDEZVOUS not in os.environ:
        by_srun(arguments, nodes)
    run_agent(arguments, nodes, max(each, 1))
    return True


def end_with_parent() -> None:
    """Let Linux end this process with torchrun's agent, also one that was killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def hosts() -> int:
    """The hosts of the SLURM job around this process, else 1."""
    return int(os.environ.get("SLURM_JOB_NUM_NODES", 1))


def by_srun(arguments: list[str], nodes: int) -> None:
    """Become an srun that starts the same command once on each host of the job."""
    meeting = f"{first_host()}:{port(os.environ['SLURM_JOB_ID'])}"
    # The binding of the step around this process is not for those on other hosts.
    inherited = {n: v for n, v in os.environ.items() if not n.startswith("SLURM_CPU_BIND")}
    command = [*srun(nodes), sys.executable, "-m", "msdd", *arguments]
    os.execvpe("srun", command, inherited | {RENDEZVOUS: meeting})


def srun(nodes: int) -> list[str]:
    """The command of srun for one task a host, inside a step that holds what the job has."""
    options = ["--overlap", "--kill-on-bad-exit=1", "--ntasks-per-node=1"]
    cpus = os.environ.get("SLURM_CPUS_PER_TASK")
    options += [f"--cpus-per-task={cpus}"] if cpus else []
    return ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", *options]


def first_host() -> str:
    """The address of the first host of the SLURM job, as SLURM itself reaches it."""
    name = _scontrol("hostnames", os.environ["SLURM_JOB_NODELIST"]).split()[0]
    address = re.search(r"\bNodeAddr=(\S+)", _scontrol("node", name))
    return address[1] if address else name


def _scontrol(*what: str) -> str:
    command = ["scontrol", "show", *what]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except subprocess.CalledProcessError as error:
        raise MsddError(f"{' '.join(command)}: {error.stderr.strip()}") from error


def port(job: str) -> int:
    """A port for the job, another one for other jobs on the host."""
    return 20_000 + int(job) % 10_000


def run_agent(arguments: list[str], nodes: int, each: int) -> None:
    """Run torchrun's agent in this process until its `each` processes have finished.

    When one fails, the others are stopped. Raises MsddError that names the first that failed, and
    Stopped after a signal, which the agent has passed on to them.
    """
    os.environ["TORCHELASTIC_SIGNALS_TO_HANDLE"] = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    try:
        elastic_launch(config(nodes, each), sys.executable)("-m", "msdd", *arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode == EXIT:
            sys.exit(EXIT)  # the first process has said the rest
        raise MsddError(_failed(rank, nodes * each, failure.pid, failure.exitcode)) from None
    except SignalException as stop:
        if stop.sigval == signal.SIGINT:
            sys.exit(130)  # the first process has said the rest
        raise Stopped(f"{stop.sigval.name}: the processes were stopped") from None


def config(nodes: int, each: int):
    """What torchrun's agent needs: no second attempt, which is the workflow's business."""
    import logging

    from torch.distributed.launcher.api import LaunchConfig

    logging.disable()  # what torchrun says of a failure is said in one line
    alone = nodes == 1
    return LaunchConfig(
        min_nodes=nodes,
        max_nodes=nodes,
        nproc_per_node=each,
        run_id=str(uuid.uuid4()) if alone else os.environ["SLURM_JOB_ID"],
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0" if alone else os.environ[RENDEZVOUS],
        rdzv_configs={} if alone else {"is_host": os.environ["SLURM_NODEID"] == "0"},
        local_addr="localhost" if alone else None,
        max_restarts=0,
    )


def _failed(rank: int, size: int, pid: int, status: int) -> str:
    process = f"process {rank} of {size} (pid {pid} on {socket.gethostname()})"
    if status < 0:
        return f"{process} was ended by {signal.Signals(-status).name}; {AGAIN}"
    return f"{process} ended with exit status {status}; see its error above"


def is_first() -> bool:
    """Whether this is the only process of the command, or torchrun's first."""
    return os.environ.get("RANK", "0") == "0"


def yield_to_first() -> None:
    """Leave the word to the first process, if it has the same to say: its end ends this one."""
    if not is_first():
        time.sleep(PATIENCE)
