"""LlamaGen's tokenizer reproduces the official numbers and has the published size."""

from dataclasses import replace

import pytest
import torch
from cases import assert_reproduced, load_case
from recorded import cases

from msdd.errors import MsddError
from msdd.tokenizers.llamagen import LlamaGen, LlamaGenConfig, load, official_name
from msdd.tokenizers.tokenizer import Description

SMALL = LlamaGenConfig(resolution=32, width=32, encoder=(1, 1), decoder=(1, 1), blocks=1, codes=64)


def config_of(values: dict) -> LlamaGenConfig:
    return LlamaGenConfig(
        resolution=values["image_size"][0],
        width=values["ch"],
        encoder=tuple(values["encoder_ch_mult"]),
        decoder=tuple(values["decoder_ch_mult"]),
        blocks=values["num_res_blocks"],
        z_channels=values["z_channels"],
        codes=values["codebook_size"],
        dim=values["codebook_embed_dim"],
    )


@torch.inference_mode()
@pytest.mark.parametrize("path", cases("llamagen"), ids=lambda path: path.name)
def test_the_official_numbers(path):
    values, state, io = load_case(path)
    tokenizer = load(config_of(values["config"]), state)
    features = tokenizer.encoder(io["image"])
    indices = tokenizer.encode(io["image"])
    vectors = tokenizer.quantize.vectors(indices)
    again = tokenizer.pixels(vectors)
    found = {
        "encoder_out": features,
        "prequant": tokenizer.quant_conv(features),
        "indices": indices,
        "quantized": vectors,
        "codebook_vectors": vectors,
        "reconstruction": again,
        "reconstruction_from_indices": again,
        "decode_random_indices": tokenizer.pixels(tokenizer.quantize.vectors(io["random_indices"])),
    }
    assert_reproduced(found, io, inputs={"image", "random_indices"})
    assert torch.equal(tokenizer.reconstruct(io["image"]), again.clamp(-1, 1))


def test_the_published_size():
    with torch.device("meta"):
        tokenizer = LlamaGen(LlamaGenConfig())
    parameters = 71_883_403  # "72M" in the paper's table of tokenizers
    assert tokenizer.describe() == Description(256, 8, 256 * 14, parameters, 1)


def test_what_has_another_size_is_refused():
    """By the names of the file."""
    state = {official_name(name, 2): v for name, v in LlamaGen(SMALL).state_dict().items()}
    with pytest.raises(MsddError, match=r"of another shape: quantize.embedding.weight \(\[64, 8\]"):
        load(replace(SMALL, codes=32), state)
    with pytest.raises(MsddError, match="missing: encoder.conv_blocks.0.res.1.norm1.weight"):
        load(replace(SMALL, blocks=2), state)
    with pytest.raises(MsddError, match="unexpected: latents$"):
        load(SMALL, state | {"latents": torch.zeros(1)})
    with pytest.raises(MsddError, match="takes sides that are multiples of 2 px, not 8x7"):
        load(SMALL, state).encode(torch.zeros(1, 3, 7, 8))
