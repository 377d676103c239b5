"""`msdd plan`: which jobs DVC would run, and why; nothing is run or written.

`dvc repro --dry` cannot tell: it looks for the outputs of stages that it has only pretended to run,
and ends with "No such file" (DVC 3.67.1, in any pipeline of two stages that has never run). `dvc
status` tells what changed, and the graph of stages what follows from that.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from msdd.commands.parser import examples
from msdd.errors import MsddError

ROOT = Path(".")
MOST = 3  # changes of a job
WORDS = {"deleted": "is not there", "new": "is new", "modified": "changed"}


def add(commands: argparse._SubParsersAction) -> None:
    described = "list the jobs of `make repro`, and why they run; `snakemake -n` is Snakemake's way"
    command = commands.add_parser(
        "plan",
        help=described,
        description=described,
        epilog=examples("msdd plan", "msdd plan --json"),
    )
    command.add_argument("--json", action="store_true", help="print JSON in place of the text")
    command.set_defaults(call=call)


def call(args: argparse.Namespace) -> None:
    from msdd.params.load import load
    from msdd.pipeline import jobs

    params = load(args.params)
    jobs.check_rows(params, ROOT)
    plan = planned(params, ROOT)
    print(json.dumps(plan, indent=2) if args.json else "\n".join(lines(plan)))


def planned(params, root: Path) -> dict[str, list[str]]:
    """What DVC would run below `root`, by its names, in an order in which it can: why.

    Jobs that only follow from others have no reasons. Raises MsddError where DVC does not work.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo:
            status, after = repo.status(), _order(repo.index.graph)
    except DvcException as error:
        raise MsddError(f"DVC: {error}") from None
    why = {stage.rpartition(":")[2]: list(_reasons(told)) for stage, told in status.items()}
    codes = {stage.partition("@")[0] for stage in after}
    fresh = {code: list(_changed_code(params, code, root)) for code in codes}
    for stage in after:
        why.setdefault(stage, []).extend(fresh[stage.partition("@")[0]])
        why[stage].extend(_changed_weights(params, *stage.partition("@")[::2], root))
    return {
        stage: why[stage]
        for stage, needed in after.items()
        if why[stage] or any(why[other] for other in needed - {"code"})
    }


def _order(graph) -> dict[str, set[str]]:
    """Every stage after those that it needs, at any depth, whose names are its value."""
    import networkx

    graph = networkx.relabel_nodes(graph, lambda stage: stage.name)  # edges go to what is needed
    needed: dict[str, set[str]] = {}
    for stage in networkx.lexicographical_topological_sort(graph.reverse()):
        direct = set(graph.successors(stage))
        needed[stage] = direct.union(*(needed[other] for other in direct))
    return needed


def _reasons(told: Iterable) -> Iterator[str]:
    """What `dvc status` says of a stage as phrases, what it depends on first."""
    for entry in told:
        if entry == "always changed":
            continue  # the stage `code`, whose digests say what it makes stale
        if isinstance(entry, str):
            yield entry
            continue
        for changes in entry.values():
            for path, change in changes.items():
                keys = change if isinstance(change, dict) else {path: change}
                yield from (f"{key} {WORDS.get(how, how)}" for key, how in keys.items())


def _changed_code(params, stage: str, root: Path) -> Iterator[str]:
    """What the stage `code` would find changed: it has not run yet."""
    from msdd.data.digests import of_photographs
    from msdd.pipeline import layout, stages

    digests = {stage: lambda: stages.fingerprint(stage)} if stage in stages.STAGES else {}
    if stage == ("scatter" if layout.parts(params.prepare_jobs) else "prepare"):
        digests["photographs"] = lambda: of_photographs(params.data, root)
    for name, digest in digests.items():
        yield from _stale(layout.code(name), digest, root)


def _changed_weights(params, kind: str, row: str, root: Path) -> Iterator[str]:
    """Likewise, of the weights of others that a row decodes with or that encoded latents."""
    from msdd.pipeline import layout
    from msdd.tokenizers import elsewhere

    if kind == "elsewhere":
        yield from _stale(
            layout.weights() / row, lambda: elsewhere.weights_digest(params, row, root), root
        )
    if kind == "latents":
        yield from _stale(
            layout.encoders() / row, lambda: elsewhere.encoder_digest(params, row, root), root
        )


def _stale(path: Path, digest: Callable[[], str], root: Path) -> Iterator[str]:
    there = root / path
    if there.exists() and there.read_text("utf-8", "replace").strip() != digest():
        yield f"{path} changed"


def lines(plan: dict[str, list[str]]) -> Iterator[str]:
    """The plan for a person."""
    if not plan:
        yield "DVC has nothing to do"
        return
    width = max(map(len, plan))
    for stage, reasons in plan.items():
        more = f" and {len(reasons) - MOST} more" if len(reasons) > MOST else ""
        yield f"{stage:{width}}  {', '.join(reasons[:MOST]) or 'after the jobs above'}{more}"
    counts = Counter(stage.partition("@")[0] for stage in plan)
    yield f"{len(plan)} jobs: {', '.join(f'{count} {name}' for name, count in counts.items())}"
    yield "DVC takes what it has made before from its cache; `make repro` runs the rest."
