"""An exported decoder gives the images of the one it came from, without this package."""

import subprocess
import sys

import onnxruntime
import pytest
import torch

from msdd import cli
from msdd.errors import MsddError
from msdd.fast.export import export
from msdd.flow.noise import vectors
from msdd.model.config import ModelConfig
from msdd.model.decoder import Decoder
from msdd.model.encoder import Encoder
from msdd.tokenizers.msdd import MSDD

pytestmark = pytest.mark.long
CONFIG = ModelConfig(16, 2, 4, 4, 32, 1, 4, 4, 8, "grid")
COUNTS = (1, 3)  # other than the two images it was traced with

# What a user of the file writes; AOTInductor needs a compiler.
PLAIN_TORCH = """
import sys, torch
program = torch.export.load("decoder.pt2")
latents, noise = torch.load("inputs.pt")
if sys.argv[1] == "aot":
    file = torch._inductor.aoti_compile_and_package(program, package_path="compiled.pt2")
    decoder = torch._inductor.aoti_load_package(file)
else:
    decoder = program.module()
torch.save(decoder(latents, noise), "images.pt")
assert "msdd" not in sys.modules
"""


@pytest.fixture(scope="module")
def student() -> MSDD:
    torch.manual_seed(0)
    networks = [Encoder(CONFIG), Decoder(CONFIG), Decoder(CONFIG)]
    for network in networks:
        for p in network.parameters():
            p.data += 0.1 * torch.randn(p.shape)
        network.eval().requires_grad_(False)
    return MSDD(networks[0], networks[1:], 2)


def inputs(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(count, CONFIG.latents, CONFIG.latent_dim), vectors(
        0, range(count), CONFIG.sides
    )


@pytest.mark.parametrize("way", ["exported", "aot"])
def test_plain_torch_runs_the_file(student, tmp_path, way):
    """As it is, and compiled ahead of time; to 3e-5 of a range of 2."""
    export(student, tmp_path / "decoder.pt2")
    latents, noise = inputs(3)
    torch.save((latents, noise), tmp_path / "inputs.pt")
    subprocess.run([sys.executable, "-c", PLAIN_TORCH, way], cwd=tmp_path, check=True)
    expected = student.decode(latents)
    found = torch.load(tmp_path / "images.pt")
    torch.testing.assert_close(found, expected, atol=3e-5, rtol=0)


def test_onnxruntime_runs_the_file(student, tmp_path):
    """For batches of any size; to 3e-5 of a range of 2."""
    export(student, tmp_path / "decoder.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "decoder.onnx")
    for count in COUNTS:
        latents, noise = inputs(count)
        (found,) = session.run(None, {"latents": latents.numpy(), "noise": noise.numpy()})
        expected = student.decode(latents)
        torch.testing.assert_close(torch.from_numpy(found), expected, atol=3e-5, rtol=0)


def test_what_cannot_be_exported_is_told(student, trained, tmp_path, capsys):
    folder = trained / "runs/msdd/stage1"
    assert cli.main(["export", str(folder), str(tmp_path / "decoder.pt2")]) == 1
    assert "stage1 holds a teacher; name a student's folder" in capsys.readouterr().err
    with pytest.raises(MsddError, match=r"ends with \.pt2 or \.onnx"):
        export(student, tmp_path / "decoder.pth")
    teacher = MSDD(student.encoder, student.decoders, 4)
    with pytest.raises(MsddError, match="one-step"):
        export(teacher, tmp_path / "decoder.onnx")
