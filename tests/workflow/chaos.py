"""`make chaos`: real pipelines that are killed with SIGKILL again and again, at random moments.

    python tests/workflow/chaos.py FOLDER [--seed N] [--rounds N] [--engines ...] [--by-hand N]

A round is a run of the tiny preset in a folder of its own, killed once in every stage and in a
write of a checkpoint of every kind of training: a job alone, the engine alone, or the whole tree.
Only the same command follows. In other rounds Snakemake itself starts again the jobs that are
killed below it (`retries`), or a training by hand is killed in its checkpoints. The files at the
end are compared with those of a run that nobody disturbed. The same seed draws the same moments;
what is done in FOLDER already is not done again.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import checkouts
import psutil

STAGES = ("code", "prepare", "train", "distil", "assemble", "chain", "evaluate", "baseline")
STAGES += ("throughput", "speed", "table1", "table2", "ablation", "figures", "report")
TRAININGS = ("train", "distil", "chain")
WAYS = ("job", "engine", "tree")
OFTEN = {"checkpoint_every": 32}  # after every step
PARAMS = checkouts.RAW | {name: checkouts.RAW[name] | OFTEN for name in ("stage1", "distil")}
COMMANDS = {
    "snakemake": ("snakemake", "--cores", "2"),
    "dvc": ("dvc", "repro"),
    "retries": ("snakemake", "--workflow-profile", "profiles/gpu-host", "--cores", "2"),
    "by hand": ("msdd", "train", "msdd"),
}
ENGINES = ("retries", "snakemake", "dvc")
SECONDS = 6.0  # of a job of the tiny preset: two of them go by before it has read the params
SAID = re.compile(r"^msdd: .*|^.*resuming after.*", re.MULTILINE)
PROGRESS = re.compile(r"process \d+|\d[\d,]*|since \S+ \S+|\(.*?\)| on [^ ,;]+")


class Round:
    """A run of one engine, killed as planned, with a journal from which it goes on."""

    def __init__(self, folder: Path, engine: str, number: int, seed: int, most: int) -> None:
        self.folder, self.engine, self.number, self.most = folder, engine, number, most
        self.seed, self.journal = seed, folder.with_suffix(".json")
        kept = json.loads(self.journal.read_text()) if self.journal.exists() else {}
        self.kills, self.verdict = kept.get("kills", []), kept.get("verdict")

    def run(self, reference: dict[str, str]) -> None:
        """All kills that are not done yet, and then the command undisturbed."""
        if self.verdict is not None:
            return
        if not self.journal.exists():
            shutil.rmtree(self.folder, ignore_errors=True)  # what was begun and never noted
            checkouts.project(self.folder, PARAMS)
            if self.engine == "by hand":
                checkouts.run(self.folder, "msdd", "prepare")
            self.write()
        if self.engine == "retries":
            self.harass()
        for kill in self.plan()[len(self.kills) :]:
            self.kills.append(kill | attack(self, kill))
            self.write()
            print(describe(self.kills[-1]), flush=True)
        status, told, _ = ended(begin(self.folder, COMMANDS[self.engine]))
        if status:
            raise SystemExit(f"{self.folder}: the same command failed:\n{told[-3000:]}")
        for kill in self.kills[-1:]:
            kill["then"] = said(told)
        self.verdict = difference(checkouts.results(self.folder), reference, self.engine)
        self.write()

    def harass(self) -> None:
        """Kill jobs below one engine, each job at most twice; it has two retries of each."""
        draw = random.Random(f"{self.seed} {self.engine} {self.number}")
        engine, due = begin(self.folder, COMMANDS[self.engine]), {}
        times: Counter[str] = Counter()
        while engine.poll() is None:
            for job in family(engine):
                stage = stage_of(job)
                if stage and job.pid not in due:
                    due[job.pid] = time.monotonic() + draw.uniform(0, SECONDS), stage
                at, name = due.get(job.pid, (float("inf"), ""))
                if not stage or time.monotonic() < at or times[words := words_of(job)] == 2:
                    continue
                inside = bool(unfinished(self.folder))
                if words and kill_one(job):
                    times[words] += 1
                    told = {"engine": self.engine, "stage": name, "way": "job", "hit": name}
                    self.kills.append(told | {"wait": 0.0, "inside": inside, "then": []})
            time.sleep(0.05)
        status, told, _ = ended(engine)
        if status:
            raise SystemExit(f"{self.folder}: the retries did not do:\n{told[-3000:]}")
        self.kills[-1]["then"] = said(told)
        print(f"{self.engine}: {len(self.kills)} kills below one engine", flush=True)

    def plan(self) -> list[dict]:
        """The kills in the order of the stages, with their moments drawn from the seed."""
        draw = random.Random(f"{self.seed} {self.engine} {self.number}")
        if self.engine == "retries":
            return []
        plan = []
        for index, stage in enumerate(STAGES):
            way = WAYS[(index + self.number) % len(WAYS)]
            plan.append({"stage": stage, "way": way, "wait": draw.uniform(0, SECONDS)})
            if stage in TRAININGS:
                write = {"write": draw.randint(1, 3), "wait": draw.uniform(0, 0.004)}
                plan.append({"stage": stage, "way": draw.choice(WAYS)} | write)
        if self.engine == "by hand":
            plan = [{"stage": "train", "way": "job", "wait": draw.uniform(0, 0.004)} for _ in plan]
            plan = [kill | {"write": draw.randint(1, 2)} for kill in plan[: self.most]]
        return [kill | {"engine": self.engine} for kill in plan]

    def write(self) -> None:
        state = {"kills": self.kills, "verdict": self.verdict}
        self.journal.write_text(json.dumps(state, indent=1))


def attack(of: Round, kill: dict) -> dict:
    """Start the command and kill as planned; what was hit, and what the command had said before.

    A stage that is done already is passed over: the next one that works is hit.
    """
    engine = begin(of.folder, COMMANDS[of.engine])
    later = STAGES[STAGES.index(kill["stage"]) :]
    later = [stage for stage in later if stage in TRAININGS] if "write" in kill else later
    job = wait_for(engine, later)
    if job and "write" in kill:
        job = wait_for_write(engine, later, of.folder, kill["write"])
    time.sleep(kill["wait"])
    while job and not stage_of(job):  # it was faster: the next one
        job = wait_for(engine, later)
    if job is None or engine.poll() is not None:
        status, told, seconds = ended(engine)
        if status:
            raise SystemExit(f"{of.folder}: the same command failed:\n{told[-3000:]}")
        return {"hit": None, "then": said(told)}
    hit = stage_of(job)
    destroy(engine, job, kill["way"])
    inside = "write" in kill and unfinished(of.folder)
    told = ended(engine)[1] if kill["way"] == "job" else engine.log.read_text()
    return {"hit": hit, "inside": bool(inside), "then": said(told)}


def begin(folder: Path, command: tuple[str, ...], log: Path | None = None) -> subprocess.Popen:
    """The command in a session of its own. Its output goes to a file, by default beside the folder:
    whoever outlives it would keep a pipe open."""
    log = log or folder.with_suffix(".log")
    with open(log, "w") as out:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=checkouts.ENVIRONMENT | {"OMP_NUM_THREADS": "1"},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    process.log, process.began = log, time.monotonic()
    return process


def ended(engine: subprocess.Popen) -> tuple[int, str, float]:
    status = engine.wait(timeout=900)
    return status, engine.log.read_text(), time.monotonic() - engine.began


def family(engine: subprocess.Popen) -> list[psutil.Process]:
    try:
        parent = psutil.Process(engine.pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def words_of(process: psutil.Process) -> str:
    """The command of a process behind the interpreter; nothing if it has ended."""
    try:
        return " ".join(process.cmdline()[1:])
    except psutil.Error:
        return ""


def kill_one(process: psutil.Process) -> bool:
    """Whether the process was still there."""
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return False
    return True


def stage_of(process: psutil.Process) -> str | None:
    """The stage that a process works on, if it is an `msdd STAGE`, and no shell around one."""
    words = words_of(process).split(" ")
    words = words[words[0] == "-m" :]
    known = len(words) > 1 and Path(words[0]).name == "msdd" and words[1] in STAGES
    return words[1] if known else None


def wait_for(engine: subprocess.Popen, stages: list[str]) -> psutil.Process | None:
    """A job of one of the stages, once it is there; None if the engine has ended without."""
    while engine.poll() is None:
        for process in family(engine):
            if stage_of(process) in stages:
                return process
        time.sleep(0.02)
    return None


def wait_for_write(
    engine: subprocess.Popen, stages: list[str], folder: Path, count: int
) -> psutil.Process | None:
    """The process that writes a checkpoint, at the beginning of its write number `count`."""
    seen: set[tuple[str, int]] = set()
    while engine.poll() is None:
        for path in unfinished(folder):
            try:
                seen.add((str(path), path.stat().st_ino))
                process = psutil.Process(int(path.name.split(".")[-2]))
            except (OSError, psutil.NoSuchProcess):
                continue
            if len(seen) >= count and stage_of(process) in stages:
                return process
    return None


def unfinished(folder: Path) -> list[Path]:
    """What is being written of checkpoints."""
    found = []
    for here, _, names in os.walk(folder / "checkpoints"):
        found += [Path(here, name) for name in names if name.endswith(".tmp")]
    return [path for path in found if path.suffix == ".tmp"]


def destroy(engine: subprocess.Popen, job: psutil.Process, way: str) -> None:
    if way == "job":
        kill_one(job)
    elif way == "engine":
        engine.kill()
        engine.wait()
    else:
        os.killpg(engine.pid, signal.SIGKILL)
        engine.wait()


def said(told: str) -> list[str]:
    """The lines about interruptions in what a command has told, without numbers and names."""
    lines = [PROGRESS.sub("…", line) for line in SAID.findall(told)]
    return sorted({line for line in lines if "error: " in line or "…" in line})


def difference(found: dict[str, str], reference: dict[str, str], engine: str) -> list[str]:
    """The files that differ or are missing; by hand there is one training."""
    alone = Path("runs/msdd/stage1")
    names = [name for name in reference if engine != "by hand" or Path(name).parent == alone]
    return [name for name in names if found.get(name) != reference[name]]


def describe(kill: dict) -> str:
    moment = f"in write {kill['write']}" if "write" in kill else f"after {kill['wait']:.2f} s"
    hit = f"{kill['hit']}" if kill["hit"] else "nothing: it had ended"
    return f"{kill['engine']}: {kill['way']} {moment} of {kill['stage']}: hit {hit}"


def table(rounds: list[Round]) -> str:
    """What was killed, how often, and what was lost, in Markdown."""
    kills = [kill | {"lost": one.verdict} for one in rounds for kill in one.kills if kill["hit"]]
    counts = Counter((k["engine"], k["way"], k.get("inside", False)) for k in kills)
    lines = ["| command | killed | in a write of a checkpoint | times |", "|---|---|---|---|"]
    for (engine, way, inside), count in sorted(counts.items()):
        lines.append(f"| {engine} | {way} | {'yes' if inside else ''} | {count} |")
    stages = Counter(kill["hit"] for kill in kills)
    lost = sum(len(one.verdict or []) for one in rounds)
    lines += ["", ", ".join(f"{stage} {stages[stage]}" for stage in STAGES if stages[stage])]
    inside = sum(bool(kill.get("inside")) for kill in kills)
    compared = sum(one.verdict is not None for one in rounds)
    lines += ["", f"{len(kills)} kills, {inside} of them inside a write of a checkpoint"]
    lines += [f"{compared} finished runs compared; files that differ: {lost}", "", "Said:"]
    told = Counter(line for kill in kills for line in kill["then"])
    return "\n".join([*lines, *(f"- {count} x {line}" for line, count in told.most_common())])


def reference_of(folder: Path) -> dict[str, str]:
    """The files of a run that nobody disturbs."""
    kept = folder / "reference.json"
    if not kept.exists():
        checkouts.project(folder / "reference", PARAMS)
        checkouts.run(folder / "reference", *COMMANDS["snakemake"])
        kept.write_text(json.dumps(checkouts.results(folder / "reference")))
    return json.loads(kept.read_text())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=2, help="of each engine")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--by-hand", type=int, default=32, help="kills of a training by hand")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    print(f"seed {args.seed}", flush=True)
    reference = reference_of(args.folder)
    each = 8  # kills of a training by hand, which has twelve checkpoints
    rounds = [
        Round(args.folder / f"hand-{k}", "by hand", k, args.seed, each)
        for k in range(-(-args.by_hand // each))
    ]
    rounds += [
        Round(args.folder / f"{engine}-{k}", engine, k, args.seed, 0)
        for k in range(args.rounds)
        for engine in args.engines
    ]
    for one in rounds:
        one.run(reference)
    text = table(rounds)
    (args.folder / "table.md").write_text(text + "\n")
    print(text)
    return int(any(one.verdict for one in rounds))


if __name__ == "__main__":
    sys.exit(main())
