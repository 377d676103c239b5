from dataclasses import replace
from pathlib import Path

import pytest
import torch
from random_inception import random_inception

from msdd import files
from msdd.weights import pretrained


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory) -> Path:
    """Random weights in the format of pytorch_fid's file."""
    path = tmp_path_factory.mktemp("inception") / pretrained.SOURCES["inception"].file
    torch.save(random_inception(), path)
    return path


@pytest.fixture
def inception(inception_file, monkeypatch) -> Path:
    """`feature_network("inception")` takes these random weights, for one test."""
    monkeypatch.setenv("MSDD_WEIGHTS", str(inception_file.parent))
    source = replace(pretrained.SOURCES["inception"], digest=files.digest(inception_file))
    monkeypatch.setitem(pretrained.SOURCES, "inception", source)
    return inception_file
