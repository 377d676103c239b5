"""Receipts: a job's file of digests of what it made, in a folder for each kind of job.

A rule of Snakemake lists as many inputs as there are rows; a stage of DVC cannot. It depends on a
folder of receipts instead. What lies there of rows that are gone is hidden from DVC, not deleted:
the rows may come back, and their results with them.
"""

from collections.abc import Iterable
from pathlib import Path

from msdd.files import digest, holds, write_text
from msdd.pipeline.layout import RECEIPTS, receipt

HIDDEN = Path(RECEIPTS) / ".dvcignore"


def write(kind: str, artefact: Path, made: Iterable[Path], root: Path) -> None:
    """Note the digests of the files `made` for `artefact`, as `sha256sum` prints them."""
    lines = [f"{digest(root / path)}  {path.as_posix()}\n" for path in made]
    write_text(root / receipt(kind, artefact), "".join(lines))


def hide(wanted: Iterable[Path], root: Path) -> None:
    """Hide all receipts from DVC but those that are wanted."""
    receipts = {
        path.relative_to(root) for path in (root / RECEIPTS).glob("*/**/*") if path.is_file()
    }
    others = sorted(receipts - set(wanted))
    text = "".join(f"/{path.relative_to(RECEIPTS).as_posix()}\n" for path in others)
    path = root / HIDDEN
    if not holds(path, text) and (others or path.exists()):
        write_text(path, text)
