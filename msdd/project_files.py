"""The files of a project that come with the package: rules, presets, profiles, published figures.

In a checkout they lie beside the package, where they are written; setup.py puts them into a wheel.
"""

from pathlib import Path

PACKAGE = Path(__file__).parent
IN_WHEEL = PACKAGE / "project"
# Files, and folders with all that they hold; what no project needs stays in the repository.
PARTS = ("Snakefile", "dvc.yaml", ".dvcignore", ".dvc/config", ".dvc/.gitignore", ".dvc/plots")
PARTS += (".gitignore", "presets", "profiles", "reports/published.yaml")
PARTS += ("reports/systems/README.md", "workflow/report", "workflow/rules")


def folder() -> Path:
    """Where `PARTS` lie: in the installed package, or at the top of the checkout."""
    return IN_WHEEL if IN_WHEEL.exists() else PACKAGE.parent
