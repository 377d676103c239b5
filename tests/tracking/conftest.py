import shutil

import pytest

from msdd.tracking import run as tracking
from msdd.tracking import store


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """A database that MLflow has migrated once, which takes seconds."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A pipeline's working directory with tracking on and no deliveries in the background."""
    monkeypatch.setenv("MSDD_TRACKING", "on")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(tracking, "flush", lambda *_, **__: None)
    return tmp_path


@pytest.fixture
def client(root, migrated):
    """The MLflow that stands beside the pipeline in `root`."""
    from mlflow import MlflowClient

    shutil.copy(migrated, root / "mlflow.db")
    return MlflowClient(store.address(root))
