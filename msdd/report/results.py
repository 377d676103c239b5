"""The evaluations that tables and figures are made of."""

from pathlib import Path

from msdd import layout
from msdd.errors import MsddError
from msdd.files import read_json
from msdd.params import Params


def paths(params: Params) -> list[Path]:
    """The metrics files in the order of every report: references, teachers, students."""
    references = [layout.reference(name) for name in layout.REFERENCES]
    sources = {decode: params.source(decode) for decode in params.decodes}
    decodes = sorted(sources, key=lambda decode: sources[decode][1] is not None)  # stable
    return references + [layout.evaluation(*sources[decode], decode) for decode in decodes]


def read(params: Params, root: Path) -> list[dict]:
    """All evaluations, each with the `file` it comes from; all are of the same images.

    Raises MsddError for a file that is missing and for images that differ.
    """
    results = [_read(root, path) for path in paths(params)]
    for result in results:
        if result["ids"] != results[0]["ids"]:
            raise MsddError(
                f"{result['file']} and {results[0]['file']} were measured on different images: "
                "evaluate both again"
            )
    return results


def _read(root: Path, path: Path) -> dict:
    return read_json(existing(root, path)) | {"file": path.as_posix()}


def existing(root: Path, path: Path) -> Path:
    """Where `path` is below `root`; a clear error if it is not."""
    if not (root / path).exists():
        raise MsddError(f"{path} is missing: run `msdd evaluate` or `msdd reference` first")
    return root / path
