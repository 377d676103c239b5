"""Cosmos reproduces the official numbers, from state dicts and from archives."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from cases import assert_reproduced, load_case
from recorded import cases

from msdd.errors import MsddError
from msdd.tokenizers import cosmos_archives, fsq
from msdd.tokenizers.cosmos import Cosmos, CosmosConfig, load
from msdd.tokenizers.haar import haar, inverse_haar
from msdd.tokenizers.tokenizer import Description

CASES = pytest.mark.parametrize("path", cases("cosmos"), ids=lambda path: path.name)
ARCHIVES = pytest.mark.parametrize(
    "path", [c for c in cases("cosmos") if (c / "encoder.jit").exists()], ids=lambda path: path.name
)
SMALL = CosmosConfig(
    width=32, multipliers=(1, 1), blocks=1, z_channels=8, levels=(3, 4), compression=4, patch=2
)


def config_of(values: dict) -> CosmosConfig:
    return CosmosConfig(
        resolution=values["image_size"][0],
        width=values["channels"],
        multipliers=tuple(values["channels_mult"]),
        blocks=values["num_res_blocks"],
        z_channels=values["z_channels"],
        levels=tuple(values["levels"]),
        compression=values["spatial_compression"],
        patch=values["patch_size"],
        attention=tuple(values["attn_resolutions"]),
        nominal=values["resolution"],
    )


@CASES
@torch.inference_mode()
def test_the_official_numbers(path):
    case, state, io = load_case(path)
    tokenizer = load(config_of(case["config"]), state)
    levels = tokenizer.config.levels
    bands = haar(io["image"], tokenizer.splits)
    features = tokenizer.features(io["image"])
    indices = tokenizer.encode(io["image"])
    codes = fsq.codes(indices, levels)
    found = {
        "haar": bands,
        "encoder_out": tokenizer.encoder(bands),
        "prequant": features,
        "prequant_bounded": fsq.bound(features, levels),
        "indices": indices,
        "codes": codes,
        "codes_from_indices": codes,
        "reconstruction": tokenizer.pixels(codes),
        "reconstruction_from_indices": tokenizer.pixels(codes),
        "decode_random_indices": tokenizer.pixels(fsq.codes(io["random_indices"], levels)),
    }
    if "other_size_image" in io:
        other = tokenizer.encode(io["other_size_image"])
        found["other_size_indices"] = other
        found["other_size_reconstruction"] = tokenizer.pixels(fsq.codes(other, levels))
    inputs = {"image", "random_indices", "other_size_image", "jit_loss"}
    assert_reproduced(found, io, inputs)
    assert torch.equal(tokenizer.reconstruct(io["image"]), tokenizer.pixels(codes).clamp(-1, 1))


@ARCHIVES
@pytest.mark.filterwarnings("ignore:.*torch.jit.load:DeprecationWarning")
def test_an_archive_has_the_same_weights_and_calls(path):
    """`indices, codes, loss = encoder(image)` and `image = decoder(indices)`."""
    case, state, io = load_case(path)
    files = [path / "encoder.jit", path / "decoder.jit"]
    tokenizer = cosmos_archives.load(config_of(case["config"]), *files, run_code=True)
    assert tokenizer.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[n]) for n, value in tokenizer.state_dict().items())
    encoder, decoder = (torch.jit.load(file) for file in files)
    indices, codes, loss = encoder(io["image"])
    assert torch.equal(indices, tokenizer.encode(io["image"])) and not loss.any()
    assert torch.equal(codes, fsq.codes(indices, tokenizer.config.levels))
    decoded = tokenizer.decode(indices)
    torch.testing.assert_close(decoder(indices).clamp(-1, 1), decoded, atol=1e-4, rtol=0)


@ARCHIVES
def test_archives_open_only_by_consent_and_only_if_they_fit(path, tmp_path):
    config, files = config_of(load_case(path)[0]["config"]), ["encoder.jit", "decoder.jit"]
    files = [path / name for name in files]
    with pytest.raises(MsddError, match="encoder.jit: TorchScript is code"):
        cosmos_archives.load(config, *files)
    with pytest.raises(MsddError, match="encoder.jit: has levels"):  # as many codes, otherwise cut
        others = replace(config, levels=config.levels[1:] + config.levels[:1])
        cosmos_archives.load(others, *files, run_code=True)
    broken = tmp_path / "encoder.jit"
    broken.write_bytes(files[0].read_bytes()[:1000])
    with pytest.raises(MsddError, match="encoder.jit: cannot be read as TorchScript"):
        cosmos_archives.load(config, broken, files[1], run_code=True)


def test_the_published_size():
    """The released archives have 70.2 and 99.2 MB: two bytes a weight, 64000 codes, a program."""
    with torch.device("meta"):
        tokenizer = Cosmos(CosmosConfig())
    assert tokenizer.describe() == Description(256, 6, 4088, 83_723_958, 1)
    parts = [tokenizer.encoder, tokenizer.decoder]
    encoder, decoder = (2e-6 * sum(p.numel() for p in part.parameters()) for part in parts)
    codes = 2e-6 * 64000 * 6
    assert 0 < 70.2 - encoder - codes < 0.3 and 0 < 99.2 - decoder - codes < 0.3


def test_what_has_another_size_is_refused():
    state = Cosmos(SMALL).state_dict()
    with pytest.raises(
        MsddError, match=r"missing: encoder.down.2.block.0.norm1.weight, .* and 23 more; "
    ):
        load(replace(SMALL, multipliers=(1, 1, 1)), state)
    with pytest.raises(MsddError, match="takes sides that are multiples of 4 px, not 8x6"):
        Cosmos(SMALL).encode(torch.zeros(1, 3, 6, 8))


@pytest.mark.parametrize("times", [0, 1, 3])
def test_haar_comes_back_and_starts_with_the_mean(times):
    images = torch.randn(2, 3, 16, 24)
    bands = haar(images, times)
    torch.testing.assert_close(inverse_haar(bands, times), images)
    mean = torch.nn.functional.avg_pool2d(images, 2**times)
    torch.testing.assert_close(bands[:, :3], mean)


@pytest.mark.parametrize("levels", [(8, 5, 6), (2, 3), (7,)])
def test_fsq_reaches_every_code_and_comes_back(levels):
    """Against the digits of every index written out, the first level fastest."""
    indices = torch.arange(torch.tensor(levels).prod(), dtype=torch.int32).view(1, -1, 1)
    codes = fsq.codes(indices, levels)
    grids = [[(k - n // 2) / (n // 2) for k in range(n)] for n in levels]
    written = torch.tensor([digits[::-1] for digits in product(*grids[::-1])])
    torch.testing.assert_close(codes[0, :, :, 0].T, written)
    integers = codes * torch.tensor(levels)[:, None, None].div(2, rounding_mode="floor")
    z = unbounded(integers, levels)
    assert torch.equal(fsq.quantise(z, levels), indices)


def unbounded(values: torch.Tensor, levels: tuple[int, ...]) -> torch.Tensor:
    """Features whose bounded value is nearly `values`, by bisection."""
    low, high = torch.full_like(values, -20), torch.full_like(values, 20)
    for _ in range(60):
        middle = (low + high) / 2
        below = fsq.bound(middle, levels) < values
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2
