import finished_pipeline as pipeline
import pytest


@pytest.fixture
def finished(tmp_path):
    """The params of a small finished pipeline and the folder it lies in."""
    return pipeline.make(tmp_path), tmp_path
