"""SSDD and multi-scale decoding on a KL latent, as rows of the pipeline: the same training."""

import shutil

import numpy as np
import pytest
import torch
from interruption import assert_equal_to_the_bit, interrupted
from safetensors.torch import load_file, save_file

from msdd.commands.stages import run_stage
from msdd.data.pixels import from_uint8
from msdd.data.shards import Crops
from msdd.errors import MsddError
from msdd.fast.tokenizer import Fast
from msdd.files import digest, read_json
from msdd.flow.scales import split_time
from msdd.model.autoencoder import Autoencoder
from msdd.model.config import ModelConfig
from msdd.model.kl_encoder import KLEncoder, divergence, posterior
from msdd.params.load import parse
from msdd.params.sections import Given
from msdd.pipeline import layout
from msdd.speed.systems import of_tokenizer
from msdd.tokenizers.msdd import load
from msdd.tokenizers.tokenizer import Description
from msdd.train import distil, stage1
from msdd.weights import model_folder
from msdd.weights.features import lpips_distance
from msdd.weights.model_folder import load_teacher
from msdd.weights.pretrained_networks import lpips_network

KL = {"width": 32, "multipliers": [1, 1, 1], "blocks": 1, "groups": 4}
UVIT = {
    "channels": 32,
    "multipliers": [1, 1],
    "depth": 1,
    "heads": 4,
    "layers": 1,
    "window": 4,
    "groups": 4,
}
LATENTS = {"latents": 16, "latent_dim": 2, "kl_encoder": KL}
SHORT = {"images": 64, "warmup": 32, "batch": 16, "log_every": 32, "checkpoint_every": 32}
ROWS = {
    "models": {
        "ssdd": {
            "model": {"scales": 1, "uvit": UVIT, **LATENTS},
            "stage1": {**SHORT, "cond_drop_prob": 0.0},
        },
        "kl-msdd": {"model": LATENTS, "stage1": SHORT},
    },
    "students": {
        "ssdd-1step": {"model": "ssdd", "guidance": 1, **SHORT},
        "kl-1step": {"model": "kl-msdd", **SHORT},
        "kl-finetuned": {
            "model": "kl-msdd",
            "mode": "finetune",
            "start": "kl-1step",
            "mse_real": 1.0,
            **SHORT,
        },
    },
    "decodes": {
        "ssdd-teacher": {"of": "ssdd", "steps": 3},
        "ssdd-student": {"of": "ssdd-1step"},
        "kl-teacher": {"of": "kl-msdd", "steps": 2, "guidance": 1.5},
        "kl-student": {"of": "kl-1step"},
        "kl-student-finetuned": {"of": "kl-finetuned"},
    },
    "ablations": {},
}
TEACHER = layout.stage1("ssdd")


@pytest.fixture(scope="module")
def params(tiny_params):
    raw = tiny_params.raw()
    return parse(raw | ROWS | {"throughput": raw["throughput"] | {"systems": ["ssdd-student"]}})


@pytest.fixture(scope="module")
def made(params, prepared, tmp_path_factory):
    """A working directory in which the rows have been trained; to be read only."""
    root = shutil.copytree(prepared, tmp_path_factory.mktemp("kl") / "work")
    for model in params.models:
        run_stage(params, "train", root, model=model)
    for student, count in (("ssdd-1step", 1), ("kl-1step", 2)):
        for k in range(count):
            run_stage(params, "distil", root, student=student, scale=k)
        run_stage(params, "assemble", root, student=student)
    run_stage(params, "chain", root, student="kl-finetuned")
    return root


@pytest.fixture(scope="module")
def images(prepared):
    return from_uint8(Crops(prepared / layout.prepared(), "held_out").batch(range(6)))


def model_config(params, row: str) -> ModelConfig:
    return ModelConfig.of(params.data.resolution, params.model_of(row).model_dump())


def autoencoder(params, row: str) -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(model_config(params, row))


def with_stage1(params, **changes):
    """`ssdd` with other settings of its first training."""
    row = params.models["ssdd"]
    row = row.model_copy(update={"stage1": row.stage1.model_copy(update=changes)})
    row.stage1.model_fields_set.update(changes)
    return params.model_copy(update={"models": params.models | {"ssdd": row}})


def test_the_velocity_is_that_of_ssdd_with_the_other_sign(params, images):
    """At one scale the state at t is (1 - t) image + t noise; latents lie row by row."""
    network, t = autoencoder(params, "ssdd"), torch.rand(6)
    latents = torch.randn(6, 16, 2)
    found = network.decoder.velocity(images, t, split_time(1)[0], latents)
    grid = torch.stack([latents[:, 4 * row : 4 * row + 4] for row in range(4)], dim=1)
    assert torch.equal(found, -network.decoder.uvit(images, t, grid.permute(0, 3, 1, 2)))


