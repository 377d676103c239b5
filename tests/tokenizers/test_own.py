"""A user's own tokenizer by `module:object` or `file.py:object`: what works, and what is said."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut
from torch import nn

from msdd import cli
from msdd.errors import MsddError
from msdd.speed.precision import InPrecision
from msdd.tokenizers import own
from msdd.tokenizers.catalogue import load
from msdd.tokenizers.own import Own

CPU = torch.device("cpu")
CODE = """
import torch
from torch import nn
from torch.nn.functional import interpolate

def paler(x): return 0.9 * x
def fails(x): return deeper(x)
def deeper(x): raise ValueError("no\\nluck")
def two(x, y): return x

class Halves:
    def encode(self, x): return x[:, :, ::2, ::2]
    def decode(self, z): return interpolate(z, scale_factor=2)
halves, one_half = Halves(), type("E", (), {"encode": lambda self, x: x})()

class Network(nn.Module):
    resolution = 64
    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Conv2d(3, 4, 2, 2), nn.ConvTranspose2d(4, 3, 2, 2)
        self.noise = nn.Dropout()
    def encode(self, x): return self.noise(self.down(x))
    def decode(self, z): return self.up(z)
network = Network()
number = 3
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """The working directory, with modules in it, is forgotten after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name, code in {
        "own_code.py": CODE,
        "own_syntax.py": "def f(x)\n    return x\n",
        "own_import.py": "import own_missing\n",
        "own_exit.py": "\nraise SystemExit(2)\n",
        "below/own_part.py": "from own_helper import f\n",
        "below/own_helper.py": "def f(x): return x / 2\n",
        "below/random.py": "def f(x): return x / 2\n",
    }.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(code)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith(("own_", "random_of_user"))]:
        del sys.modules[name]


@pytest.mark.parametrize(
    "name",
    [
        *("own_code:paler", "own_code.py:paler", "./own_code.py:paler", "./own_code:paler"),
        *("below/own_part.py:f", "below/random.py:f", "own_code:halves", "own_code:network"),
    ],
)
def test_functions_halves_and_networks_reconstruct(name):
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    made = load(name)
    assert made.reconstruct(images).shape == images.shape
    assert made.reconstruct(images).equal(made.reconstruct(images))  # without dropout


def test_what_lies_on_another_device_is_moved_to_that_of_the_tokenizer():
    """As images and latents of files are; a decoder on no real device cannot make pixels there."""
    images, seen = torch.zeros(2, 3, 4, 4), []

    class Halves:
        down = torch.nn.Conv2d(3, 4, 2, 2, device="meta")

        def encode(self, x):
            return self.down(x)

        def decode(self, z):
            seen.append(z.device.type)
            return images

    made = Own("own:halves", Halves(), torch.device("meta"))
    assert made.encode(images).device.type == "meta"
    assert made.decode(torch.zeros(2, 4, 2, 2)).device.type == "meta" and seen == ["meta"]


@pytest.mark.parametrize(
    "name, message",
    [
        ("own_code:fails", r"failed: ValueError: no luck \(.*own_code.py, line 8, in deeper; "),
        ("own_code:two", "failed: TypeError: two() missing 1 required"),
        ("own_code:palr", "own_code.py has no 'palr'; did you mean paler?"),
        ("own_cod:paler", "there is no module 'own_cod' .*; did you mean own_code?"),
        ("own_cod.py:paler", "there is no file own_cod.py; did you mean own_code.py"),
        (
            "own_code:Halves",
            "is a class; make an instance in that file, as in `tokenizer = Halves()",
        ),
        (
            "own_code:halves.decode",
            "returned (1, 3, 16, 16) of torch.float32 of images (1, 3, 8, 8)",
        ),
        ("own_code:one_half", "has no decode; name an object that has both"),
        ("own_code:number", "is no function of images and has no encode and decode, .* type int"),
        ("own_syntax:f", r"SyntaxError: expected ':' \(.*own_syntax.py, line 1; "),
        ("own_import:f", r"No module named 'own_missing' \(.*own_import.py, line 1; "),
        ("own_exit.py:f", r"it ends the program; .* \(.*own_exit.py, line 2; "),
        ("own_code:", "write module:object, or path/to/file.py:object"),
        ("./:paler", "write module:object, or path/to/file.py:object"),
        ("own_code.py", "name a function in that file: own_code.py:FUNCTION"),
        ("hf://some/one/model.pt", "it is a checkpoint: name its system too"),
    ],
)
def test_what_does_not_work_is_one_line(name, message):
    with pytest.raises(MsddError) as error:
        load(name).reconstruct(torch.zeros(1, 3, 8, 8))
    pattern = message if ".*" in message or "\\" in message else None
    assert "\n" not in str(error.value)
    assert error.match(pattern) if pattern else message in str(error.value)


def returns(change) -> torch.Tensor:
    """What evaluations get of a function that returns `change` of pictures of a gradient."""
    images = torch.linspace(-1, 1, 8).expand(2, 3, 6, 8).contiguous()
    return Own("own:f", lambda x: change(x * 0.875), CPU).remake(images)


@pytest.mark.parametrize(
    "change",
    [
        *(torch.Tensor.half, torch.Tensor.bfloat16, torch.Tensor.double, torch.Tensor.numpy),
        lambda x: type("Output", (), {"sample": x}),
        lambda x: x + torch.zeros(1, requires_grad=True),
        lambda x: x.mul_(1),
        lambda x: x.numpy()[:, ::-1].copy()[:, ::-1],
        lambda x: x.numpy().astype(">f4"),
        lambda x: x.numpy().astype(np.longdouble),
    ],
)
def test_forms_that_are_taken(change):
    made = returns(change)
    assert made.dtype == torch.float32 and not made.requires_grad
    torch.testing.assert_close(made, returns(lambda x: x), atol=4e-3, rtol=0)


@torch.no_grad()
def test_gradients_may_be_taken_inside():
    def descend(x):
        with torch.enable_grad():
            x.requires_grad_().square().sum().backward()
        return x - x.grad / 4

    images = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        assert Own("own:f", descend, CPU).remake(images.clone()).equal(images / 2)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda x: None, "returned None (is a `return` missing?); it must return images as one"),
        (lambda x: x.permute(0, 2, 3, 1), "its channels are last: permute(0, 3, 1, 2)"),
        (lambda x: x[:1], "returned (1, 3, 6, 8) of torch.float32 of images (2, 3, 6, 8)"),
        (lambda x: x[..., 1:], "returned (2, 3, 6, 7) of torch.float32 of images (2, 3, 6, 8)"),
        (lambda x: x[0], "returned (3, 6, 8) of torch.float32"),
        (lambda x: (x, 0.5), "returned a tuple of 2 (Tensor, float)"),
        (lambda x: {"images": x}, "returned a dict of 1 (Tensor)"),
        (lambda x: [Image.new("RGB", (8, 6))] * 2, "returned a list of 2 (Image)"),
        (lambda x: x.long(), "returned torch.int64; it must return floats in [-1, 1], or levels"),
        (lambda x: x.to("meta"), "returned a tensor without pixels (meta"),
        (lambda x: torch.empty(10**15), "; a smaller batch needs less memory"),
    ],
)
def test_forms_that_are_not_are_told(change, message):
    with pytest.raises(MsddError) as error:
        returns(change)
    assert message in str(error.value) and "\n" not in str(error.value)


WRONG = {
    "[0, 1], where [-1, 1]": lambda x: (x + 1) / 2,
    "[0, 1], where": lambda x: (1.1 * x + 1) / 2,  # overshoots, as decoders do
    "[0, 255], where [-1, 1]": lambda x: (x + 1) * 127.5,
    "[0, 1] as uint8": lambda x: ((x + 1) / 2).byte(),
    "far outside [-1, 1]": lambda x: ((x + 1) / 2 - 0.45) / 0.22,
}


def pictures(kind: str) -> torch.Tensor:
    pixels = torch.from_numpy(astronaut().copy()).permute(2, 0, 1)[None, :, ::8, ::8] / 255
    return {"dark": pixels / 20, "white": 1 - pixels / 20}.get(kind, pixels) * 2 - 1


@pytest.fixture
def warnings(monkeypatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(own, "warn", told.append)
    return told


@pytest.mark.parametrize("message", WRONG)
def test_other_ranges_are_told(message, warnings):
    Own("own:f", WRONG[message], CPU).remake(pictures("photograph"))
    assert len(warnings) == 1 and message in warnings[0]


@pytest.mark.parametrize("kind", ["dark", "white", "photograph"])
@pytest.mark.parametrize("change", [lambda x: x * 0.95, torch.zeros_like, lambda x: -x])
def test_good_and_bad_reconstructions_in_the_range_are_not(kind, change, warnings):
    if kind != "dark" or change is not torch.zeros_like:  # grey for black is what [0, 1] gives
        Own("own:f", change, CPU).remake(pictures(kind))
    assert not warnings


def run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def test_folders_go_through_objects_with_both_halves(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for k in range(2):
        Image.fromarray(astronaut()[100 * k :][:80]).save(tmp_path / f"in/{k}.png")
    both = ["--tokenizer", "own_code:halves", "--resolution", 32]
    assert run("encode", "in", "z", *both) == 0
    assert run("decode", "z", "back", *both[:2]) == 0
    assert run("reconstruct", "in", "there", *both) == 0
    for k in range(2):
        sides = [np.asarray(Image.open(f"{folder}/{k}.png")) for folder in ("back", "there")]
        assert np.array_equal(*sides)
    assert run("reconstruct", "in", "paler", "--tokenizer", "own_code.py:paler") == 0
    capsys.readouterr()
    assert run("encode", "in", "y", "--tokenizer", "own_code:paler") == 1
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith("own_code:paler has no encode; name an object that has both encode and decode")
    )
    assert run("reconstruct", "in", "y", "--tokenizer", "own_code:paler", "--steps", 2) == 1
    assert "--steps means nothing to own_code:paler" in capsys.readouterr().err


def test_a_network_describes_itself():
    described = load("own_code:network").describe()
    assert described == (32 * 32, 4, None, 2 * 3 * 4 * 4 + 7, 1)


@pytest.mark.parametrize(("codes", "bits"), [(np.int64(16), 256), (None, None)])
def test_each_integer_of_a_latent_is_a_token(codes, bits):
    class Codes:
        resolution = np.int64(32)

        def encode(self, x):
            return torch.zeros(len(x), 8, 8, dtype=torch.int64)

        def decode(self, z):
            return torch.zeros(len(z), 3, 32, 32)

    thing = Codes()
    thing.codes = codes
    made = Own("own:codes", thing, CPU)
    assert made.resolution == 32 and made.describe() == (64, 1, bits, 0, 1)


def test_what_is_no_number_is_nothing_of_ours():
    """A network may keep its codebook under that name, and both sides of its images."""
    thing = nn.Module()
    thing.forward, thing.codes, thing.resolution = lambda x: x, nn.Embedding(4, 2), (64, 64)
    made = Own("own:thing", thing, CPU)
    assert (made.codes, made.resolution) == (None, own.RESOLUTION)


@pytest.mark.parametrize("value", [0, -1, 1.5, True])
def test_a_number_that_is_none_is_one_line(value):
    thing = type("Thing", (), {"resolution": value, "__call__": lambda self, x: x})()
    with pytest.raises(MsddError, match="resolution is .*; it must be a whole number above 0"):
        Own("own:thing", thing, CPU)


class Both(nn.Module):
    """Called, it makes other images than by its halves."""

    def forward(self, x):
        return 0.9 * x

    def encode(self, x):
        return x

    def decode(self, z):
        return 0.5 * z


class Convolved:
    """No module itself, with halves that call one."""

    def __init__(self):
        self.network = nn.Conv2d(3, 3, 1)

    def encode(self, x):
        return self.network(x)

    def decode(self, z):
        return z.tanh()


@pytest.mark.parametrize("thing", [Convolved(), Convolved().encode, nn.Conv2d(3, 3, 1)])
def test_what_is_said_to_be_compiled_is(thing):
    """Also of an object whose networks only its own functions call, and without any weights."""
    images = torch.linspace(-1, 1, 8).expand(2, 3, 6, 8)
    own, frames = Own("own:thing", thing, CPU), []

    def backend(graph, _):
        frames.append(graph)
        return graph.forward

    expected = own.reconstruct(images)
    own.compile_networks(backend=backend)
    torch.testing.assert_close(own.reconstruct(images), expected)
    assert frames


def test_a_function_without_weights_is_timed_in_any_precision():
    own = Own("own:paler", lambda images: 0.5 * images, CPU)
    images = torch.linspace(-1, 1, 8).expand(2, 3, 6, 8)
    made = InPrecision(own, "bf16")
    assert made.device == CPU and not made.apart
    torch.testing.assert_close(made.reconstruct(images), 0.5 * images)


def test_a_compiled_module_is_what_it_was():
    """Called if it has a `forward`, its class's or its own; else both halves."""
    images = torch.linspace(-1, 1, 8).expand(2, 3, 6, 8)
    only_own = nn.Module()
    only_own.forward = lambda x: 0.9 * x
    halves = type("Halves", (nn.Module,), {"encode": Both.encode, "decode": Both.decode})()
    for module, share in ((Both(), 0.9), (only_own, 0.9), (halves, 0.5)):
        for thing in (module, torch.compile(module, backend="eager")):
            made = Own("own:module", thing, CPU).remake(images)
            torch.testing.assert_close(made, share * images)
