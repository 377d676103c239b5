"""The pipeline on a real SLURM, with what happens on clusters: `make test-slurm`.

tests/workflow/slurm.sh sets the cluster up on this machine, five nodes of two cores each.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from checkouts import RAW, at_work, end, project, results, run, start

pytestmark = pytest.mark.skipif("MSDD_SLURM" not in os.environ, reason="make test-slurm")

OFTEN = {"checkpoint_every": 32}  # after every step, so that there is a middle to be stopped in
PARAMS = RAW | {name: RAW[name] | OFTEN for name in ("stage1", "distil")}
LONG = {"images": 20 * RAW["distil"]["images"]}  # two scales begin at once and are halted in turn
LOCAL = (sys.executable, "-m", "snakemake")
# This SLURM keeps no accounts, and who tests does not wait 40 s for the state of a job.
STATUS = ("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2")
SLURM = (*LOCAL, "--workflow-profile", "profiles/slurm", *STATUS)
GPU_RULES = ("train", "distil", "chain", "evaluate", "baseline", "throughput")
CPUS = ("--set-resources", *(f"{rule}:gpu=0" for rule in GPU_RULES))


PREEMPTED = PARAMS | {"distil": PARAMS["distil"] | LONG}


@pytest.fixture
def folder(tmp_path):
    return project(tmp_path / "slurm", PARAMS)


def at(folder):
    """Jobs import the checkout's own msdd."""
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


@contextmanager
def submitting(folder, *options):
    """Snakemake at work; it ends with the block."""
    engine = start(folder, *SLURM, *options, **at(folder))
    try:
        yield engine
    finally:
        engine.kill()


def slurm(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout


def halted(engine, artefact):
    """The job of a training that has saved and now stands still: its id and its node."""
    pid = at_work(engine, artefact, since="checkpoint.pt")
    os.kill(pid, signal.SIGSTOP)
    told = Path(f"/proc/{pid}/environ").read_text().split("\0")
    seen = dict(line.partition("=")[::2] for line in told)
    return seen["SLURM_JOB_ID"], seen["SLURMD_NODENAME"]


def wait_for(condition, seconds=180):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.2)


def state(job):
    return slurm("squeue", "--noheader", "--jobs", job, "--format", "%T").strip()


def preempt(job, node):
    """A job of a partition that goes first takes the whole node."""
    urgent = ("srun", "--partition", "urgent", "--nodelist", node, "--exclusive", "true")
    with subprocess.Popen(urgent, stdout=subprocess.DEVNULL) as begun:
        wait_for(lambda: state(job) in ("PENDING", "REQUEUED"))
    assert begun.returncode == 0


def lose(node, job):
    """A node's daemon, the keepers of its job's steps and the job end at once, as without power."""
    processes = [path for path in Path("/proc").glob("[0-9]*")]
    kept = [path.name for path in processes if f"slurmstepd: [{job}." in content(path / "cmdline")]
    own = [path.name for path in processes if f"SLURM_JOB_ID={job}\0" in content(path / "environ")]
    daemon = Path(os.environ["MSDD_SLURM"], f"{node}.pid").read_text()
    for pid in (daemon, *kept, *own):
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    wait_for(lambda: "down" in slurm("sinfo", "--noheader", "--nodes", node, "--format", "%T"))


def content(file):
    try:
        return file.read_bytes().decode(errors="replace")
    except OSError:  # the process has ended
        return ""


def restarts(job):
    told = slurm("scontrol", "show", "job", job)
    return int(told.partition("Restarts=")[2].split()[0])


def test_preempted_out_of_time_and_on_a_lost_node_it_ends_with_the_same_bits(tmp_path):
    folder = project(tmp_path / "slurm", PREEMPTED)
    whole = ("--set-threads", "distil=2")  # of a node: a lost one takes one of the two jobs with it
    with submitting(folder, *whole, *CPUS, "distil:runtime=1") as engine:
        train, node = halted(engine, "runs/msdd/stage1")
        preempt(train, node)
        wait_for(lambda: restarts(train) == 1)

        late, _ = halted(engine, "runs/msdd/msdd-1step/scale0")
        lost, node = halted(engine, "runs/msdd/msdd-1step/scale1")
        lose(node, lost)
        wait_for(lambda: restarts(lost) == 1)
        slurm("slurmd", "-N", node)

        told = end(engine)
        assert f"'{late}' failed, SLURM status is: 'TIMEOUT'" in told
    for name in ("train/msdd", "distil/msdd/msdd-1step/scale0", "distil/msdd/msdd-1step/scale1"):
        assert "resuming after" in (folder / f"logs/{name}.log").read_text()
    wait_for(lambda: slurm("sinfo", "--noheader", "--nodes", node, "--format", "%T") == "idle\n")

    alone = project(tmp_path / "alone", PREEMPTED)
    run(alone, *LOCAL, "--cores", "2", "--resources", "gpu=0", **at(alone))
    assert results(folder) == results(alone)


