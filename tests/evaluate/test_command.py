"""`msdd evaluate` from end to end, and what it says of bad input."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import straightforward
from PIL import Image
from two_folders import COUNT, SIDE, copied, run

from msdd.cli import main
from msdd.evaluate import distances, loop, reference_statistics
from msdd.metrics import kid


def arrays(folder: Path) -> np.ndarray:
    paths = sorted(
        folder.rglob("*.*"), key=lambda path: str(path.relative_to(folder).with_suffix(""))
    )
    return np.stack([np.asarray(Image.open(path)) for path in paths])


def test_two_folders_give_a_table_and_a_file_of_figures(folders, tmp_path, capsys):
    file = tmp_path / "report.json"
    chosen = ["--protocol", "msdd", "--protocol", "ssdd", "--batch", "4"]
    assert run(folders, *chosen, "--json", str(file)) == 0
    report = json.loads(file.read_text())
    assert report["names"] == ["0", "2", "4", "deep/1", "deep/3", "deep/5"]
    sides = arrays(folders / "o"), arrays(folders / "r")
    msdd, ssdd = (report["protocols"][name] for name in ("msdd", "ssdd"))
    psnr = straightforward.psnr_of_each(*sides)
    assert msdd["per_image"]["psnr"] == pytest.approx(psnr, rel=1e-12)
    assert msdd["metrics"]["psnr"]["mean"] == pytest.approx(np.mean(psnr))
    for entry, data_range in ((msdd, 2), (ssdd, 1)):
        expected = straightforward.ssim_of_each(*sides, data_range)
        assert entry["per_image"]["ssim"] == pytest.approx(expected, abs=1e-6)
    assert ssdd["metrics"]["psnr"]["mean"] < msdd["metrics"]["psnr"]["mean"]
    said = capsys.readouterr().out
    mean = msdd["metrics"]["psnr"]["mean"]
    assert f"msdd      {mean:.2f} [" in said and "only the metric half" in said
    assert "dreamsim is not measured: " in said


def test_the_same_bytes_whatever_was_there_before(folders, tmp_path):
    files = [tmp_path / name for name in ("one.json", "two.json")]
    for file in files:
        chosen = ["--protocol", "msdd", "--work", str(tmp_path / "work"), "--json", str(file)]
        assert run(folders, *chosen) == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    (picture,) = (tmp_path / "work").glob("files/*/median.png")
    assert Image.open(picture).size == (2 * SIDE, SIDE)


INPUTS = {  # what is written, by what name, and which input it would replace
    "the protocol": ("--json", "p.yaml", "--protocol"),
    "the protocol, by a link": ("--json", "link.json", "--protocol"),
    "statistics": ("--json", "s.npz", "--reference"),
    "statistics, exported": ("--export-reference", "s.npz", "--reference"),
    "another run": ("--json", "b.json", "--against"),
    "an original": ("--json", "o/0.png", "--originals"),
    "a reconstruction": ("--json", "r/0.webp", "--reconstructions"),
    "the folder's own name": ("--json", "new.json", "--export-reference"),
}


@pytest.mark.parametrize("case", INPUTS)
def test_no_result_replaces_an_input(folders, tmp_path, monkeypatch, capsys, case):
    written, path, read = INPUTS[case]
    root = copied(folders, tmp_path)
    monkeypatch.chdir(root)
    Path("p.yaml").write_text("p: { base: msdd }\n")
    Path("link.json").symlink_to("p.yaml")
    for name in ("s.npz", "b.json"):
        Path(name).write_text("{}")
    options = {"--originals": "o", "--reconstructions": "r", "--protocol": "p.yaml"}
    given = {"--reference": "s.npz", "--against": "b.json", "--export-reference": "new.json"}
    options |= {read: given[read]} if read in given else {}
    before = {file: file.read_bytes() for file in Path().rglob("*.*") if file.is_file()}
    arguments = [part for pair in {**options, written: path}.items() for part in pair]
    said = refused(capsys, *arguments)
    assert f"{written} " in said and " would replace " in said and read in said
    assert said.count("\n") == 1
    assert before == {file: file.read_bytes() for file in Path().rglob("*.*") if file.is_file()}


def test_results_may_lie_beside_the_images(folders, tmp_path):
    """Also the second time."""
    root = copied(folders, tmp_path)
    for _ in range(2):
        assert run(root, "--protocol", "msdd", "--json", str(root / "o/metrics.json")) == 0


def refused(capsys, *arguments: str) -> str:
    assert main(["evaluate", *arguments]) == 1
    return capsys.readouterr().err


def test_folders_that_disagree_or_cannot_be_read_are_named(folders, tmp_path, capsys):
    root = copied(folders, tmp_path)
    sides = ["--originals", str(root / "o"), "--reconstructions", str(root / "r")]
    more = [*sides, "--protocol", "msdd", "--features", "none"]
    (root / "r/4.webp").write_bytes(b"no image")
    assert "4.webp: not an image of a known format" in refused(capsys, *more)
    Image.new("RGB", (SIDE, 40)).save(root / "r/4.webp")
    assert f"4.webp has {SIDE} x 40 pixels and its original" in refused(capsys, *more)
    Image.new("RGB", (SIDE, SIDE)).save(root / "r/4.jpg")
    assert "have the same name" in refused(capsys, *more)
    for name in ("4.jpg", "4.webp"):
        (root / "r" / name).unlink()
    message = refused(capsys, *more)
    assert "has no image named like" in message and "1 of 6 are missing" in message
    for path in [*(root / "o").rglob("*.png"), *(root / "r").rglob("*.webp")]:
        if path.stem != "0":
            path.unlink()
    assert "at least 2 images, not 1" in refused(capsys, *more)
    (root / "o/0.png").unlink()
    message = refused(capsys, *more)
    assert f"--originals: no image below the folder {root / 'o'}; it holds no files" in message
    of_a_name = ["--tokenizer", "titok-s-128", "--images", str(root / "o")]
    assert "--images: no image below" in refused(capsys, *of_a_name)  # before any weights


def test_paths_are_checked_before_anything_is_measured(folders, tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text('{"names": [], "digest": "", "protocols": {"a": {"protocol": {}}}}')
    for option, path, message in (
        ("--json", tmp_path, "is a folder; name a file"),
        ("--json", file / "a.json", "a.json cannot be written: Not a directory"),
        ("--export-reference", Path("/proc/none/a"), "is no file that can be replaced"),
        ("--work", file / "work", "cannot be written: Not a directory"),
        ("--work", file, "is a file; name a folder"),
        ("--work", folders / "o" / "w", "which would measure its pictures"),
        ("--against", file, "is no file of `evaluate --json`, or an old one (protocol: "),
        ("--against", tmp_path / "no", "is no JSON file"),
        ("--reference", file, "--reference means nothing without a Fréchet distance"),
    ):
        assert run(folders, "--protocol", "msdd", option, str(path)) == 1
        told = capsys.readouterr().err
        assert message in told and "images/s" not in told


def test_protocols_with_nothing_left_are_told(folders, tmp_path, capsys):
    assert run(folders, "--protocol", "titok") == 1
    assert "nothing is left to measure of titok; name another" in capsys.readouterr().err
    assert run(folders, "--protocol", "titok", "--protocol", "msdd") == 0
    said = capsys.readouterr()
    assert "nothing is left to measure of titok: left out" in said.err and "titok" not in said.out


def test_an_exact_image_is_named_and_rows_stand_as_asked(folders, tmp_path, capsys):
    root, file = copied(folders, tmp_path), tmp_path / "a.json"
    shutil.copy(root / "o/deep/3.png", root / "r/deep/3.png")
    (root / "r/deep/3.webp").unlink()
    assert run(root, "--protocol", "msdd", "--protocol", "dito", "--json", str(file)) == 0
    said, report = capsys.readouterr().out, json.loads(file.read_text())
    assert "msdd: PSNR is infinite, because deep/3 is reproduced exactly" in said
    assert [line.split()[0] for line in said.splitlines()[1:3]] == ["msdd", "dito"]
    psnr, extremes = report["protocols"]["msdd"]["per_image"]["psnr"], report["extremes"]["files"]
    assert extremes["best"] == {"name": "deep/3", "psnr": None}
    worst = min(value for value in psnr if value is not None)
    assert extremes["worst"]["psnr"] == pytest.approx(worst)
    assert report["names"][psnr.index(worst)] == extremes["worst"]["name"]
    assert f"worst {extremes['worst']['name']} ({worst:.2f} dB)" in said


def test_a_cache_that_cannot_be_written_costs_no_figure(folders, tmp_path, capsys, monkeypatch):
    """Neither the weights', nor the statistics', nor the state's and the pictures' folder."""
    (tmp_path / "file").touch()
    reports = []
    for place in (tmp_path / "cache", tmp_path / "file"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(place))
        reports.append(tmp_path / f"{place.name}.json")
        assert measured(folders, "--protocol", "titok", "--json", str(reports[-1])) == 0
    assert reports[0].read_bytes() == reports[1].read_bytes()
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == 2
    assert all(f"{tmp_path}/file/msdd" in line and "Not a dir" in line for line in warnings)


def measured(folders: Path, *more: str) -> int:
    sides = ["--originals", str(folders / "o"), "--reconstructions", str(folders / "r")]
    return main(["evaluate", *sides, "--features", "efficientnet-lite0", *more])


def test_the_output_says_which_kid_it_is(folders, tmp_path, capsys, monkeypatch):
    """torch-fidelity's subsets of 1,000 are 4 here."""
    monkeypatch.setattr(kid, "SIZE", 4)
    monkeypatch.setitem(distances.FEWEST, "kid_torch_fidelity", 4)
    fid = "{ quantisation: round, features: efficientnet-lite0 }"
    protocol, file = tmp_path / "p.yaml", tmp_path / "a.json"
    both = "kid: true, kid_torch_fidelity: true"
    protocol.write_text(f"p: {{ crop: adm, fid: {fid}, {both} }}")
    assert measured(folders, "--protocol", str(protocol), "--json", str(file)) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "torch-fidelity's default and torchmetrics keep it" in told
    assert "KID by torch-fidelity is its default: it keeps them, and has no interval." in told
    assert "Distances of features are to the originals." in told
    found = json.loads(file.read_text())["protocols"]["p"]["metrics"]["kd_efficientnet_lite0"]
    assert found["estimate"] == "u-statistic"


