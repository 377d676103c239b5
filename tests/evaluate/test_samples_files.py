"""Files and folders of samples and references by the command line, and what is refused."""

import json
import re
import shlex
import zipfile
from pathlib import Path

import numpy as np
import pytest
from generated import RULES, folder, pixels, rules
from PIL import Image

from msdd.cli import main
from msdd.errors import MsddError
from msdd.evaluate import loop, samples_reference, samples_rules
from msdd.evaluate.samples_reference import open_reference
from msdd.evaluate.samples_rules import Rules
from msdd.evaluate.samples_sets import image_set
from msdd.evaluate.samples_warnings import same_pixels, warnings
from msdd.weights.optional_imports import import_torchvision

WIDE = 1280  # features of EfficientNet-Lite0


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    found = tmp_path_factory.mktemp("samples")
    folder(found / "made", pixels(0))
    folder(found / "real", pixels(5))
    rules(found)
    return found


def run(root, *more: object, samples="made", reference="real") -> int:
    sides = ["--samples", root / samples, "--reference", root / reference, "--batch", 3]
    if "--protocol" not in more:
        more = ("--protocol", root / "rules.yaml", "--features", "efficientnet-lite0", *more)
    return main(["evaluate", *map(str, (*sides, *more))])


@pytest.fixture(scope="module")
def written(root):
    """A run that has written what it can."""
    assert run(root, "--json", root / "a.json", "--export-reference", root / "real.npz") == 0


@pytest.fixture
def kept(root, written) -> dict:
    return json.loads((root / "a.json").read_text())


def test_a_table_says_what_was_compared(root, kept, capsys):
    assert run(root, "--against", root / "a.json") == 0
    told = capsys.readouterr().out
    assert "FD-EffNetLite0 ↓" in told and "gFID" not in told
    assert f"samples: 12 images of 32 x 32 px in {root / 'made'}; 3 classes with 4 images" in told
    assert f"reference: 12 images of 32 x 32 px in {root / 'real'}" in told
    few = "warning: 12 samples and 12 images of the reference for 1,280 features of efficient"
    assert few in told and told.count("published figures are of 50,000") == 1
    assert "their covariance is singular" in told
    assert max(map(len, told.partition("samples:")[0].splitlines())) <= 100
    assert f"less {root / 'a.json'}:" in told and "+0.0000" in told


def test_statistics_that_were_written_serve_again(root, kept, capsys):
    """Also those of pytorch_fid and guided-diffusion: that program wants arr_0 in every file."""
    assert run(root, "--json", root / "b.json", reference="real.npz") == 0
    entries, before = (x["protocols"] for x in (json.loads((root / "b.json").read_text()), kept))
    for name in ("lite", "dense"):
        for metric, value in before[name]["metrics"].items():
            assert entries[name]["metrics"][metric] == pytest.approx(value, rel=1e-9)
    assert "the statistics in" in capsys.readouterr().out
    import_torchvision()
    from pytorch_fid.fid_score import compute_statistics_of_path

    mean, covariance = compute_statistics_of_path(str(root / "real.npz"), None, 1, WIDE, "cpu")
    arrays = np.load(root / "real.npz")
    assert (arrays["arr_0"] == pixels(5)).all() and arrays["mu"].shape == mean.shape
    assert covariance.shape == (WIDE, WIDE)


def test_turned_photographs_of_one_size_are_one_set(tmp_path):
    """Of TIFF, Pillow turns size and pixels itself; of JPEG, neither."""
    turned = Image.Exif()
    turned[0x0112] = 6
    for ending in ("tif", "jpg"):
        (tmp_path / ending).mkdir()
        for i in range(3):
            image = Image.new("RGB", (64, 40), (i, 9, 9))
            image.save(tmp_path / ending / f"{i}.{ending}", exif=turned)
        found = image_set(tmp_path / ending, "--samples")
        assert found.size == (40, 64) and found.read(2).shape == (64, 40, 3)


