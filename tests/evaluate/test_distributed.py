"""The same report however the work is dealt to processes."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from faded import SIDE, SUBJECT, evaluated, measured
from forked import of_first
from PIL import Image
from random_clip import save_small, take_small
from torch._subclasses.fake_tensor import FakeTensorMode

from msdd.evaluate import distances, distributed, loop, passes, protocols
from msdd.evaluate.loop import measure_source
from msdd.evaluate.sources import Subject
from msdd.files import digest
from msdd.metrics import kid
from msdd.weights import pretrained

pytestmark = pytest.mark.usefixtures("own_cache", "one_thread")
INCEPTION = pretrained.SOURCES["inception"].file
OF_SETS = """
mine:
  crop: adm
  frechet: { quantisation: round, networks: [fdr-inception, fdr-clip] }
  fdr: true
  cmmd: { quantisation: round }
  bpp: true
"""
LARGE = """
large:
  crop: adm
  lpips: { quantisation: round, nets: [vgg] }
  ms_ssim: { quantisation: round }
  fid: { quantisation: round, features: efficientnet-lite0 }
  kid_torch_fidelity: true
  bpp: true
"""


def report_of(folder, chosen, subject=SUBJECT):
    return evaluated(folder, chosen, distributed.join(), subject)


def diverging(images, names):
    return images * (torch.nan if "coffee" in names else 1)


@pytest.mark.parametrize("size", [2, 4])
def test_any_number_of_processes_gives_the_same_report(photographs, two, report_of_two, size):
    """Five images in batches of 2, 2 and 1: uneven shares, an idle process, a short batch."""
    found = of_first(size, report_of, photographs, two)
    assert json.dumps(found) == json.dumps(report_of_two)


def of_sets(root, rules, work=None) -> dict:
    """The report of files of JPEG, in one process of several or alone, which knows no fixture."""
    patch = pytest.MonkeyPatch()
    take_small(root, patch)
    inception = replace(pretrained.SOURCES["inception"], digest=digest(root / INCEPTION))
    patch.setitem(pretrained.SOURCES, "inception", inception)
    patch.setattr(kid, "SIZE", 4)  # images of a subset
    patch.setitem(distances.FEWEST, "kid_torch_fidelity", 4)
    sides = passes.of_folders(root / "o", root / "j", protocols.load([str(root / rules)]))
    return measured(sides, distributed.join(), work=work)


def of_sets_stopped(root) -> dict:
    """Likewise, by LARGE alone, stopped in the last of three batches before it goes on."""
    seen, measure = [], loop.measure_batch

    def counted(*given):
        seen.append(given)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return measure(*given)

    loop.measure_batch = counted
    with pytest.raises(KeyboardInterrupt):
        of_sets(root, "large.yaml", root / "work")
    found = of_sets(root, "large.yaml", root / "work")
    assert len(seen) == 4
    return found


@pytest.mark.long
def test_sets_rates_and_large_images_in_any_number_of_processes(folders, inception_file, tmp_path):
    """Six images in batches of 2, as large as MS-SSIM needs: one of four processes has none."""
    save_small(tmp_path)
    (tmp_path / INCEPTION).symlink_to(inception_file)
    (tmp_path / "rules.yaml").write_text(OF_SETS + LARGE)
    (tmp_path / "large.yaml").write_text(LARGE)
    for path in (folders / "o").rglob("*.png"):
        copy, made = (tmp_path / side / path.relative_to(folders / "o") for side in "oj")
        for one in (copy, made):
            one.parent.mkdir(parents=True, exist_ok=True)
        image = Image.open(path).resize((176, 176))
        image.save(copy)
        image.save(made.with_suffix(".jpg"), quality=30)
    alone = of_first(1, of_sets, tmp_path, "rules.yaml")
    mine, large = (alone["protocols"][name]["metrics"] for name in ("mine", "large"))
    assert min(mine[name]["mean"] for name in ("fdr_2_inception_clip", "cmmd", "bpp")) > 0
    assert min(large[name]["mean"] for name in ("ms_ssim", "lpips_vgg")) > 0
    assert large["kd_torch_fidelity_efficientnet_lite0"]["mean"]
    for size in (2, 4):
        assert json.dumps(of_first(size, of_sets, tmp_path, "rules.yaml")) == json.dumps(alone)
    stopped = of_first(1, of_sets_stopped, tmp_path)["protocols"]["large"]
    assert json.dumps(stopped) == json.dumps(alone["protocols"]["large"])


def test_who_waits_for_a_process_that_stopped_says_so(photographs, two):
    """The second of two processes has the second batch, which diverges."""
    found = of_first(2, report_of, photographs, two, Subject({}, SIDE, diverging))
    assert found.startswith("another process stopped; see its error above (")


def test_what_travels_lies_on_no_gpu():
    """Else torch puts it on the first process's GPU of that number, if it has one."""
    sent = []

    class Second(distributed.Team):
        def share(self, value):
            return value

        def send(self, value):
            sent.append(value)

    images = SimpleNamespace(names=["0"], pixels=lambda: [1], batches=lambda ranges: iter(()))
    with FakeTensorMode():
        sums = torch.zeros(3, device="cuda:1")
        tally = SimpleNamespace(ids=[], state=lambda: {"sums": sums})
        assert not measure_source(images, tally, None, team=Second(1, 2))
    assert sums.is_cuda and sent[0]["sums"].device == torch.device("cpu")
