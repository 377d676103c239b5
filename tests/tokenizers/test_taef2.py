"""TAEF2 against its published definition, restated here place by place, and its files."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from skimage import data

import msdd
from msdd.errors import MsddError
from msdd.tokenizers.systems import SYSTEMS
from msdd.tokenizers.taef2 import TAEF2, TAEF2Config

FOLDER = os.environ.get("MSDD_TAEF2")  # of the published taef2_encoder.pth and taef2_decoder.pth
ENCODER, DECODER = SYSTEMS["taef2"].halves


def image(size=64):
    return torch.from_numpy(data.astronaut()[:size, : size + 16].copy()).permute(2, 0, 1)[None]


def block(x, state, place):
    """conv-ReLU-conv-ReLU-conv plus the input, then ReLU; with `pool` the input has a branch."""
    weights = {name.removeprefix(f"{place}."): w for name, w in state.items()}
    if "pool.0.weight" in weights:
        y = F.conv2d(x, weights["pool.0.weight"])
        y = F.group_norm(y, 4, weights["pool.1.weight"], weights["pool.1.bias"])
        x = x + F.conv2d(y.clamp(min=0), weights["pool.3.weight"])
    y = x
    for number in (0, 2, 4):
        y = y.clamp(min=0) if number else y
        y = F.conv2d(y, weights[f"conv.{number}.weight"], weights[f"conv.{number}.bias"], padding=1)
    return (x + y).clamp(min=0)


def convolve(x, state, place, stride=1):
    return F.conv2d(x, state[f"{place}.weight"], state.get(f"{place}.bias"), stride, padding=1)


def encoded(pixels, state):
    """uint8 (B, 3, H, W) to latents, as published: images in [0, 1]."""
    x = block(convolve(pixels.double() / 255, state, 0), state, 1)
    for down in (2, 6, 10):
        x = convolve(x, state, down, stride=2)
        for place in (down + 1, down + 2, down + 3):
            x = block(x, state, place)
    return convolve(x, state, 14)


def decoded(latents, state):
    """Latents to images in [0, 1], clamped."""
    x = convolve(3 * torch.tanh(latents.double() / 3), state, 1).clamp(min=0)
    for first in (3, 8, 13):
        for place in (first, first + 1, first + 2):
            x = block(x, state, place)
        x = x.repeat_interleave(2, -1).repeat_interleave(2, -2)
        x = convolve(x, state, first + 4)
    return convolve(block(x, state, 18), state, 19).clamp(0, 1)


def published_format(folder):
    """Both files as they are published, float16 by place, with random weights; as float64."""
    torch.manual_seed(0)
    whole = TAEF2(TAEF2Config()).state_dict()
    states = []
    for half, file in (("encoder.", ENCODER), ("decoder.", DECODER)):
        state = {name.removeprefix(half): w for name, w in whole.items() if name.startswith(half)}
        state = {name: (w + 0.02 * torch.randn_like(w)).half() for name, w in state.items()}
        torch.save(state, folder / file)
        states.append({name: w.double() for name, w in state.items()})
    return states


def assert_as_published(tokenizer, pixels, encoder, decoder):
    latents = encoded(pixels, encoder)
    found = tokenizer.encode(pixels / 127.5 - 1)
    assert found.shape == (1, 32, pixels.shape[2] // 8, pixels.shape[3] // 8)
    torch.testing.assert_close(found.double(), latents, atol=2e-4, rtol=0)
    images = 2 * decoded(latents, decoder) - 1
    torch.testing.assert_close(
        tokenizer.decode(latents.float()).double(), images, atol=2e-4, rtol=0
    )


def test_latents_and_images_are_those_of_the_published_definition(tmp_path):
    encoder, decoder = published_format(tmp_path)
    assert (len(encoder), len(decoder)) == (79, 79)
    assert_as_published(msdd.load("taef2", checkpoint=tmp_path), image(), encoder, decoder)


@pytest.mark.skipif(not FOLDER, reason="MSDD_TAEF2 names no folder with the published files")
@pytest.mark.parametrize("photograph", [data.astronaut, data.rocket, data.coffee])
def test_the_published_weights_on_photographs(photograph):
    """And they see: an image of random weights would be below 10 dB."""
    height, width = (side // 8 * 8 for side in photograph().shape[:2])
    pixels = photograph()[:height, :width].transpose(2, 0, 1)
    pixels = torch.from_numpy(np.ascontiguousarray(pixels))[None]
    states = [torch.load(Path(FOLDER) / file, weights_only=True) for file in (ENCODER, DECODER)]
    halves = [{name: w.double() for name, w in state.items()} for state in states]
    tokenizer = msdd.load("taef2", checkpoint=FOLDER)
    assert_as_published(tokenizer, pixels, *halves)
    error = tokenizer.reconstruct(pixels / 127.5 - 1) - (pixels / 127.5 - 1)
    assert 10 * torch.log10(4 / error.square().mean()) > 22


def on_the_hub(encoder, decoder):
    """One file with diffusers' names: its decoder has no place for the clamp."""
    ours = {f"encoder.layers.{name}": w for name, w in encoder.items()}
    for name, w in decoder.items():
        place, rest = name.split(".", 1)
        ours[f"decoder.layers.{int(place) - 1}.{rest}"] = w
    return {name: w.half().contiguous() for name, w in ours.items()}


