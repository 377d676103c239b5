"""Where the recorded cases of the official implementations lie; see tests/fixtures/README.md."""

import os
from pathlib import Path

FOLDER = Path(os.environ.get("MSDD_FIXTURES", Path(__file__).with_name("fixtures")))


def cases(system: str, kind: str = "") -> list[Path]:
    """Every case of a system whose name begins so; a folder put beside them is found too."""
    return sorted(path.parent for path in FOLDER.glob(f"{system}/{kind}*/config.json"))
