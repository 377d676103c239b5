import os
from pathlib import Path

import pytest

# Stages under test would each start a delivery in the background.
os.environ.setdefault("MSDD_TRACKING", "off")

FIXTURES = Path(os.environ.get("MSDD_FIXTURES", Path(__file__).parent / "fixtures"))


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """Recorded numbers of the official implementations; see tests/fixtures/README.md."""
    return FIXTURES
