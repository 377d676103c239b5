"""Samples on several networks at once: FDr, CMMD and MIND, from files in the official forms with
random weights, and small networks in the place of large ones."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from forked import of_first
from generated import compared, folder, pixels
from safetensors.torch import save_file

from msdd.cli import main
from msdd.errors import MsddError
from msdd.evaluate import distributed, loop, protocols, samples_rules
from msdd.evaluate.function import evaluate
from msdd.evaluate.samples_reference import open_reference
from msdd.evaluate.samples_rules import Rules
from msdd.evaluate.samples_sets import image_set
from msdd.evaluate.samples_warnings import warnings
from msdd.weights import pretrained
from msdd.weights.optional_imports import import_timm
from msdd.weights.representations import FDR, REPRESENTATIONS
from msdd.weights.timm_features import BLOCK, NAMES

COUNT = 7
SMALL = {  # timm's name and dimensions, for images of 56 px
    "fdr-mae": ("vit_tiny_patch16_224", 192),
    "fdr-dinov2": ("vit_small_patch14_dinov2.lvd142m", 384),
    "dinov2-l14": ("vit_small_patch14_dinov2.lvd142m", 384),
    "clip-l14-336": ("vit_base_patch32_clip_quickgelu_224.openai", 512),
}
LITE = "efficientnet-lite0"
FOUR = Rules(
    features=LITE, frechet=True, mind=True, networks=("fdr-mae", "fdr-dinov2"), fdr=True, cmmd=True
)
PAIRS = f"""
pairs:
  crop: adm
  fid: {{ quantisation: none, features: {LITE} }}
  frechet: {{ quantisation: none, networks: [fdr-mae, fdr-dinov2] }}
  mind: true
  fdr: true
  cmmd: {{ quantisation: none }}
"""
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Two folders, the rules FOUR in a file, and weights."""
    found = tmp_path_factory.mktemp("root")
    folder(found / "made", pixels(0, COUNT))
    folder(found / "real", pixels(5, COUNT))
    (found / "mine.yaml").write_text(json.dumps({"four": FOUR.model_dump(exclude_none=True)}))
    write_weights(found / "weights")
    return found


def write_weights(to: Path) -> None:
    """Of random networks, under the names and in the forms of Meta's and the Hub's files."""
    torch.manual_seed(0)
    states = {}
    for name, (model, _) in SMALL.items():
        more = {} if name.startswith("clip") else {"num_classes": 0}
        state = import_timm("these tests").create_model(model, **more).state_dict()
        for key, values in state.items():  # as of trained ones; timm's begin near 0
            values.normal_(1 if key.endswith("gamma") or "norm" in key else 0, 0.05)
        states[name] = state
    (to / "mae").mkdir(parents=True)
    torch.save(states["fdr-dinov2"], to / "dinov2.pth")
    torch.save({"model": states["fdr-mae"]}, to / "mae.pth")
    save_file(of_hub(states["clip-l14-336"]), to / "clip.safetensors")


