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

from msdd.evaluate import distributed, passes, protocols
from msdd.evaluate.loop import measure_source
from msdd.evaluate.sources import Subject
from msdd.files import digest
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


def report_of(folder, chosen, subject=SUBJECT):
    return evaluated(folder, chosen, distributed.join(), subject)


def diverging(images, names):
    return images * (torch.nan if "coffee" in names else 1)


@pytest.mark.parametrize("size", [2, 4])
def test_any_number_of_processes_gives_the_same_report(photographs, two, report_of_two, size):
    """Five images in batches of 2, 2 and 1: uneven shares, an idle process, a short batch."""
    found = of_first(size, report_of, photographs, two)
    assert json.dumps(found) == json.dumps(report_of_two)


def of_sets(root) -> dict:
    """The report of files of JPEG, in one process of several or alone, which knows no fixture."""
    patch = pytest.MonkeyPatch()
    take_small(root, patch)
    inception = replace(pretrained.SOURCES["inception"], digest=digest(root / INCEPTION))
    patch.setitem(pretrained.SOURCES, "inception", inception)
    sides = passes.of_folders(root / "o", root / "j", protocols.load([str(root / "rules.yaml")]))
    return measured(sides, distributed.join())


@pytest.mark.long
def test_fdr_cmmd_and_rates_of_any_number_of_processes(folders, inception_file, tmp_path):
    """Six images in batches of 2: one of four processes has none."""
    save_small(tmp_path)
    (tmp_path / INCEPTION).symlink_to(inception_file)
    (tmp_path / "rules.yaml").write_text(OF_SETS)
    for path in (folders / "o").rglob("*.png"):
        copy, made = (tmp_path / side / path.relative_to(folders / "o") for side in "oj")
        for one in (copy, made):
            one.parent.mkdir(parents=True, exist_ok=True)
        copy.symlink_to(path)
        Image.open(path).save(made.with_suffix(".jpg"), quality=30)
    alone = of_first(1, of_sets, tmp_path)
    metrics = alone["protocols"]["mine"]["metrics"]
    assert min(metrics[name]["mean"] for name in ("fdr_2_inception_clip", "cmmd", "bpp")) > 0
    for size in (2, 4):
        assert json.dumps(of_first(size, of_sets, tmp_path)) == json.dumps(alone)


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
