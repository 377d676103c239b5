"""The version of msdd whose rules a project of `msdd init` holds."""

from pathlib import Path

from msdd.errors import MsddError
from msdd.version import __version__

FILE = Path("workflow/version.txt")  # a checkout has none: rules and package are of one commit


def check(root: Path) -> None:
    """Raises MsddError if the project in `root` was made by another version than runs now."""
    file = root / FILE
    if not file.exists():
        return
    if (made := file.read_text("utf-8", "replace").strip()) != __version__:
        raise MsddError(
            f"this project was made by msdd {made}, and msdd {__version__} runs: install msdd "
            f"{made}, or make a new project by `msdd init` and take params.yaml there; if you have "
            f"brought Snakefile, dvc.yaml and workflow/ up to date, write {__version__} in {FILE}"
        )
