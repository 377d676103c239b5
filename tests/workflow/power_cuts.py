"""`make power-cuts`: real power cuts, on a file system that loses what was not forced to the disk.

    python tests/workflow/power_cuts.py FOLDER [--cuts N] [--seed N] [--without-fsync]

Linux and root. A small ext4 in a file is mounted with `noauto_da_alloc`, so that a rename may
reach the disk long before what was renamed. A cut is the kernel's own (EXT4_IOC_SHUTDOWN without a
last write of the journal, as xfstests cuts power): nothing more is written, all in memory is lost.
Then everything is killed, mounted anew, which replays the journal, and the same command runs.
"""

import argparse
import fcntl
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import chaos
import checkouts

SHUTDOWN, WITHOUT_JOURNAL = 0x8004587D, 2  # of linux/ext4.h; the same for XFS
OPTIONS = "noauto_da_alloc,commit=1"
COMMANDS = {
    "training": ("msdd", "train", "msdd"),
    "snakemake": ("snakemake", "--cores", "2"),
    "dvc": ("dvc", "repro"),
}
SECONDS = {"training": (0.0, 4.0), "snakemake": (0.0, 30.0), "dvc": (0.0, 30.0)}
BEGUN = "no GPU here"  # what every training says before its first step


class Disk:
    """An ext4 in a file, mounted at `place`."""

    def __init__(self, image: Path, place: Path) -> None:
        self.image, self.place = image, place
        place.mkdir(parents=True, exist_ok=True)
        with open(image, "wb") as file:
            file.truncate(512 * 2**20)
        run("mkfs.ext4", "-q", image)
        self.mount()

    def mount(self) -> None:
        run("mount", "-o", f"loop,{OPTIONS}", self.image, self.place)

    def unmount(self) -> None:
        end = time.monotonic() + 30
        while subprocess.run(["umount", self.place], capture_output=True).returncode:
            if time.monotonic() > end:
                raise SystemExit(f"{self.place} stays busy")
            time.sleep(0.1)

    def cut(self) -> None:
        """From here on nothing reaches the file."""
        descriptor = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", WITHOUT_JOURNAL))
        finally:
            os.close(descriptor)


def run(*command) -> None:
    """Debian keeps mkfs and mount where only a login of root looks."""
    where = {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
    subprocess.run([str(word) for word in command], check=True, env=os.environ | where)


def without_fsync(folder: Path) -> Path:
    """A copy of the package that forces nothing to the disk, for PYTHONPATH."""
    shutil.copytree(checkouts.ROOT / "msdd", folder / "msdd")
    files = folder / "msdd/files.py"
    text, call = files.read_text(), "        os.fsync(descriptor)\n"
    assert text.count(call) == 1
    files.write_text(text.replace(call, "        pass\n"))
    return folder


def template(folder: Path, what: str) -> Path:
    """A checkout, in which the photographs are prepared if only trainings follow."""
    folder = checkouts.project(folder, chaos.PARAMS)
    if what == "training":
        checkouts.run(folder, "msdd", "prepare")
    return folder


def cut_once(disk: Disk, folder: Path, what: str, seconds: float) -> int | None:
    """Cut the power so long after the work has begun; None, or the exit status of a command that
    was faster."""
    process = chaos.begin(folder, COMMANDS[what], log_of(disk))
    while process.poll() is None and BEGUN not in log_of(disk).read_text():
        time.sleep(0.05)
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        disk.cut()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    disk.unmount()
    disk.mount()
    return None


def log_of(disk: Disk) -> Path:
    """On another file system than what is cut."""
    return disk.image.with_suffix(".log")


def series(disk: Disk, what: str, args: argparse.Namespace, reference: dict) -> list[str]:
    """Cut and go on, at most four times a run, and compare; a line for every cut."""
    folder, lines = disk.place / "work", []
    fresh = template(args.folder / f"fresh-{os.getpid()}-{what}", what)
    draw = random.Random(f"{args.seed} {what}")
    while len(lines) < args.cuts:
        shutil.copytree(fresh, folder, symlinks=True)
        os.sync()
        most, cuts, status = min(4, args.cuts - len(lines)), 0, None
        while status is None and cuts < most:
            status = cut_once(disk, folder, what, draw.uniform(*SECONDS[what]))
            cuts += status is None
        if status is None:
            status = chaos.ended(chaos.begin(folder, COMMANDS[what], log_of(disk)))[0]
        engine = "by hand" if what == "training" else what
        found = {} if status else checkouts.results(folder)
        lost = [] if status else chaos.difference(found, reference, engine)
        last = verdict(what, status, lost, log_of(disk).read_text())
        lines += ([last if lost else f"{what}: whole"] * (cuts - 1) + [last]) if cuts else []
        print(f"{len(lines)} after {cuts} cuts of a run: {last}", flush=True)
        shutil.rmtree(folder)
    shutil.rmtree(fresh)
    return lines


def verdict(what: str, failed: int, lost: list[str], told: str) -> str:
    if failed:
        last = [line for line in told.strip().splitlines() if line.strip()][-1]
        errors = [line for line in told.splitlines() if "msdd: error" in line]
        return f"{what}: BROKEN: {(errors or [last])[0][:200]}"
    if lost:
        return f"{what}: DIFFERENT: {', '.join(lost[:4])}"
    return f"{what}: whole; said: {'; '.join(chaos.said(told)) or 'nothing'}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="with the reference of `make chaos`, or empty")
    parser.add_argument("--cuts", type=int, default=10, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=COMMANDS, default=["training", "snakemake"])
    parser.add_argument("--without-fsync", action="store_true", help="in a copy of the code")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    reference, lines = chaos.reference_of(args.folder), []
    code = checkouts.ROOT
    if args.without_fsync:
        code = without_fsync(args.folder / f"without-{os.getpid()}")
    checkouts.ENVIRONMENT["PYTHONPATH"] = str(code)
    for what in args.kinds:
        place = args.folder / f"disk-{os.getpid()}"
        disk = Disk(args.folder / f"disk-{os.getpid()}.img", place)
        try:
            lines += series(disk, what, args, reference)
        finally:
            disk.unmount()
            disk.image.unlink()
            log_of(disk).unlink(missing_ok=True)
            place.rmdir()
    whole = sum(": whole" in line for line in lines)
    print(f"{len(lines)} power cuts, {whole} went on to the same files by the same command")
    return int(whole < len(lines))


if __name__ == "__main__":
    sys.exit(main())
