"""Training through the chain: its gradient, where it begins, what it leaves alone and exports."""

import shutil
from types import SimpleNamespace

import pytest
import torch
from interruption import assert_equal_to_the_bit, interrupted
from torch import nn

from msdd.commands.stages import run_stage
from msdd.data.loader import Loader
from msdd.data.pixels import from_uint8
from msdd.data.shards import Crops
from msdd.fast.tokenizer import Fast
from msdd.flow.path import clean_estimate
from msdd.flow.sampler import sample
from msdd.flow.scales import split_time
from msdd.params.schema import Student
from msdd.pipeline import layout
from msdd.seeds import seed_of
from msdd.tokenizers.msdd import load
from msdd.train import chain, objective
from msdd.train.objective import Objective
from msdd.train.velocities import student_velocity
from msdd.weights.model_folder import load_teacher, read_noise
from msdd.weights.pretrained_networks import lpips_network

TEACHER, START = layout.stage1("msdd"), layout.assembled("msdd", "msdd-1step")
FINETUNED = layout.assembled("msdd", "finetuned")
SHORT = {"batch": 8, "warmup": 8, "images": 16, "log_every": 8, "checkpoint_every": 16}


def with_student(params, row: str, **changes):
    """The row with other settings; a new row distils `msdd`."""
    old = params.students.get(row, Student(model="msdd"))
    return params.model_copy(
        update={"students": params.students | {row: old.model_copy(update=changes)}}
    )


@pytest.fixture(scope="module")
def images(prepared):
    return from_uint8(Crops(prepared / layout.prepared(), "held_out").batch(range(4)))


@pytest.fixture
def noted(monkeypatch):
    """The objectives of the trainings in the test; `seen`: the images of each step, and the real
    ones."""
    made = []

    class Noting(Objective):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.seen = []
            made.append(self)

        def __call__(self, errors, images, real, made):
            self.seen.append((images.detach(), real))
            return super().__call__(errors, images, real, made)

    monkeypatch.setattr(chain, "Objective", Noting)
    return made


class Smooth(nn.Module):
    """A small smooth velocity that depends on all it is given."""

    config = SimpleNamespace(sides=[4, 8, 16], flow=split_time(3, (0.8, 0.3, 0.0)))

    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)
        self.context = nn.Linear(3, 4)

    def velocity(self, x, t, scale, latents):
        context = 0 if latents is None else self.context(latents.to(x.dtype))[:, :, None, None]
        return self.outer(torch.tanh(self.inner(x) + scale.time(t) + context))


@pytest.fixture
def double():
    """Networks and noise made in the test are float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class Colours(nn.Module):
    """An encoder."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, images):
        return self.linear(images.mean((2, 3)))


@pytest.mark.parametrize("decoders, encoder", [(1, False), (3, False), (3, True)])
def test_the_gradient_is_that_of_finite_differences(tiny_params, double, decoders, encoder):
    """One decoder for all scales, or one for each; a teacher of 2 guided steps, or an encoder that
    is trained on."""
    torch.manual_seed(0)
    network = nn.ModuleList(Smooth() for _ in range(decoders))
    teacher = SimpleNamespace(
        config=Smooth.config,
        encoder=Colours(),
        decoder=Smooth(),
    )
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    changes = {"mse_teacher": 0.0 if encoder else 0.7, "mse_real": 0.4, "train_encoder": encoder}
    settings = tiny_params.distil.model_copy(update=changes)
    objective = Objective(settings, [4, 8, 16], 2, network[-1].outer.weight, seed=0)

    def loss():
        torch.manual_seed(1)
        return chain.losses(network, teacher, images, settings, objective)["loss"]

    loss().backward()
    of_encoder = list(teacher.encoder.parameters())
    assert all((p.grad is not None) == encoder for p in of_encoder)
    check_differences(network.parameters(), loss, step=1e-5, tolerance=1e-6)
    if encoder:  # latents are in float32
        check_differences(of_encoder, loss, step=1e-2, tolerance=1e-3)


