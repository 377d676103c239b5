"""A part of the shards of photographs, made by one of several jobs ahead of `prepare`."""

from pathlib import Path

from msdd import files
from msdd.data import prepare_photographs
from msdd.data.digests import of_archives
from msdd.data.photographs import divided, sources
from msdd.data.prepare import check_space, check_unchanged, planned
from msdd.pipeline import layout
from msdd.pipeline.lock import hold
from msdd.pipeline.provenance import recorded
from msdd.pipeline.task import Task


def run(task: Task, root: Path = Path(".")) -> dict[str, str]:
    """Make the shards of part `task.wildcards["part"]` of `prepare_jobs`; returns their digests.

    `prepare` finds them where it would have made them, and makes what is not there: the number of
    jobs changes no bit of what is prepared. A job that was killed goes on with the shards that are
    there. For the engines it leaves a receipt: digests of its shards and of all photographs.
    Raises as `prepare` does.
    """
    part = layout.part(task.wildcards["part"])
    receipt = layout.receipt("parts", part)
    with (
        hold(root / layout.checkpoint(part) / "lock"),
        recorded(task, part, [receipt], root),
    ):
        made, photographs = write(task, root)
        lines = [f"{digest}  {name}\n" for name, digest in made.items()]
        files.write_text(root / receipt, "".join([*lines, f"{photographs}  photographs\n"]))
    return made


def write(task: Task, root: Path) -> tuple[dict[str, str], str]:
    """Make the shards; returns their digests and that of the photographs they were made of."""
    found = sources(task.data, root)
    archives = of_archives(found, root)
    train = planned(task.data, divided(found, task.data))["train"]
    folder, photographs = prepare_photographs.begin(task, root)
    check_space(folder, prepare_photographs.space(train.photographs, task.data, root))
    made = prepare_photographs.write_part(task, train, folder)
    check_unchanged(archives, of_archives(found, root))
    return made, photographs
