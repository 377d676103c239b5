"""Stage 2, per scale: a student makes in one evaluation what the teacher makes in several."""

from pathlib import Path

import torch
from torch import Tensor, nn

from msdd import layout
from msdd.data.shards import Crops
from msdd.errors import MsddError
from msdd.evaluate.features import lpips_distance
from msdd.flow.path import clean_estimate, reduced, start_state
from msdd.flow.sampler import euler, per_scale
from msdd.flow.scales import Scale, scales
from msdd.model import store
from msdd.model.autoencoder import Autoencoder, load_teacher
from msdd.model.decoder import Decoder
from msdd.params import Distil, Params
from msdd.stages import stage_key
from msdd.train.job import Job, carry_out, prepare_device
from msdd.weights import lpips_network


def run(params: Params, student: str, scale: int, root: Path = Path(".")) -> dict[str, float]:
    """Distil the row `student` at `scale` into `runs/<model>/<student>/scale<k>`."""
    device = prepare_device(params)
    settings, model = params.distil_of(student), params.model_row(student)
    source = root / layout.stage1(model)
    teacher = load_teacher(source).to(device)
    level = level_of(scale, teacher.config.scales, student)
    crops = Crops(root / layout.prepared(), "train", expect_resolution=teacher.config.resolution)
    network = Decoder(teacher.config).to(device)
    network.load_state_dict(teacher.decoder.state_dict())
    lpips = lpips_network(settings.lpips_net, device) if settings.lpips else None
    inputs = [source / file for file in layout.MODEL_FILES]
    inputs.append(root / layout.prepared() / "manifest.json")
    job = Job(
        row=student,
        stage="distil",
        part=f"scale{scale}",
        folder=layout.scale(model, student, scale),
        network=network,
        losses=lambda images: losses(network, teacher, images, level, settings, lpips),
        settings=settings,
        key=stage_key("distil", params.raw(), inputs, student=student, scale=scale),
        export=lambda folder, state: store.save(folder, "scale", teacher.config, state),
    )
    return carry_out(job, params, crops, root)


def level_of(scale: int, count: int, student: str) -> Scale:
    if not 0 <= scale < count:
        raise MsddError(f"{student} has scales 0 to {count - 1}, not {scale}")
    return scales(count)[scale]


def losses(
    network: Decoder,
    teacher: Autoencoder,
    images: Tensor,
    scale: Scale,
    settings: Distil,
    lpips: nn.Module | None = None,
) -> dict[str, Tensor]:
    """Terms of the loss of a one-step denoiser X_s -> X_e for images (B, 3, R, R).

    The squared error to the teacher's end state is divided by (1 - e)^2, so that it is one of
    clean images and a weight means the same at every scale.
    """
    x_e = reduced(images, scale)
    noise = torch.randn_like(x_e)
    X_s = start_state(x_e, noise, scale)
    latents, target = teach(teacher, images, X_s, scale, settings)
    X_e = X_s - network.velocity(X_s, 1.0, scale, latents)
    terms = {"mse": (X_e - target).square().mean() / (1 - scale.end) ** 2}
    if lpips is not None:
        terms["lpips"] = lpips_distance(lpips, clean_estimate(X_e, noise, scale), x_e).mean()
    loss = settings.mse * terms["mse"] + settings.lpips * terms.get("lpips", 0)
    return {"loss": loss, **terms}


@torch.no_grad()
def teach(
    teacher: Autoencoder, images: Tensor, X_s: Tensor, scale: Scale, settings: Distil
) -> tuple[Tensor, Tensor]:
    """Latents of the images, and the guided teacher's end state from X_s."""
    latents = teacher.encoder(images).float()
    guidance = per_scale(settings.guidance, teacher.config.scales)[scale.index]

    def velocity(x: Tensor, t: float, level: Scale, conditional: bool) -> Tensor:
        return teacher.decoder.velocity(x, t, level, latents if conditional else None)

    return latents, euler(velocity, X_s, scale, settings.teacher_steps, guidance)
