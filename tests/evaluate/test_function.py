"""`msdd.evaluate`: the same figures as the command, of objects, folders and tensors."""

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

import msdd
from msdd.cli import main
from msdd.data.image_folder import at_least_two, stack
from msdd.data.photographs import read_photograph
from msdd.data.pixels import to_uint8
from msdd.errors import MsddError
from msdd.evaluate.samples_sets import image_set
from msdd.evaluate.tensors import Tensors
from msdd.tokenizers.own import warn


class Faded:
    """A tokenizer by its methods alone."""

    resolution = 32

    def encode(self, images):
        return images * 0.5

    def decode(self, latents):
        return latents * 1.9


def figures(report, *names):
    entry = report["protocols"]["msdd"]
    return [entry["per_image"][name] for name in names or ("psnr", "ssim")]


PLAIN = {"protocol": "msdd", "features": "none"}


def test_two_folders_give_the_report_of_the_command(folders, tmp_path):
    sides = {"originals": folders / "o", "reconstructions": folders / "r"}
    file = tmp_path / "report.json"
    given = [part for name, path in sides.items() for part in (f"--{name}", str(path))]
    plain = ["--protocol", "msdd", "--features", "none", "--json", str(file)]
    assert main(["evaluate", *given, *plain]) == 0
    command = json.loads(file.read_text())
    del command["provenance"]
    assert json.loads(json.dumps(msdd.evaluate(**sides, **PLAIN))) == command


def test_tensors_give_what_folders_give(folders):
    sides = [at_least_two(folders / side, side) for side in "or"]
    tensors = [stack(read_photograph(side[name]) for name in sorted(side)) for side in sides]
    made = msdd.evaluate(originals=tensors[0], reconstructions=tensors[1], **PLAIN)
    of_files = msdd.evaluate(originals=folders / "o", reconstructions=folders / "r", **PLAIN)
    assert figures(made) == figures(of_files) and made["names"] == [str(i) for i in range(6)]
    floats = tensors[0] / 127.5 - 1
    assert msdd.evaluate(lambda images: images, floats, **PLAIN)["digest"] == made["digest"]


def test_a_protocol_is_named_as_for_the_command(tmp_path, capsys):
    """Also a file by its path, `all` among others, and what these features leave out."""
    file = tmp_path / "mine.yaml"
    file.write_text("mine: { base: msdd }")
    given = PAIRED | {"features": "none", "missing": "skip"}
    assert list(msdd.evaluate(**given, protocol=file)["protocols"]) == ["mine"]
    named = msdd.evaluate(**given, protocol=["msdd", "all", file, str(file)])["protocols"]
    assert list(named)[:3] == ["msdd", "primary", "llamagen"] and list(named)[-1] == "mine"
    assert "nothing is left to measure of titok: left out" in capsys.readouterr().err
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules: { features: efficientnet-lite0, frechet: true }")
    report = msdd.evaluate(**SAMPLED, protocol=rules)
    assert list(report["protocols"]) == ["rules"]


FADED = Faded()


def test_an_object_a_function_and_a_name_are_measured_alike(folders):
    tokenizers = (FADED, lambda images: images * 0.5 * 1.9, "test_function:FADED")
    made = [msdd.evaluate(one, folders / "o", resolution=32, **PLAIN) for one in tokenizers]
    assert figures(made[0]) == figures(made[1]) == figures(made[2])
    assert made[0]["tokenizer"] == "Faded"


def test_what_load_gives_is_a_tokenizer_and_is_measured(trained, folders):
    student = msdd.load(trained / "runs/msdd/msdd-1step")
    assert isinstance(student, msdd.Tokenizer) and isinstance(Faded(), msdd.Tokenizer)
    assert not isinstance(len, msdd.Tokenizer)
    report = msdd.evaluate(student, folders / "o", **PLAIN)
    named = msdd.evaluate(str(trained / "runs/msdd/msdd-1step"), folders / "o", **PLAIN)
    assert figures(report) == figures(named)


