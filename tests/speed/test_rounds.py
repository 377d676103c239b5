"""The harness: what it measures, and that it times nothing which is wrong."""

import json
import math
import statistics
import sys
from contextlib import nullcontext
from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.mutation_guard import GenerationTracker
from torch._dynamo.testing import CompileCounter

from msdd import cli
from msdd.errors import MsddError
from msdd.files import read_json
from msdd.model.autoencoder import decoder_of, encoder_of
from msdd.model.config import KLEncoderConfig, ModelConfig, UViTConfig
from msdd.params.load import parse
from msdd.report import speed, timings
from msdd.speed import gate, precision, rounds, stage, systems
from msdd.speed.counted import coding_flops, system_flops
from msdd.speed.flop_counter import count_flops
from msdd.speed.regions import SETS, Inputs, Regions
from msdd.tokenizers.klvae import KLVAE
from msdd.tokenizers.llamagen import LlamaGen, LlamaGenConfig
from msdd.tokenizers.msdd import MSDD
from msdd.tokenizers.own import Own
from msdd.tokenizers.ssdd import SSDD, Sampling, SSDDConfig
from msdd.tokenizers.taef2 import TAEF2, TAEF2Config
from msdd.tokenizers.tokenizer import Tokenizer

CPU = torch.device("cpu")
SETTINGS = {
    "systems": ["student", "teacher"],
    "batches": [1, 3],
    "regions": ["decode", "encode", "both", "paper"],
    "variants": ["plain", "fast"],
    "repeats": 3,
    "precision": "fp32",
}


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """Figures are of no interest here: one call makes a sample."""
    monkeypatch.setattr(rounds, "SAMPLE_SECONDS", 1e-9)
    monkeypatch.setattr(rounds, "WARM_CALLS", 1)


@pytest.fixture(scope="module")
def params(tiny_params):
    return parse(tiny_params.raw() | {"throughput": SETTINGS})


@pytest.fixture(scope="module")
def decodes(params, tmp_path_factory):
    return systems.systems_of(params, tmp_path_factory.mktemp("none"), CPU, random=True)


