"""TiTok reproduces the official numbers and has the published size."""

from dataclasses import replace

import pytest
import torch
from cases import assert_reproduced, load_case
from recorded import cases

from msdd.errors import MsddError
from msdd.tokenizers.maskgit import PixelConfig
from msdd.tokenizers.titok import Stack, TiTok, TiTokConfig, load
from msdd.tokenizers.tokenizer import Description

TINY = Stack(width=32, layers=1, heads=2, patch=2)
SMALL = TiTokConfig(
    8, 4, 16, 12, encoder=TINY, decoder=TINY, pixels=PixelConfig(32, (1, 1), 1, 16, 32)
)


def config_of(case: dict) -> TiTokConfig:
    values, pixels = case["config"]["model"]["vq_model"], case["pixel_decoder"]

    def stack(part: str) -> Stack:
        size = case["transformer_sizes"][f"{part}oder"]
        patch = values[f"vit_{part}_patch_size"]
        return Stack(size["width"], size["num_layers"], size["num_heads"], patch)

    return TiTokConfig(
        resolution=case["config"]["dataset"]["preprocessing"]["crop_size"],
        tokens=values["num_latent_tokens"],
        codes=values["codebook_size"],
        dim=values["token_size"],
        encoder=stack("enc"),
        decoder=stack("dec"),
        pixels=PixelConfig(
            width=pixels["hidden_channels"],
            multipliers=tuple(pixels["channel_mult"]),
            blocks=pixels["num_res_blocks"],
            codes=pixels["num_embeddings"],
            dim=pixels["z_channels"],
        ),
    )


@torch.inference_mode()
@pytest.mark.parametrize("path", cases("titok"), ids=lambda path: path.name)
def test_the_official_numbers(path):
    case, state, io = load_case(path)
    tokenizer = load(config_of(case), state)
    images = 2 * io["image"] - 1
    tokens = tokenizer.encode(images)
    vectors = tokenizer.quantize.vectors(tokens)
    logits = tokenizer.decoder(vectors)
    pixels = tokenizer.pixel_decoder(tokenizer.soft_codes(logits))
    found = {
        "encoder_out": tokenizer.features(io["image"])[:, :, None],
        "tokens": tokens[:, None],
        "quantized": vectors[:, :, None],
        "token_vectors": vectors[:, :, None],
        "decoder_logits": logits,
        "soft_pixel_latent": tokenizer.soft_codes(logits),
        "reconstruction": pixels,
        "reconstruction_from_tokens": pixels,
        "decode_random_tokens": network_range(tokenizer, io["random_tokens"][:, 0]),
    }
    assert_reproduced(found, io, inputs={"image", "random_tokens"})
    torch.testing.assert_close(tokenizer.reconstruct(images), (2 * pixels - 1).clamp(-1, 1))


def network_range(tokenizer: TiTok, tokens: torch.Tensor) -> torch.Tensor:
    logits = tokenizer.decoder(tokenizer.quantize.vectors(tokens))
    return tokenizer.pixel_decoder(tokenizer.soft_codes(logits))


def test_the_published_size():
    with torch.device("meta"):
        tokenizer = TiTok(TiTokConfig())
    assert round(4e-6 * tokenizer.size()) == 335  # MB of the released file, in float32
    assert tokenizer.describe() == Description(128, 12, 128 * 12, 83_674_639, 1)


def test_what_has_another_size_is_refused():
    state = TiTok(SMALL).state_dict()
    with pytest.raises(
        MsddError, match=r"quantize.embedding.weight \(\[16, 12\] instead of \[8, 12\]\)"
    ):
        load(replace(SMALL, codes=8), state)
    with pytest.raises(MsddError, match="takes images of 8x8 px, not 8x16"):
        TiTok(SMALL).encode(torch.zeros(1, 3, 16, 8))
