"""Other runtimes make the student's own images, or nothing."""

import sys

import onnx
import pytest
import torch

from msdd.errors import MsddError
from msdd.fast import export as exporting
from msdd.fast import fidelity
from msdd.fast.export import export
from msdd.fast.fidelity import psnr
from msdd.fast.onnx import quantised
from msdd.fast.tokenizer import Fast
from msdd.model.config import ModelConfig
from msdd.model.decoder import Decoder
from msdd.model.encoder import Encoder
from msdd.speed import rounds, systems
from msdd.tokenizers.msdd import MSDD

pytestmark = pytest.mark.long
CONFIG = ModelConfig(16, 2, 4, 4, 32, 2, 4, 4, 8, "grid")


def student(seed: int = 0) -> MSDD:
    """Two scales, random everywhere: gates of a new network are 0, and nothing would show."""
    generator = torch.Generator().manual_seed(seed)
    parts = [Encoder(CONFIG), Decoder(CONFIG), Decoder(CONFIG)]
    for p in (p for part in parts for p in part.eval().requires_grad_(False).parameters()):
        p.data += 0.05 * torch.randn(p.shape, generator=generator)
    return MSDD(parts[0], parts[1:], 2)


@pytest.fixture(scope="module")
def plain():
    return student()


@pytest.fixture(scope="module")
def file(plain, tmp_path_factory):
    """With its weights beside it, as of a decoder over 2 GiB, and copied from where it was made."""
    folder = tmp_path_factory.mktemp("exported")
    there, elsewhere = folder / "there", folder / "elsewhere"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "ONE_FILE", 0)
        written = export(plain, there / "decoder.onnx")
    assert written == [there / "decoder.onnx", there / "decoder.onnx.data"]
    assert sorted(there.iterdir()) == written
    there.rename(elsewhere)
    return elsewhere / "decoder.onnx"


@pytest.fixture(scope="module")
def latents(plain):
    return plain.encode(fidelity.smooth_images(3, 16, 1))


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_runtime_makes_the_same_images(plain, file, latents, runtime):
    """In fp32, for any number of them: OpenVINO would take bf16 if it were not told."""
    pytest.importorskip(runtime)
    fast = Fast(plain, 2, runtime=runtime, file=file)
    expected = plain.decode(latents, [5, 3, 8], seed=1)
    torch.testing.assert_close(fast.decode(latents, [5, 3, 8], seed=1), expected, atol=3e-5, rtol=0)
    torch.testing.assert_close(
        fast.decode(latents[:1], [5], seed=1), expected[:1], atol=3e-5, rtol=0
    )
    assert runtime in fast.how.lower()


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_int8_keeps_the_images_but_is_no_fp32(plain, file, latents, runtime):
    for package in {"onnxruntime": ["onnxruntime"], "openvino": ["openvino", "nncf"]}[runtime]:
        pytest.importorskip(package)
    fast = Fast(plain, 2, precision="int8", runtime=runtime, file=file)
    assert fidelity.LEAST <= psnr(fast.decode(latents), plain.decode(latents)) < 80


def test_first_and_last_layers_stay_in_float(file, tmp_path):
    """All other weights do not: the widths of what is left are those of pixels and latents."""
    graph = onnx.load(quantised(file, tmp_path)).graph
    sizes = {weights.name: set(weights.dims) for weights in graph.initializer}
    left = [
        sizes[name]
        for node in graph.node
        if node.op_type == "MatMul"
        for name in node.input
        if name in sizes
    ]
    pixels, of_latents = 3 * CONFIG.patch**2, CONFIG.latent_dim
    assert len(left) == 6 and all(size & {pixels, of_latents} for size in left)
    assert sum(node.op_type == "MatMulInteger" for node in graph.node) > 20


def test_images_that_differ_are_refused_with_their_figure(plain, file, monkeypatch):
    with pytest.raises(MsddError, match=r"its images are at \d+\.\d dB of the student's own in fp"):
        Fast(student(seed=7), 1, runtime="onnxruntime", file=file)
    monkeypatch.setattr(fidelity, "LEAST", 90.0)
    with pytest.raises(
        MsddError, match=r"^onnxruntime [\d.]+: its images are at [4-7]\d\.\d dB .*90 are"
    ):
        Fast(plain, 1, precision="int8", runtime="onnxruntime", file=file)


