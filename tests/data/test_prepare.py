"""Preparing: whole or not at all, the same bytes every time, and every file left out is named."""

import csv
import os
import resource
from pathlib import Path

import numpy as np
import pytest
from archived import imagenet, tar, unpacked
from image_bytes import exchanged
from PIL import Image

from msdd import cli
from msdd.commands.stages import run_stage
from msdd.data import digests, prepare, shards
from msdd.data import split as splitting
from msdd.data.held_out import photographs_of
from msdd.data.shards import Crops, allow_open_files
from msdd.errors import MsddError
from msdd.files import read_json
from msdd.params.load import load
from msdd.params.sections import Data
from msdd.pipeline.lock import hold

SIDE = 8
TINY = load(Path(__file__).parents[2] / "presets/tiny.yaml")


def params(seed=0, cpu_threads=1, **changes):
    data = {
        "photographs": "photos",
        "held_out": None,
        "held_out_fraction": 0.2,
        "store": "crops",
        "store_side": None,
        "resolution": SIDE,
        "train_crops": 50,
        "held_out_crops": 7,
        "crop": "random",
        "crop_side": (0.3, 0.9),
        "enlarge": False,
        "min_contrast": 0.04,
        "max_bad_fraction": 0.0,
        "to_srgb": False,
    }
    changed = {"seed": seed, "cpu_threads": cpu_threads, "data": Data(**data | changes)}
    return TINY.model_copy(update=changed)


@pytest.fixture
def root(tmp_path):
    """Ten photographs; number k has no pixel in common with the others: its blue is 20 k."""
    (tmp_path / "photos").mkdir()
    random = np.random.default_rng(0)
    for k in range(10):
        pixels = random.integers(0, 256, (24, 30, 3), np.uint8)
        pixels[..., 2] = 20 * k
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{k}.png")
    return tmp_path


def manifest(root):
    return read_json(root / "data" / "prepared" / "manifest.json")


def table(root):
    with open(root / "data" / "prepared" / "photographs.csv") as file:
        return list(csv.DictReader(file))


def whole_folder(root):
    folder = root / "data" / "prepared"
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def of_photograph(root, split):
    """The number of the photograph that each crop comes from."""
    crops = Crops(root / "data" / "prepared", split)
    return (crops.batch(np.arange(len(crops)))[:, 2, 0, 0].numpy() / 20).round().astype(int)


def test_photographs_become_balanced_and_mixed_crops(root):
    result = run_stage(params(), "prepare", root)
    train, held_out = of_photograph(root, "train"), of_photograph(root, "held_out")
    assert not set(train) & set(held_out)
    counts = np.unique(train, return_counts=True)[1]
    assert len(train) == 50 and len(held_out) == 7 and counts.max() - counts.min() <= 1
    assert (np.diff(train) != 0).mean() > 0.6  # neighbours come from different photographs
    listed = {(row["split"], row["name"]): int(row["crops"]) for row in table(root)}
    assert listed["train", f"{train[0]}.png"] == (train == train[0]).sum()
    assert result["train_crops"] == 50 and result["unreadable"] == 0


def test_held_out_crops_know_their_photographs(root, monkeypatch):
    """Also where a photograph gives its crops in several jobs, or none at all."""
    monkeypatch.setattr(splitting, "JOB_BYTES", 3 * 3 * SIDE**2)
    names = sorted({row["name"] for row in held_out_rows(root, 40)})
    owners = photographs_of(root / "data/prepared", 40)
    assert [names[k] for k in owners] == [f"{k}.png" for k in of_photograph(root, "held_out")]
    Image.new("RGB", (4, 4)).save(root / "photos" / names[0])  # too small
    rows = held_out_rows(root, 40)
    found = [rows[k]["name"] for k in photographs_of(root / "data/prepared", 40)]
    assert found == [f"{k}.png" for k in of_photograph(root, "held_out")]
    assert names[0] not in found and len(set(found)) == len(names) - 1
    with pytest.raises(MsddError, match="held_out_photographs.npy is not of 41 crops"):
        photographs_of(root / "data/prepared", 41)