def test_state_and_pictures_that_cannot_be_kept_cost_no_figure(folders, tmp_path, capsys):
    plain, work = tmp_path / "plain.json", tmp_path / "work"
    assert run(folders, "--protocol", "msdd", "--json", str(plain)) == 0
    work.mkdir()
    (work / "files").touch()  # where the folder of the pass should be
    again = ["--json", str(tmp_path / "again.json"), "--work", str(work)]
    assert run(folders, "--protocol", "msdd", *again) == 0
    assert plain.read_bytes() == (tmp_path / "again.json").read_bytes()
    told = capsys.readouterr().err
    assert "warning: nothing is kept to continue from (" in told
    assert "warning: pictures of files are missing (" in told


def test_figures_are_shown_where_a_file_fails_at_last(folders, tmp_path, capsys, monkeypatch):
    """The disk has become full meanwhile; the other file is written all the same."""
    file, statistics = tmp_path / "a.json", tmp_path / "a.npz"

    def full(*_):
        raise OSError(28, "No space left on device", str(statistics))

    monkeypatch.setattr(reference_statistics, "write", full)
    chosen = ["--protocol", "titok", "--export-reference", str(statistics), "--json", str(file)]
    assert measured(folders, *chosen) == 1
    said = capsys.readouterr()
    assert "titok     " in said.out and file.exists()
    assert said.err.endswith(f"msdd: error: {statistics}: No space left on device\n")


