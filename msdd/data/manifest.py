"""What a folder of prepared crops says of itself; for reports too, which do not wait for torch."""

from pathlib import Path

from msdd.errors import MsddError
from msdd.files import read_json


def read_manifest(folder: Path) -> dict:
    """`manifest.json`. Raises MsddError if there are no prepared crops."""
    if not (folder / "manifest.json").is_file():
        raise MsddError(f"no prepared crops in {folder}: run `msdd prepare`")
    return read_json(folder / "manifest.json")
