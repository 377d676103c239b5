"""Archives hold the same photographs as folders, and whatever is wrong with them is named."""

import os
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from archived import encoded, imagenet, parquet, tar, tar_of, unpacked

from msdd.data import digests, tars
from msdd.data import parquet as parquets
from msdd.data.image_file import PhotographError
from msdd.data.photographs import divided, sources
from msdd.data.sources import photographs, source
from msdd.errors import MsddError
from msdd.listing import braces, expanded


def read(root, value):
    """Name and content of all images of a source."""
    return {one.name: one.read() for one in photographs(source(root, value, "data.photographs"))}


@pytest.fixture
def expected(tmp_path):
    return read(unpacked(tmp_path / "folder", imagenet()), ".")


def test_nested_archives_hold_what_the_unpacked_folder_holds(tmp_path, expected):
    tar(tmp_path / "ILSVRC2012_img_train.tar", imagenet())
    assert len(expected) == 6 and read(tmp_path, "ILSVRC2012_img_train.tar") == expected


def test_a_folder_of_archives_of_classes_holds_the_same(tmp_path, expected):
    for name, images in imagenet().items():
        tar(tmp_path / "classes" / name, images)
    assert read(tmp_path, "classes") == expected
    assert read(tmp_path, "classes/n*.tar") == expected


def test_shards_of_webdataset_give_their_images_only(tmp_path):
    for k in range(3):
        files = {f"{k}{i}.{kind}": encoded(i) for i in range(2) for kind in ("jpg", "cls", "json")}
        tar(tmp_path / f"shards/train-{k:06d}.tar", files)
    found = read(tmp_path, "shards/train-{000000..000002}.tar")
    assert list(found) == [f"train-{k:06d}/{k}{i}.jpg" for k in range(3) for i in range(2)]
    assert read(tmp_path, "shards") == found
    with pytest.raises(MsddError, match=r"2 of the 5 archives .*the first is .*train-000003.tar"):
        read(tmp_path, "shards/train-{000000..000004}.tar")


def test_parquet_is_read_row_by_row(tmp_path):
    images = [encoded(k) for k in range(7)]
    parquet(tmp_path / "data/train-00000-of-00002.parquet", images[:5])
    parquet(tmp_path / "data/train-00001-of-00002.parquet", images[5:])
    parquet(tmp_path / "data/validation-00000-of-00001.parquet", images)
    found = read(tmp_path, "data/train-*.parquet")
    assert list(found.values()) == images and "train-00001-of-00002/00000001" in found
    assert list(read(tmp_path, "data/validation-00000-of-00001.parquet").values()) == images


