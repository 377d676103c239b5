"""Images of any size: by tiles what the model itself makes, in bounded memory, without seams."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from any_size import measure
from PIL import Image
from skimage.data import astronaut

from msdd import cli, load
from msdd.errors import MsddError
from msdd.model.config import KLEncoderConfig, ModelConfig, UViTConfig
from msdd.model.positions import grid_rotation, token_rotation
from msdd.tokenizers.any_size import Tiles, Whole, Windows, any_size
from msdd.tokenizers.llamagen import LlamaGen, LlamaGenConfig
from msdd.tokenizers.msdd import MSDD, Student
from msdd.tokenizers.tokenizer import Tokenizer

CONFIG = ModelConfig(
    resolution=16,
    scales=2,
    patch=4,
    encoder_patch=4,
    width=16,
    depth=2,
    heads=2,
    latents=8,  # 2 x 4: cells of 8 x 4 px
    latent_dim=4,
    positions="grid",
)
UVIT = UViTConfig(latent_dim=4, channels=32, multipliers=(1, 1), depth=1, window=4)
CONVOLUTIONAL = replace(
    CONFIG,
    scales=1,
    latents=16,
    positions="line",
    kl_encoder=KLEncoderConfig(latent_dim=4, multipliers=(1, 1, 1), width=32, blocks=1),
    uvit=UVIT,
)
SIDES = [(7, 7), (1, 30), (16, 16), (33, 20), (16, 41)]


def fresh(config: ModelConfig = CONFIG) -> MSDD:
    """With random weights, and a head that predicts v = 0."""
    torch.manual_seed(0)
    student = Student(config).eval()
    return MSDD(student.encoder, student.decoders, config.scales)


def drawn(height: int, width: int, count: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


def llamagen() -> LlamaGen:
    config = LlamaGenConfig(32, width=32, encoder=(1, 1), decoder=(1, 1), blocks=1, codes=60)
    return LlamaGen(config).eval()


@pytest.fixture(scope="module")
def folder(trained) -> Path:
    return trained / "runs/msdd/msdd-1step"


def test_an_image_of_the_models_own_size_is_the_models(folder):
    images, plain, sized = drawn(16, 16, 3), load(folder), load(folder, size="native")
    latents = sized.encode(images)
    assert torch.equal(latents.flatten(2).mT, plain.encode(images))
    made = plain.reconstruct(images, [4, 5, 6], seed=2)
    assert torch.equal(sized.decode(latents, [4, 5, 6], seed=2), made)
    sized.tiled = False
    torch.testing.assert_close(sized.reconstruct(images, [4, 5, 6], seed=2), made)


@pytest.mark.parametrize("config", [CONFIG, CONVOLUTIONAL])
def test_the_noise_of_tiles_is_that_of_the_whole(config):
    """A network that predicts nothing leaves the noise: overlapping tiles agree in it."""
    sized = any_size(fresh(config))
    latents = torch.zeros(2, 4, *(3 * n for n in config.grid))
    tiles = sized.decode(latents, [8, 9], seed=1)
    assert tiles.std() > 0.3 and not torch.allclose(tiles[0], tiles[1])
    sized.tiled = False
    if config.uvit is None:  # whose head is not zero
        torch.testing.assert_close(tiles, sized.decode(latents, [8, 9], seed=1))
    else:
        assert sized.decode(latents, [8, 9], seed=1).shape == tiles.shape


def test_no_more_tiles_reach_the_network_than_allowed():
    sized, seen = any_size(fresh(), batch=3), []
    for network in (sized.tokenizer.encoder, *sized.tokenizer.decoders):
        network.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape))
    sized.reconstruct(drawn(90, 70))
    assert max(shape[0] for shape in seen) == 3 and {shape[-1] for shape in seen} == {8, 16}


@pytest.mark.parametrize(
    ("make", "way"),
    [
        (fresh, Windows),
        (lambda: fresh(CONVOLUTIONAL), Windows),
        (lambda: fresh(replace(CONFIG, positions="line")), Tiles),
        (llamagen, Whole),
    ],
)
def test_every_side_is_taken_and_given_back(make, way):
    sized = any_size(make())
    assert isinstance(sized, way)
    for height, width in SIDES:
        image = drawn(height, width)
        assert sized.reconstruct(image).shape == image.shape
        latents = sized.encode(image)
        assert torch.equal(sized.decode(latents)[..., :height, :width], sized.reconstruct(image))


def test_a_convolution_encodes_whole_images():
    sized = any_size(fresh(CONVOLUTIONAL))
    sized.tiled = False
    assert sized.encode(drawn(30, 40)).shape == (1, 4, 8, 10)
    assert sized.reconstruct(drawn(30, 40)).shape == (1, 3, 30, 40)


def test_positions_of_another_size_go_on():
    own = grid_rotation(CONFIG, 16, 16, CONFIG.grid)
    torch.testing.assert_close(own, token_rotation(CONFIG, 16, CONFIG.patch))
    wide = grid_rotation(CONFIG, 16, 32, (2, 8))
    patches, wider = own[8:].unflatten(0, (4, 4)), wide[16:].unflatten(0, (4, 8))
    torch.testing.assert_close(wider[:, :4], patches)
    assert CONFIG.grid_of(8, 16, 16) == (2, 8)  # at a scale of half the side


def test_a_seam_is_at_most_5_percent(folder):
    image = torch.from_numpy(astronaut()[100:228, 150:278].copy()).permute(2, 0, 1)[None]
    assert measure(load(folder, size="native"), image / 127.5 - 1)["seam"] < 1.05


@pytest.mark.parametrize("shape", [(1, 3, 4, 8), (1, 4, 1, 8), (1, 8, 4)])
def test_latents_of_another_form_are_named(shape):
    with pytest.raises(MsddError, match=r"are not of this decoder.* at least 2 x 4 cells"):
        any_size(fresh()).decode(torch.zeros(shape))


def test_what_cannot_be_decoded_whole_is_named():
    sized: Tokenizer = any_size(fresh())
    sized.tiled = False
    with pytest.raises(MsddError, match="20 x 16 px cannot be decoded whole"):
        sized.decode(torch.zeros(1, 4, 2, 5))
    sized.tokenizer.guidance = [1.5, 1.5]
    with pytest.raises(MsddError, match="without guidance"):
        sized.decode(torch.zeros(1, 4, 2, 4))


def run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def test_folders_at_their_own_size(folder, tmp_path, capsys):
    source = tmp_path / "in"
    source.mkdir()
    for name, pixels in {"a": astronaut()[:40, :70], "b": astronaut()[90:97, 90:97]}.items():
        Image.fromarray(pixels).save(source / f"{name}.png")
    options = ["--tokenizer", folder, "--size", "native"]
    assert run("reconstruct", source, tmp_path / "out", *options, "--batch", 2) == 0
    assert "every image whole, at its own size" in capsys.readouterr().out
    assert run("encode", source, tmp_path / "z", *options) == 0
    assert run("decode", tmp_path / "z", tmp_path / "back", *options) == 0
    for name, size in {"a.png": (70, 40), "b.png": (7, 7)}.items():
        made, back = (np.asarray(Image.open(tmp_path / d / name), int) for d in ("out", "back"))
        assert made.shape[1::-1] == size and abs(made - back).max() <= 1
    assert run("decode", tmp_path / "z", tmp_path / "no", "--tokenizer", folder) == 1
    assert "name --size native" in capsys.readouterr().err
    assert run("reconstruct", source, tmp_path / "no", *options, "--resolution", 16) == 1
    assert "--resolution is a crop's" in capsys.readouterr().err
    with pytest.raises(MsddError, match="size is 'big'; it must be crop or native"):
        load(folder, size="big")
