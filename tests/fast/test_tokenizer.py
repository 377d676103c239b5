"""The fast decode makes the images of the plain one, for every batch."""

import pickle
from dataclasses import replace

import pytest
import torch
from torch._dynamo.testing import CompileCounter
from torch._inductor import config as inductor

import msdd
from msdd.errors import MsddError
from msdd.fast import tokenizer as fast_path
from msdd.fast.fold import fold
from msdd.fast.many_steps import pack, unpack
from msdd.fast.one_step import OneStep
from msdd.fast.tokenizer import Fast
from msdd.flow.noise import vectors
from msdd.flow.scales import split_time
from msdd.model.config import ModelConfig
from msdd.model.decoder import Decoder
from msdd.model.encoder import Encoder
from msdd.tokenizers.msdd import MSDD
from msdd.tokenizers.own import Own

pytestmark = pytest.mark.long
CONFIG = ModelConfig(16, 2, 4, 4, 32, 2, 4, 4, 8, "grid")
SHALLOW = replace(CONFIG, depth=1)  # compiled in half the time
DECODES = {
    "student": {"steps": 2},
    "teacher": {"steps": 5, "guidance": 1.5},
    "guided at one scale": {"steps": [2, 1], "guidance": [1.0, 2.0], "jump": "paper_code"},
}
UNEVEN = replace(CONFIG, end_levels=(0.1, 0.0))


def lively(module: torch.nn.Module) -> torch.nn.Module:
    """Random everywhere: gates of a new network are 0, and nothing would show."""
    generator = torch.Generator().manual_seed(0)
    for p in module.parameters():
        p.data += 0.1 * torch.randn(p.shape, generator=generator)
    return module.eval().requires_grad_(False)


def tokenizer(name: str, config: ModelConfig = CONFIG) -> MSDD:
    decoders = [lively(Decoder(config)) for _ in range(2 if name == "student" else 1)]
    shared = decoders if name == "student" else decoders * 2
    return MSDD(lively(Encoder(config)), shared, **DECODES[name])


@pytest.fixture
def images():
    return torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("scale", split_time(3), ids=lambda scale: f"T={scale.first:.3f}")
def test_folding_is_exact(scale):
    """To rounding in float64, with fewer weights."""
    decoder = lively(Decoder(CONFIG)).double()
    folded = fold(decoder, scale.first)
    x, latents = torch.randn(3, 3, 8, 8).double(), torch.randn(3, 4, 8).double()
    expected = decoder(x, torch.full((3,), scale.first, dtype=torch.float64), latents)
    torch.testing.assert_close(folded.denoise(x, latents), expected, rtol=1e-12, atol=1e-12)
    sizes = [sum(p.numel() for p in network.parameters()) for network in (folded, decoder)]
    assert sizes[0] < 0.75 * sizes[1]


