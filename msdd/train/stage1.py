"""Stage 1: encoder and decoder learn flow matching together (paper section 3).

A KL encoder is trained with its decoder, as the encoder with registers is; an encoder that comes
from a file stays frozen.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from msdd.device import prepare_device
from msdd.flow.path import authors_weight, downsample, end_state, start_state
from msdd.flow.scales import Scale
from msdd.model.autoencoder import Autoencoder, tokens
from msdd.model.config import ModelConfig
from msdd.model.kl_encoder import KLEncoder, divergence, draw, posterior
from msdd.params.sections import Stage1
from msdd.pipeline import layout
from msdd.pipeline.task import Task
from msdd.seeds import seed_of
from msdd.train.frozen_encoder import load_frozen_encoder
from msdd.train.job import TrainingJob
from msdd.train.preview import Preview
from msdd.train.repa import NAME as REPA
from msdd.train.repa import Repa, dinov2
from msdd.train.run_job import carry_out
from msdd.train.stored_latents import encoder_tensors, frozen_encoder, training_set
from msdd.train.velocities import decoded, encode, teacher_velocity
from msdd.weights import model_folder
from msdd.weights.features import lpips_distance
from msdd.weights.pretrained_networks import lpips_network

PICTURE_STEPS = 2  # at each scale


def run(task: Task, root: Path = Path(".")) -> dict[str, float]:
    """Train the row `task.model` into `runs/<model>/stage1`; returns its last losses by term.

    Raises MsddError for crops of another resolution, weights that cannot be had, and a loss that
    is not a number.
    """
    device, settings = prepare_device(task.cpu_threads), task.stage1
    config = ModelConfig.of(task.data.resolution, task.networks.model_dump())
    config = replace(config, frozen=frozen_encoder(task, root))
    crops, encoder = training_set(task, config, root), encoder_tensors(task, root)
    torch.manual_seed(seed_of("weights", task.seed))
    network = Autoencoder(config)
    if settings.encoder and settings.encoder.file:
        load_frozen_encoder(network.encoder, settings.encoder, root)
    if settings.repa:
        teacher = dinov2(settings.repa, root).to(device)
        network.add_module(REPA, Repa(network.decoder.uvit, settings.repa.block, teacher))
    network.to(device)
    lpips = lpips_network(settings.lpips_net, device) if settings.lpips else None
    job = TrainingJob(
        task=task,
        stage="stage1",
        part="",
        folder=layout.stage1(task.model),
        network=network,
        losses=lambda images, stored: losses(network, images, settings, lpips, stored),
        settings=settings,
        export=lambda folder, state: model_folder.save(
            folder, "teacher", config, encoder | result(state)
        ),
        preview=Preview(
            network, settings, crops, root / layout.prepared(), partial(decode, network)
        ),
    )
    return carry_out(job, crops, root)


def result(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a stage-1 model: all that is trained except REPA's MLP."""
    return {name: state[name] for name in state if not name.startswith(f"{REPA}.")}


def decode(network: Autoencoder, images: Tensor, stored: Tensor | None) -> Tensor:
    """Reconstructions of images (B, 3, R, R), for pictures; stored: their latents, if known."""
    velocity = teacher_velocity(network, encode(network, images, stored))
    return decoded(velocity, images, network.config, PICTURE_STEPS)


