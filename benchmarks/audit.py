"""`make lint`: known advisories on the packages of requirements.lock, as pip-audit finds them.

The index is asked, and no other server. Where it cannot be asked, or tells nothing (pip-audit 2.10
counts a package that an index has no answer for as fine), one line says how many packages nobody
was asked about, and lint goes on. An advisory ends lint, unless `benchmarks/advisories.txt` has its
name with a reason.
"""

import json
import subprocess
import sys
from pathlib import Path

LOCK = Path("requirements.lock")
REASONS = Path(__file__).with_name("advisories.txt")
PATIENCE = 180  # seconds; one request for each package


def report() -> dict:
    """What pip-audit says, as JSON; empty if it says nothing."""
    command = [sys.executable, "-m", "pip_audit", "-r", LOCK, "--no-deps", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off", "--timeout", "5"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        return json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return {"dependencies": []}


def reasons(lines: list[str]) -> dict[str, str]:
    """Advisories that stand, with the reason. SystemExit for one without a reason."""
    parts = [line.split(maxsplit=1) for line in lines if line.strip() and line[0] != "#"]
    if bare := [part[0] for part in parts if len(part) < 2]:
        raise SystemExit(f"{REASONS}: {bare[0]} has no reason: say in the same line why it stands")
    return dict(parts)


def told(found: dict, known: dict[str, str], count: int) -> tuple[list[str], bool]:
    """Lines to print, and whether an advisory stands without a reason."""
    asked = [one for one in found["dependencies"] if "vulns" in one]
    open_ = [
        f"{one['name']} {one['version']}: {v['id']}, mended in {', '.join(v['fix_versions'])}"
        for one in asked
        for v in one["vulns"]
        if not {v["id"], *v.get("aliases", [])} & known.keys()
    ]
    lines = [f"audit: {line}" for line in open_]
    if len(asked) < count:
        lines.append(f"audit: {count - len(asked)} of {count} packages: the index did not answer")
    return lines or [f"audit: no advisory on {count} packages"], bool(open_)


def main() -> int:
    count = sum("==" in line for line in LOCK.read_text(encoding="utf-8").splitlines())
    known = reasons(REASONS.read_text(encoding="utf-8").splitlines())
    lines, bad = told(report(), known, count)
    print(*lines, sep="\n")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
