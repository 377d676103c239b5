import finished_pipeline as pipeline
import pytest

from msdd.pipeline import layout
from msdd.report import ablation, table1, table2


@pytest.fixture
def finished(tmp_path):
    """The params of a small finished pipeline and the folder it lies in."""
    return pipeline.make(tmp_path), tmp_path


@pytest.fixture
def hard_tables(finished):
    """The folder of all tables; the device's name needs escapes in HTML and in LaTeX."""
    params, root = finished
    path = layout.evaluation("msdd", None, "teacher")
    device = "50% of a_GPU #1 & more <b>{x}</b> ~^\\ <$2>"
    pipeline.timing(root, path, 20.0, device=device)
    for stage in (table1, table2, ablation):
        stage.run(params, root)
    return root / "reports"
