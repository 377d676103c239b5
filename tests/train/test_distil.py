"""Distillation of one scale: its target, the scale of its loss, and what it leaves alone."""

import pytest
import torch

from msdd.commands.stages import run_stage
from msdd.data.pixels import from_uint8
from msdd.data.shards import Crops
from msdd.errors import MsddError
from msdd.flow.path import clean_estimate, downsample, start_state
from msdd.flow.scales import split_time
from msdd.model.decoder import Decoder
from msdd.pipeline import layout
from msdd.train import distil
from msdd.train.objective import Objective
from msdd.weights.model_folder import load_teacher

every_scale = pytest.mark.parametrize("scale", split_time(2), ids=["scale0", "scale1"])


@pytest.fixture(scope="module")
def images(prepared):
    return from_uint8(Crops(prepared / layout.prepared(), "held_out").batch(range(8)))


@pytest.fixture
def teacher(trained):
    """Trained for a second; larger weights make its branches and steps differ visibly."""
    teacher = load_teacher(trained / layout.stage1("msdd"))
    torch.manual_seed(0)
    for p in teacher.decoder.parameters():
        p += 0.1 * torch.randn_like(p)
    return teacher


@pytest.fixture
def settings(tiny_params):
    """3 steps of the teacher, guidance 1.5 and 2."""
    changes = {"teacher_steps": 3, "guidance": (1.5, 2.0)}
    return tiny_params.distil.model_copy(update=changes)


def copied(teacher):
    student = Decoder(teacher.config)
    student.load_state_dict(teacher.decoder.state_dict())
    return student


def losses(student, teacher, images, scale, settings):
    sides, layer = teacher.config.sides, student.head.weight
    objective = Objective(settings, sides, scale.index, layer, seed=0)
    return distil.losses(student, teacher, images, scale, settings, objective)


@every_scale
def test_a_copy_of_a_teacher_of_one_unguided_step_has_no_loss(teacher, images, settings, scale):
    one = settings.model_copy(update={"teacher_steps": 1, "guidance": 1.0})
    assert losses(copied(teacher), teacher, images, scale, one)["loss"] == 0
    assert losses(copied(teacher), teacher, images, scale, settings)["loss"] > 0


@every_scale
def test_the_error_is_that_of_clean_images(teacher, images, settings, scale):
    """The teacher's loop written out; both ends turned into clean images with the pair's noise."""
    student = copied(teacher).requires_grad_(False)
    for p in student.parameters():
        p += 0.01 * torch.randn_like(p)
    torch.manual_seed(1)
    settings = settings.model_copy(update={"mse_teacher": 2.0, "mse_real": 0.5})
    terms = losses(student, teacher, images, scale, settings)

    torch.manual_seed(1)
    x_e = downsample(images, scale)
    noise = torch.randn_like(x_e)
    X_s = x = start_state(x_e, noise, scale)
    latents, guidance = teacher.encoder(images), settings.guidance[scale.index]
    for t in (1, 2 / 3, 1 / 3):
        v = teacher.decoder.velocity(x, t, scale, latents)
        null = teacher.decoder.velocity(x, t, scale, None)
        x = x - (null + guidance * (v - null)) / 3
    X_e = X_s - student.velocity(X_s, 1.0, scale, latents)
    clean = clean_estimate(X_e, noise, scale)
    to_teacher = (clean - clean_estimate(x, noise, scale)).square().mean()
    to_real = (clean - x_e).square().mean()
    torch.testing.assert_close(terms["mse_teacher"], to_teacher, rtol=1e-4, atol=0)
    torch.testing.assert_close(terms["mse_real"], to_real, rtol=1e-4, atol=0)
    torch.testing.assert_close(terms["loss"], 2 * terms["mse_teacher"] + terms["mse_real"] / 2)


def test_a_weight_of_0_removes_the_cost(teacher, images, settings):
    calls = []
    teacher.decoder.register_forward_hook(lambda *_: calls.append(1))
    losses(copied(teacher), teacher, images, split_time(2)[0], settings)
    assert len(calls) == 2 * settings.teacher_steps
    without = settings.model_copy(update={"mse_teacher": 0.0, "mse_real": 1.0})
    terms = losses(copied(teacher), teacher, images, split_time(2)[0], without)
    assert len(calls) == 2 * settings.teacher_steps
    assert terms.keys() == {"loss", "mse_real"}


@every_scale
def test_gradients_reach_the_student_alone(teacher, images, settings, scale):
    """Not even a teacher that could be trained."""
    teacher.requires_grad_(True)
    student = copied(teacher)
    losses(student, teacher, images, scale, settings)["loss"].backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert student.head.weight.grad.any() and student.embed_latents.weight.grad.any()
    assert student.null.grad is None  # no guidance: the null latents are not evaluated


def test_a_loaded_teacher_is_frozen(trained):
    teacher = load_teacher(trained / layout.stage1("msdd"))
    assert not teacher.training and not any(p.requires_grad for p in teacher.parameters())


def test_distilling_leaves_the_teachers_folder_alone(trained):
    """The student of every scale differs from the teacher, whose encoder it shares."""
    teacher = load_teacher(trained / layout.stage1("msdd"))
    for k in range(2):
        student = Decoder(teacher.config)
        folder = trained / layout.scale("msdd", "msdd-1step", k)
        distil.model_folder.fill(student, distil.model_folder.read(folder), folder)
        assert not torch.equal(student.head.weight, teacher.decoder.head.weight)
        assert torch.equal(student.null, teacher.decoder.null)


def test_a_scale_that_does_not_exist_is_named(tiny_params, trained):
    with pytest.raises(MsddError, match="'msdd-1step' has no scale 2; its scales"):
        run_stage(tiny_params, "distil", trained, student="msdd-1step", scale=2)