def test_names_in_another_form_of_unicode_are_paired(folders, tmp_path, capsys):
    root, files = copied(folders, tmp_path), [tmp_path / "a.json", tmp_path / "b.json"]
    forms = ["M\xfcller", "Mu\u0308ller"]  # NFC, NFD: they look the same
    (root / "o/2.png").rename(root / f"o/{forms[0]}.png")
    (root / "r/2.webp").rename(root / f"r/{forms[1]}.webp")
    assert run(root, "--protocol", "msdd", "--json", str(files[0])) == 0
    (root / f"o/{forms[0]}.png").rename(root / f"o/{forms[1]}.png")
    more = ["--json", str(files[1]), "--against", str(files[0])]
    assert run(root, "--protocol", "msdd", *more) == 0
    first, second = (json.loads(file.read_text()) for file in files)
    assert forms[0] in first["names"] and first["protocols"] == second["protocols"]
    (root / "o/4.png").rename(root / f"o/{forms[0]}.png")
    capsys.readouterr()
    assert run(root, "--protocol", "msdd") == 1
    told = capsys.readouterr().err
    assert "holds 'Mu\\u0308ller.png' and 'M\\xfcller.png', names that only the form of" in told
    (root / "r/4.webp").rename(root / f"r/{forms[0]}.webp")
    assert run(root, "--protocol", "msdd") == 0  # each has its partner to the letter


