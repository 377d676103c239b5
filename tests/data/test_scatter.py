"""Photographs prepared by several jobs: the bytes of one job, whatever is killed in between."""

import pytest
from archived import encoded, imagenet, tar

from msdd.commands.stages import run_stage
from msdd.data import photograph_shards, prepare_photographs
from msdd.errors import MsddError
from msdd.params.checks import cross_checks
from msdd.params.sections import Data
from msdd.pipeline import layout
from msdd.pipeline.lock import hold

COUNT = 13


@pytest.fixture
def params(tiny_params):
    data = tiny_params.data.model_dump() | {
        "photographs": "train.tar",
        "held_out": "val.tar",
        "store": "photographs",
        "resolution": 16,
        "train_crops": None,
        "held_out_crops": None,
        "crop": "adm",
        "crop_side": (0.8, 1.0),
        "max_bad_fraction": 0.5,
    }
    return tiny_params.model_copy(update={"data": Data(**data)})


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Thirteen photographs that can be used, in shards of two, one torn and one too small."""
    monkeypatch.setattr(prepare_photographs, "ROWS", 2)
    odd = {"torn.JPEG": encoded(1)[:400], "tiny.JPEG": encoded(2, size=(9, 7))}
    tar(tmp_path / "train.tar", imagenet(COUNT) | {"odd.tar": odd})
    tar(tmp_path / "val.tar", {f"val_{k}.JPEG": encoded(20 + k) for k in range(3)})
    return tmp_path


def prepare(params, root, jobs, order=None):
    """Everything in the folder, and what `prepare` has told of the photographs."""
    params = params.model_copy(update={"prepare_jobs": jobs})
    for part in order or range(jobs if jobs > 1 else 0):
        run_stage(params, "scatter", root, part=part)
    run_stage(params, "prepare", root)
    folder = root / layout.prepared()
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def receipts(root):
    return {p.name: p.read_text() for p in (root / layout.RECEIPTS / "parts").rglob("part*")}


class Reading(list):
    """Names of the photographs that are put into shards; ends at the one numbered `stop`."""

    stop, plain = None, staticmethod(photograph_shards.stored)

    def __call__(self, photograph, data):
        self.append(photograph.name)
        if len(self) == self.stop:
            raise KeyboardInterrupt
        return self.plain(photograph, data)


@pytest.fixture
def read(monkeypatch):
    reading = Reading()
    monkeypatch.setattr(photograph_shards, "stored", reading)
    return reading


def remarks(text):
    """What is said of the photographs; not how far the jobs are."""
    lines = [line for line in text.splitlines() if line.startswith("msdd:")]
    return [line for line in lines if "goes on after" not in line]


@pytest.mark.parametrize("jobs", [2, 4, 9])
def test_any_number_of_jobs_in_any_order_gives_the_same_bytes(params, root, capsys, jobs):
    expected = prepare(params, root, 1)
    told = remarks(capsys.readouterr().err)
    assert told and "1 unreadable" in told[-1]
    assert prepare(params, root, jobs, [*range(jobs)][::-1]) == expected
    assert remarks(capsys.readouterr().err) == told
    assert len(receipts(root)) == jobs and not prepare_photographs.shards(root).exists()


def test_each_photograph_is_read_by_one_job(params, root, read):
    prepare(params, root, 4)
    assert len(read) == COUNT + 2 and len(set(read)) == COUNT + 2


def test_a_killed_job_goes_on_and_the_others_are_not_repeated(params, root, read):
    expected = prepare(params, root, 1)
    several = params.model_copy(update={"prepare_jobs": 2})
    run_stage(several, "scatter", root, part=0)
    made = receipts(root)
    read[:], read.stop = [], 4  # in the second of four shards
    with pytest.raises(KeyboardInterrupt):
        run_stage(several, "scatter", root, part=1)
    assert receipts(root) == made
    read[:], read.stop = [], None
    run_stage(several, "scatter", root, part=1)
    assert len(read) == COUNT + 2 - 8 - 2
    assert prepare(params, root, 2, order=[0]) == expected
    assert len(read) == COUNT + 2 - 8 - 2


def test_what_no_job_has_made_prepare_makes(params, root, read):
    expected = prepare(params, root, 1)
    read.clear()
    assert prepare(params, root, 3, order=[1]) == expected
    assert len(read) == COUNT + 2


@pytest.mark.parametrize("archive", ["train.tar", "val.tar"])
def test_a_receipt_tells_of_every_photograph(params, root, archive):
    """DVC's `prepare` sees photographs by receipts alone."""
    prepare(params, root, 2)
    before = receipts(root)
    tar(root / archive, imagenet(COUNT + 1))
    prepare(params, root, 2)
    after = receipts(root)
    assert all(after[part] != before[part] for part in before)


def test_shards_of_other_photographs_are_not_taken(params, root, read, capsys):
    several = params.model_copy(update={"prepare_jobs": 2})
    run_stage(several, "scatter", root, part=0)
    tar(root / "train.tar", imagenet(COUNT - 1))
    expected = prepare(params, root, 1)
    assert "changed; preparing afresh" in capsys.readouterr().err
    assert prepare(params, root, 2) == expected


def test_two_processes_never_make_one_shard(params, root):
    several = params.model_copy(update={"prepare_jobs": 2})
    with hold(root / "checkpoints/data/prepared/part1/lock"):
        run_stage(several, "scatter", root, part=0)
        with pytest.raises(MsddError, match="part1 is being made by process"):
            run_stage(several, "scatter", root, part=1)
    (folder,) = {path.parent for path in prepare_photographs.shards(root).glob("*/*.bin")}
    with hold(folder / "00005.lock"), pytest.raises(MsddError, match="is being made by process"):
        run_stage(several, "prepare", root)


def test_parts_that_there_are_not_are_named(params, root):
    for jobs, part in ((2, 2), (1, 0)):
        few = params.model_copy(update={"prepare_jobs": jobs})
        with pytest.raises(MsddError, match=f"there is no part {part} of prepare_jobs {jobs}"):
            run_stage(few, "scatter", root, part=part)


def test_crops_are_prepared_by_one_job(tiny_params):
    (line,) = cross_checks(tiny_params.model_copy(update={"prepare_jobs": 2}))
    assert line.startswith("prepare_jobs is 2; crops are made by 1 job")
