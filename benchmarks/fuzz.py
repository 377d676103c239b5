"""`make fuzz`: what msdd reads from strangers, changed at random and read again.

    python benchmarks/fuzz.py [TARGET ...] [--share 0.01] [--results FOLDER]

Of each target (`fuzz_targets.TARGETS`) hypothesis makes inputs in batches; batch 7 of a target is
the same today and tomorrow. Each batch is read in a child process, with a limit of memory, and of
processor time for each input. A child may neither start a program, nor open a connection, nor
write outside its own folder. An input is refused (one clear error), accepted, or a fault, which is
kept as a file and named. A second call goes on after the last whole batch.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from fuzz_targets import TARGETS, Target
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

from msdd.errors import MsddError

BATCH = 250
MEMORY = 2**30  # bytes an input may take beside what the process has
SECONDS = 10  # of the processor, for an input
FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork")
FORBIDDEN += ("socket.connect", "ctypes.dlopen")
SERVER = ("127.0.0.1", 1)  # of MLflow in `fuzz_targets`: whom an address may ask
READING: list[Path] = []  # the input that is being read, if one is
STALLED = {signal.SIGPROF: "stalled", signal.SIGKILL: "killed"}


class Forbidden(BaseException):
    """Something that reading a file must never do."""


def batch(target: Target, number: int, size: int, kept: Path) -> dict[str, Any]:
    """Read one batch; how many inputs were refused and accepted, and the faults."""
    started, faults, lines, skip = time.monotonic(), [], [], 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        while skip < size:
            ended = child(target, number, size, skip, folder)
            lines += (folder / "outcomes").read_text().splitlines()
            if not ended:
                break
            faults.append({"input": len(lines), "what": ended})  # the one that it was reading
            keep(folder / "input", kept / f"{target.name}-{number}-{len(lines)}")
            lines.append("fault")
            skip = len(lines)
        for at, line in enumerate(lines):
            if line.startswith("fault:"):
                faults.append({"input": at, "what": line.removeprefix("fault: ")})
                keep(folder / f"fault-{at}", kept / f"{target.name}-{number}-{at}")
        peak = max(
            (int(one.partition(" ")[2]) for one in lines if one.startswith("peak")), default=0
        )
    kinds = Counter(line.partition(":")[0] for line in lines if not line.startswith("peak"))
    took = {"seconds": round(time.monotonic() - started, 1), "peak": peak}
    return {"batch": number, "inputs": kinds.total(), **kinds, "faults": faults, **took}


def keep(found: Path, where: Path) -> None:
    if found.exists():
        where.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(found, where)


def child(target: Target, number: int, size: int, skip: int, folder: Path) -> str:
    """Read inputs from `skip` on in a fork; empty if all were read, else how it ended."""
    sys.stdout.flush()
    sys.stderr.flush()
    (folder / "outcomes").write_text("")
    process = os.fork()
    if process == 0:
        status = 1
        try:
            work(target, number, size, skip, folder)
            status = 0
        except BaseException as error:
            (folder / "error").write_text("".join(traceback.format_exception(error)))
        finally:
            os._exit(status)
    _, status = os.waitpid(process, 0)
    if os.WIFSIGNALED(status):
        ended = os.WTERMSIG(status)
        return STALLED.get(ended, f"signal {signal.Signals(ended).name}")
    if status:
        raise RuntimeError(f"{target.name}: {(folder / 'error').read_text()}")
    return ""


def work(target: Target, number: int, size: int, skip: int, folder: Path) -> None:
    outcomes = os.open(folder / "outcomes", os.O_WRONLY | os.O_APPEND)
    silence()
    limit()
    watch(folder)
    count = iter(range(10**9))

    @settings(
        max_examples=size,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @seed(f"{target.name} {number}")
    @given(st.data())
    def read(data: st.DataObject) -> None:
        file = target.mutate(data.draw, target.seeds)
        if (at := next(count)) < skip or at >= size:
            return
        place = folder / "input"
        place.write_bytes(file)
        told = outcome(target, place, folder)
        if told.startswith("fault"):
            (folder / f"fault-{at}").write_bytes(file)
        os.write(outcomes, f"{told}\n".encode("utf-8", "backslashreplace"))

    read()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    os.write(outcomes, f"peak {peak}\n".encode())


def outcome(target: Target, place: Path, folder: Path) -> str:
    """What came of an input, in one line."""
    path = folder / target.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(place.read_bytes())
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # its signal ends the process
    READING.append(path)
    try:
        target.read(path)
    except MsddError as error:
        lines = str(error).splitlines() or [""]
        clear = all(line.strip() for line in lines) and "Traceback" not in str(error)
        return "refused" if clear else f"fault: an empty message, {error!r}"
    except OSError as error:
        return "refused" if error.filename else f"fault: {error!r} {where(error)}"
    except (Exception, Forbidden) as error:
        return f"fault: {type(error).__name__}: {' '.join(str(error).split())[:150]} {where(error)}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        READING.clear()
    return "accepted"


def where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/msdd/" in frame.filename] or frames
    return f"({Path(ours[-1].filename).name}:{ours[-1].lineno})"


def silence() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGPROF, signal.SIG_DFL)


def limit() -> None:
    """Memory beside what the parent has mapped; no dumps of cores."""
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, mapped + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def watch(folder: Path) -> None:
    """End whatever reading a file must not do."""

    def refuse(event: str, given: tuple) -> None:
        if not READING:
            return
        if event == "socket.connect" and given[1] == SERVER:
            return
        if event in FORBIDDEN:
            raise Forbidden(f"{event} {given[:1]}")
        if event == "open" and isinstance(given[0], str) and written_outside(given, folder):
            raise Forbidden(f"writes {given[0]}")

    sys.addaudithook(refuse)


def written_outside(given: tuple, folder: Path) -> bool:
    path, _, flags = given
    writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    return bool(writes) and not str(Path(path).absolute()).startswith((str(folder), os.devnull))


def sweep(target: Target, share: float, results: Path) -> dict[str, Any]:
    """All batches of a target that are not there yet; the sum of all."""
    size = max(1, min(BATCH, round(target.inputs * share)))
    _ = target.seeds  # made once, not in each child
    path, count = results / f"{target.name}.jsonl", max(1, round(target.inputs * share / size))
    path.parent.mkdir(parents=True, exist_ok=True)
    done = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    for number in range(len(done), count):
        done.append(batch(target, number, size, results / "faults"))
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(done[-1]) + "\n")
    return total(target, done)


def total(target: Target, done: list[dict[str, Any]]) -> dict[str, Any]:
    counts = {
        key: sum(one.get(key, 0) for one in done) for key in ("inputs", "refused", "accepted")
    }
    faults = [{"batch": one["batch"], **fault} for one in done for fault in one["faults"]]
    took = {
        "seconds": round(sum(one["seconds"] for one in done)),
        "peak": max(o["peak"] for o in done),
    }
    return {"target": target.name, **counts, "faults": faults, **took}


@settings(max_examples=20, database=None, phases=[Phase.generate])
@given(st.integers() | st.binary() | st.sampled_from("ab"))
def warm(_: object) -> None:
    """Hypothesis reads all sources for their constants: once, not in each child."""


def home(folder: Path) -> None:
    """Where hypothesis keeps what it has read; a share of the inputs needs neither."""
    set_hypothesis_home_dir(folder / "hypothesis")
    warm()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--results", type=Path, default=Path("build/fuzz"))
    args = parser.parse_args()
    if unknown := set(args.targets) - {target.name for target in TARGETS}:
        parser.error(f"no target {', '.join(unknown)}; {', '.join(t.name for t in TARGETS)}")
    home(args.results)
    found = 0
    for target in TARGETS:
        if not args.targets or target.name in args.targets:
            told = sweep(target, args.share, args.results)
            print(*(f"{k} {v}" for k, v in told.items() if k != "faults"), sep=", ", flush=True)
            for fault in told["faults"]:
                print(
                    f"  batch {fault['batch']}, input {fault['input']}: {fault['what']}", flush=True
                )
            found += len(told["faults"])
    return min(1, found)


if __name__ == "__main__":
    sys.exit(main())