def test_two_runs_are_compared_on_one_reference(root, kept, capsys):
    told = f"a.json was compared with {root / 'real'}, which is another reference than "
    refused(root, capsys, told + str(root / "made"), "--against", root / "a.json", reference="made")


def test_what_was_made_by_the_former_levels_is_refused(root, kept, tmp_path, capsys):
    """Statistics and reports of EfficientNet of the time when ImageNet's mean was taken off."""
    arrays = dict(np.load(root / "real.npz"))
    about = json.loads(str(arrays["about"]))
    assert about["identity"].pop("levels") == "(level - 127) / 128"
    np.savez(tmp_path / "old.npz", **arrays | {"about": json.dumps(about)})
    told = "old.npz has statistics of levels 'None' where this evaluation has '(level - 127) / 128'"
    refused(root, capsys, told, reference=tmp_path / "old.npz")
    for entry in kept["protocols"].values():
        del entry["levels"]
    (tmp_path / "old.json").write_text(json.dumps(kept))
    told = "with the same rules; efficientnet-lite0 sees (level - 127) / 128 here"
    refused(root, capsys, told, "--against", tmp_path / "old.json")


def test_what_was_written_serves_pairs_and_a_mix_up_is_told(root, kept, tmp_path, capsys):
    """rFID is to the originals: other counts, and the form of a training set's file, are named."""
    folder(tmp_path / "some", pixels(5, 4))
    arrays = dict(np.load(root / "real.npz"))
    np.savez(tmp_path / "adm.npz", mu=arrays["mu"], sigma=arrays["sigma"], mu_s=np.zeros(3))
    (tmp_path / "p.yaml").write_text(
        "p: { crop: adm, fid: { quantisation: none, features: efficientnet-lite0 } }\n"
    )
    for originals, reference, said in (
        (root / "real", root / "real.npz", None),
        (tmp_path / "some", root / "real.npz", "is of 12 images, the originals are 4: rFID"),
        (root / "real", tmp_path / "adm.npz", "of a whole training set: rFID is to the originals"),
    ):
        capsys.readouterr()
        sides = ["--originals", originals, "--reconstructions", originals]
        options = ["--protocol", tmp_path / "p.yaml", "--reference", reference]
        assert main(["evaluate", *map(str, (*sides, *options))]) == 0
        told = capsys.readouterr().err
        assert said in told if said else "rFID" not in told


def test_statistics_alone_leave_out_what_needs_images(root, kept, capsys):
    arrays = dict(np.load(root / "real.npz"))
    np.savez(root / "alone.npz", mu=arrays["mu"], sigma=arrays["sigma"])
    assert run(root, reference="alone.npz") == 0
    told = capsys.readouterr().out
    named = "coverage of dense, precision of classes, recall of classes are not measured: the"
    assert told.count(named) == 1
    assert "inception_score of classes is not measured: it is of inception's features" in told
    assert "lite: features of efficientnet-lite0\n" in told
    assert "dense: no metric is left" in told
    (root / "dense.yaml").write_text(RULES.splitlines()[2])
    nothing = "no metric is left: the reference holds statistics"
    refused(root, capsys, nothing, "--protocol", root / "dense.yaml", reference="alone.npz")
    assert "of images that it does not count" in told