def losses(
    network: Autoencoder,
    images: Tensor,
    settings: Stage1,
    lpips: nn.Module | None = None,
    stored: Tensor | None = None,
) -> dict[str, Tensor]:
    """Terms of the loss for images (B, 3, R, R) in [-1, 1], as scalars by name (paper section 3).

    Each image is used at one scale, in equal shares. `scale<k>` is the mean squared velocity error
    at a scale. `loss` is the sum of: the mean over images of that error, times
    the weight over noise levels; `settings.lpips` times the mean LPIPS of the clean images at the
    last scale; `settings.kl` times the mean divergence in nats of a KL encoder's posteriors, from
    which the latents are then drawn; and REPA's distance times its weight.

    lpips: from `msdd.weights.pretrained_networks.lpips_network`; None where its weight is 0.
    stored: latents of the images, if another tokenizer has made them before.
    """
    if stored is None:
        latents, terms = draw_latents(network, images, settings)
    else:
        latents, terms = stored, {}
    latents = drop(latents, network.decoder.null, settings)
    scales = network.config.flow
    sizes = share_sizes(len(images), len(scales))
    shares = zip(scales, images.split(sizes), latents.split(sizes), strict=True)
    total = settings.kl * terms.get("kl", torch.zeros((), device=images.device))
    for scale, share, context in shares:
        x_e = downsample(share, scale)
        t = torch.sigmoid(settings.logit_mean + torch.randn(len(share), device=images.device))
        error, X_e = velocity_error(network, x_e, t, scale, context)
        weight = authors_weight(t) if settings.loss_weight == "authors" else 1.0
        total = total + (weight * error).sum() / len(images)
        terms[f"scale{scale.index}"] = error.mean()
        if lpips is not None and scale.index == len(scales) - 1:
            terms["lpips"] = lpips_distance(lpips, X_e, x_e).mean()
            total = total + settings.lpips * terms["lpips"]
        if settings.repa:
            grid = network.decoder.uvit.grid(share.shape[-2:])
            terms["repa"] = network.get_submodule(REPA)(share, grid).mean()
            total = total + settings.repa.weight * terms["repa"]
    return {"loss": total, **terms}


def share_sizes(images: int, scales: int) -> list[int]:
    """How many of so many images each scale gets: equally many, and of those that are left over at
    most one, which scales is drawn, so that over many steps none has more than another."""
    each, left = divmod(images, scales)
    first = int(torch.randint(scales, ())) if left else 0
    return [each + ((scale - first) % scales < left) for scale in range(scales)]


def draw_latents(
    network: Autoencoder, images: Tensor, settings: Stage1
) -> tuple[Tensor, dict[str, Tensor]]:
    """Latents (B, latents, latent_dim) of images, and the term `kl` if it has a weight.

    Those of a KL encoder are drawn from its posteriors.
    """
    output = network.encoder(images).float()
    if not isinstance(network.encoder, KLEncoder):
        return output, {}
    gaussian = posterior(output)
    learnt = settings.kl and not settings.encoder
    terms = {"kl": divergence(gaussian).mean()} if learnt else {}
    return tokens(draw(gaussian, torch.randn_like(gaussian.mean))), terms


def velocity_error(
    network: Autoencoder, x_e: Tensor, t: Tensor, scale: Scale, latents: Tensor
) -> tuple[Tensor, Tensor]:
    """Squared velocity error (B,) at a scale, and the end state X_t - t v that v implies.

    x_e: clean images (B, 3, side, side) at the scale's resolution; t: local times (B,) in [0, 1].
    The error is the mean over pixels of (v - (X_s - X_e))^2 (paper section 3).
    """
    noise = torch.randn_like(x_e)
    X_s, X_e = start_state(x_e, noise, scale), end_state(x_e, noise, scale)
    X_t = torch.lerp(X_e, X_s, t[:, None, None, None])
    v = network.decoder.velocity(X_t, t, scale, latents)
    return (v - (X_s - X_e)).square().mean((1, 2, 3)), X_t - t[:, None, None, None] * v


def drop(latents: Tensor, null: Tensor, settings: Stage1) -> Tensor:
    """Latents (B, latents, latent_dim), those of random images replaced by the null latents.

    An image's latents are replaced with probability `settings.cond_drop_prob`, so that the decoder
    also learns the velocity without latents, which classifier-free guidance needs.
    """
    dropped = torch.rand(len(latents), 1, 1, device=latents.device) < settings.cond_drop_prob
    return torch.where(dropped, null, latents)