def test_the_divergence_is_a_term_with_its_own_gradient(params, images):
    """Of moments m, l of B images: d/dm = w m / B, d/dl = w (exp l - 1) / (2 B), nats summed."""
    network, gradients, weight = autoencoder(params, "ssdd"), [], 0.5
    moments = []
    network.encoder.register_forward_hook(lambda *seen: moments.append(seen[2]))
    for kl in (0.0, weight):
        settings = params.stage1_of("ssdd").model_copy(update={"kl": kl})
        torch.manual_seed(1)
        terms = stage1.losses(network, images, settings)
        assert ("kl" in terms) == bool(kl)
        gradients.append(torch.autograd.grad(terms["loss"], moments[-1])[0])
    mean, logvar = moments[-1].detach().chunk(2, dim=1)
    expected = weight / len(images) * torch.cat([mean, (logvar.exp() - 1) / 2], dim=1)
    torch.testing.assert_close(gradients[1] - gradients[0], expected, atol=1e-6, rtol=1e-4)
    of = posterior(moments[-1].detach())
    nats = 0.5 * (of.mean**2 + of.logvar.exp() - 1 - of.logvar).sum() / len(images)
    torch.testing.assert_close(terms["kl"], nats)
    torch.testing.assert_close(divergence(of).mean(), nats)


def test_a_divergence_of_weight_0_leaves_the_bits_as_if_it_did_not_exist(
    params, workdir, monkeypatch
):
    monkeypatch.setattr(stage1, "divergence", lambda *_: pytest.fail("was used"))
    run_stage(with_stage1(params, kl=0.0), "train", workdir, model="ssdd")
    found = [(workdir / TEACHER / file).read_bytes() for file in layout.TRAINING_FILES]
    shutil.rmtree(workdir / TEACHER)

    def drawn_alone(network, images, settings):
        mean, logvar = network.encoder(images).chunk(2, dim=1)
        z = torch.addcmul(mean, (0.5 * logvar.clamp(-30, 20)).exp(), torch.randn_like(mean))
        return z.flatten(2).mT, {}

    monkeypatch.setattr(stage1, "draw_latents", drawn_alone)
    run_stage(with_stage1(params, kl=0.0), "train", workdir, model="ssdd")
    assert found == [(workdir / TEACHER / file).read_bytes() for file in layout.TRAINING_FILES]


def test_the_encoder_learns_in_stage_1_and_is_frozen_from_then_on(params, made):
    for model in params.models:
        learnt = load_teacher(made / layout.stage1(model)).encoder.state_dict()
        torch.manual_seed(stage1.seed_of("weights", params.seed))
        start = Autoencoder(model_config(params, model)).encoder.state_dict()
        assert not any(torch.equal(learnt[k], v) for k, v in start.items() if "conv_in" in k)
        for student in [s for s in params.students if params.model_row(s) == model]:
            encoder = load(made / layout.assembled(model, student)).encoder
            assert all(torch.equal(learnt[k], v) for k, v in encoder.state_dict().items())


def test_latents_are_drawn_in_stage_1_and_means_afterwards(params, made, images):
    tokenizer, teacher = load(made / TEACHER, steps=3), load_teacher(made / TEACHER)
    mean, logvar = tokenizer.encoder(images).chunk(2, dim=1)
    assert torch.equal(tokenizer.encode(images), mean.flatten(2).mT)
    torch.manual_seed(0)
    latents, _ = stage1.draw_latents(teacher, images, params.stage1_of("ssdd"))
    torch.manual_seed(0)
    noise = (0.5 * logvar).exp() * torch.randn_like(mean)
    torch.testing.assert_close(latents, (mean + noise).flatten(2).mT)


def test_interrupted_training_goes_on_to_the_same_bits(params, workdir, made, states, monkeypatch):
    """Stopped in step 4 of 4; the checkpoint is of step 2."""
    with interrupted(monkeypatch, stage1, step=4):
        run_stage(params, "train", workdir, model="ssdd")
    run_stage(params, "train", workdir, model="ssdd")
    for file in layout.TRAINING_FILES:
        assert (workdir / TEACHER / file).read_bytes() == (made / TEACHER / file).read_bytes()
    shutil.rmtree(workdir / TEACHER)
    run_stage(params, "train", workdir, model="ssdd")
    assert_equal_to_the_bit(*states[1:])