def test_every_form_of_the_files_gives_the_same(tmp_path, monkeypatch):
    halves = published_format(tmp_path)
    (tmp_path / "hub").mkdir()
    save_file(on_the_hub(*halves), tmp_path / "hub/taef2.safetensors")
    expected = msdd.load("taef2", checkpoint=tmp_path)
    assert list(expected.files) == [ENCODER, DECODER]
    forms = [tmp_path / ENCODER, tmp_path / DECODER, str(tmp_path)]
    for form in (*forms, tmp_path / "hub", tmp_path / "hub/taef2.safetensors"):
        found = msdd.load("taef2", checkpoint=form)
        for name, w in expected.state_dict().items():
            assert torch.equal(w, found.state_dict()[name])
    (tmp_path / "weights/taef2").mkdir(parents=True)
    monkeypatch.setenv("MSDD_WEIGHTS", str(tmp_path / "weights"))
    for file in (ENCODER, DECODER):
        (tmp_path / file).rename(tmp_path / "weights/taef2" / file)
    assert list(msdd.load("taef2").files) == [ENCODER, DECODER]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda e, d: (e, None), f"there is no file .*{DECODER}"),
        (lambda e, d: (d, e), "do not fit TAEF2: missing: encoder.0.weight"),
        (lambda e, d: ({**e, "15.weight": e["2.weight"]}, d), "unexpected: encoder.15.weight"),
        (
            lambda e, d: (e, {**d, "19.weight": d["19.weight"][:1]}),
            r"of another shape: decoder.19.weight \(\[1, 64, 3, 3\] instead of \[3, 64, 3, 3\]\)",
        ),
    ],
    ids=["half", "exchanged", "more", "shape"],
)
def test_files_that_do_not_fit_are_refused(tmp_path, spoil, told):
    for state, file in zip(spoil(*published_format(tmp_path)), (ENCODER, DECODER), strict=True):
        (tmp_path / file).unlink()
        if state is not None:
            torch.save(state, tmp_path / file)
    with pytest.raises(MsddError, match=told) as error:
        msdd.load("taef2", checkpoint=tmp_path)
    assert "\n" not in str(error.value)


def test_sides_are_multiples_of_8(tmp_path):
    published_format(tmp_path)
    with pytest.raises(MsddError, match="takes sides that are multiples of 8 px, not 60x64"):
        msdd.load("taef2", checkpoint=tmp_path).encode(torch.zeros(1, 3, 64, 60))
