"""The same report however the work is dealt to processes."""

import json
from types import SimpleNamespace

import pytest
import torch
from faded import SIDE, SUBJECT, evaluated
from forked import of_first
from torch._subclasses.fake_tensor import FakeTensorMode

from msdd.evaluate import distributed
from msdd.evaluate.loop import measure_source
from msdd.evaluate.sources import Subject

pytestmark = pytest.mark.usefixtures("own_cache", "one_thread")


def report_of(folder, chosen, subject=SUBJECT):
    return evaluated(folder, chosen, distributed.join(), subject)


def diverging(images, names):
    return images * (torch.nan if "coffee" in names else 1)


@pytest.mark.parametrize("size", [2, 4])
def test_any_number_of_processes_gives_the_same_report(photographs, two, report_of_two, size):
    """Five images in batches of 2, 2 and 1: uneven shares, an idle process, a short batch."""
    found = of_first(size, report_of, photographs, two)
    assert json.dumps(found) == json.dumps(report_of_two)


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