def check_differences(parameters, loss, step: float, tolerance: float) -> None:
    """The first, the middle and the last entry of each gradient."""
    for p in parameters:
        entries, gradient = p.data.view(-1), p.grad.flatten()
        for i in {0, len(entries) // 2, len(entries) - 1}:
            entries[i] += step
            above = loss().item()
            entries[i] -= 2 * step
            below = loss().item()
            entries[i] += step
            expected = (above - below) / (2 * step)
            assert gradient[i].item() == pytest.approx(expected, rel=tolerance, abs=1e-9)


def test_the_last_image_teaches_every_scale(tiny_params, trained, images):
    teacher, start = load_teacher(trained / TEACHER), load(trained / START)
    network = nn.ModuleList(start.decoders).requires_grad_(True)
    settings = tiny_params.distil.model_copy(update={"mse_teacher": 0.0, "mse_real": 1.0})
    objective = Objective(settings, [8, 16], 1, network[-1].head.weight, seed=0)
    terms = chain.losses(network, teacher, images, settings, objective)
    assert terms.keys() == {"loss", "mse_real"}
    terms["loss"].backward()
    for decoder in network:
        assert decoder.head.weight.grad.any() and decoder.embed_latents.weight.grad.any()


def test_the_error_is_that_of_clean_images():
    """Whatever noise two chains share."""
    ends = [[torch.randn(2, 3, side, side) for side in (4, 8, 16)] for _ in range(2)]
    scales, expected = split_time(3, (0.8, 0.3, 0.0)), 0
    for scale, x, y in zip(scales, *ends, strict=True):
        noise = torch.randn_like(x)
        estimates = clean_estimate(x, noise, scale), clean_estimate(y, noise, scale)
        expected += nn.functional.mse_loss(*estimates)
    torch.testing.assert_close(chain.chain_error(*ends, scales), expected)


@pytest.mark.parametrize("weight, passes", [(1.0, 2 * 2 * 2), (0.0, 0)])
def test_what_a_step_costs(tiny_params, trained, images, weight, passes):
    """Two scales, each one pass of the student and 2 guided steps of the teacher, if it counts."""
    teacher, start = load_teacher(trained / TEACHER), load(trained / START)
    calls, network = [], nn.ModuleList(start.decoders)
    teacher.decoder.register_forward_hook(lambda *_: calls.append("teacher"))
    for decoder in network:
        decoder.register_forward_hook(lambda *_: calls.append("student"))
    settings = tiny_params.distil.model_copy(update={"mse_teacher": weight, "mse_real": 1.0})
    objective = Objective(settings, [8, 16], 1, network[-1].head.weight, seed=0)
    chain.losses(network, teacher, images, settings, objective)
    assert calls == ["student"] * 2 + ["teacher"] * passes


def test_training_changes_the_student_and_the_discriminator_alone(
    tiny_params, work, noted, states, monkeypatch
):
    """Not even a teacher that could be trained."""
    teacher = load_teacher(work / TEACHER).requires_grad_(True)
    monkeypatch.setattr(chain, "load_teacher", lambda _: teacher)
    params = with_student(
        tiny_params,
        "finetuned",
        **SHORT,
        lpips=(0.0, 0.5),
        lpips_net="alex",
        gan=(0.0, 0.1),
        discriminator="alex",
    )
    run_stage(params, "chain", work, student="finetuned")

    trunk = noted[0].adversary.network.features.network
    originals = load_teacher(work / TEACHER), lpips_network("alex"), lpips_network("alex")
    for network, original in zip((teacher, noted[0].lpips, trunk), originals, strict=True):
        assert all(p.grad is None for p in network.parameters())
        state = network.state_dict()
        assert all(torch.equal(state[k], v) for k, v in original.state_dict().items())

    pairs = zip(states[0].network["decoders"], load(work / START).decoders, strict=True)
    for trained, start in pairs:
        assert not torch.equal(trained.head.weight, start.head.weight)
        assert not torch.equal(trained.embed_latents.weight, start.embed_latents.weight)
    torch.manual_seed(seed_of("discriminator", params.seed))
    fresh = objective.discriminator("alex")
    learnt = dict(noted[0].adversary.network.named_parameters())
    assert not all(torch.equal(learnt[k], p) for k, p in fresh.named_parameters())
    exported = load(work / FINETUNED).encoder.state_dict()
    assert all(torch.equal(exported[k], v) for k, v in teacher.encoder.state_dict().items())


def real_alone(network, teacher, images, settings, objective, stored):
    """The loss without any code of the other terms."""
    latents = teacher.encoder(images).float()
    normals = [torch.randn(len(images), 3, side, side) for side in (8, 16)]
    image = sample(student_velocity(network, latents), split_time(2), normals, [1, 1], [1, 1])[-1]
    loss = (image - images).square().mean()
    return {"loss": loss, "mse_real": loss}


def teacher_alone(network, teacher, images, settings, objective, stored):
    latents = teacher.encoder(images).float()
    normals = [torch.randn(len(images), 3, side, side) for side in (8, 16)]
    states = sample(student_velocity(network, latents), split_time(2), normals, [1, 1], [1, 1])

    def velocity(x, t, scale, conditional):
        return teacher.decoder.velocity(x, t, scale, latents if conditional else None)

    with torch.no_grad():
        targets = sample(velocity, split_time(2), normals, [2, 2], [1.5, 1.5])
    loss = 4 * (states[0] - targets[0]).square().mean() + (states[1] - targets[1]).square().mean()
    return {"loss": loss, "mse_teacher": loss}


NOTHING = {"lpips": 0.0, "gan": 0.0, "mse_teacher": 0.0, "mse_real": 0.0}


@pytest.mark.parametrize(
    "term, alone, unused",
    [
        ("mse_real", real_alone, {"gan": (0.0, 0.0), "discriminator": "alex"}),
        ("mse_real", real_alone, {"lpips": (0.0, 0.0), "lpips_net": "alex"}),
        ("mse_real", real_alone, {"teacher_steps": 5, "guidance": (2.0, 3.0)}),
        ("mse_teacher", teacher_alone, {}),
    ],
    ids=["gan", "lpips", "mse_teacher", "mse_real"],
)
def test_a_term_of_weight_0_leaves_the_bits_as_if_it_did_not_exist(
    tiny_params, work, monkeypatch, term, alone, unused
):
    """Against a training whose code lacks it; nor is its network made."""
    for network in ("lpips_network", "discriminator", "adaptive_weight"):
        monkeypatch.setattr(objective, network, lambda *_: pytest.fail("was used"))
    params = with_student(tiny_params, "finetuned", **SHORT, **NOTHING | {term: 1.0} | unused)
    run_stage(params, "chain", work, student="finetuned")
    found = files(work)
    monkeypatch.setattr(chain, "losses", alone)
    run_stage(params, "chain", work, student="finetuned")
    assert files(work) == found


def files(work) -> list[bytes]:
    """Of the finetuned student, which is removed."""
    content = [(work / FINETUNED / file).read_bytes() for file in layout.TRAINING_FILES]
    shutil.rmtree(work / FINETUNED)
    return content


def test_finetuning_begins_with_the_assembled_student(tiny_params, work, noted):
    """The image of its first step is what that student decodes from the step's noise."""
    run_stage(with_student(tiny_params, "finetuned", **SHORT), "chain", work, student="finetuned")
    found, real = noted[0].seen[0]
    crops = Crops(work / layout.prepared(), "train")
    with Loader(crops, tiny_params.seed, SHORT["batch"]) as loader:
        assert torch.equal(real, from_uint8(loader.load(0)[0]))
    torch.manual_seed(seed_of("finetune", "", tiny_params.seed, 0))
    normals = [torch.randn(len(real), 3, side, side) for side in (8, 16)]
    start = load(work / START)
    start.normals = lambda ids, seed: normals
    assert torch.equal(found.clamp(-1, 1), start.reconstruct(real))


@pytest.mark.parametrize("mode", ["joint", "joint_paper_code"])
def test_a_joint_student_decodes_as_the_network_that_was_trained(
    tiny_params, work, images, states, mode
):
    """Its folder holds the average of the weights, at every scale."""
    run_stage(
        with_student(tiny_params, "joint", mode=mode, **SHORT), "chain", work, student="joint"
    )
    student, trained = load(work / layout.assembled("msdd", "joint")), states[0].network
    trained.load_state_dict(states[0].ema.average)
    network = trained["decoders"]
    assert len(network) == 1 and len(student.decoders) == 2
    latents, normals = student.encode(images), student.normals(range(len(images)), 0)
    with torch.inference_mode():
        expected = sample(
            student_velocity(network, latents), split_time(2), normals, [1, 1], [1, 1]
        )[-1]
    assert torch.equal(student.decode(latents), expected.clamp(-1, 1))
    assert not torch.equal(expected, load(work / TEACHER).states(latents, normals)[-1])


def test_an_encoder_that_is_trained_on_is_the_student_s_own(tiny_params, work, images, states):
    changes = {"mse_teacher": 0.0, "mse_real": 1.0, "train_encoder": True}
    params = with_student(tiny_params, "finetuned", **SHORT, **changes)
    run_stage(params, "chain", work, student="finetuned")
    student, teacher, trained = load(work / FINETUNED), load(work / TEACHER), states[0].network
    trained.load_state_dict(states[0].ema.average)
    latents = student.encode(images)
    assert (latents - teacher.encode(images)).abs().max() > 1e-4
    with torch.inference_mode():
        torch.testing.assert_close(latents, trained["encoder"](images))


def test_a_student_without_noise_is_a_function_of_the_latents(tiny_params, work, images, noted):
    """As it is trained, so it decodes, also by the fast variant; a seed changes nothing."""
    plain = {"mode": "joint", "noise": "zero", "mse_teacher": 0, "mse_real": 1}
    params = with_student(tiny_params, "plain", **plain, **SHORT)
    run_stage(params, "chain", work, student="plain")
    found, real = noted[0].seen[0]
    folder = work / layout.assembled("msdd", "plain")
    teacher = load(work / TEACHER, noise="zero")
    assert torch.equal(found.clamp(-1, 1), teacher.reconstruct(real))
    student = load(folder)
    assert student.noise == "zero" and read_noise(work / TEACHER) == "drawn"
    latents = student.encode(images)
    decoded = student.decode(latents)
    assert torch.equal(decoded, student.decode(latents, ids=[7, 8, 9, 10], seed=3))
    assert (decoded - load(folder, noise="drawn").decode(latents)).abs().max() > 0.1
    assert (decoded - Fast(student, 4).decode(latents)).abs().max() < 1e-4


def test_interrupted_finetuning_goes_on_to_the_same_bits(
    tiny_params, work, states, monkeypatch, capsys
):
    """With its adversary. Stopped in step 5 of 6; the checkpoint is of step 3."""
    run_stage(tiny_params, "chain", work, student="finetuned")
    found = files(work)
    with interrupted(monkeypatch, chain, step=5):
        run_stage(tiny_params, "chain", work, student="finetuned")
    assert not (work / FINETUNED).exists()
    run_stage(tiny_params, "chain", work, student="finetuned")
    assert "finetune finetuned: resuming after 96 images" in capsys.readouterr().err
    uninterrupted, _, resumed = states
    assert uninterrupted.adversary.state_dict()["optimiser"]["state"]
    assert_equal_to_the_bit(uninterrupted, resumed)
    assert files(work) == found