def test_an_encoder_by_file_stays_as_it_is(params, made, workdir):
    """A stage-1 file, in which the decoder's tensors stand as well."""
    file = made / TEACHER / "model.safetensors"
    given = Given(file=str(file), sha256=digest(file))
    changed = with_stage1(params, encoder=given, images=32)
    run_stage(changed, "train", workdir, model="ssdd")
    state, source = load_file(workdir / TEACHER / "model.safetensors"), load_file(file)
    for name, value in state.items():
        if name.startswith("encoder."):
            assert torch.equal(value, source[name])
    terms = (workdir / TEACHER / "curves.csv").read_text().splitlines()[0].split(",")
    assert "scale0" in terms and "kl" not in terms
    torch.manual_seed(stage1.seed_of("weights", params.seed))
    start = Autoencoder(model_config(params, "ssdd")).decoder.uvit.conv_in.weight
    assert not torch.equal(state["decoder.uvit.conv_in.weight"], start)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("absent", "stage1.encoder.file: there is no "),
        ("other", "stage1.encoder.sha256 is 000"),
        ("misfit", "the weights do not fit KLEncoder: missing: conv_in.bias"),
    ],
)
def test_an_encoder_by_file_that_cannot_be_had_trains_nothing(
    params, made, workdir, tmp_path, change, told
):
    """Least of all is it drawn at random."""
    state = load_file(made / TEACHER / "model.safetensors")
    file = tmp_path / "encoder.safetensors"
    if change != "absent":
        save_file({k: v for k, v in state.items() if k != "encoder.conv_in.bias"}, file)
    sha256 = digest(file) if change == "misfit" else "0" * 64
    changed = with_stage1(params, encoder=Given(file=str(file), sha256=sha256))
    with pytest.raises(MsddError) as error:
        run_stage(changed, "train", workdir, model="ssdd")
    assert told in str(error.value) and "\n" not in str(error.value)
    assert not (workdir / TEACHER).exists()


def test_the_null_latents_of_a_uvit_are_trained(params, images):
    network = autoencoder(params, "ssdd")
    settings = params.stage1_of("ssdd").model_copy(update={"cond_drop_prob": 1.0})
    stage1.losses(network, images, settings)["loss"].backward()
    assert network.decoder.null.grad.any()


def test_a_distilled_ssdd_maps_noise_to_its_teachers_image(params, made, images):
    """Squared error and LPIPS are to the teacher's image, as in SSDD's training pair at t = 1."""
    teacher, settings = load_teacher(made / TEACHER), params.distil_of("ssdd-1step")
    perceived = {"lpips": (0.1,), "lpips_net": "alex", "lpips_to": "teacher"}
    settings = settings.model_copy(update=perceived)
    student = load(made / layout.assembled("ssdd", "ssdd-1step")).decoders[0]
    objective = distil.Objective(settings, [16], 0, student.last_layer, params.seed)
    torch.manual_seed(3)
    terms = distil.losses(student, teacher, images, split_time(1)[0], settings, objective)
    torch.manual_seed(3)
    noise, latents = torch.randn_like(images), posterior(teacher.encoder(images)).mean
    x, t = noise, torch.ones(6)
    for i in range(settings.teacher_steps):
        now = t * (1 - i / settings.teacher_steps)
        x = x + teacher.decoder.uvit(x, now, latents) / settings.teacher_steps
    image = noise + student.uvit(noise, t, latents)
    apart = lpips_distance(lpips_network("alex"), image, x).mean()
    torch.testing.assert_close(terms["loss"], (image - x).square().mean() + 0.1 * apart)


def test_the_rows_are_evaluated_like_any_other(params, made, tmp_path):
    root = shutil.copytree(made, tmp_path / "work")
    for decode, passes in (("ssdd-teacher", 3), ("kl-student-finetuned", 2)):
        run_stage(params, "evaluate", root, decode=decode)
        path = layout.evaluation(*params.source(decode), decode)
        found = read_json(root / path)
        assert (found["tokens"], found["dim"], found["nfe"]) == (16, 2, passes)
        assert found.get("system") == ("SSDD" if decode == "ssdd-teacher" else None)
        with np.load(root / layout.pyramid(path)) as pictures:
            assert len(pictures) == len(found["scales"])


def test_what_a_tokenizer_says_of_itself(made, images):
    student = load(made / layout.assembled("ssdd", "ssdd-1step"))
    assert student.describe() == Description(16, 2, None, student.size(), 1)
    assert student.reconstruct(images).shape == images.shape
    cross = load(made / layout.assembled("kl-msdd", "kl-finetuned"))
    assert isinstance(cross.encoder, KLEncoder) and cross.describe().nfe == 2
    with pytest.raises(MsddError, match="only MMDiTs have a fast variant"):
        Fast(student, 4)
    assert of_tokenizer("ssdd", student, "fp32").flops["decode"] > 0


def test_a_shape_goes_through_its_file(params, made):
    for model in params.models:
        kind, config = model_folder.read_config(made / layout.stage1(model))
        assert kind == "teacher" and config == model_config(params, model)


def test_a_file_from_before_there_were_these_networks_is_read(tiny_params, tmp_path):
    """Without the keys."""
    config = model_config(tiny_params, "msdd")
    model_folder.save(tmp_path, "teacher", config, {})
    values = read_json(tmp_path / "config.json")
    for key in ("kl_encoder", "uvit"):
        del values["model"][key]
    model_folder.write_json(tmp_path / "config.json", values)
    assert model_folder.read_config(tmp_path) == ("teacher", config)
