"""The other kinds of training in two processes: as in one, and resumed to the same bits."""

import pytest
import torch
from interruption import assert_same
from processes import assert_alike, copies, trained_by
from safetensors.torch import save_file
from test_kl_rows import ROWS

from msdd.files import digest
from msdd.params import student_checks
from msdd.params.load import parse
from msdd.train import chain, joint_paper_code, stage1
from msdd.weights.optional_imports import import_timm

VIT = "vit_tiny_patch16_224"
SHORT = {
    "images": 12,
    "warmup": 4,
    "batch": 4,
    "microbatch": 2,
    "log_every": 4,
    "checkpoint_every": 8,
}
JUDGED = {
    "lpips": [0, 0.1],
    "lpips_net": "alex",
    "gan": [0, 0.1],
    "frechet": {"weight": [0, 0.01], "networks": ["efficientnet-lite0"], "half_life": 4},
    "discriminator": "alex",  # its heads have the buffers of batch norms
}
JOBS = {
    "kl": (stage1, "train", {"model": "kl-msdd"}),
    "repa": (stage1, "train", {"model": "ssdd"}),
    "joint": (chain, "chain", {"student": "joint"}),
    "joint-paper-code": (joint_paper_code, "chain", {"student": "joint-paper-code"}),
}


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("MSDD_DEVICE", "cpu")


@pytest.fixture(scope="module")
def params(tiny_params, tmp_path_factory):
    """Three steps of two microbatches for each row."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("dino") / "vit.safetensors"
    save_file(import_timm("this test").create_model(VIT, num_classes=0).state_dict(), path)
    repa = {"weight": 0.5, "block": 1, "model": VIT, "file": str(path), "sha256": digest(path)}
    kl, ssdd = ROWS["models"]["kl-msdd"], ROWS["models"]["ssdd"]
    rows = {
        "models": {
            "msdd": {},
            "kl-msdd": kl | {"stage1": SHORT | {"kl": 0.1}},
            "ssdd": ssdd | {"stage1": SHORT | {"repa": repa}},
        },
        "students": {
            "joint": {"model": "msdd", "mode": "joint", **SHORT, **JUDGED},
            "joint-paper-code": {"model": "msdd", "mode": "joint_paper_code", **SHORT},
        },
        "decodes": {"teacher": {"of": "msdd", "steps": 2}},
        "ablations": {},
    }
    with pytest.MonkeyPatch.context() as patch:  # two steps of moments are enough here
        patch.setattr(student_checks, "FEATURES", {"efficientnet-lite0": 1})
        return parse(tiny_params.raw() | rows)


@pytest.mark.parametrize("name", JOBS)
def test_two_processes_train_as_one_and_resume_to_the_same_bits(params, work, name):
    job = JOBS[name]
    one, two, resumed = copies(work, 3)
    (alone,), whole = (trained_by(n, params, root, job) for n, root in ((1, one), (2, two)))
    assert_alike(whole, alone)
    trained_by(2, params, resumed, job, stop=2)  # in the third step; a checkpoint after two
    (checkpoint,) = resumed.rglob("checkpoint.pt")
    for found, expected in zip(trained_by(2, params, resumed, job), whole, strict=True):
        assert_same(found, expected)
    assert not checkpoint.exists()
