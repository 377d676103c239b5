"""The checkout behind DVC's copies.

DVC runs queued experiments in copies of the checkout and deletes them afterwards. It names every
stage the folder that it copied, in `DVC_ROOT`. There lies what has to stay (the outbox of
`msdd.tracking.run`, MLflow's database) and what Git does not know (photographs).
"""

import os
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def original(root: str | Path) -> Path:
    """`root`, or the checkout that it is DVC's copy of."""
    return Path(os.environ.get("DVC_ROOT", root))


def run_own_code(arguments: list[str]) -> None:
    """Begin anew with the package of the working directory if that is DVC's copy of a checkout.

    The copy was made when the experiment was queued; `msdd` on the PATH is the code of today. A
    project of `msdd init` holds no package, and there the installed one runs.
    """
    here = Path.cwd()
    own = here / PACKAGE.name
    if original(here) != here and own != PACKAGE and (own / "__main__.py").exists():
        places = os.pathsep.join(filter(None, [str(here), os.environ.get("PYTHONPATH")]))
        command = [sys.executable, "-m", PACKAGE.name, *arguments]
        os.execve(sys.executable, command, os.environ | {"PYTHONPATH": places})
