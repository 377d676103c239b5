"""Every change of a photograph changes the digest, and nothing else does."""

import errno
import hashlib
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from msdd.data import digests
from msdd.data.image_file import PhotographError, read_file
from msdd.errors import MsddError
from msdd.files import write_text

DATA = SimpleNamespace(photographs="photos", held_out=None, held_out_fraction=0.3)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Nine files that count as many, and as settled at once."""
    monkeypatch.setattr(digests, "SETTLED", 0)
    monkeypatch.setattr(digests, "WORTH", 0)
    for k in range(9):
        write_text(tmp_path / f"photos/{k}.png", f"content {k}")
    return tmp_path


@pytest.fixture
def read(monkeypatch):
    """The names of the files that are read from now on."""
    names = []
    plain = digests.digest
    monkeypatch.setattr(digests, "digest", lambda path: names.append(path.name) or plain(path))
    return names


def replaced(path):
    """Other content of the same size and time, as `cp --preserve` may leave it."""
    before = path.stat()
    write_text(path, path.read_text()[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES = {
    "replaced": lambda photos: replaced(photos / "4.png"),
    "added": lambda photos: write_text(photos / "new/9.png", "content"),
    "deleted": lambda photos: (photos / "8.png").unlink(),
    "renamed": lambda photos: (photos / "8.png").rename(photos / "7b.png"),
    "swapped": lambda photos: [write_text(photos / f"{k}.png", f"content {1 - k}") for k in (0, 1)],
    "not to be read": lambda photos: (
        (photos / "2.png").unlink() or (photos / "2.png").symlink_to("2.png")
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(root, change):
    before = digests.of_photographs(DATA, root)
    assert digests.of_photographs(DATA, root) == before
    CHANGES[change](root / "photos")
    assert digests.of_photographs(DATA, root) != before


def test_other_files_and_times_change_nothing(root):
    before = digests.of_photographs(DATA, root)
    write_text(root / "photos/notes.txt", "no image")
    os.utime(root / "photos/3.png")
    assert digests.of_photographs(DATA, root) == before


def test_only_changed_files_are_read_again(root, read):
    digests.of_photographs(DATA, root)
    assert sorted(read) == [f"{k}.png" for k in range(9)]
    read.clear()
    replaced(root / "photos/4.png")
    digests.of_photographs(DATA, root)
    assert read == ["4.png"]


def test_a_file_that_may_still_be_written_is_read_again(root, read, monkeypatch):
    monkeypatch.setattr(digests, "SETTLED", 60)
    digests.of_photographs(DATA, root)
    digests.of_photographs(DATA, root)
    assert len(read) == 18


def test_without_a_cache_the_digests_are_the_same(root, read):
    expected = [hashlib.sha256(f"content {k}".encode()).hexdigest() for k in range(9)]
    paths = [root / f"photos/{k}.png" for k in range(9)]
    assert digests.of_files(paths, root) == expected
    (root / ".photographs.sqlite").write_text("no database at all, " * 100)
    assert digests.of_files(paths, root) == expected
    assert digests.of_files(paths, root / "nowhere") == expected
    assert len(read) == 27
    for _ in range(2):  # in the place of the damaged one
        assert digests.of_files(paths, root) == expected
    assert len(read) == 36


def test_what_was_read_before_an_error_is_kept(root, read, monkeypatch):
    whole = digests._read

    def torn(paths):
        for k, found in enumerate(whole(paths)):
            if k == 5:
                raise MsddError("the store is away")
            yield found

    paths = [root / f"photos/{k}.png" for k in range(9)]
    monkeypatch.setattr(digests, "_read", torn)
    with pytest.raises(MsddError):
        digests.of_files(paths, root)
    monkeypatch.setattr(digests, "_read", whole)
    read.clear()
    digests.of_files(paths, root)
    assert read == ["5.png", "6.png", "7.png", "8.png"]


def test_a_small_set_leaves_no_trace(root, monkeypatch):
    monkeypatch.setattr(digests, "WORTH", 2**20)
    assert len(set(digests.present(DATA, root))) == 9
    assert [path.name for path in root.iterdir()] == ["photos"]


def test_what_is_prepared_stands_for_photographs_that_are_gone(root, capsys):
    now = digests.of_photographs(DATA, root)
    rows = "".join(f"{split},{name},1,{sha}\n" for split, name, sha in digests.present(DATA, root))
    write_text(root / "data/prepared/photographs.csv", f"split,name,crops,sha256\n{rows}")
    (root / "photos").rename(root / "elsewhere")
    assert digests.of_photographs(DATA, root) == now
    assert "there is no folder photos; using what was prepared" in capsys.readouterr().err
    assert digests.changes(DATA, root).startswith("gone: data.photographs")
    (root / "elsewhere").rename(root / "photos")
    assert digests.changes(DATA, root).endswith("9 files, unchanged")
    replaced(root / "photos/4.png")
    (root / "photos/5.png").unlink()
    assert digests.changes(DATA, root).endswith("changed since: 1 changed (4.png), 1 gone (5.png)")


def test_a_store_that_is_away_behind_its_links_changes_nothing(root, capsys):
    """The folder of links can be listed, and each leads to nothing."""
    store = (root / "photos").rename(root / "store")
    (root / "photos").mkdir()
    for path in store.iterdir():
        (root / "photos" / path.name).symlink_to(path)
    before = digests.of_photographs(DATA, root)
    rows = "".join(f"{','.join(row)},\n" for row in digests.present(DATA, root))
    write_text(root / "data/prepared/photographs.csv", f"split,name,sha256,archive\n{rows}")
    store.rename(root / "away")
    assert digests.of_photographs(DATA, root) == before
    told = capsys.readouterr().err
    assert "and 8 others cannot be read, and could be when it was prepared; using" in told
    with pytest.raises(MsddError, match="cannot be read"):
        digests.present(DATA, root)


def test_a_store_that_does_not_answer_says_nothing_of_an_image(root, monkeypatch):
    def stale(path):
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(digests, "digest", stale)
    monkeypatch.setattr(Path, "read_bytes", stale)
    with pytest.raises(MsddError, match="Stale file handle: the storage does not answer"):
        digests.present(DATA, root)
    with pytest.raises(MsddError, match="Stale file handle; if it was there a moment ago") as error:
        read_file(root / "photos/0.png", "0.png")
    assert not isinstance(error.value, PhotographError)
    monkeypatch.undo()
    (root / "photos/gone.png").symlink_to("nowhere")
    with pytest.raises(PhotographError, match="No such file"):
        read_file(root / "photos/gone.png", "gone.png")


def test_without_photographs_and_crops_the_reason_is_the_digest(tmp_path):
    assert digests.of_photographs(DATA, tmp_path) == "data.photographs: there is no folder photos"