def test_names_that_are_not_utf8_are_measured(folders, tmp_path, capsys):
    root, file = copied(folders, tmp_path), tmp_path / "a.json"
    for name in ("o/2.png", "r/2.webp"):
        path = os.fsencode(root / name)
        os.rename(path, path.replace(b"2.", b"caf\xe9."))
    assert run(root, "--protocol", "msdd", "--json", str(file), "--work", str(tmp_path / "w")) == 0
    assert "caf\\xe9" in json.loads(file.read_text())["names"]
    assert run(root, "--protocol", "msdd", "--against", str(file)) == 0
    os.rename(os.fsencode(root) + b"/o/caf\xe9.png", root / "o/4\\xe9.png")
    os.rename(root / "o/4.png", os.fsencode(root) + b"/o/4\xe9.png")
    assert run(root, "--protocol", "msdd") == 1
    assert "as text it is named like another" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "evaluate takes DECODE, or --originals with --reconstructions, or --tokenizer"),
        (["teacher", "--images", "x"], "evaluate takes DECODE, or"),
        (["--originals", "x"], "evaluate takes DECODE, or"),
        (["--originals", "no", "--reconstructions", "no"], "--originals: there is no folder no"),
        (["--tokenizer", "os:nothing", "--images", "."], "os.py has no 'nothing'"),
        (["--tokenizer", "sys:exit", "--images", "."], "module 'sys' has no file"),
        (
            ["--tokenizer", "os:sep", "--images", "."],
            "os:sep is no function of images and has no encode",
        ),
        (["teacher", "--steps", "2"], "--steps means nothing to `evaluate teacher`"),
        (["teacher", "--device", "cpu"], "--device means nothing to `evaluate teacher`"),
        (["teacher"], "--protocol means nothing to `evaluate teacher`"),
        (["--originals", "x", "--reconstructions", "y", "--seed", "3"], "--seed means nothing"),
        (["--tokenizer", "os:sep", "--images", ".", "--steps", "2"], "--steps means nothing to"),
    ],
)
def test_wrong_options_are_told(folders, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(folders / "o")
    how = ["--features", "none", "--protocol", "msdd"] if arguments[:1] != [] else []
    assert message in refused(capsys, *arguments, *how)


@pytest.mark.parametrize(("arguments", "batch"), [([], COUNT), (["--batch", "3"], 3)])
def test_a_lack_of_memory_names_the_batch_in_use(folders, capsys, monkeypatch, arguments, batch):
    def lack(*_):
        raise MemoryError("too much")

    monkeypatch.setattr(loop, "measure_batch", lack)
    sides = ["--originals", str(folders / "o"), "--reconstructions", str(folders / "r")]
    told = refused(capsys, *sides, "--protocol", "msdd", "--features", "none", *arguments)
    assert f"out of memory: lower --batch, {batch} now (too much)" in told


def test_names_with_line_breaks_break_no_line(folders, tmp_path, capsys):
    """Of the worst, the median and the best image, and of one that is reproduced exactly."""
    root = copied(folders, tmp_path)
    (root / "o/0.png").rename(root / "o/0\n\x1b[2J.png")
    (made,) = (root / "r").glob("0.*")
    made.unlink()
    shutil.copy(root / "o/0\n\x1b[2J.png", root / "r/0\n\x1b[2J.png")
    assert run(root, "--protocol", "msdd") == 0
    said = capsys.readouterr().out
    assert "because 0\\n\\u001b[2J is reproduced exactly" in said
    assert "best 0\\n\\u001b[2J (" in said and "\x1b" not in said