def test_labels_that_are_none_are_told(root, tmp_path, capsys):
    """Of another count or form, and of some names only."""
    images = pixels(0)
    for wrong, told in (
        (np.zeros(11, np.int64), "of shape (11,), not one whole number for each of 12"),
        (np.zeros((12, 3), np.int64), "arr_1 is int64 of shape (12, 3)"),
        (np.zeros(12), "arr_1 is float64 of shape (12,)"),
        (np.array([None] * 12), "it holds object"),
    ):
        np.savez(tmp_path / "s.npz", arr_0=images, arr_1=wrong)
        found = image_set(tmp_path / "s.npz", "--samples")
        assert found.classes is None and told in found.remark
    some = folder(tmp_path / "some", images[:3])
    (some / "0002_n00000002.png").rename(some / "none.png")
    assert image_set(some, "--samples").remark.startswith("none has no class in its name")
    whole = image_set(root / "made", "--samples")
    assert (whole.remark, len(whole.classes)) == ("", 12)
    np.savez(tmp_path / "s.npz", arr_0=images, arr_1=np.zeros(11, np.int64))
    assert run(root, samples=tmp_path / "s.npz") == 0
    assert "warning: " + str(tmp_path / "s.npz") + ": arr_1 is int64" in capsys.readouterr().out


def test_the_same_pixels_in_other_files_are_the_reference_itself(root, tmp_path):
    levels = pixels(5)
    np.savez(tmp_path / "a.npz", arr_0=levels)
    (tmp_path / "w").mkdir()
    for i, image in enumerate(levels):
        Image.fromarray(image).save(tmp_path / "w" / f"{i:04}.webp", lossless=True)
    real = image_set(root / "real", "--reference")
    array, webp = (image_set(tmp_path / name, "--samples") for name in ("a.npz", "w"))
    assert same_pixels(array, real) and same_pixels(webp, real) and same_pixels(webp, array)
    levels[-1, -1, -1, -1] ^= 1
    np.savez(tmp_path / "b.npz", arr_0=levels)
    assert not same_pixels(image_set(tmp_path / "b.npz", "--samples"), real)
    assert not same_pixels(array, image_set(root / "made", "--reference"))


def test_what_another_network_has_not_is_named(root, tmp_path):
    text = "one: { features: inception, frechet: true, spatial: true, inception_score: IS }"
    (tmp_path / "r.yaml").write_text(text.replace("IS", "{ splits: 2 }"))
    more = ["--protocol", tmp_path / "r.yaml", "--features", "efficientnet-lite0"]
    assert run(root, *more, "--json", tmp_path / "a.json") == 0
    missing = json.loads((tmp_path / "a.json").read_text())["not_measured"]
    assert missing.keys() == {"sfd_inception of one", "inception_score of one"}
    assert set(missing.values()) == {"it is of inception's features, not efficientnet-lite0's"}


def test_what_is_of_inception_alone(root, tmp_path, inception, capsys, monkeypatch):
    """sFID by guided-diffusion's form of a file, or a word where a file lacks it."""
    (tmp_path / "r.yaml").write_text("two: { features: inception, frechet: true, spatial: true }\n")
    chosen = ["--protocol", tmp_path / "r.yaml"]
    sides = [folder(tmp_path / name, pixels(first, 2)) for first, name in ((0, "a"), (5, "b"))]
    # ten seconds for each distance of 2,048 features; tests/metrics/test_frechet.py holds it
    seen = []
    monkeypatch.setattr(
        "msdd.evaluate.samples_figures.frechet_distance", lambda *given: seen.append(given) or 1.0
    )
    monkeypatch.setattr(samples_reference.statistics, "check_covariance", lambda *_: None)
    export = ["--export-reference", tmp_path / "s.npz", "--json", tmp_path / "a.json"]
    assert run(root, *chosen, *export, samples=sides[0], reference=sides[1]) == 0
    arrays = dict(np.load(tmp_path / "s.npz"))
    assert arrays["mu_s"].shape == (2023,) and arrays["sigma_s"].shape == (2023, 2023)
    np.savez(tmp_path / "t.npz", **{k: arrays[k] for k in ("mu", "sigma", "mu_s", "sigma_s")})
    assert run(root, *chosen, samples=sides[0], reference=tmp_path / "t.npz") == 0
    moments = [[side.mean for side in pair] for pair in seen]
    for before, after in zip(moments[:2], moments[2:], strict=True):
        assert all(np.allclose(a, b) for a, b in zip(before, after, strict=True))
    np.savez(tmp_path / "u.npz", mu=arrays["mu"], sigma=arrays["sigma"])
    capsys.readouterr()
    assert run(root, *chosen, samples=sides[0], reference=tmp_path / "u.npz") == 0
    told = capsys.readouterr().out
    lacking = "is not measured: the statistics of the reference lack mu_s"
    assert f"sfd_inception of two {lacking}" in told
    score = "two: { features: inception, spatial: true, inception_score: { splits: 2 } }\n"
    (tmp_path / "r.yaml").write_text(score)
    assert run(root, *chosen, samples=sides[0], reference=tmp_path / "u.npz") == 0
    told = capsys.readouterr().out
    assert f"sfd_inception of two {lacking}" in told and "IS ↑" in told