def test_packed_conditioning_is_unpacked():
    at = lively(Decoder(CONFIG)).conditioning(torch.tensor([0.3]))
    found = unpack(pack(at), CONFIG.depth)
    for ours, theirs in zip(found.blocks, at.blocks, strict=True):
        for m, n in zip(ours, theirs, strict=True):
            assert all(a is b is None or torch.equal(a, b) for a, b in zip(m, n, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(found.output, at.output, strict=True))


@pytest.mark.parametrize("name", DECODES)
@pytest.mark.parametrize("config", [CONFIG, UNEVEN], ids=["even", "uneven"])
def test_the_same_images(name, config, images):
    """In batches of 2 for five images, to a few roundings of a range of 2."""
    plain = tokenizer(name, config)
    fast = Fast(plain, 2, precision="fp32")
    ids = [7, 1, 4, 0, 3]
    expected = plain.reconstruct(images, ids, seed=5)
    torch.testing.assert_close(fast.reconstruct(images, ids, seed=5), expected, atol=3e-5, rtol=0)
    assert fast.describe() == plain.describe()


def test_compiled_batches_of_any_size(images):
    """One graph of two images serves one, two and five."""
    plain = tokenizer("student", SHALLOW)
    fast = Fast(plain, 2, precision="fp32", compiled=True)
    assert fast.compiled
    for count in (1, 2, 5):
        expected = plain.reconstruct(images[:count])
        found = fast.reconstruct(images[:count])
        torch.testing.assert_close(found, expected, atol=3e-5, rtol=0)


@pytest.mark.parametrize("name", DECODES)
def test_a_gpu_gets_wholes_as_graphs_without_breaks(name, images, monkeypatch):
    """Captured here, where CUDA graphs of them cannot be; tensors from anywhere serve one graph."""
    counter = CompileCounter()
    monkeypatch.setattr(fast_path, "options", lambda _: {"dynamic": False, "backend": counter})
    monkeypatch.setattr(Fast, "compiled_modules", lambda self: [self.encoder, self.chain])
    plain = tokenizer(name)
    fast = Fast(plain, 2, precision="fp32", compiled=True)
    graphs = counter.frame_count
    assert graphs == 2 if name == "student" else graphs >= 2
    latents = plain.encode(images).clone()
    with torch.inference_mode():
        inference = latents.clone()
    for given in (latents, inference):
        torch.testing.assert_close(fast.decode(given), plain.decode(latents), atol=3e-5, rtol=0)
    assert counter.frame_count == graphs


def test_without_a_compiler_it_stays_plain_and_says_so(images, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch._dynamo.reset()
    plain = tokenizer("student", SHALLOW)
    with inductor.patch({"cpp.cxx": (None, str(tmp_path / "none"))}):
        fast = Fast(plain, 2, precision="fp32", compiled=True)
    assert not fast.compiled and "not compiled" in capsys.readouterr().err
    torch.testing.assert_close(
        fast.reconstruct(images), plain.reconstruct(images), atol=3e-5, rtol=0
    )


def test_a_precision_that_is_given_is_not_tried(images, monkeypatch):
    monkeypatch.setattr(fast_path, "preferred_precision", None)
    assert Fast(tokenizer("student"), 1, precision="fp32").precision == "fp32"


@pytest.mark.parametrize("name", DECODES)
def test_it_can_be_pickled_and_says_what_it_is_of(name, images):
    plain = tokenizer(name)
    plain.files = {"model.safetensors": "0" * 64}
    fast = Fast(plain, 2, precision="fp32")
    again = pickle.loads(pickle.dumps(fast))
    assert torch.equal(again.reconstruct(images), fast.reconstruct(images))
    assert (fast.files, fast.encoder_digest()) == (plain.files, plain.encoder_digest())
    how = {"protocol": "msdd", "features": "none", "quiet": True}
    report = msdd.evaluate(Fast(plain, 2, precision="bf16"), images, **how)
    assert (report["precision"], report["weights"]) == ("bf16", plain.files)


def test_mistakes_are_told(images):
    student = tokenizer("student")
    latents = student.encode(images)
    for call, told in (
        (lambda: Fast(student, 0), "batch 0"),
        (lambda: Fast(student, 2.5), "batch 2.5 is no whole number"),
        (lambda: Fast(student, 1, precision="fp16"), "precision fp16 of torch: fp32 or bf16"),
        (lambda: Fast(student, 1, device="gpu"), "device gpu is unknown; it may be cpu, cuda"),
        (
            lambda: Fast(student, 1, runtime="onnxruntime", file="none.onnx"),
            "there is no file none.onnx",
        ),
        (
            lambda: Fast(Own("own:f", abs, student.device), 1),
            "Fast takes a model of msdd .* not Own",
        ),
        (lambda: Fast(student, 1, precision="fp32").decode(latents, [1, 2]), "2 ids for 5 latents"),
        (lambda: Fast(student, 1, precision="fp32").decode(latents[:0]), "an empty batch"),
    ):
        with pytest.raises(MsddError, match=told):
            call()


def test_one_step_is_a_function_of_its_tensors(images):
    """Noise comes in as vectors: the same ones give the same images."""
    plain = tokenizer("student")
    fast = Fast(plain, 5, precision="fp32")
    assert isinstance(fast.chain, OneStep)
    noise = vectors(0, range(5), CONFIG.sides)
    assert torch.equal(fast.chain(fast.encode(images), noise), fast.reconstruct(images))