def held_out_rows(root, crops):
    run_stage(params(held_out_crops=crops), "prepare", root)
    return [row for row in table(root) if row["split"] == "held_out"]


def test_the_same_input_gives_the_same_bytes(root, monkeypatch):
    run_stage(params(), "prepare", root)
    first = whole_folder(root)
    monkeypatch.setattr(splitting, "JOB_BYTES", 3 * 3 * SIDE**2)  # several jobs a photograph
    run_stage(params(cpu_threads=4), "prepare", root)
    assert whole_folder(root) == first
    run_stage(params(seed=1), "prepare", root)
    assert whole_folder(root) != first


def test_archives_give_the_crops_of_the_unpacked_folder(root):
    """The archive may then go: its digest stands in the table."""
    unpacked(root / "photos", imagenet(12))
    for k in range(10):
        (root / f"photos/{k}.png").unlink()
    tar(root / "train.tar", imagenet(12))
    run_stage(params(), "prepare", root)
    first, rows = manifest(root), table(root)
    packed = params(photographs="train.tar")
    run_stage(packed, "prepare", root)
    assert manifest(root)["digest"] == first["digest"]
    archive, *members = table(root)
    assert (archive["name"], archive["crops"]) == ("train.tar", "")
    assert {row["archive"] for row in members} == {"train.tar"}
    assert [row | {"archive": ""} for row in members] == rows
    before = digests.of_photographs(packed.data, root)
    assert digests.changes(packed.data, root).endswith("1 files, unchanged")
    (root / "train.tar").unlink()
    assert digests.of_photographs(packed.data, root) == before


def test_an_archive_that_changes_meanwhile_is_told(root, monkeypatch):
    """Also where the photographs that it still has are whole."""
    tar(root / "train.tar", imagenet(12))
    plain = prepare.write_split

    def meanwhile(task, folder, split):
        tar(root / "train.tar", imagenet(13))
        return plain(task, folder, split)

    monkeypatch.setattr(prepare, "write_split", meanwhile)
    with pytest.raises(MsddError, match="train.tar changed while it was read: run `msdd prepare`"):
        run_stage(params(photographs="train.tar", max_bad_fraction=1.0), "prepare", root)
    assert list((root / "data").iterdir()) == []


def test_classes_that_do_not_match_are_told(root, capsys):
    """Nobody needs their labels here; but a set with classes missing is rarely meant."""
    tar(root / "train.tar", imagenet(6, classes=3))
    for classes, told in ((3, ""), (2, "has 3 classes and data.held_out 2; 1 are on one side")):
        tar(root / "val.tar", imagenet(6, classes=classes))
        run_stage(params(photographs="train.tar", held_out="val.tar"), "prepare", root)
        err = capsys.readouterr().err
        assert told in err and ("classes" in err) == bool(told)


def test_shards_hold_what_one_array_would(root, monkeypatch):
    run_stage(params(), "prepare", root)
    whole = Crops(root / "data" / "prepared", "train").batch(np.arange(50))
    monkeypatch.setattr(shards, "SHARD_BYTES", 16 * 3 * SIDE**2)
    run_stage(params(), "prepare", root)
    split = Crops(root / "data" / "prepared", "train")
    assert [len(shard) for shard in split.shards] == [16, 16, 16, 2]
    order = np.array([49, 3, 17, 3, 32, 0])
    assert np.array_equal(split.batch(order), whole[order])
    loaded = np.load(root / "data" / "prepared" / "train" / "00003.npy")
    assert np.array_equal(loaded.transpose(0, 3, 1, 2), whole[48:])


