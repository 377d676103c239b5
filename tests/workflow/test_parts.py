"""Preparation as several jobs of each engine, one of them killed: the bytes of a single job."""

import io
import os
import signal
import tarfile
import time

import pytest
from checkouts import RAW, at_work, end, project, run, start
from PIL import Image

from msdd.files import read_json
from msdd.pipeline import layout

pytestmark = pytest.mark.long
COUNT = 3 * 2048 + 2  # one of them is held out, so there are four shards of up to 2,048
DATA = {"photographs": "../train.tar", "held_out_fraction": 0.0, "store": "photographs"}
DATA = RAW["data"] | DATA | {"train_crops": None}
MANIFEST = "data/prepared/manifest.json"
ENGINES = {"snakemake": ("snakemake", "--cores", "2", MANIFEST), "dvc": ("dvc", "repro", "prepare")}
ONE_IN_TEST = ["snakemake", pytest.param("dvc", marks=pytest.mark.slow)]
KEPT = {"snakemake": "Preparing part 1", "dvc": "Stage 'scatter@part0' didn't change, skipping"}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder with the archive, and what one job makes of it."""
    parent = tmp_path_factory.mktemp("scatter")
    image = io.BytesIO()
    Image.effect_noise((40, 40), 90).convert("RGB").save(image, "JPEG")
    with tarfile.open(parent / "train.tar", "w") as archive:
        for k in range(COUNT):
            member = tarfile.TarInfo(f"{k:04d}.jpg")
            member.size = len(image.getvalue())
            archive.addfile(member, io.BytesIO(image.getvalue()))
    folder = project(parent / "alone", RAW | {"data": DATA})
    run(folder, "msdd", "prepare")
    return parent, read_json(folder / MANIFEST)


@pytest.mark.parametrize("engine", ONE_IN_TEST)
def test_a_killed_part_goes_on_and_the_bytes_are_those_of_one_job(alone, engine):
    parent, expected = alone
    folder = project(parent / engine, RAW | {"data": DATA, "prepare_jobs": 2})
    if engine == "dvc":  # which runs one job after another, in an order that it draws
        run(folder, "dvc", "repro", "scatter@part0")
    first = start(folder, *ENGINES[engine])
    os.kill(in_the_middle(first), signal.SIGKILL)
    end(first, succeeds=False)
    assert not (folder / MANIFEST).exists()
    made = {part: (folder / layout.receipt("parts", layout.part(part))) for part in (0, 1)}
    assert [path.exists() for path in made.values()] == [True, False]
    before = made[0].stat().st_mtime_ns
    told = run(folder, *ENGINES[engine])
    assert KEPT[engine] in told and "Preparing part 0" not in told
    assert "part 1 goes on after 2,048 photographs" in told
    assert made[0].stat().st_mtime_ns == before
    assert read_json(folder / MANIFEST) == expected
    assert not (folder / "checkpoints/data/prepared/shards").exists()


def in_the_middle(engine):
    """The process of part 1, when it has made one of its two shards."""
    process = at_work(engine, layout.part(1))
    while not any(engine.folder.glob("checkpoints/data/prepared/shards/*/00002.json")):
        assert engine.poll() is None, end(engine)
        time.sleep(0.002)
    return process
