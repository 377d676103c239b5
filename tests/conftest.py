import gc
import os
import shutil
from pathlib import Path

import pytest

# Stages under test would each start a delivery in the background.
os.environ.setdefault("MSDD_TRACKING", "off")
# Torch reads it when it is imported, here and in processes that tests start. The number of threads
# changes the last bits of sums; and each of several processes would take every core.
os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# Processes that tests start keep Python's compiled files, whatever is set here: without them each
# takes a second longer.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Of a `make test` around the tests; a make that a test starts would go on in its name.
for variable in ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"):
    os.environ.pop(variable, None)

TINY = Path(__file__).parents[1] / "presets/tiny.yaml"


def pytest_collection_modifyitems(items):
    """Long tests first, so that no process ends with them alone."""
    for item in items:
        slow = item.get_closest_marker("slow")
        if slow or "runs" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.long)
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_collection_finish():
    """Python's collector need not look through all that imports have made again and again."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Each file in one process of `make test`, and so all files that need the engines' `runs`.

    By name: xdist 3.8 marks groups in a way that pytest 9.2 does not see.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = Path(nodeid.partition("::")[0])
            return "runs" if file.parent.name == "workflow" and file.stem != "test_dvc" else file

    return ByFile(config, log)


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


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory) -> Path:
    """Random weights in the format of pytorch_fid's file."""
    import torch
    from random_inception import random_inception

    from msdd.weights import pretrained

    path = tmp_path_factory.mktemp("inception") / pretrained.SOURCES["inception"].file
    torch.save(random_inception(), path)
    return path


@pytest.fixture
def inception(inception_file, monkeypatch) -> Path:
    """`feature_network("inception")` takes these random weights, for one test."""
    from dataclasses import replace

    from msdd import files
    from msdd.weights import pretrained

    monkeypatch.setenv("MSDD_WEIGHTS", str(inception_file.parent))
    source = replace(pretrained.SOURCES["inception"], digest=files.digest(inception_file))
    monkeypatch.setitem(pretrained.SOURCES, "inception", source)
    return inception_file