class Halves(Tokenizer):
    """A discrete tokenizer that is no diffusion model: the sign of each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.resolution, self.seen = 16, []
        self.scale = torch.nn.Parameter(torch.tensor(0.5), requires_grad=False)

    def encode(self, images: Tensor) -> Tensor:
        self.seen.append(len(images))
        return (images > 0).long()

    def decode(self, latents, ids=None, seed=0) -> Tensor:
        return self.scale * (2 * latents - 1)

    def describe(self):
        return systems.Description(768, 1, 768, 1, 1)


def changed(decodes, **methods):
    """The first system with other methods in its fast variant."""

    def fast(batch, compiled):
        tokenizer = decodes[0].fast(batch, compiled)
        for name, method in methods.items():
            setattr(tokenizer, name, method(getattr(tokenizer, name)))
        return tokenizer

    return [replace(decodes[0], fast=fast)]


def test_every_system_variant_region_and_batch_has_a_row(params, decodes):
    found = rounds.measure(decodes, params.throughput, CPU)
    names = ("system", "variant", "region", "batch")
    expected = set(
        product(*(SETTINGS[key] for key in ("systems", "variants", "regions", "batches")))
    )
    assert {tuple(row[name] for name in names) for row in found["rows"]} == expected
    assert len(found["rows"]) == len(expected)
    assert len(found["gates"]) == 8 and 0 <= found["noise"] < math.inf
    for row in found["rows"]:
        assert len(row["samples"]) == 3
        assert row["seconds"] == statistics.median(row["samples"])
        assert row["seconds_low"] <= row["seconds"] <= row["seconds_high"]
        assert row["images_per_second"] == row["batch"] / row["seconds"]


def test_rounds_take_turns_and_turn_round():
    order = []

    class Job(rounds.TimingJob):
        def time(self, device):
            order.append(self.system)
            return 1.0

    jobs = [Job(name, "", "", "", "", 1, lambda: None) for name in "abc"]
    again = rounds.rounds(jobs, 2, CPU, lambda: None)
    assert "".join(order) == "aabc" + "acba"
    assert len(again) == 2 and all(len(job.samples) == 2 for job in jobs)


def test_any_tokenizer_can_be_timed(params):
    """Its own code is its fast variant, in the precision asked for; latents may be discrete."""
    tokenizer = Halves()
    system = systems.of_tokenizer("halves", tokenizer, "fp32")
    assert system.flops == {"encode": 0, "decode": 0}
    found = rounds.measure([system], params.throughput, CPU)
    assert len(found["rows"]) == 16
    assert {gate["encode_deviation"] for gate in found["gates"]} == {0}
    assert set(tokenizer.seen) == {1, 3}


def test_a_first_call_of_minutes_is_a_sample_and_says_so(params, monkeypatch):
    monkeypatch.setattr(rounds, "LONG", 0.0)
    system = systems.of_tokenizer("halves", Halves(), "fp32")
    for row in rounds.measure([system], params.throughput, CPU)["rows"]:
        assert row["cold"]
        assert row["how"] == "eager" and len(row["samples"]) == 3


def test_a_slow_sampler_is_gated_in_two_steps(params, monkeypatch):
    """Of fifty, which are all timed: its first call is then no sample."""
    calls = []

    class Slow(Halves):
        steps = 50

        def decode(self, latents, ids=None, seed=0):
            calls.append(self.steps)
            return super().decode(latents)

    settings = params.throughput.model_copy(
        update={"variants": ("fast",), "regions": ("decode",), "batches": (1,), "precision": "bf16"}
    )
    monkeypatch.setattr(systems, "coding_flops", lambda _: {"encode": 1, "decode": 1})
    monkeypatch.setattr(precision, "arithmetic", lambda *_: nullcontext())
    found = rounds.measure([systems.of_tokenizer("slow", Slow(), "bf16")], settings, CPU)
    assert calls[:2] == [2, 2] and set(calls[2:]) == {50}
    (findings,) = found["gates"]
    assert "decode_first_seconds" not in findings and "encode_first_seconds" in findings


def tokenizers() -> dict[str, Tokenizer]:
    """One of each way in which networks are called."""
    kl, uvit = KLEncoderConfig(2, (1, 1), 32, 1), UViTConfig(2, 32, (1, 1), 1, layers=1, window=3)
    levels = {"down_block_types": ["DownEncoderBlock2D"], "up_block_types": ["UpDecoderBlock2D"]}
    vae = {"block_out_channels": [8], "layers_per_block": 1, "norm_num_groups": 8, **levels}
    llamagen = LlamaGenConfig(32, width=32, encoder=(1, 1), decoder=(1, 1), blocks=1, codes=64)
    made = {
        "ssdd": SSDD(SSDDConfig(kl, uvit, 32), Sampling(2)),
        "kl-vae": KLVAE(vae, 32),
        "llamagen": LlamaGen(llamagen),
        "taef2": TAEF2(TAEF2Config(width=8, latents=4, blocks=1)),
    }
    return {name: one.eval().requires_grad_(False) for name, one in made.items()}


def guided() -> MSDD:
    """SSDD's networks, as the pipeline trains them, with both branches of a guided step."""
    kl, uvit = KLEncoderConfig(2, (1, 1), 32, 1), UViTConfig(2, 32, (1, 1), 1, layers=1, window=3)
    config = ModelConfig(32, 1, 4, 4, 32, 1, 1, 256, 2, "grid", kl_encoder=kl, uvit=uvit)
    networks = encoder_of(config), [decoder_of(config)]
    return MSDD(*networks, steps=2, guidance=2.0).eval().requires_grad_(False)


class Convolved:
    """A user's object with networks of its own."""

    def __init__(self) -> None:
        self.network, self.other = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, 1)

    def encode(self, images):
        return self.network(images)

    def decode(self, latents):
        return self.other(latents).tanh()


