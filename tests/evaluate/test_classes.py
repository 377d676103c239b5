"""Classes that a network recognises, and the labels of images."""

import json
import os
import shutil

import pytest
import torch
from coded import RULES, run
from coded import entry as entry_of
from faded import CPU

from msdd.cli import main
from msdd.errors import MsddError
from msdd.evaluate.class_columns import class_numbers
from msdd.evaluate.name_tables import class_ids, labels, read_classes
from msdd.weights.classifier import central, classifier

CLASSES = "classes: { quantisation: round, network: efficientnet-lite0 }"
pytestmark = pytest.mark.usefixtures("own_cache", "one_thread")


def test_classes_are_the_thousand_in_the_order_of_their_ids():
    ids = list(class_ids())
    assert len(ids) == 1000 and ids == sorted(ids)
    assert (class_ids()["n01440764"], class_ids()["n15075141"]) == (0, 999)


def test_labels_are_read_from_folders_and_names():
    """Of two ids the first; what is longer is no id, nor is one of another thousand a class."""
    names = ["val/n01443537/x", "n01440764_tench", "n014407640", "n00007846", "a", "xn01440764"]
    assert labels(names, None) == [1, 0, None, None, None, None]


def test_a_table_gives_labels_by_id_and_by_number(tmp_path):
    (tmp_path / "a.csv").write_text("b/x.JPEG,n01440764\nc.png,999\n")
    (tmp_path / "a.json").write_text(json.dumps({"b/x": "n01440764", "c": 999}))
    for file in ("a.csv", "a.json"):
        assert labels(["b/x", "c", "d"], str(tmp_path / file)) == [0, 999, None]


def test_a_table_that_is_changed_is_read_again(tmp_path):
    """Also one with the old time, by a program that sets it."""
    file = tmp_path / "t.csv"
    for number in (1, 2):
        file.write_text(f"a,{number}\n")
        os.utime(file, (0, 0))
        assert labels(["a"], str(file)) == [number]


def test_a_table_of_a_spreadsheet_or_of_macos_has_all_names(tmp_path):
    """The first begins with a mark, the second writes letters and accents apart."""
    file = tmp_path / "t.csv"
    file.write_bytes("\ufeffa.png,1\ncafe\u0301.png,2\n".encode())
    assert labels(["a", "caf\u00e9"], str(file)) == [1, 2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,n00007846\n", "write a WordNet id of ImageNet-1K"),
        ("a,1000\n", "0 to 999"),
        ("a,1\na.png,2\n", "a.png comes twice"),
        ("a\n", "row 1 has 1 columns"),
        ("\udce9,1\n", "cannot be read"),
        (None, "No such file"),
    ],
)
def test_a_table_that_is_none_is_told_in_one_line(tmp_path, text, said):
    file = tmp_path / "t.csv"
    if text is not None:
        file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(MsddError, match=said) as error:
        read_classes(str(file))
    assert len(str(error.value).splitlines()) == 1


def test_an_image_counts_by_its_first_class_and_by_its_first_five():
    real, made = torch.arange(10).reshape(2, 5), torch.tensor([[0, 9, 8, 7, 6], [1, 5, 9, 8, 7]])
    found = class_numbers(real, made, ["n01440764", "n01443537"], None)
    assert found["class_agreement"] == [1, 0]
    assert (found["top1_original"], found["top5_original"]) == ([1, 0], [1, 0])
    assert (found["top1"], found["top5"]) == ([1, 1], [1, 1])


def test_the_centre_is_cut_out_as_published():
    """224 of 256 pixels, of the shorter side."""
    images = torch.arange(256.0 * 300).reshape(1, 1, 256, 300)
    assert torch.equal(central(images), images[..., 16:240, 38:262])


def test_the_network_is_the_package_s_with_its_own_normalisation():
    from efficientnet_lite_pytorch import EfficientNet

    from msdd.weights.packages import efficientnet_file

    theirs = EfficientNet.from_name("efficientnet-lite0")
    theirs.load_state_dict(torch.load(efficientnet_file("efficientnet-lite0"), weights_only=True))
    levels = torch.randint(256, (2, 3, 256, 256), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = classifier(CPU)(levels / 127.5 - 1)
        expected = theirs.eval()((levels[..., 16:240, 16:240] - 127.0) / 128.0)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.fixture
def labelled(photographs, tmp_path):
    """The photographs in folders: the cat in its own, the cup in that of another class."""
    folder = tmp_path / "labelled"
    for path in photographs.iterdir():
        wordnet = {"chelsea": "n02124075", "coffee": "n01440764"}.get(path.stem, "unknown")
        (folder / wordnet).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / wordnet)
    return folder


def test_classes_of_those_that_have_one(labelled, tmp_path, capsys):
    """Nothing but the cat and the cup has a label; a white picture has no class in common."""
    assert run(labelled, "white", CLASSES, tmp_path, "--resolution", "224") == 0
    entry = entry_of(tmp_path)
    assert entry["images_with"] == {"class_agreement": 5} | dict.fromkeys(
        ("top1", "top5", "top1_original", "top5_original"), 2
    )
    assert entry["metrics"]["top5_original"]["mean"] == 0.5
    assert entry["metrics"]["class_agreement"]["mean"] == 0
    assert entry["per_image"]["top1"].count(None) == 3
    assert "classes of 2 images are known" in capsys.readouterr().out


def test_the_same_image_has_the_same_class(photographs, tmp_path):
    sides = [str(photographs)] * 2
    (tmp_path / "r.yaml").write_text(RULES.format(CLASSES))
    what = ["--originals", sides[0], "--reconstructions", sides[1]]
    how = ["--protocol", str(tmp_path / "r.yaml"), "--json", str(tmp_path / "m.json")]
    assert main(["evaluate", *what, *how]) == 0
    report = json.loads((tmp_path / "m.json").read_text())
    assert report["protocols"]["mine"]["metrics"]["class_agreement"]["mean"] == 1
    assert "no image has a class" in report["not_measured"]["top1"]
    assert "top1" not in report["protocols"]["mine"]["metrics"]
