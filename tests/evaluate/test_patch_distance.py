"""The Fréchet distance of patches of few large images."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from faded import CPU, measured
from PIL import Image
from skimage import data

from msdd.cli import main
from msdd.data.pixels import from_uint8
from msdd.errors import MsddError
from msdd.evaluate import loop, passes, protocols
from msdd.evaluate.accumulator import Accumulator
from msdd.evaluate.checkpoint import Checkpoint
from msdd.evaluate.distributed import Team
from msdd.evaluate.networks import Networks
from msdd.evaluate.sources import Folders, split
from msdd.weights.optional_imports import import_torchvision
from msdd.weights.pretrained_networks import feature_network

pytestmark = pytest.mark.usefixtures("own_cache", "one_thread")
RULES = """
mine:
  crop: adm
  psnr: { quantisation: round, pool: 1 }
  patch_fid: { quantisation: round, features: efficientnet-lite0, side: 256 }
"""
NAME, PATCHES = "patch_fd_efficientnet_lite0", 5 + 3 + 1  # of both grids of each image


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """Three photographs, of which the last has one patch, and JPEG's copies of them."""
    root = tmp_path_factory.mktemp("large")
    for name in ("astronaut", "coffee", "chelsea"):
        image = Image.fromarray(getattr(data, name)())
        for side, ending in (("o", "png"), ("r", "jpg")):
            (root / side).mkdir(exist_ok=True)
            image.save(root / side / f"{name}.{ending}", **({"quality": 20} if side == "r" else {}))
    (root / "rules.yaml").write_text(RULES)
    return root


def command(root: Path, *more: str) -> int:
    sides = ["--originals", str(root / "o"), "--reconstructions", str(root / "r")]
    return main(["evaluate", *sides, "--protocol", str(root / "rules.yaml"), *more])


@pytest.fixture(scope="module")
def report(large, own_cache, one_thread) -> dict:
    chosen = protocols.load([str(large / "rules.yaml")])
    return measured(passes.of_folders(large / "o", large / "r", chosen))


class Levels(torch.nn.Module):
    """A network as torchmetrics takes one."""

    num_features = 1280

    def __init__(self) -> None:
        super().__init__()
        self.network = feature_network("efficientnet-lite0")

    def forward(self, images):
        return self.network(from_uint8(images))


def theirs(root: Path) -> float:
    """Image by image: unfolded, and once more from half a patch on, by torchmetrics."""
    import_torchvision()
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(Levels())
    for path in sorted((root / "o").iterdir()):
        for real, file in ((True, path), (False, root / "r" / f"{path.stem}.jpg")):
            levels = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)[None].float()
            shifts = (0, 128) if min(levels.shape[-2:]) >= 384 else (0,)
            for shift in shifts:
                columns = F.unfold(levels[..., shift:, shift:], 256, stride=256)[0].T
                metric.update(columns.reshape(-1, 3, 256, 256).to(torch.uint8), real=real)
    return metric.compute().item()


def test_it_is_that_of_patches_by_torchmetrics(large, report):
    found = report["protocols"]["mine"]["metrics"][NAME]
    assert found["patches"] == PATCHES and found["side"] == 256 and found["low"] is None
    assert found["mean"] == pytest.approx(theirs(large), rel=1e-3)


def test_processes_and_a_stop_change_no_bit(large, tmp_path):
    """Two processes have saved a batch each, the first of which takes over."""
    chosen = protocols.load([str(large / "rules.yaml")])
    source, networks = Folders(large / "o", large / "r"), Networks(chosen.values(), CPU)
    checkpoint, whole = Checkpoint(tmp_path, "key"), Accumulator(chosen, networks)
    assert loop.measure_source(source, whole, 1)
    for rank in range(2):
        apart, ranges = Accumulator(chosen, networks), split(3, 1)[rank : rank + 1]
        loop.measure_ranges(source, apart, ranges, "", Team(rank, 2), checkpoint)
    assert loop.measure_source(
        source, again := Accumulator(chosen, networks), 1, "", None, checkpoint
    )
    for side in whole.features:
        ends = [accumulator.sums[str(side)].moments for accumulator in (again, whole)]
        assert ends[0].count == PATCHES and torch.equal(ends[0].covariance, ends[1].covariance)


def test_statistics_of_patches_are_kept_apart(large, report, tmp_path, capsys):
    """Those of a file serve; those of whole images, or of other patches, do not."""
    expected = report["protocols"]["mine"]["metrics"][NAME]
    export = ["--export-reference", str(tmp_path / "patches.npz")]
    given = ["--reference", str(tmp_path / "patches.npz"), "--json", str(tmp_path / "m.json")]
    assert command(large, *export) == command(large, *given) == 0
    found = json.loads((tmp_path / "m.json").read_text())["protocols"]["mine"]["metrics"][NAME]
    assert found == pytest.approx(expected)
    assert "patch FD-EffNetLite0 is of 9 patches of 256 px" in capsys.readouterr().out
    text = RULES.replace("side: 256", "side: 128")
    (tmp_path / "rules.yaml").write_text(text)
    for side in "or":
        (tmp_path / side).symlink_to(large / side)
    assert command(tmp_path, *given) == 1
    assert "patches of 256 px' where this evaluation has" in capsys.readouterr().err
    (tmp_path / "rules.yaml").write_text(
        text + "  fid: { quantisation: round, features: efficientnet-lite0 }\n"
    )
    assert command(tmp_path, *given) == 1
    message = "take efficientnet-lite0, efficientnet-lite0 on patches of 128 px: choose a protocol"
    assert message in capsys.readouterr().err


def test_another_network_takes_its_place(large):
    mine = protocols.load([str(large / "rules.yaml")])["mine"]
    assert mine.with_features("dinov2-l14").patch_fid.name == "patch_fd_dinov2_l14"
    assert mine.with_features("none").patch_fid is None


def test_images_without_a_patch_are_told(folders, tmp_path, capsys):
    """Of 48 px: a dash and a line beside PSNR, and one line of error where nothing else is left."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    sides = ["--originals", str(folders / "o"), "--reconstructions", str(folders / "r")]
    assert main(["evaluate", *sides, "--protocol", str(rules)]) == 0
    export = ["--export-reference", str(tmp_path / "none.npz")]
    assert main(["evaluate", *sides, "--protocol", str(rules), *export]) == 1
    assert f"{NAME} is not measured: it needs 2 patches of 256 px" in capsys.readouterr().out
    rules.write_text(RULES.replace("  psnr: { quantisation: round, pool: 1 }\n", ""))
    assert main(["evaluate", *sides, "--protocol", str(rules)]) == 1
    lines = [x for x in capsys.readouterr().err.splitlines() if x.startswith("msdd: ")]
    assert len(lines) == 1 and "nothing could be measured of these images" in lines[0]


def test_a_side_that_cannot_be_shifted_is_refused(tmp_path):
    (tmp_path / "odd.yaml").write_text(RULES.replace("256", "255"))
    with pytest.raises(MsddError, match=r"mine: patch_fid.side is 255"):
        protocols.load([str(tmp_path / "odd.yaml")])