@pytest.mark.parametrize(
    "name, networks", [("ssdd", 2), ("kl-vae", 2), ("llamagen", 4), ("taef2", 2)]
)
def test_networks_of_other_systems_are_compiled(name, networks, monkeypatch):
    """Each as a whole, on a copy: the plain variant stays as it is."""
    counter = CompileCounter()
    monkeypatch.setattr(precision, "options", lambda _: {"dynamic": False, "backend": counter})
    plain = tokenizers()[name]
    compiled = precision.InPrecision(plain, "fp32", compiled=True)
    images = torch.rand(1, 3, 32, 32) * 2 - 1
    assert torch.equal(compiled.reconstruct(images), plain.reconstruct(images))
    assert counter.frame_count == networks and compiled.how == "compiled"
    plain.reconstruct(images)
    assert counter.frame_count == networks


def graphs(taken_back: list[Tensor]):
    """A backend that takes back what it has made when the next compiled function is called, as
    torch does with CUDA graphs: here, it fills that with NaN."""
    called = []

    def backend(graph, _):
        def run(*inputs):
            if called[-1:] != [now := GenerationTracker.generation]:
                called.append(now)
                for tensor in taken_back:
                    tensor.fill_(torch.nan)
                taken_back.clear()
            made = graph.forward(*inputs)
            taken_back.extend(made)
            return made

        return run

    return backend


@pytest.mark.parametrize("name", ["ssdd", "guided", "own"])
def test_what_a_cuda_graph_has_made_is_not_taken_back(name, monkeypatch):
    """Latents are looked at after the decode, and the halves of guidance after one another."""
    taken_back: list[Tensor] = []
    how = {"dynamic": False, "backend": graphs(taken_back)}
    monkeypatch.setattr(precision, "options", lambda _: how)
    plain = (tokenizers() | {"guided": guided(), "own": Own("own:halves", Convolved(), CPU)})[name]
    with torch.inference_mode():
        compiled = precision.InPrecision(plain, "fp32", compiled=True)
        images = torch.rand(2, 3, 32, 32) * 2 - 1
        latents = compiled.encode(images)
        made = compiled.decode(latents)
        assert torch.equal(latents, plain.encode(images)) and taken_back
        torch.testing.assert_close(made, plain.decode(latents))


@pytest.mark.parametrize("name", ["ssdd", "kl-vae", "llamagen"])
def test_flops_that_are_counted_by_shapes_are_those_of_real_images(name):
    """Also of codes, whose values a decode looks at first."""
    tokenizer, images = tokenizers()[name], torch.zeros(1, 3, 32, 32)
    latents = tokenizer.encode(images)
    assert coding_flops(tokenizer) == {
        "encode": count_flops(lambda: tokenizer.encode(images)),
        "decode": count_flops(lambda: tokenizer.decode(latents)),
    }


@pytest.mark.parametrize("name", ["titok-s-128", "cosmos-di16x16"])
def test_systems_with_a_codebook_are_counted(name):
    assert system_flops(name, 256) > 1e11
    with pytest.raises(MsddError, match="takes .*, not 50x50"):
        system_flops(name, 50)


def test_flops_that_are_counted_are_those_of_the_closed_form(decodes):
    for system in decodes:
        assert systems.of_tokenizer("", system.plain, "fp32").flops == system.flops


@pytest.mark.parametrize(
    "wrong, told",
    [
        (lambda decode: lambda *a: decode(*a) + 0.01, "deviates by"),
        (lambda decode: lambda *a: decode(*a).flip(0), "deviates by"),
        (lambda decode: lambda *a: decode(*a) * float("nan"), "puts out NaN or infinity"),
        (lambda decode: lambda *a: decode(*a)[..., ::2], "shape [3, 3, 16, 8] instead of [3, 3, 1"),
        (lambda decode: lambda latents, ids: decode(latents, [0] * len(ids)), "deviates by"),
    ],
    ids=["shifted", "mixed up", "nan", "half", "the same noise for all"],
)
def test_a_wrong_decoder_is_not_timed(params, decodes, wrong, told):
    settings = params.throughput.model_copy(update={"batches": (3,), "variants": ("fast",)})
    with pytest.raises(MsddError) as error:
        rounds.measure(changed(decodes, decode=wrong), settings, CPU)
    assert told in str(error.value) and "\n" not in str(error.value)
    assert str(error.value).startswith("throughput of student, fast decode, batch 3: ")