def test_a_hard_link_in_an_archive_is_the_file_that_it_names(tmp_path):
    """As the unpacked folder has it; folders whose names begin with a dot are in neither."""
    for name in ("a.jpg", ".thumbs/a.jpg"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(encoded(0))
    os.link(tmp_path / "photos/a.jpg", tmp_path / "photos/b.jpg")
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        archive.add(tmp_path / "photos", ".")
    both = dict.fromkeys(("a.jpg", "b.jpg"), encoded(0))
    assert read(tmp_path, "photos") == read(tmp_path, "photos.tar") == both


def test_hidden_files_of_archives_are_left_out(tmp_path):
    """As macOS adds them beside every other file, archives included."""
    files = imagenet()
    odd = {f"._{name}": b"\0\5\x16\7" for name in files}
    tar(tmp_path / "a.tar", odd | {name: some | {"._x.JPEG": b""} for name, some in files.items()})
    assert len(read(tmp_path, "a.tar")) == 6


@pytest.mark.parametrize("format", ["ustar", "gnu", "pax"])
def test_names_of_any_length_and_alphabet_are_kept(tmp_path, format):
    import tarfile

    name = f"{'a' * 90}/{'ü' * 60 if format != 'ustar' else 'u' * 60}.jpg"
    with tarfile.open(
        tmp_path / "a.tar", "w", format=getattr(tarfile, f"{format.upper()}_FORMAT")
    ) as archive:
        (tmp_path / "one.jpg").write_bytes(encoded(1))
        archive.add(tmp_path / "one.jpg", f"./{name}")
        (tmp_path / "link").symlink_to("one.jpg")
        archive.add(tmp_path / "link", "link.jpg")
    assert read(tmp_path, "a.tar") == {name: encoded(1)}


def cut(whole, inner):
    """Where the last image of an archive begins, in bytes."""
    return whole.rindex(inner[-1][:32])


TRAIN = imagenet()
IMAGES = [image for images in TRAIN.values() for image in images.values()]
WHOLE = tar_of(TRAIN)
DAMAGES = {
    "truncated in an image": (WHOLE[: cut(WHOLE, IMAGES) + 100], "truncated.*n01440766.tar"),
    "truncated inside": (
        tar_of({"n1.tar": tar_of({"a.jpg": IMAGES[0]})[:1024]}),
        "n1.tar inside it is truncated",
    ),
    "without an end": (WHOLE[: WHOLE.rindex(b"ustar")], "truncated or damaged"),
    "cut at a member": (WHOLE[: WHOLE.rindex(b"n01440766.tar\0")], "truncated.*n01440765.tar"),
    "overwritten": (
        WHOLE.replace(b"n01440765.tar\0", b"\xff" * 14),
        "damaged near byte.*after its member n01440764.tar",
    ),
    "no archive inside": (tar_of({"n01.tar": b"<html>" * 200}), "n01.tar inside it is no tar"),
    "nothing inside": (tar_of({"n01.tar": b""}), "n01.tar inside it is no tar"),
    "of text": (b"<html>" * 1000, "a.tar is no tar archive"),
    "empty": (b"", "a.tar is no tar archive"),
    "without images": (tar_of({"notes.txt": b""}), "no image in the archives a.tar"),
    "of two classes": (
        tar_of({"n01440764.tar": {"n01440765_1.JPEG": IMAGES[0]}}),
        "n01440764.tar inside it is the archive of class n01440764 and holds n01440765_1.JPEG",
    ),
    "with a name twice": (
        tar_of([("x.jpg", IMAGES[0]), ("x.jpg", IMAGES[1])]),
        "two images in .*a.tar have the name x.jpg",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_archive_is_named_with_its_member(tmp_path, damage):
    content, told = DAMAGES[damage]
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(MsddError, match=told) as raised:
        read(tmp_path, "a.tar")
    assert "a.tar" in str(raised.value) and "\n" not in str(raised.value)


def test_an_archive_that_shrinks_costs_the_photographs_that_are_gone(tmp_path):
    path = tar(tmp_path / "a.tar", {"x.jpg": encoded(1), "y.jpg": encoded(2)})
    x, y = photographs(source(tmp_path, "a.tar", "data.photographs"))
    os.truncate(path, y.offset + 10)
    assert x.read() == encoded(1)
    with pytest.raises(PhotographError, match="y.jpg: .*a.tar: it ends inside this member"):
        y.read()


def test_other_parquet_files_are_named(tmp_path):
    import pyarrow
    from pyarrow.parquet import write_table

    write_table(pyarrow.table({"text": ["a"]}), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    with pytest.raises(MsddError, match=r"a.parquet has no column `image`.*columns: text"):
        read(tmp_path, "a.parquet")
    with pytest.raises(MsddError, match=r"b.parquet cannot be read as Parquet"):
        read(tmp_path, "b.parquet")
    parquet(tmp_path / "c.parquet", [encoded(0), None])
    (_, none) = photographs(source(tmp_path, "c.parquet", "data.photographs"))
    with pytest.raises(PhotographError, match="row 1 has no image bytes"):
        none.read()


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.zip", "notes.txt"])
def test_files_that_are_no_archives_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(MsddError, match=f"{name} is no folder, and no archive"):
        read(tmp_path, name)
    with pytest.raises(MsddError, match="data.photographs: there is no archive none.tar"):
        read(tmp_path, "none.tar")


def test_patterns_name_files(tmp_path):
    assert braces("a{08..10}") == ["a08", "a09", "a10"]
    assert braces("{a,b}-{0..1}") == ["a-0", "a-1", "b-0", "b-1"]
    assert braces("plain") == ["plain"] and braces("{a}") == ["{a}"]
    (tmp_path / "{0..9}").mkdir()
    assert expanded(tmp_path / "{0..9}") == [tmp_path / "{0..9}"]


def test_a_star_may_stand_in_the_name_of_a_folder_too(tmp_path, monkeypatch):
    for folder in ("run[1]/a1", "run[1]/a2", "run1/a3", "run[1]/b"):
        tar(tmp_path / folder / "x.tar", imagenet())
    found = [tmp_path / f"run[1]/{name}/x.tar" for name in ("a1", "a2")]
    assert expanded(tmp_path / "run[1]/a*/*.tar") == found
    monkeypatch.chdir(tmp_path)
    assert expanded(Path("run*/a{2,3}/x.tar")) == [Path("run1/a3/x.tar"), Path("run[1]/a2/x.tar")]
    assert not expanded(tmp_path / "none*/x.tar")
    assert expanded(tmp_path / "run[1]/**/*.tar") == [*found, tmp_path / "run[1]/b/x.tar"]


def test_a_star_stands_for_no_hidden_archive(tmp_path):
    """As of macOS and of copies in the making; one that is named is taken."""
    for name in ("a.tar", "._a.tar", ".copy/a.tar"):
        tar(tmp_path / name, imagenet())
    assert expanded(tmp_path / "*.tar") == expanded(tmp_path / "**/*.tar") == [tmp_path / "a.tar"]
    assert not expanded(tmp_path / "*/a.tar")
    assert expanded(tmp_path / ".c*/a.tar") == [tmp_path / ".copy/a.tar"]
    assert len(read(tmp_path, f"file://{tmp_path}/*.tar")) == 6


def test_stars_for_folders_at_any_depth_follow_links(tmp_path):
    """As the listing of a folder does; circles end."""
    for name in ("data/a.tar", "data/b/c.tar", "elsewhere/b/d.tar", "elsewhere/.copy/e.tar"):
        tar(tmp_path / name, imagenet())
    (tmp_path / "data/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/circle").symlink_to(tmp_path / "data")
    names = ["a.tar", "b/c.tar", "link/b/d.tar"]
    assert expanded(tmp_path / "data/**/*.tar") == [tmp_path / "data" / name for name in names]
    assert expanded(tmp_path / "data/**/b/**/*.tar") == [
        tmp_path / "data" / name for name in names[1:]
    ]
    assert expanded(tmp_path / "data/**.tar") == expanded(tmp_path / "data/*.tar")
    hidden = [tmp_path / "data/link/.copy/e.tar"]
    assert expanded(tmp_path / "data/**/.copy/*.tar") == hidden


def test_rows_of_a_large_row_group_are_those_of_small_ones(tmp_path, monkeypatch):
    images = [encoded(k) for k in range(5)]
    small = read(tmp_path, parquet(tmp_path / "small.parquet", images))
    monkeypatch.setattr(parquets, "BATCH", 1)
    assert read(tmp_path, parquet(tmp_path / "one.parquet", images)) == small


def data(photographs, held_out=None):
    return SimpleNamespace(photographs=photographs, held_out=held_out, held_out_fraction=0.4)


def test_an_archive_on_both_sides_is_refused(tmp_path):
    tar(tmp_path / "data/a.tar", imagenet())
    tar(tmp_path / "data/b.tar", imagenet())
    (tmp_path / "c.tar").symlink_to("data/a.tar")
    for train, held_out in (("data/*.tar", "c.tar"), ("data", "data/b.tar"), ("c.tar", "data")):
        with pytest.raises(MsddError, match="contain each other"):
            sources(data(train, held_out), tmp_path)
    with pytest.raises(MsddError, match="contain each other"):
        sources(data("data/a.tar", f"file://{tmp_path}/data/a.tar"), tmp_path)
    apart = data("data/a.tar", "data/b.tar")
    assert len(divided(sources(apart, tmp_path), apart)["held_out"]) == 6


def test_the_split_is_that_of_the_folder(tmp_path):
    unpacked(tmp_path / "folder", imagenet(40))
    tar(tmp_path / "a.tar", imagenet(40))
    both = (data(value) for value in ("folder", "a.tar"))
    folder, archive = (divided(sources(one, tmp_path), one) for one in both)
    for side in folder:
        assert [one.name for one in archive[side]] == [one.name for one in folder[side]]


def test_digests_see_archives_without_opening_them(tmp_path, monkeypatch):
    path = tar(tmp_path / "a.tar", imagenet())
    unpacked(tmp_path / "test", imagenet())
    monkeypatch.setattr(tars, "members", None)
    for given in (data("a.tar"), data("a.tar", "test"), data("embedded", "a.tar")):
        before = digests.of_photographs(given, tmp_path)
        path.write_bytes(tar_of(imagenet(7)))
        assert digests.of_photographs(given, tmp_path) != before
        tar(path, imagenet())
        assert digests.of_photographs(given, tmp_path) == before
    assert [row[:2] for row in digests.present(data("a.tar"), tmp_path)] == [("train", "a.tar")]
