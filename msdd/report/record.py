"""The records of reports."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from msdd.params.schema import Params
from msdd.pipeline import layout, provenance
from msdd.pipeline.stages import task
from msdd.report.results import paths


def recorded(
    name: str, params: Params, root: Path, more: Iterable[Path] = ()
) -> AbstractContextManager:
    """Record the report that the block writes, of all evaluations and the files `more`."""
    inputs = [layout.prepared() / "manifest.json", *paths(params), *more]
    made = layout.report(name)
    return provenance.recorded(task(name, params, inputs, root), Path("reports") / name, made, root)


def timings(params: Params) -> list[Path]:
    """What holds the speed of decodes: those timed in turns, and the files beside evaluations."""
    return [layout.throughput(), *(layout.timing(path) for path in paths(params))]
