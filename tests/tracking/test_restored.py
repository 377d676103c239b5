"""A database that comes back from an older dump: what it has lost arrives again, once."""

import os
import shutil
import time

import pytest
from tracked import PARAMS, curve, runs, train

from msdd.tracking import restored
from msdd.tracking.delivery import deliver
from msdd.tracking.run import Run


def test_what_an_older_dump_has_lost_arrives_again(root, client):
    """Of a training that goes on, and of one that had ended and left the outbox."""
    database, dump = root / "mlflow.db", root / "dump.db"
    run = Run(root, "msdd", "stage1", PARAMS)
    with run:
        run.log(0, {"loss": 1.0})
        deliver(root)
        shutil.copy(database, dump)
        run.log(64, {"loss": 0.5})
        train(root, range(3), part="another")
        deliver(root)
        assert len(runs(client, stage="stage1")) == 2
        shutil.copy(dump, database)
        assert len(runs(client, stage="stage1")) == 1
        run.log(128, {"loss": 0.25})
        assert "2 runs are delivered again" in deliver(root)
    deliver(root)
    found = {one.info.run_name: curve(client, one) for one in runs(client, stage="stage1")}
    assert found["msdd/stage1"] == [(0, 1.0), (64, 0.5), (128, 0.25)]
    assert found["msdd/stage1/another"] == [(step, 1 / (1 + step)) for step in range(3)]
    assert "again" in deliver(root, patient=True)  # `msdd track` repeats what nobody saw, once
    assert "again" not in deliver(root, patient=True)


def test_msdd_track_looks_also_where_nothing_waits(root, client):
    shutil.copy(root / "mlflow.db", root / "dump.db")
    train(root, range(3))
    deliver(root)
    assert deliver(root, patient=True).startswith("0 records")
    shutil.copy(root / "dump.db", root / "mlflow.db")
    assert "1 runs are delivered again" in deliver(root, patient=True)
    assert len(runs(client, stage="stage1")) == 1


@pytest.mark.parametrize("content", ["", "null", "[]", '{"outbox": "\'"}', '{"folder": "1"}'])
def test_damaged_marks_begin_anew(root, client, content):
    train(root, range(3))
    deliver(root)
    (root / ".tracking/marks.json").write_text(content)
    train(root, range(3), part="next")
    assert "again" not in deliver(root)
    assert len(runs(client, stage="stage1")) == 2


def test_what_is_damaged_among_the_delivered_keeps_nothing_else(root, client):
    """Nor what somebody has put there, or copied back into the outbox."""
    shutil.copy(root / "mlflow.db", root / "dump.db")
    for part in ("one", "two", "three"):
        train(root, range(3), part=part)
    deliver(root)
    one, three, two = sorted((root / ".tracking/sent").iterdir())
    (one / "delivered.json").write_text("{")
    shutil.copytree(two, root / ".tracking/outbox" / two.name)
    stray = root / ".tracking/sent/.stray"
    stray.touch()
    os.utime(stray, (0, 0))
    shutil.copy(root / "dump.db", root / "mlflow.db")
    assert "2 runs are delivered again" in deliver(root, patient=True)
    assert len(runs(client, stage="stage1")) == 2


def test_a_copy_of_a_checkout_outdates_no_delivery(root, client, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
    train(root, range(3))
    deliver(root)
    copy = shutil.copytree(root, tmp_path_factory.mktemp("copy") / "copy")
    for place in (copy, root, copy):
        train(place, range(3), part=place.name)
        assert "again" not in deliver(place)


def test_delivered_runs_are_kept_for_a_week(root, client):
    train(root, range(3))
    deliver(root)
    (kept,) = (root / ".tracking/sent").iterdir()
    restored.clear(root)
    assert kept.exists()
    old = time.time() - restored.KEPT_SECONDS - 60
    os.utime(kept, (old, old))
    restored.clear(root)
    assert not kept.exists()
