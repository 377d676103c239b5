"""An exported decoder gives the images of the one it came from, without this package."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import onnxruntime
import pytest
import torch

from msdd import cli
from msdd.errors import MsddError
from msdd.fast.export import export
from msdd.fast.tokenizer import Fast
from msdd.flow.noise import vectors
from msdd.model.config import FrozenEncoder, ModelConfig
from msdd.model.decoder import Decoder
from msdd.model.encoder import Encoder
from msdd.tokenizers.msdd import MSDD

pytestmark = pytest.mark.long
CONFIG = ModelConfig(16, 2, 4, 4, 32, 1, 4, 4, 8, "grid")
ENDINGS = ("pt2", "onnx")
COUNTS = (1, 3)  # other than the two images it was traced with

# What a user of the file writes; AOTInductor needs a compiler.
PLAIN_TORCH = """
import sys, torch
program = torch.export.load(sys.argv[1])
latents, noise = torch.load("inputs.pt")
if sys.argv[2] == "compiled":
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


@pytest.fixture(scope="module")
def files(student, tmp_path_factory) -> dict[str, Path]:
    """By ending."""
    folder = tmp_path_factory.mktemp("exported")
    return {ending: export(student, folder / f"decoder.{ending}")[0] for ending in ENDINGS}


@pytest.mark.parametrize("way", ["as it is", pytest.param("compiled", marks=pytest.mark.slow)])
def test_plain_torch_runs_the_file(student, files, tmp_path, way):
    """As it is, and compiled ahead of time; to 3e-5 of a range of 2."""
    latents, noise = inputs(3)
    torch.save((latents, noise), tmp_path / "inputs.pt")
    subprocess.run([sys.executable, "-c", PLAIN_TORCH, files["pt2"], way], cwd=tmp_path, check=True)
    found = torch.load(tmp_path / "images.pt")
    torch.testing.assert_close(found, student.decode(latents), atol=3e-5, rtol=0)


def test_onnxruntime_runs_the_file(student, files):
    """For batches of any size; to 3e-5 of a range of 2."""
    session = onnxruntime.InferenceSession(files["onnx"])
    for count in COUNTS:
        latents, noise = inputs(count)
        (found,) = session.run(None, {"latents": latents.numpy(), "noise": noise.numpy()})
        expected = student.decode(latents)
        torch.testing.assert_close(torch.from_numpy(found), expected, atol=3e-5, rtol=0)


class Means(torch.nn.Module):
    """Another tokenizer's encoder: 4 mean levels of each cell of 8 px."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        means = self.scale * torch.nn.functional.avg_pool2d(images, 8)
        return torch.cat([means, means.mean(1, keepdim=True)], 1)


@pytest.fixture(scope="module")
def of_others(student) -> MSDD:
    """A student that decodes another tokenizer's latents, which it shifts and scales itself."""
    about = ("means", None, "means.pth", "0" * 64, (4, 2, 2))
    frozen = FrozenEncoder(*about, mean=(0.5, -1.0, 0.0, 2.0), std=(0.5, 3.0, 1.0, 0.25))
    config = replace(CONFIG, latent_dim=4, frozen=frozen)
    torch.manual_seed(1)
    decoders = [Decoder(config), Decoder(config)]
    for p in torch.nn.ModuleList(decoders).parameters():
        p.data += 0.1 * torch.randn(p.shape)
    return MSDD(Means(), decoders, 2).eval().requires_grad_(False)


@pytest.mark.parametrize("ending", ENDINGS)
def test_another_tokenizer_s_latents_go_in_as_it_makes_them(of_others, tmp_path, ending):
    export(of_others, tmp_path / f"decoder.{ending}")
    latents = of_others.encode(torch.rand(3, 3, 16, 16) * 2 - 1)
    noise = vectors(0, range(3), CONFIG.sides)
    if ending == "pt2":
        found = torch.export.load(tmp_path / "decoder.pt2").module()(latents, noise)
    else:
        session = onnxruntime.InferenceSession(tmp_path / "decoder.onnx")
        given = {"latents": latents.numpy(), "noise": noise.numpy()}
        found = torch.from_numpy(session.run(None, given)[0])
    torch.testing.assert_close(found, of_others.decode(latents), atol=3e-5, rtol=0)
    if ending == "onnx":
        fast = Fast(of_others, 2, runtime="onnxruntime", file=tmp_path / "decoder.onnx")
        torch.testing.assert_close(fast.decode(latents), found, atol=3e-5, rtol=0)


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_same_bytes_each_time_and_no_place_of_this_machine(student, files, tmp_path, ending):
    """The inputs of the tracing are stored in a .pt2, stack traces in both, unless taken out."""
    torch.seed()
    name = files[ending].name
    assert export(student, tmp_path / name) == [tmp_path / name]
    written = (tmp_path / name).read_bytes()
    assert written == files[ending].read_bytes()
    assert b"one_step.py" not in written and str(tmp_path).encode() not in written


def test_a_failed_export_leaves_the_files_that_were_there(student, tmp_path, monkeypatch):
    path = tmp_path / "decoder.onnx"
    path.write_text("old")
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(student, path)
    assert list(tmp_path.iterdir()) == [path] and path.read_text() == "old"


def test_weights_of_an_earlier_export_are_not_told_as_written(student, tmp_path):
    made = tmp_path / "decoder.onnx"
    made.with_name("decoder.onnx.data").write_bytes(b"of a larger one")
    assert export(student, made) == [made]


def test_what_cannot_be_exported_is_told(student, trained, tmp_path, capsys):
    folder = trained / "runs/msdd/stage1"
    assert cli.main(["export", str(folder), str(tmp_path / "decoder.pt2")]) == 1
    assert "stage1 holds a teacher; name a student's folder" in capsys.readouterr().err
    with pytest.raises(MsddError, match=r"ends with \.pt2 or \.onnx"):
        export(student, tmp_path / "decoder.pth")
    teacher = MSDD(student.encoder, student.decoders, 4)
    with pytest.raises(MsddError, match="one-step"):
        export(teacher, tmp_path / "decoder.onnx")