def of_hub(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The names that a CLIP has on the Hugging Face Hub."""
    found = {old: state[new].squeeze() for old, new in NAMES.items() if new != "patch_embed"}
    for i in range(12):
        to, of = f"vision_model.encoder.layers.{i}", f"blocks.{i}"
        for kind in ("weight", "bias"):
            found |= {f"{to}.{a}.{kind}": state[f"{of}.{b}.{kind}"] for a, b in BLOCK.items()}
            parts = state[f"{of}.attn.qkv.{kind}"].chunk(3)
            found |= {
                f"{to}.self_attn.{x}_proj.{kind}": y for x, y in zip("qkv", parts, strict=True)
            }
    return {name: tensor.clone() for name, tensor in found.items()}


def install(weights: Path, patch: pytest.MonkeyPatch) -> None:
    """Small networks, and their files, in the place of the large ones."""
    patch.setenv("MSDD_WEIGHTS", str(weights))
    for name, (model, wide) in SMALL.items():
        row = REPRESENTATIONS[name]
        row = row._replace(dimensions=wide, timm=row.timm._replace(model=model, side=56))
        patch.setitem(REPRESENTATIONS, name, row)
    files = {"mae-l16": "mae.pth", "dinov2-l14": "dinov2.pth", "clip-l14-336": "clip.safetensors"}
    for name, file in files.items():
        source = replace(pretrained.SOURCES[name], file=file, digest=None)
        patch.setitem(pretrained.SOURCES, name, source)


@pytest.fixture
def small(root, monkeypatch) -> None:
    install(root / "weights", monkeypatch)


@pytest.fixture(scope="module")
def report(root) -> dict:
    with pytest.MonkeyPatch.context() as patch:
        install(root / "weights", patch)
        return compared(root / "made", root / "real", {"four": FOUR})


@pytest.fixture
def metrics(report) -> dict:
    return report["protocols"]["four"]["metrics"]


def mean_of(metric: dict | float) -> float:
    return metric["mean"] if isinstance(metric, dict) else metric


def run(root, *more: object, samples="made", reference="real") -> int:
    sides = ["--samples", root / samples, "--reference", root / reference, "--batch", 3]
    if "--protocol" not in more:
        more = ("--protocol", root / "mine.yaml", *more)
    return main(["evaluate", *map(str, (*sides, *more))])


def test_pairs_of_the_same_folders_have_the_same_figures(root, report, metrics, small, own_cache):
    (root / "pairs.yaml").write_text(PAIRS)
    sides = {"originals": root / "real", "reconstructions": root / "made"}
    found = evaluate(**sides, protocol=root / "pairs.yaml", batch=3)["protocols"]["pairs"]
    assert found["metrics"].keys() == metrics.keys()
    assert metrics.keys() == {
        "fd_efficientnet_lite0", "fd_fdr_mae", "fd_fdr_dinov2", "fdr_2_dinov2_mae", "cmmd",
        "mind_efficientnet_lite0", "mind_fdr_mae", "mind_fdr_dinov2",
    }  # fmt: skip
    for name, expected in found["metrics"].items():
        assert mean_of(metrics[name]) == pytest.approx(mean_of(expected), rel=1e-6), name
        assert mean_of(expected) > 1e-3, name
    assert metrics["cmmd"]["images"] == COUNT and 0 < metrics["cmmd"]["mean"] < 2000
    ratios = metrics["fdr_2_dinov2_mae"]["ratios"]
    assert ratios["fdr-mae"] == metrics["fd_fdr_mae"] / 0.04
    assert metrics["fdr_2_dinov2_mae"]["mean"] == pytest.approx(np.mean([*ratios.values()]))


def test_a_set_is_at_no_distance_from_itself(root, small):
    found = compared(root / "real", root / "real", {"four": FOUR})["protocols"]["four"]["metrics"]
    for name, value in found.items():
        assert mean_of(value) < 1e-3, name


def test_the_table_and_the_notes(root, small, capsys):
    assert run(root, "--json", root / "a.json") == 0
    told = capsys.readouterr().out
    for heading in ("FD-EffNetLite0 ↓", "FD-MAE-L16 (FDr) ↓", "FDr-2 ↓", "CMMD ↓", "MIND-Eff"):
        assert heading in told.partition("samples:")[0]
    assert "FID" not in told
    assert f"four: features of {LITE}; features of fdr-mae, fdr-dinov2; MIND along 1,000" in told
    assert "directions; CMMD\n" in told
    assert "four: FDr-2 is the mean of Fréchet distances, each over that of ImageNet's" in told
    assert f"7 samples and 7 images of the reference for 1,280 features of {LITE}, 384 feat" in told
    assert max(map(len, told.partition("samples:")[0].splitlines())) <= 100
    entry = json.loads((root / "a.json").read_text())["protocols"]["four"]
    assert entry["levels"].keys() == {LITE, "clip-l14-336"}
    assert run(root, "--against", root / "a.json") == 0
    told = capsys.readouterr().out.partition("less ")[2]
    assert all(f"four  {one} ↓" in told for one in ("FDr-2", "CMMD")) and "+0.0000" in told


def test_a_network_that_is_missing(root, small, metrics, capsys, monkeypatch):
    """It stops in a line; or FDr is named for the rest, and the others stay what they were."""
    for name in ("dinov2-l14", "clip-l14-336"):
        gone = replace(pretrained.SOURCES[name], file="gone.pth")
        monkeypatch.setitem(pretrained.SOURCES, name, gone)
    assert run(root) == 1
    error = capsys.readouterr().err.strip()
    assert "no weights for 'clip-l14-336': get gone.pth" in error and error.count("\n") == 0
    assert error.endswith("or give --missing skip for the rest")  # it is no protocol's `features`
    assert run(root, "--missing", "skip", "--json", root / "b.json") == 0
    report = json.loads((root / "b.json").read_text())
    missing = report["not_measured"]
    of_dinov2 = ["fd_fdr_dinov2 of four", "mind_fdr_dinov2 of four"]
    assert missing.keys() == {*of_dinov2, "cmmd of four"}
    found = report["protocols"]["four"]["metrics"]
    assert found["fdr_1_mae"]["ratios"].keys() == {"fdr-mae"} and "fdr_2_dinov2_mae" not in found
    same = {name for name in found if found[name] == metrics.get(name)}
    assert same == found.keys() - {"fdr_1_mae"} and "mind_fdr_mae" in same
    told = capsys.readouterr().out
    assert f"{', '.join(of_dinov2)} are not measured: no weights" in told
    assert "features of fdr-mae; MIND along 1,000 directions\n" in told and "CMMD" not in told


def test_without_the_first_network_the_others_are_measured(root, small, metrics, monkeypatch):
    monkeypatch.setattr(pretrained, "cache_folder", lambda: root / "none")
    chosen = FOUR.model_copy(update={"features": "inception"})
    sides = (root / "made", root / "real", {"four": chosen, "only": Rules(
        features="inception", frechet=True, mind=True
    )})  # fmt: skip
    gone = replace(pretrained.SOURCES["inception"], url="", package=None)
    monkeypatch.setitem(pretrained.SOURCES, "inception", gone)
    with pytest.raises(MsddError, match="or give --features efficientnet-lite0, or --missing sk"):
        compared(*sides)
    found = compared(*sides, skip=True)
    assert found["not_measured"].keys() == {
        "fd_inception of four", "mind_inception of four", "fd_inception of only",
        "mind_inception of only",
    }  # fmt: skip
    left = {name: one for name, one in metrics.items() if not name.endswith("lite0")}
    assert found["protocols"]["four"]["metrics"] == left
    assert found["protocols"]["only"]["metrics"] == {}


def test_fdr_needs_a_network_of_its_own(root):
    rules = Rules(features=LITE, frechet=True, fdr=True)
    found = compared(root / "made", root / "real", {"one": rules})
    assert found["not_measured"]["fdr of one"].startswith("it needs one of the networks fdr-incep")


def of_team(root: Path):
    """In one process of several, which knows nothing of a fixture."""
    install(root / "weights", pytest.MonkeyPatch())
    return compared(root / "made", root / "real", {"four": FOUR}, distributed.join())


@pytest.mark.parametrize("size", [2, 4])
def test_any_number_of_processes_gives_the_same_report(root, report, size):
    assert json.dumps(of_first(size, of_team, root)) == json.dumps(report)


def test_a_stopped_run_goes_on_and_keeps_the_reference(root, report, small, monkeypatch):
    """With `--work`, other samples meet a reference that is measured already; by the digests of its
    networks, so not one that other weights have seen."""
    seen, measure = [], loop.measure_batch

    def counted(*given):
        seen.append(given)
        if len(seen) == 5:
            raise KeyboardInterrupt
        return measure(*given)

    monkeypatch.setattr(loop, "measure_batch", counted)
    work = {"work": root / "work"}
    with pytest.raises(KeyboardInterrupt):
        compared(root / "made", root / "real", {"four": FOUR}, **work)
    again = compared(root / "made", root / "real", {"four": FOUR}, **work)
    assert json.dumps(again) == json.dumps(report)
    assert len(seen) == 7  # three batches a side: four, one stopped, two
    compared(folder(root / "other", pixels(1, COUNT)), root / "real", {"four": FOUR}, **work)
    assert len(seen) == 10
    state = torch.load(root / "weights/mae.pth")["model"]
    other = {"model": state | {"norm.bias": state["norm.bias"] + 1}}
    (root / "weights2").mkdir()
    for path in (root / "weights").glob("*.*"):
        os.link(path, root / "weights2" / path.name)
    (root / "weights2/mae.pth").unlink()
    torch.save(other, root / "weights2/mae.pth")
    monkeypatch.setenv("MSDD_WEIGHTS", str(root / "weights2"))
    found = compared(root / "made", root / "real", {"four": FOUR}, **work)
    assert len(seen) == 16
    ours = report["protocols"]["four"]["metrics"]
    assert found["protocols"]["four"]["metrics"]["cmmd"] == ours["cmmd"]


def test_a_file_of_statistics_is_of_one_network(root, small, metrics, tmp_path, capsys):
    """Its images serve CMMD, and Fréchet distances on other networks are not taken of them."""
    one = ["--protocol", tmp_path / "one.yaml"]
    (tmp_path / "one.yaml").write_text("one: { features: fdr-mae, frechet: true, cmmd: true }")
    assert run(root, *one, "--export-reference", tmp_path / "real.npz") == 0
    assert run(root, *one, "--json", tmp_path / "a.json", reference=tmp_path / "real.npz") == 0
    found = json.loads((tmp_path / "a.json").read_text())["protocols"]["one"]["metrics"]
    assert found["fd_fdr_mae"] == pytest.approx(metrics["fd_fdr_mae"], rel=1e-9)
    assert found["cmmd"] == pytest.approx(metrics["cmmd"])
    arrays = dict(np.load(tmp_path / "real.npz"))
    np.savez(tmp_path / "alone.npz", **{k: arrays[k] for k in ("mu", "sigma", "about")})
    capsys.readouterr()
    assert run(root, *one, reference=tmp_path / "alone.npz") == 0
    assert "cmmd of one is not measured: the reference holds statistics" in capsys.readouterr().out
    for more, reference, said in (
        ((), "real.npz", "one network's features behind one resize, and these protocols take"),
        ((*one, "--features", LITE), "real.npz", f"of features 'fdr-mae' where .* has '{LITE}'"),
        (("--export-reference", tmp_path / "x.npz"), None, "protocols need 3: choose one protocol"),
    ):
        assert run(root, *more, reference=tmp_path / reference if reference else "real") == 1
        error = capsys.readouterr().err.strip()
        assert "\n" not in error
        with pytest.raises(MsddError, match=said):
            raise MsddError(error)


def test_nothing_is_exported_where_no_distance_is_left(root, small, tmp_path, capsys, monkeypatch):
    (tmp_path / "one.yaml").write_text("one: { features: fdr-mae, frechet: true, cmmd: true }")
    gone = replace(pretrained.SOURCES["mae-l16"], file="gone.pth")
    monkeypatch.setitem(pretrained.SOURCES, "mae-l16", gone)
    more = ["--missing", "skip", "--export-reference", tmp_path / "x.npz"]
    assert run(root, "--protocol", tmp_path / "one.yaml", *more) == 1
    assert "x.npz is not written: no Fréchet distance could be" in capsys.readouterr().err


def test_few_images_are_told_of_every_network(root, tmp_path):
    np.savez(tmp_path / "2000.npz", arr_0=np.zeros((2000, 8, 8, 3), np.uint8))
    made = image_set(root / "made", "--samples")
    given = open_reference(tmp_path / "2000.npz")
    found = warnings(made, given, [Rules(features=LITE, networks=("fdr-mae", "inception"))])[0]
    assert found.startswith(
        "7 samples for 1,024 features of fdr-mae; 7 samples and 2,000 images of the reference for "
        "2,048 features of inception: their covariance is singular"
    )


def test_extended_is_that_of_pairs(root, capsys):
    """The same networks by the same name, which `all` leaves out for both."""
    ours = samples_rules.load(["extended"])["extended"]
    theirs = protocols.load(["extended"])["extended"]
    assert ours.networks == theirs.frechet.networks and ours.features == theirs.fid.features
    assert ours.fdr and ours.mind and ours.cmmd
    assert "extended" not in samples_rules.load(["all"])


def test_the_page_s_commands(root, small, tmp_path, capsys, monkeypatch):
    """The networks that are here, of all that `extended` has; and the page's rules of FDr."""
    monkeypatch.setattr(pretrained, "cache_folder", lambda: tmp_path)
    gone = replace(pretrained.SOURCES["inception"], url="", package=None)
    monkeypatch.setitem(pretrained.SOURCES, "inception", gone)
    more = ["--missing", "skip", "--json", tmp_path / "a.json"]
    assert run(root, "--protocol", "extended", *more) == 0
    report = json.loads((tmp_path / "a.json").read_text())
    found = report["protocols"]["extended"]["metrics"]
    assert {name for name in found if not name.startswith("mind_")} == {
        "fd_efficientnet_lite0", "fd_efficientnet_lite2", "fd_dinov2_l14", "fd_fdr_dinov2",
        "fd_fdr_mae", "fdr_2_dinov2_mae", "cmmd",
    }  # fmt: skip
    assert found["fd_dinov2_l14"] != found["fd_fdr_dinov2"]  # the same weights
    reasons = report["not_measured"]
    assert reasons["fd_inception of extended"] == reasons["mind_fdr_inception of extended"]
    page = (Path(__file__).parents[2] / "docs/samples.md").read_text()
    (tmp_path / "fdr.yaml").write_text(page[page.index("\nfdr:\n") :].split("```")[0])
    mine = samples_rules.load([str(tmp_path / "fdr.yaml")])["fdr"]
    assert mine.fdr and [name for name, _ in mine.frechet_keys] == list(FDR)
    more = ["--missing", "skip", "--work", tmp_path / "work"]
    assert run(root, "--protocol", tmp_path / "fdr.yaml", *more) == 0
    assert "FDr-2 ↓" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("networks: [dinov2]", "networks"),
        ("networks: []", "networks"),
        ("fdr: true", "has no metric; it needs one of"),
    ],
)
def test_mistakes_in_rules(tmp_path, row, said):
    (tmp_path / "bad.yaml").write_text(f"bad: {{ features: inception, {row} }}")
    with pytest.raises(MsddError, match=said):
        samples_rules.load([str(tmp_path / "bad.yaml")])