def test_an_object_that_load_opens_is_measured_as_by_its_name(folders, monkeypatch):
    """Its latents, too, and what it draws of torch's random numbers; also as one of any size."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    rules = {"protocol": "extended", "features": "none", "missing": "skip", "resolution": 32}
    for name in ("coded:grey", "test_named:noisy"):
        expected = msdd.evaluate(name, folders / "o", **rules)
        for size in ("crop", "native"):
            found = msdd.evaluate(msdd.load(name, size=size), folders / "o", **rules)
            for key in ("protocols", "not_measured", "tokenizer"):
                assert found[key] == expected[key]


def test_levels_that_come_back_unchanged_have_no_error(folders):
    """Also by rules that lower some of the originals' levels."""
    images = stack(read_photograph(one) for one in at_least_two(folders / "o", "o").values())
    for rule in ("flowmo", "dito"):
        how = {"protocol": rule, "features": "none"}
        made = [msdd.evaluate(to_uint8, images, **how)]
        made.append(msdd.evaluate(originals=images, reconstructions=images, **how))
        for report in made:
            assert report["protocols"][rule]["metrics"]["psnr"]["infinite"]


AUTOCAST = """
plain:
  crop: bicubic
  psnr: { quantisation: none, pool: 1 }
  lpips: { quantisation: none, nets: [alex] }
  fid: { quantisation: none, features: efficientnet-lite0 }
  mind: true
"""


def test_autocast_of_the_caller_changes_no_number(folders, tmp_path):
    (tmp_path / "plain.yaml").write_text(AUTOCAST)
    torch.manual_seed(0)
    tokenizer = torch.nn.Conv2d(3, 3, 3, padding=1)
    how = {"protocol": str(tmp_path / "plain.yaml"), "resolution": 32}
    whole = msdd.evaluate(tokenizer, folders / "o", **how)
    with torch.autocast("cpu", torch.bfloat16):
        assert msdd.evaluate(tokenizer, folders / "o", **how) == whole


GREYS = torch.zeros(2, 3, 8, 8)
PAIRED = {"originals": GREYS, "reconstructions": GREYS}
SAMPLED = {"samples": GREYS, "reference": GREYS}
MADE = {"tokenizer": Faded(), "images": GREYS}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"tokenizer": Faded()}, "evaluate takes a tokenizer with images, originals with"),
        ({"tokenizer": Faded(), "images": torch.zeros(1, 3, 8, 8)}, r"\(N, 3, H, W\), N >= 2"),
        ({"tokenizer": Faded(), "images": "nowhere"}, "there is no folder nowhere"),
        (
            {"originals": torch.zeros(2, 3, 8, 8), "reconstructions": "x"},
            "both be folders, or both",
        ),
        (
            {"originals": torch.zeros(2, 3, 8, 8), "reconstructions": torch.zeros(2, 3, 8, 9)},
            "they must be alike",
        ),
        ({"samples": GREYS, "reference": GREYS * torch.inf}, "of reference: image 0 contains nan"),
        ({"samples": GREYS[0], "reference": GREYS}, r"the images of samples are \(3, 8, 8\)"),
        ({"originals": GREYS / 0, "reconstructions": GREYS}, "the originals: image 0 contains nan"),
        (
            {"tokenizer": lambda x: x * torch.nan, "images": torch.zeros(2, 3, 16, 16)},
            "image 0 contains nan",
        ),
        ({"tokenizer": Faded(), "images": "x", "protocol": "flomo"}, "did you mean flowmo"),
        (PAIRED | {"missing": "stpo"}, "missing is 'stpo'; it must be stop or skip"),
        (PAIRED | {"batch": 0}, "batch is 0; it must be 1 or more"),
        (PAIRED | {"batch": 2.5}, "batch is 2.5; it must be a whole number"),
        (PAIRED | {"seed": 3}, "seed means nothing to originals with reconstructions; leave it"),
        (PAIRED | {"precision": "bf16"}, "precision means nothing to originals with"),
        (SAMPLED | {"resolution": 64}, "resolution means nothing to samples; leave it out"),
        (MADE | {"precision": "float16"}, "precision is 'float16'; it must be fp32 or bf16"),
        (MADE | {"seed": None}, "seed is None; it must be a whole number"),
        (MADE | {"resolution": 8}, "resolution means nothing to images in memory; leave it out"),
        (MADE | {"images": [GREYS[0]]}, "images is of type list; it must be a folder, or a tensor"),
        (
            PAIRED | {"originals": GREYS.numpy()},
            "originals is of type ndarray; .*from_numpy",
        ),
        (
            SAMPLED | {"reference": 3},
            "reference is of type int; .* a .npz file, or",
        ),
        (MADE | {"protocol": 3}, "protocol is 3; it must be a name, a YAML file, or a list"),
        (
            SAMPLED | {"protocol": [3]},
            r"protocol is \[3\]; it must be a name",
        ),
        (MADE | {"protocol": "titok"}, "nothing is left to measure of titok; name another"),
    ],
)
def test_what_cannot_be_measured_is_named(arguments, told):
    with pytest.raises(MsddError, match=told):
        msdd.evaluate(**({} if "samples" in arguments else PLAIN) | arguments)