def test_fp32_is_timed_in_fp32(params, tmp_path, monkeypatch):
    """Convolutions on a GPU would be in TF32, beside products that are not: up to eight times as
    fast as the ceiling that they are measured by."""
    seen, convolutions = [], torch.backends.cudnn.conv

    def timed(*_):
        seen.append(convolutions.fp32_precision)
        return {"rows": []}

    monkeypatch.setattr(rounds, "measure", timed)
    before = convolutions.fp32_precision
    stage.timings(params, tmp_path, lambda _: None, random=True)
    assert seen == ["ieee"] and convolutions.fp32_precision == before


def test_a_batch_beyond_the_memory_is_named(params, decodes, monkeypatch):
    def admit(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(gate, "admit", admit)
    told = "out of memory: throughput of student, plain, batch 1: leave this one of"
    with pytest.raises(MsddError, match=told):
        rounds.measure(decodes, params.throughput, CPU)


def test_a_wrong_encoder_is_not_timed(params, decodes):
    settings = params.throughput.model_copy(update={"regions": ("decode",)})
    wrong = changed(decodes, encode=lambda encode: lambda images: encode(images.flip(-1)))
    with pytest.raises(MsddError, match="of student, fast encode, batch 1: deviates by"):
        rounds.measure(wrong, settings, CPU)


def test_deviation_is_relative_and_counts_indices():
    x = torch.randn(10_000)
    assert gate.deviation(x + 0.1 * torch.randn(10_000), x) == pytest.approx(0.1, rel=0.05)
    assert gate.deviation(torch.tensor([1, 2, 3, 4]), torch.tensor([1, 2, 3, 5])) == 0.25


def test_inputs_and_noise_are_new_for_each_call(decodes):
    """No call repeats the last one, and the noise is drawn inside the region."""
    drawn = []
    plain = decodes[0].plain
    regions = Regions(plain, plain, Inputs(16, 2, CPU))
    hook = plain.decoders[0].register_forward_hook(lambda _, inputs, __: drawn.append(inputs[0]))
    call = regions.call("decode")
    for _ in range(SETS + 1):
        call()
    hook.remove()
    pairs = [(a, b) for k, a in enumerate(drawn) for b in drawn[:k]]
    assert len(drawn) == SETS + 1 and not any(torch.equal(a, b) for a, b in pairs)


WHOLE = """
import torch
first = torch.nn.Conv2d(3, 3, 1)
paler = lambda x: first(x) / 2
"""


def test_a_function_of_images_is_timed_as_a_whole(params, tmp_path, capsys):
    """Also as the first system, which speed-ups are over."""
    (tmp_path / "mine.py").write_text(WHOLE)
    decodes = params.raw()["decodes"] | {"theirs": {"tokenizer": str(tmp_path / "mine.py:paler")}}
    settings = SETTINGS | {"systems": ["theirs", "student"], "regions": ["decode", "paper"]}
    changed = parse(params.raw() | {"decodes": decodes, "throughput": settings})
    found = stage.timings(changed, tmp_path, lambda card: None, random=True)
    regions = {(row["system"], row["region"]) for row in found["rows"]}
    theirs, ours = product(["theirs"], ["both", "paper"]), product(["student"], ["decode", "paper"])
    assert regions == {*theirs, *ours}
    side = params.data.resolution
    assert found["systems"][0]["flops"] == {"both": 2 * 9 * side**2}
    assert "theirs" not in stage.figures(found)
    text = speed.table(found, "throughput.json").markdown()
    assert "whose decoding alone cannot be timed: theirs." in text
    assert speed.draw(found).axes[0].get_lines()


def test_mlflow_gets_the_speed_that_tables_show():
    """Not that of INT8, whose images are not those that were measured."""
    speeds = {("fast", 1): 10.0, ("fast", 64): 20.0, ("plain", 64): 25.0, ("openvino-int8", 64): 30}
    rows = [
        {"system": "student", "region": "decode", "variant": variant, "batch": batch}
        | {"images_per_second": speed, "seconds": batch / speed, "precision": "fp32"}
        for (variant, batch), speed in speeds.items()
    ]
    origin = {"device": "cpu", "threads": 1, "host": "here", "started": "now"}
    system = {"system": "student", "flops": {"decode": 2e9}}
    document = {"systems": [system], "rows": rows, "context": origin}
    told = stage.figures(document)["student"]
    assert told == {"gflop_per_image": 2.0, "images_per_second": 20.0}
    assert told["images_per_second"] == timings.timing(document, "student")["images_per_second"]


@pytest.fixture
def here(tmp_path, monkeypatch, tiny_params):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(json.dumps(tiny_params.raw()))
    return tmp_path


def test_a_measurement_of_ones_own(here, capsys):
    """Options are checked like params, and what they measure lies apart from the pipeline's."""
    options = ["--random", "--batches", "2", "--variants", "plain", "--repeats", "1"]
    assert cli.main(["throughput", *options, "--json", "own/region.json"]) == 0
    out = capsys.readouterr().out
    assert out.index("over student") < out.index("| student")  # the card stands first
    found = read_json(here / "own/region.json")
    assert found["throughput"]["batches"] == [2] and found["random"]
    assert found["ceilings"]["bf16"] is None and found["ceilings"]["fp32"] > 0
    assert {"commit", "versions", "device", "threads", "before", "after"} <= found["context"].keys()
    kinds = {path.suffix for path in (here / "own").iterdir()}
    assert kinds == {".json", ".csv", ".html", ".md", ".tex", ".png", ".svg"}
    assert not (here / "reports").exists()
    systems = [one["system"] for one in found["systems"]]
    assert systems == ["teacher", "student", "student-finetuned"]
    assert stage.summary(found).keys() == {
        f"{region}/{name}" for region in ("decode", "paper") for name in systems
    }


@pytest.mark.parametrize(
    "options, line",
    [
        (["--repeats", "3"], "--json FILE is missing: reports/ is for what the params file says"),
        (
            ["--json", "x.json", "--systems", "no"],
            "options: throughput.systems has 'no'; rows of d",
        ),
        (["--json", "x.json", "--batches", "0"], "options: throughput.batches"),
        (["--json", "x.json", "--regions", "decod"], "options: throughput.regions"),
        (["--json", "x.json", "--threads", "0"], "options: cpu_threads"),
        (["--json", "x.json", "--batches", "4", "4"], "options: throughput.batches has 4 twice"),
    ],
)
def test_a_mistake_is_one_line(here, capsys, options, line):
    assert cli.main(["throughput", *options]) == 1
    assert capsys.readouterr().err.startswith(f"msdd: error: {line}")


def test_a_system_of_ones_own_is_timed(here, monkeypatch):
    """One that computes nothing that could be counted has no bound and no ratio of FLOPs."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    (here / "own_timed.py").write_text(
        "class Half:\n"
        "    resolution = 16\n"
        "    def encode(self, x): return x[..., ::2, ::2].clone()\n"
        "    def decode(self, z): return z.repeat_interleave(2, 2).repeat_interleave(2, 3)\n"
        "half = Half()\n"
    )
    options = ["--batches", "1", "--variants", "plain", "--regions", "decode", "--repeats", "1"]
    names = ["own_timed:half", "student"]
    measured = ["throughput", "--systems", *names, *options, "--random", "--json", "own.json"]
    assert cli.main(measured) == 0
    found = read_json(here / "own.json")
    assert found["throughput"]["systems"] == names
    assert [(one["system"], one["resolution"]) for one in found["systems"]][0] == (names[0], 16)
