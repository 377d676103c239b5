"""What every tokenizer takes and gives: batches, latents, ids, gradients, the process's state."""

from pathlib import Path

import numpy as np
import pytest
import test_cosmos
import test_flowmo
import test_llamagen
import torch
from cases import load_case
from recorded import cases
from torch import nn

from msdd import Fast, load
from msdd.errors import MsddError
from msdd.pipeline import layout
from msdd.tokenizers import msdd
from msdd.tokenizers.tokenizer import Tokenizer

STUDENT = layout.assembled("msdd", "msdd-1step")
DISCRETE = {"cosmos": test_cosmos, "llamagen": test_llamagen, "flowmo": test_flowmo}


def opened(kind: str, root: Path) -> Tokenizer:
    plain = load(root / STUDENT, size="native" if kind == "native" else "crop")
    return Fast(plain, batch=2, compiled=False) if kind == "fast" else plain


def drawn(images: int) -> torch.Tensor:
    return torch.rand(images, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("kind", ["plain", "native", "fast"])
def test_others_learn_from_what_it_makes(trained, kind):
    """Latents and images are inputs of a network that is trained, as of a latent generator."""
    tokenizer = opened(kind, trained)
    latents = tokenizer.encode(drawn(2))
    for made in (latents, tokenizer.decode(latents)):
        nn.Linear(made.shape[-1], 1)(made).sum().backward()
    with torch.inference_mode():
        assert tokenizer.encode(drawn(2)).is_inference()


@pytest.mark.parametrize("kind", ["plain", "native", "fast"])
def test_wrong_batches_and_ids_are_one_line(trained, kind):
    tokenizer, images = opened(kind, trained), drawn(2)
    latents = tokenizer.encode(images)
    for wrong in (images[:0], images[0], images[:, :1], images.byte()):
        with pytest.raises(MsddError, match=r"takes \(B, 3, H, W\), B 1 or more, as floats"):
            tokenizer.encode(wrong)
    for wrong in (latents[:0], latents[:, :-1]):
        with pytest.raises(MsddError, match="empty batch|takes"):
            tokenizer.decode(wrong)
    with pytest.raises(MsddError, match="1 ids for 2 latents; name one for each"):
        tokenizer.decode(latents, ids=[0])
    for how in ({"seed": 0.0}, {"seed": None}, {"ids": [0.0, 1.0]}):
        with pytest.raises(MsddError, match="must be whole numbers"):
            tokenizer.decode(latents, **how)
    expected = tokenizer.decode(latents)
    for ids in (np.arange(2), torch.arange(2)):
        assert torch.equal(tokenizer.decode(latents, ids=ids, seed=np.int64(0)), expected)


@pytest.mark.parametrize("kind", ["plain", "native", "fast"])
def test_floats_of_any_precision_are_taken(trained, kind):
    """As latents are stored, and as NumPy makes images; anything else is one line."""
    tokenizer, images = opened(kind, trained), drawn(2)
    latents = tokenizer.encode(images)
    assert torch.equal(tokenizer.encode(images.double()), latents)
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        stored = latents.to(dtype)
        assert torch.equal(tokenizer.decode(stored), tokenizer.decode(stored.float()))
    with pytest.raises(MsddError, match="decode takes a tensor, not ndarray"):
        tokenizer.decode(latents.numpy())
    with pytest.raises(MsddError, match="floats"):
        tokenizer.decode(latents.long())


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_weights_of_half_the_size_make_nearly_the_same(trained, kind):
    """Noise and times stay in float32, and meet them."""
    whole = load(trained / STUDENT)
    found = load(trained / STUDENT).to(kind).reconstruct(drawn(2))
    fast = Fast(load(trained / STUDENT).to(kind), batch=2, compiled=False, precision="fp32")
    assert (fast.reconstruct(drawn(2)) - found).abs().max() < 0.1
    assert (found - whole.reconstruct(drawn(2))).abs().max() < 0.1


def test_weights_of_twice_the_size_make_the_same(trained):
    whole = load(trained / STUDENT)
    found = load(trained / STUDENT).double().reconstruct(drawn(2).double())
    assert found.dtype == torch.float64
    native = load(trained / STUDENT, size="native").double()
    native.tiled = False
    torch.testing.assert_close(native.reconstruct(drawn(2)), found, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.float(), whole.reconstruct(drawn(2)), atol=1e-5, rtol=0)


def test_a_noise_or_a_jump_that_is_none_is_named(trained):
    for how in ({"noise": "none"}, {"jump": "black"}):
        with pytest.raises(MsddError, match="it may be"):
            msdd.load(trained / STUDENT, **how)


@pytest.mark.parametrize("family", DISCRETE)
def test_codes_outside_the_codebook_are_one_line(family):
    case, state, _ = load_case(cases(family)[0])
    module = DISCRETE[family]
    tokenizer = module.load(module.config_of(case["config"]), state)
    latents = tokenizer.encode(torch.zeros(2, 3, *[tokenizer.resolution] * 2))
    tokenizer.decode(latents)
    for index in (-1, tokenizer.codes):
        with pytest.raises(MsddError, match=rf"has 0 to {tokenizer.codes - 1}$"):
            tokenizer.decode(torch.full_like(latents, index))
    with pytest.raises(MsddError, match="takes integers"):
        tokenizer.decode(latents.float())
    with pytest.raises(MsddError, match=r"takes \(B, "):
        tokenizer.decode(latents[None])


@pytest.mark.parametrize("default", [torch.float64, torch.bfloat16])
def test_the_caller_s_random_numbers_and_types_stay(trained, default):
    """Also where new tensors are of another type; up to the rounding of products."""
    images, state = drawn(2), torch.random.get_rng_state()
    expected = opened("fast", trained).reconstruct(images)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.set_default_dtype(default)
    try:
        for kind in ("plain", "native", "fast"):
            tokenizer = opened(kind, trained)
            assert {p.dtype for p in tokenizer.parameters()} == {torch.float32}
            found = tokenizer.reconstruct(images)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    finally:
        torch.set_default_dtype(torch.float32)
