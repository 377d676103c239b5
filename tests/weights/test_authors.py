"""The networks reproduce the numbers of the authors' code, given its weights."""

import json

import pytest
import torch
from recorded import cases
from safetensors.torch import load_file

from msdd.errors import MsddError
from msdd.flow.jump import jump
from msdd.flow.path import authors_weight, downsample, end_state, start_state
from msdd.flow.sampler import euler
from msdd.flow.scales import split_time
from msdd.model.config import ModelConfig
from msdd.model.decoder import Decoder
from msdd.model.encoder import Encoder
from msdd.weights.authors import from_authors

CASES = cases("msdd", "msdd")
PUBLISHED = ModelConfig(256, 4, 8, 8, 768, 12, 12, 128, 32, "line")


def paper_setting(config: dict) -> ModelConfig:
    return ModelConfig(
        resolution=config["image_size"],
        scales=config["num_multiscale_stages"],
        patch=config["decoder_patch_size"],
        encoder_patch=config["encoder_patch_size"],
        width=config["hidden_size"],
        depth=config["depth"],
        heads=config["num_heads"],
        latents=config["num_latent_tokens"],
        latent_dim=config["codebook_embed_dim"],
        positions="line_paper_code",
        time_scale=1.0,
    )


@pytest.fixture(params=CASES, ids=lambda path: path.name)
def case(request):
    config = paper_setting(json.loads((request.param / "config.json").read_text())["config"])
    state, dropped = from_authors(load_file(request.param / "model.safetensors"))
    encoder, decoder = Encoder(config), Decoder(config)
    encoder.load_state_dict(part(state, "encoder."), strict=True)
    decoder.load_state_dict(part(state, "decoder."), strict=True)
    return encoder, decoder, load_file(request.param / "io.safetensors"), dropped


def part(state: dict, prefix: str) -> dict:
    return {name.removeprefix(prefix): v for name, v in state.items() if name.startswith(prefix)}


@torch.inference_mode()
def test_encoder_output(case):
    encoder, _, io, _ = case
    torch.testing.assert_close(
        encoder.read(io["image"]), io["encoder_registers"], atol=1e-4, rtol=0
    )
    torch.testing.assert_close(encoder(io["image"]), io["latent"], atol=1e-4, rtol=0)


@torch.inference_mode()
def test_velocity_at_every_scale(case):
    _, decoder, io, _ = case
    for i in range(decoder.config.scales):
        x, time = io[f"x_t_{i}"], io[f"time_{i}"]
        torch.testing.assert_close(
            decoder(x, time, io["latent"]), io[f"velocity_{i}"], atol=1e-4, rtol=0
        )
        null = decoder.null.expand(len(x), -1, -1)
        torch.testing.assert_close(
            decoder(x, time, null), io[f"velocity_null_{i}"], atol=1e-4, rtol=0
        )


@torch.inference_mode()
@pytest.mark.parametrize("guidance", [1, 2])
def test_decoding_in_one_step_a_scale(case, guidance):
    """Euler and jump over all scales, with their block noise.

    To 1e-2 where images reach 7: they round e = 1/3 and 2/3 to a table of 1000 levels.
    """
    _, decoder, io, _ = case

    def velocity(x, t, scale, conditional):
        return decoder.velocity(x, t, scale, io["latent"] if conditional else None)

    scales = split_time(decoder.config.scales)
    x = euler(velocity, io["noise"], scales[0], 1, guidance)
    for before, scale in zip(scales, scales[1:], strict=False):
        x = jump(x, io[f"block_noise_{scale.index}"], before.end)
        x = euler(velocity, x, scale, 1, guidance)
    torch.testing.assert_close(x, io[f"decode_steps1_cfg{guidance}"], atol=1e-2, rtol=0)


@torch.inference_mode()
def test_training_loss(case):
    """Of their weights on their images, noise and times: to 1e-3, as their table is discrete."""
    encoder, decoder, io, _ = case
    latents, total = encoder(io["train_image"]), 0.0
    for scale in split_time(decoder.config.scales):
        chosen = io["train_stage_of_image"] == scale.index
        x_e, noise = downsample(io["train_image"][chosen], scale), io[f"train_noise_{scale.index}"]
        t = 1 - (1000 * torch.sigmoid(io[f"train_normal_{scale.index}"])).floor() / 1000
        X_s, X_e = start_state(x_e, noise, scale), end_state(x_e, noise, scale)
        X_t = torch.lerp(X_e, X_s, t[:, None, None, None])
        v = decoder.velocity(X_t, t, scale, latents[chosen])
        total += (authors_weight(t) * (v - (X_s - X_e)).square().mean((1, 2, 3))).sum()
    expected = io["train_loss_decoder_prediction"][0]
    torch.testing.assert_close(total / len(latents), expected, rtol=1e-3, atol=0)


def test_dropped_tensors_are_named(case):
    *_, dropped = case
    assert "encoder.t_embedder.mlp.0.weight" in dropped
    assert all(name.startswith(("encoder.", "quant_conv.")) for name in dropped)


def test_trained_encoder_modulation_is_refused():
    with pytest.raises(MsddError, match="encoder.joint_blocks.0.x_block.shift"):
        from_authors({"encoder.joint_blocks.0.x_block.shift": torch.ones(1, 8)})


def test_published_parameter_counts():
    with torch.device("meta"):
        encoder, decoder = Encoder(PUBLISHED), Decoder(PUBLISHED)
    assert sum(p.numel() for p in decoder.parameters()) == 249_617_344
    assert sum(p.numel() for p in encoder.parameters()) == 170_294_048


@pytest.mark.parametrize("folder", CASES, ids=lambda path: path.name)
def test_schedule_agrees_with_the_authors_table(folder):
    """Their 1000-point table is discrete; ours is the closed form behind it."""
    config = json.loads((folder / "config.json").read_text())
    for table in config["schedules_S1_to_S5"]:
        for scale, row in zip(split_time(table["stages"]), table["rows"], strict=True):
            ours = [scale.start, scale.end, scale.first, scale.last]
            first, last = row["global_timestep_first"] / 1000, row["global_timestep_last"] / 1000
            theirs = [row["start_t"], row["end_t"], first, last]
            assert ours == pytest.approx(theirs, abs=2e-3)