@pytest.mark.long
def test_the_page_s_commands(tmp_path, inception, capsys, monkeypatch):
    """The first block of docs/samples.md; guided-diffusion's file is made of what the third of its
    commands exports, which has the same statistics and images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(samples_reference.statistics, "check_covariance", lambda *_: None)
    for name, first in (("samples", 0), ("crops", 5)):
        folder(Path(name), pixels(first, 6))
    np.savez("samples.npz", pixels(0, 6))
    page = (Path(__file__).parents[2] / "docs/samples.md").read_text()
    block = page.partition("```sh\n")[2].partition("```")[0]
    plain, theirs, exporting = (shlex.split(line)[1:] for line in block.strip().splitlines())
    assert main(plain) == 0
    table = capsys.readouterr().out.partition("samples:")[0]
    columns, *rows = [re.split("  +", line) for line in table.splitlines()]
    assert columns == ["protocol", "adm", "torch-fidelity", "prdc"]  # the default
    assert [row[0] for row in rows] == [
        "gFID ↓", "MIND-Inception ↓", "sFID ↓", "IS ↑", "precision ↑", "recall ↑", "density ↑",
        "coverage ↑",
    ]  # fmt: skip
    assert main(exporting) == 0
    arrays = dict(np.load("crops.npz"))
    assert arrays.keys() - {"about", "arr_0"} == {"mu", "sigma", "mu_s", "sigma_s"}
    assert arrays["mu_s"].shape == (2023,) and arrays["sigma_s"].shape == (2023, 2023)
    arrays.pop("about")
    np.savez("VIRTUAL_imagenet256_labeled.npz", **arrays)
    assert main([*theirs, "--json", "theirs.json"]) == 0
    found, expected = (
        json.loads(Path(name).read_text())["protocols"]["adm"]["metrics"]
        for name in ("theirs.json", "samples.json")
    )
    assert found.keys() == expected.keys() > {"fd_inception", "sfd_inception", "recall"}
    assert found.pop("inception_score").keys() == expected.pop("inception_score").keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-6), name


def bad(root, name: str, **arrays: np.ndarray):
    np.savez(root / name, **arrays)
    return name


LEVELS = pixels(0, 3)
FILES = {  # arrays of a file of samples, and what is said of it
    "another key": ({"images": LEVELS}, "has no array arr_0 with images, but images"),
    "floats": ({"arr_0": LEVELS / 255}, "arr_0 is float64 of shape"),
    "channels first": ({"arr_0": LEVELS.transpose(0, 3, 1, 2)}, "which a transposition gives"),
    "another order": ({"arr_0": np.asfortranarray(LEVELS)}, "(N, H, W, 3) in C order"),
    "one image": ({"arr_0": LEVELS[:1]}, "of at least 2 images"),
    "grey": ({"arr_0": LEVELS[..., 0]}, "it must be images (N, H, W, 3)"),
    "statistics": ({"mu": np.zeros(8), "sigma": np.eye(8)}, "holds statistics (mu), no images"),
    "objects": ({"arr_0": np.array([None, 1])}, "arr_0 is object of shape"),
}


@pytest.mark.parametrize("case", FILES)
def test_other_files_are_refused_in_a_line(root, capsys, case):
    arrays, said = FILES[case]
    refused(root, capsys, said, samples=bad(root, "bad.npz", **arrays))


def refused(root, capsys, said: str, *more, **sides) -> None:
    capsys.readouterr()
    assert run(root, *more, **sides) == 1
    told = capsys.readouterr().err
    assert said in told and told.strip().count("\n") == 0, told


def test_damage_is_told_in_a_line(root, capsys):
    whole = (root / bad(root, "whole.npz", arr_0=pixels(0))).read_bytes()
    (root / "cut.npz").write_bytes(whole[: len(whole) // 2])
    refused(root, capsys, "is no .npz file, or only a part of one", samples="cut.npz")
    (root / "text.npz").write_text("no archive")
    refused(root, capsys, "is no .npz file", samples="text.npz")
    refused(root, capsys, "there is no folder or .npz file", samples="none.npz")
    declared = np.lib.format.header_data_from_array_1_0(pixels(0)) | {"shape": (2**40, 9, 9, 3)}
    with zipfile.ZipFile(root / "huge.npz", "w") as archive, archive.open("arr_0.npy", "w") as f:
        np.lib.format.write_array_header_1_0(f, declared)
    refused(root, capsys, "arr_0 is not as large as its header says", samples="huge.npz")


def test_sets_that_do_not_fit_are_refused(root, tmp_path, capsys):
    mixed = folder(tmp_path / "mixed", pixels(0))
    folder(mixed / "more", pixels(0)[:, :20])
    refused(
        root, capsys, "images of 2 sizes (32 x 32, 32 x 20 px), and must have one", reference=mixed
    )
    refused(root, capsys, "uncropped originals are cropped first", samples=mixed)
    other = bad(root, "other.npz", mu=np.zeros(768), sigma=np.eye(768))
    refused(root, capsys, "is of 768 features; efficientnet-lite0 makes 1280", reference=other)
    few = folder(tmp_path / "few", pixels(0, 2))
    refused(
        root, capsys, "lite needs at least 3 images for 2 neighbours; --samples has 2", samples=few
    )
    refused(root, capsys, "ssdd is none for samples, but of pairs", "--protocol", "ssdd")
    refused(root, capsys, "--steps means nothing to `evaluate --samples", "--steps", "2")
    refused(root, capsys, "holds statistics already", *exporting(tmp_path), reference=other)
    assert main(["evaluate", "--samples", str(root / "made")]) == 1
    assert "--samples with --reference" in capsys.readouterr().err


def test_pairs_name_what_is_of_samples(root, kept, tmp_path, capsys):
    """A report, and a folder as reference; and a protocol of which pairs have nothing."""
    (tmp_path / "p.yaml").write_text("p: { crop: adm, latents: true }\n")
    sides = ["--originals", root / "made", "--reconstructions", root / "made"]
    plain = ["--protocol", "msdd", "--features"]
    for options, said in (
        (["--against", root / "a.json"], "a.json is a report of samples, not of pairs of images"),
        ([*plain, "efficientnet-lite0", "--reference", root / "real"], "is a folder: of pairs"),
        (["--protocol", "adm"], "--protocol adm is of generated samples, by --samples"),
        (["--protocol", tmp_path / "p.yaml"], "nothing could be measured of these images: latents"),
    ):
        assert main(["evaluate", *map(str, (*sides, *options))]) == 1
        told = capsys.readouterr().err
        assert said in told, told


def exporting(folder) -> list:
    return ["--export-reference", folder / "x.npz"]


def test_latents_are_of_no_files(root, tmp_path, capsys):
    latents = ["--export-latents", tmp_path / "l.npz"]
    refused(root, capsys, "--export-latents means nothing to `evaluate --samples", *latents)
    pairs = ["--originals", root / "made", "--reconstructions", root / "made"]
    assert main(["evaluate", *map(str, (*pairs, *latents, "--protocol", "extended"))]) == 1
    assert "--export-latents means nothing to `evaluate --originals" in capsys.readouterr().err


@pytest.mark.parametrize("kept", [True, False])
def test_ctrl_c_says_whether_anything_is_kept(root, tmp_path, capsys, monkeypatch, kept):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "measure_batch", interrupted)
    assert run(root, *(("--work", tmp_path / "work") if kept else ())) == 130
    assert ("nothing is kept" in capsys.readouterr().err) != kept


def test_classes_and_sizes_that_differ_are_warned_of(root, tmp_path, capsys):
    wide = folder(tmp_path / "wide", pixels(0)[:, :30])
    for path in wide.glob("*n00000002.png"):
        path.unlink()
    assert (
        run(
            root,
            "--protocol",
            root / "rules.yaml",
            "--features",
            "efficientnet-lite0",
            samples=wide,
        )
        == 0
    )
    told = capsys.readouterr().out
    assert "different sizes, 32 x 30 and 32 x 32 px" in told
    assert "1 of 3 classes of the reference have no sample" in told


def test_usual_mix_ups_are_warned_of(tmp_path):
    """Other counts than papers have, samples that are the reference, the validation set, and
    classes of another set."""
    few = Rules(features="efficientnet-lite0", frechet=True)
    np.savez(tmp_path / "many.npz", arr_0=np.zeros((WIDE + 1, 8, 8, 3), np.uint8))
    many = image_set(tmp_path / "many.npz", "--samples")
    count, itself = warnings(many, open_reference(tmp_path / "many.npz"), [few])
    assert count.startswith(
        "1,281 samples: published figures are of 50,000 samples, some of 10,000"
    )
    assert itself == "the samples are the reference itself"
    for path in folder(tmp_path / "val", pixels(5, 6)).glob("*_n00000002.png"):
        path.unlink()
    for path in (tmp_path / "val").iterdir():
        path.rename(path.with_name(f"ILSVRC2012_val_{path.name}"))
    made = image_set(folder(tmp_path / "made", pixels(0, 6)), "--samples")
    validation, classes = warnings(made, open_reference(tmp_path / "val"), [])[1:]
    assert validation.startswith("the reference is ImageNet's validation set: guided-diffusion")
    assert classes == "1 of 3 classes of the samples are not in the reference"


def test_rules_of_ones_own(tmp_path):
    """The form that docs/samples.md shows, and mistakes in it."""
    page = (Path(__file__).parents[2] / "docs/samples.md").read_text()
    (tmp_path / "mine.yaml").write_text(page.split("```yaml\n")[1].split("```")[0])
    found = samples_rules.load([str(tmp_path / "mine.yaml"), "all"])
    assert list(found)[:3] == ["ten-neighbours", "lite", "fdr"] and len(found) == 8
    for text, said in (
        ("a: { features: inception }", "has no metric"),
        ("a: { features: efficientnet-lite0, spatial: true }", "are of inception's features alone"),
        ("a: { features: inception, inception_score: {} }", "give images or splits"),
        ("adm: { features: inception, frechet: true }", "the name adm is taken"),
    ):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(MsddError, match=said):
            samples_rules.load([str(tmp_path / "bad.yaml")])


def test_every_fact_has_a_source():
    for name, row in samples_rules.builtin().items():
        facts = set(row) & set(samples_rules.METRICS) - {"frechet"}
        assert "features" in row["sources"] and facts <= set(row["sources"]), name


def test_at_most_so_many_images_stand_in_a_file(root, monkeypatch):
    monkeypatch.setattr(samples_reference, "IMAGES", 5)
    assert run(root, "--export-reference", root / "few.npz") == 0
    assert (np.load(root / "few.npz")["arr_0"] == pixels(5)[[0, 2, 4, 7, 9]]).all()
