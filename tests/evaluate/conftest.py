from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from msdd import files, weights
from msdd.data.photographs import EMBEDDED_TRAIN, embedded_photograph
from msdd.evaluate import statistics
from msdd.vision import import_torchvision


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory) -> Path:
    """Random weights in the format of pytorch_fid's file; they keep an activation's size."""
    layout = dict(num_classes=1008, aux_logits=False, weights=None, init_weights=False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = import_torchvision().models.inception_v3(**layout)
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(module.weight)
    state = network.state_dict()
    state = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    path = tmp_path_factory.mktemp("inception") / weights.SOURCES["inception"].file
    torch.save(state, path)
    return path


@pytest.fixture
def inception(inception_file, monkeypatch) -> Path:
    """`feature_network("inception")` takes these random weights, for one test."""
    monkeypatch.setenv("MSDD_WEIGHTS", str(inception_file.parent))
    source = replace(weights.SOURCES["inception"], digest=files.digest(inception_file))
    monkeypatch.setitem(weights.SOURCES, "inception", source)
    return inception_file


@pytest.fixture(scope="session")
def photographs(tmp_path_factory) -> Path:
    """A folder of the embedded photographs."""
    folder = tmp_path_factory.mktemp("photographs")
    for name in EMBEDDED_TRAIN:
        (folder / name).write_bytes(embedded_photograph(name).path.read_bytes())
    return folder


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory) -> Iterator[None]:
    """Statistics of reference sets are kept apart from the user's."""
    folder = tmp_path_factory.mktemp("statistics")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "cached", lambda wanted: folder / f"{wanted.key}.npz")
        yield