class Halves:
    """A tokenizer with networks among its attributes, as in a training that goes on."""

    def __init__(self, device="cpu"):
        convolution = torch.nn.Conv2d(3, 3, 1, device=device)
        self.encoder = torch.nn.Sequential(convolution, torch.nn.BatchNorm2d(3, device=device))
        self.decoder = torch.nn.Dropout(0.5)
        self.encoder[1].eval()  # statistics that are to stay
        self.fails = False

    def encode(self, images):
        assert not any(self.modes()), "measured in training mode"
        assert not self.fails
        return self.encoder(images)

    def decode(self, latents):
        return self.decoder(latents)

    def modes(self):
        networks = (self.encoder, self.decoder)
        return [part.training for network in networks for part in network.modules()]


def test_networks_train_on_after_a_measurement():
    halves = Halves()
    before = halves.modes()
    assert before == [True, True, False, True]
    msdd.evaluate(halves, PAIR, **PLAIN)
    assert halves.modes() == before
    halves.fails = True
    with pytest.raises(MsddError, match="failed: AssertionError"):
        msdd.evaluate(halves, PAIR, **PLAIN)
    assert halves.modes() == before
    network = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Conv2d(3, 3, 1))
    first, second = (msdd.evaluate(network, PAIR, **PLAIN) for _ in range(2))
    assert figures(first) == figures(second) and all(part.training for part in network.modules())


def test_the_device_is_that_of_the_first_parameter():
    with pytest.raises(MsddError, match="device meta"):  # on which nothing can be measured
        msdd.evaluate(Halves("meta"), PAIR, **PLAIN)


def test_tensors_in_another_range_are_warned_of(capsys):
    """Of sets that nothing tells apart but their values: samples, and the originals of a pair."""
    warn.cache_clear()
    right = torch.linspace(-1, 1, 384).view(2, 3, 8, 8)
    for values, scale in ((right / 2 + 0.5, "[0, 1]"), (right * 127.5 + 127.5, "[0, 255]")):
        image_set(values, "samples")
        Tensors(values, right, torch.device("cpu"))
        told = capsys.readouterr().err
        for what in ("the images of samples", "the originals"):
            said = f"{what} seem to be in {scale}, where [-1, 1] are expected"
            assert said in told, said
    image_set(right, "samples")
    assert not capsys.readouterr().err


def test_importing_msdd_imports_no_torch_and_the_package_stays_a_package():
    code = (
        "import sys, msdd; print('torch' in sys.modules, callable(msdd.evaluate)); "
        "import msdd.evaluate.columns; print(callable(msdd.evaluate), msdd.Tokenizer.__name__)"
    )
    said = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert said == ["False", "True", "True", "Tokenizer"]


PAIR = torch.linspace(-1, 1, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32)


def raising(number, seen):
    """A tokenizer in whose first batch a signal comes."""

    def reconstruct(images):
        seen.append(len(images))
        if len(seen) == 1:
            signal.raise_signal(number)
        return images * 0.9

    return reconstruct


def test_signals_are_left_to_the_caller():
    came, seen = [], []

    def own(number, _):
        came.append(number)

    before = signal.signal(signal.SIGTERM, own)
    try:
        report = msdd.evaluate(raising(signal.SIGTERM, seen), PAIR, batch=1, **PLAIN)
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)
    assert came == [signal.SIGTERM] and report["images"] == 2


@pytest.fixture
def interruptible():
    """A suite that a shell has put into the background ignores SIGINT, as its children do."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_it_and_any_thread_may_run_it():
    seen = []
    with pytest.raises(KeyboardInterrupt):
        msdd.evaluate(raising(signal.SIGINT, seen), PAIR, batch=1, **PLAIN)
    assert seen == [1] and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with ThreadPoolExecutor(1) as threads:
        given = threads.submit(msdd.evaluate, Faded(), PAIR, **PLAIN)
        assert given.result()["images"] == 2