def test_jobs_outlive_who_submitted_them_and_are_not_made_twice(folder):
    """As when the session on the login node is cut: their work is neither repeated nor removed."""
    with submitting(folder, WEIGHTS, *CPUS) as engine:
        job, _ = halted(engine, "runs/msdd/stage1")
        engine.send_signal(signal.SIGHUP)
        engine.wait()
    told = run(folder, *SLURM, WEIGHTS, *CPUS, succeeds=False, **at(folder))
    assert f"SLURM still has the jobs {job} that process" in told and f"`scancel {job}`" in told
    for process in Path("/proc").glob("[0-9]*"):
        if f"SLURM_JOB_ID={job}\0" in content(process / "environ"):
            os.kill(int(process.name), signal.SIGCONT)
    wait_for(lambda: not slurm("squeue", "--noheader", "--jobs", job, "--states=all").strip()
             or state(job) in ("", "COMPLETED"))  # fmt: skip
    made = (folder / WEIGHTS).stat()
    run(folder, *SLURM, WEIGHTS, *CPUS, **at(folder))
    assert (folder / WEIGHTS).stat().st_ino == made.st_ino


def test_two_nodes_train_one_model(tmp_path):
    """Processes of two nodes end with the bits of two processes on one."""
    params = PARAMS | {"stage1": PARAMS["stage1"] | {"microbatch": PARAMS["stage1"]["batch"] // 2}}
    apart, together = (project(tmp_path / name, params) for name in ("apart", "together"))
    more = ("--default-resources", "slurm_partition=pair", "--set-resources")
    more += ("train:gpu=2", "train:nodes=2", *ON_EACH_NODE)
    run(apart, *SLURM, WEIGHTS, *more, MSDD_DEVICE="cpu", **at(apart))
    run(together, "msdd", "prepare", **at(together))
    run(together, "msdd", "train", "msdd", MSDD_DEVICE="cpu", MSDD_GPUS="2", **at(together))
    assert (apart / WEIGHTS).read_bytes() == (together / WEIGHTS).read_bytes()


# As docs/clusters.md says: the plugin leaves the step to `msdd`, with one task a node.
ON_EACH_NODE = ("train:mpi=srun", "train:tasks=2", "train:tasks_per_gpu=0")
WEIGHTS = "runs/msdd/stage1/model.safetensors"
BASELINE = "runs/baseline/eval/mean-colour.json"


def test_a_gpu_that_no_node_has_is_refused_by_slurm(folder):
    """The machine that submits has none either, and that limits nothing."""
    run(folder, *SLURM, "data/prepared/manifest.json", **at(folder))
    told = run(folder, *SLURM, "--retries", "0", BASELINE, succeeds=False, **at(folder))
    assert "Requested node configuration is not available" in told


def test_a_gpu_that_the_node_does_not_have_after_all_stops_the_job(folder):
    run(folder, *SLURM, "data/prepared/manifest.json", **at(folder))
    options = ("--retries", "0", "--default-resources", "slurm_partition=gpu")
    run(folder, *SLURM, BASELINE, *options, succeeds=False, **at(folder))
    told = (folder / "logs/baseline/mean-colour.log").read_text()
    assert told.startswith("msdd: error: this job was given gpu=1, but torch")


def test_photographs_are_prepared_by_jobs_of_their_own(tmp_path):
    """The bytes of one job here; no job asks for a GPU."""
    data = RAW["data"] | {"store": "photographs", "train_crops": None}
    alone = project(tmp_path / "alone", RAW | {"data": data})
    run(alone, "msdd", "prepare", **at(alone))
    folder = project(tmp_path / "slurm", RAW | {"data": data, "prepare_jobs": 2})
    with submitting(folder, "data/prepared/manifest.json") as engine:
        told = end(engine)
    assert told.count("has been submitted with SLURM jobid") == 3
    for name in ("manifest.json", "photographs.csv"):
        expected = (alone / "data/prepared" / name).read_bytes()
        assert (folder / "data/prepared" / name).read_bytes() == expected
