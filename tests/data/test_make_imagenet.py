"""The official archives that a benchmark makes are what the real ones are."""

from archived import encoded
from make_imagenet import make

from msdd.data.image_file import decode
from msdd.data.sources import photographs, source


def test_archives_hold_repeated_and_odd_images(tmp_path):
    (tmp_path / "some").mkdir()
    for k, name in enumerate(("n01440764_tench", "n01443537_a", "n01443537_b")):
        (tmp_path / f"some/{name}.JPEG").write_bytes(encoded(k))
    make(tmp_path / "some", tmp_path / "out", images=9, held_out=4)
    train = photographs(source(tmp_path, "out/ILSVRC2012_img_train.tar", "data.photographs"))
    assert [one.name.partition("/")[0] for one in train] == 9 * ["n01440764"] + 4 * ["n01443537"]
    assert len({one.read() for one in train}) == 3 + 4
    assert {decode(one.read(), one.name).shape for one in train} == {(24, 30, 3), (40, 60, 3)}
    held_out = photographs(source(tmp_path, "out/ILSVRC2012_img_val.tar", "data.held_out"))
    assert [one.name for one in held_out] == [f"ILSVRC2012_val_{k:08d}.JPEG" for k in range(1, 5)]
