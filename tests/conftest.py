import os
import shutil
from pathlib import Path

import pytest

# Stages under test would each start a delivery in the background.
os.environ.setdefault("MSDD_TRACKING", "off")
# Torch reads it when it is imported, here and in processes that tests start. The number of threads
# changes the last bits of sums; and each of several processes would take every core.
os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

TINY = Path(__file__).parents[1] / "presets/tiny.yaml"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Long tests first; each file in one process, and so all that need the engines' `runs`."""
    for item in items:
        needs_runs = "runs" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("runs" if needs_runs else item.path.stem))
        if needs_runs:
            item.add_marker(pytest.mark.long)
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session")
def tiny_params():
    """The preset for tests: 16 px, two scales, one student; every training takes a second."""
    from msdd.params.load import load

    return load(TINY)


@pytest.fixture(scope="session")
def prepared(tiny_params, tmp_path_factory) -> Path:
    """A working directory with `params.yaml` and real crops; to be read only, see `workdir`."""
    from msdd.commands.stages import run_stage

    root = tmp_path_factory.mktemp("prepared")
    shutil.copy(TINY, root / "params.yaml")
    run_stage(tiny_params, "prepare", root)
    return root


@pytest.fixture(scope="session")
def trained(tiny_params, prepared, tmp_path_factory) -> Path:
    """A working directory with the teacher and the assembled student; to be read only."""
    from msdd.commands.stages import run_stage

    root = tmp_path_factory.mktemp("trained") / "work"
    shutil.copytree(prepared, root)
    run_stage(tiny_params, "train", root, model="msdd")
    for k in range(tiny_params.model.scales):
        run_stage(tiny_params, "distil", root, student="msdd-1step", scale=k)
    run_stage(tiny_params, "assemble", root, student="msdd-1step")
    return root


@pytest.fixture
def workdir(prepared, tmp_path) -> Path:
    """A prepared working directory of the test's own."""
    return shutil.copytree(prepared, tmp_path / "work")