def test_bad_photographs_are_named_and_made_up_for(root):
    whole = (root / "photos" / "0.png").read_bytes()
    (root / "photos" / "torn.png").write_bytes(whole[: len(whole) // 2])
    (root / "photos" / "web.jpg").write_bytes(b"<html>")
    Image.new("RGB", (200, SIDE - 1)).save(root / "photos" / "thumb.png")
    result = run_stage(params(max_bad_fraction=0.25), "prepare", root)
    found = manifest(root)
    assert {entry["name"] for entry in found["unreadable"]} == {"torn.png", "web.jpg"}
    assert {e["name"]: e["reason"] for e in found["unreadable"]}["web.jpg"].startswith("not an im")
    (small,) = found["too_small"]
    assert small["name"] == "thumb.png" and "200 x 7" in small["reason"]
    assert (result["unreadable"], result["too_small"]) == (2, 1)
    counts = np.unique(of_photograph(root, "train"), return_counts=True)[1]
    assert counts.sum() == 50 and counts.max() - counts.min() <= 1


def test_centre_crops_are_one_of_each_photograph_that_can_be_read(root, capsys):
    """Whatever is refused makes the held-out split smaller; training has random crops."""
    (root / "test").mkdir()
    for k in range(5):
        size = (SIDE - 2, 11) if k == 3 else (20 + k, 30)
        Image.new("RGB", size, (0, 0, 20 * k)).save(root / "test" / f"{k}.png")
    (root / "test" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (root / "test" / "notes.txt").write_text("no image")
    whole = {"crop": "adm", "train_crops": None, "held_out_crops": None, "held_out": "test"}
    result = run_stage(params(**whole, enlarge=True, max_bad_fraction=0.5), "prepare", root)
    assert (result["train_crops"], result["held_out_crops"]) == (10, 5)
    assert sorted(of_photograph(root, "held_out")) == [0, 1, 2, 3, 4]
    told = capsys.readouterr().err.splitlines()[-1]
    assert "1 of 16 photographs (6.2%): 1 unreadable" in told and "(.txt 1): 'notes.txt'" in told
    result = run_stage(params(**whole, enlarge=False, max_bad_fraction=0.5), "prepare", root)
    assert sorted(of_photograph(root, "held_out")) == [0, 1, 2, 4]
    assert "1 smaller than data.resolution 8 (data.enlarge: true" in capsys.readouterr().err
    fewer = whole | {"held_out_crops": 3}
    run_stage(params(**fewer, max_bad_fraction=0.5), "prepare", root)
    assert len(set(of_photograph(root, "held_out"))) == 3


def test_nothing_left_out_is_no_word(root, capsys):
    run_stage(params(), "prepare", root)
    assert "left out" not in capsys.readouterr().err


def test_provenance_tells_what_has_become_of_the_photographs(root, monkeypatch, capsys):
    """Also of one that gave no crop, for it has a say in which of them do."""
    run_stage(params(train_crops=4, held_out_crops=1), "prepare", root)
    monkeypatch.chdir(root)
    unused = next(row["name"] for row in table(root) if row["crops"] == "0")
    for change, told in ((None, "10 files, unchanged"), (unused, f"1 changed ({unused})")):
        if change:
            (root / "photos" / change).write_bytes(b"other")
        capsys.readouterr()
        assert cli.main(["provenance", "data/prepared/manifest.json"]) == 0
        (line,) = [s for s in capsys.readouterr().out.splitlines() if "  photographs  " in s]
        assert told in line


def test_fewer_crops_than_photographs_replace_the_bad_ones_too(root):
    for name in ("3.png", "5.png", "8.png"):
        (root / "photos" / name).write_bytes(b"")
    run_stage(params(train_crops=4, held_out_crops=1, max_bad_fraction=1.0), "prepare", root)
    assert len(set(of_photograph(root, "train"))) == 4


def test_too_many_bad_photographs_are_an_error(root):
    (root / "photos" / "0.png").write_bytes(b"")
    with pytest.raises(MsddError, match=r"max_bad_fraction.*0.png: an empty file"):
        run_stage(params(max_bad_fraction=0.05), "prepare", root)
    assert list((root / "data").iterdir()) == []


def test_only_small_photographs_are_an_error(root):
    with pytest.raises(MsddError, match="can be used.*30 x 24 pixels give no crop"):
        run_stage(params(resolution=25), "prepare", root)


def test_a_copy_on_both_sides_is_reported(root, capsys):
    (root / "test").mkdir()
    (root / "test" / "copy.png").write_bytes((root / "photos" / "4.png").read_bytes())
    run_stage(params(held_out="test"), "prepare", root)
    assert manifest(root)["in_both_splits"] == ["copy.png"]
    told = "1 of 1 held-out photographs are trained on, as the same bytes ('copy.png')"
    assert told in capsys.readouterr().err
    assert manifest(root)["photographs"] == {"train": 10, "held_out": 1}


def test_a_full_disk_leaves_what_was_there(root):
    run_stage(params(), "prepare", root)
    before = whole_folder(root)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError):
            run_stage(params(train_crops=1000), "prepare", root)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert whole_folder(root) == before
    assert [path.name for path in (root / "data").iterdir()] == ["prepared"]


def test_a_second_process_is_refused(root):
    told = f"is being made by process {os.getpid()} on"
    with hold(root / "checkpoints/data/prepared/lock"), pytest.raises(MsddError, match=told):
        run_stage(params(), "prepare", root)
    assert not (root / "data").exists()


def test_crops_that_cannot_fit_are_foreseen(root):
    with pytest.raises(MsddError, match="MB are free"):
        run_stage(params(train_crops=10**15), "prepare", root)
    assert list((root / "data").iterdir()) == []


def test_crops_say_what_is_missing(root):
    folder = root / "data" / "prepared"
    with pytest.raises(MsddError, match="run `msdd prepare`"):
        Crops(folder, "train")
    run_stage(params(), "prepare", root)
    assert Crops(folder, "train", expect_resolution=SIDE).digest == manifest(root)["digest"]
    with pytest.raises(MsddError, match="8 px and data.resolution is 16"):
        Crops(folder, "train", expect_resolution=16)
    (folder / "train" / "00000.npy").unlink()
    with pytest.raises(MsddError, match="does not hold the 50 crops"):
        Crops(folder, "train")


def test_many_shards_may_be_open():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        allow_open_files(300)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(812, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_profiles_are_followed_only_on_request(root):
    """Colours in a profile whose red is sRGB's green: the means of both channels are exchanged."""
    image = Image.new("RGB", (24, 24), (200, 50, 0))
    for k in range(10):
        image.save(root / "photos" / f"{k}.png", icc_profile=exchanged())
    for to_srgb, expected in ((False, (200, 50, 0)), (True, (50, 200, 0))):
        run_stage(params(to_srgb=to_srgb, min_contrast=0.0), "prepare", root)
        crop = np.load(root / "data/prepared/train/00000.npy")[0]
        assert np.abs(crop.mean((0, 1)) - expected).max() <= 1


def test_a_single_held_out_crop_is_told_before_anything_is_trained(root, capsys):
    (root / "test").mkdir()
    (root / "test" / "only.png").write_bytes((root / "photos" / "4.png").read_bytes())
    run_stage(params(held_out="test", held_out_crops=4), "prepare", root)
    assert "single held-out crop" not in capsys.readouterr().err
    run_stage(params(held_out="test", held_out_crops=4, crop="adm"), "prepare", root)
    assert "warning: a single held-out crop" in capsys.readouterr().err


def test_a_name_with_a_line_break_is_a_line(root, capsys):
    """In the table of photographs, and where a bad one is named; engines see no change by it."""
    (root / "photos/3.png").rename(root / "photos/3\n.png")
    (root / "photos/bad\r.png").write_bytes(b"no image")
    run_stage(params(max_bad_fraction=0.5), "prepare", root)
    names = {row["name"] for row in table(root)}
    assert {r"3\n.png", r"bad\r.png"} <= names
    lines = (root / "data/prepared/photographs.csv").read_bytes().decode().splitlines()
    assert len(lines) == 1 + len(table(root))
    assert digests.changes(params().data, root).endswith(", unchanged")
    with pytest.raises(MsddError) as error:
        run_stage(params(max_bad_fraction=0.0), "prepare", root)
    assert len(str(error.value).splitlines()) == 1