def test_a_file_that_is_none_of_the_student_s_is_refused_in_one_line(plain, file, tmp_path):
    (tmp_path / "text.onnx").write_text("no protobuf")
    for given, told in (
        (tmp_path / "none.onnx", "there is no file"),
        (tmp_path / "text.onnx", "onnxruntime does not read"),
    ):
        with pytest.raises(MsddError, match=told):
            Fast(plain, 1, runtime="onnxruntime", file=given)
    with pytest.raises(MsddError, match="only a runtime has one"):
        Fast(plain, 1, file=file)
    near = student()
    with torch.no_grad():
        near.decoders[1].head.weight.mul_(1.01)
    with pytest.raises(MsddError, match="and 60 are needed"):
        Fast(near, 1, runtime="onnxruntime", file=file)


@pytest.mark.parametrize(
    "options, told",
    [
        ({"runtime": "tensorrt"}, "runtime tensorrt: onnxruntime or openvino, or None for torch"),
        ({"runtime": "onnxruntime", "precision": "bf16"}, "precision bf16 of onnxruntime: fp32 or"),
        ({"precision": "int8"}, "precision int8 of torch: fp32 or bf16"),
        (
            {"runtime": "openvino", "compiled": True},
            "runtime openvino: decodes on a processor, and",
        ),
    ],
)
def test_what_does_not_go_together_is_told(plain, options, told):
    with pytest.raises(MsddError, match=told):
        Fast(plain, 1, **options)


@pytest.mark.parametrize(
    "package, told",
    [("onnxruntime", "pip install onnxruntime onnx"), ("openvino", "pip install openvino")],
)
def test_a_runtime_that_is_not_installed_says_what_to_install(
    plain, file, monkeypatch, package, told
):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MsddError, match=told):
        Fast(plain, 1, runtime=package, file=file)


def test_a_teacher_has_no_runtime(plain, file):
    """Its rows are left out; a run in which nothing of it is left says so."""
    teacher = MSDD(plain.encoder, plain.decoders, 4)
    assert systems.runtime_of(teacher) is None and systems.runtime_of(plain)
    pair = [
        systems.TimedSystem(name, one, None, {}, systems.runtime_of(one))
        for name, one in (("student", plain), ("teacher", teacher))
    ]
    found = [
        (system.name, variant) for system, variant in rounds.timed(pair, ["plain", "onnxruntime"])
    ]
    assert found == [("student", "plain"), ("student", "onnxruntime"), ("teacher", "plain")]
    with pytest.raises(MsddError, match="of teacher: only one-step students on a processor have"):
        list(rounds.timed(pair, ["openvino-int8"]))


def test_a_refused_variant_is_told_and_others_are_timed(plain, tiny_params, monkeypatch):
    """Alone it ends the run: there would be nothing to show."""
    monkeypatch.setattr(fidelity, "SAME", 300.0)
    own = {"batches": (1,), "regions": ("decode",), "repeats": 1}
    settings = tiny_params.throughput.model_copy(
        update=own | {"variants": ("plain", "onnxruntime")}
    )
    flops = {"encode": 1, "decode": 1}
    timed = [systems.TimedSystem("student", plain, None, flops, systems.runtime_of(plain))]
    found = rounds.measure(timed, settings, torch.device("cpu"))
    assert [row["variant"] for row in found["rows"]] == ["plain"]
    assert "dB of the student's own in fp32, and 300" in found["gates"][1]["refused"]
    alone = settings.model_copy(update={"variants": ("onnxruntime",)})
    with pytest.raises(MsddError, match="and 300 are needed"):
        rounds.measure(timed, alone, torch.device("cpu"))
    monkeypatch.setattr(fidelity, "SAME", 60.0)
    found = rounds.measure(timed, settings, torch.device("cpu"))
    assert [row["how"].split()[0] for row in found["rows"]] == ["eager", "onnxruntime"]
    assert found["gates"][1]["decode_psnr"] > 90 > abs(found["gates"][1]["decode_psnr_loss"])
