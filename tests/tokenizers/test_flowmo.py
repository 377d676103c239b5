"""FlowMo reproduces the official numbers, has the published size and costs what it says."""

import math
import re
from ast import literal_eval
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from cases import assert_reproduced, load_case
from recorded import cases
from sampled import assert_independent_of_the_batch, conditions_seen, random_images
from torch import Tensor

from msdd.errors import MsddError
from msdd.tokenizers.flowmo import FLOWMO_HI, FLOWMO_LO, FlowMo, Sampling, load, pack, unpack
from msdd.tokenizers.flowmo_network import Decoder, FlowMoConfig, Transformer
from msdd.tokenizers.tokenizer import Description

PATHS = pytest.mark.parametrize("path", cases("flowmo"), ids=lambda path: path.name)
INPUTS = {"image", "noise", "x_t", "t"}
SCHEDULE = re.compile(r"schedule_(?P<name>linear|pow_[\d.]+)_(?P<steps>\d+)")
SAMPLE = re.compile(
    r"sample_(?P<steps>\d+)_(?P<linear>linear_)?"
    r"(?P<guidance>noguidance|guided_interval|guided_everywhere)(?P<trajectory>_trajectory)?"
)

TINY = Transformer(width=32, depth=2, heads=2, axes=(4, 6, 6))
SMALL = FlowMoConfig(16, patch=4, tokens=6, bits=6, group=3, encoder=TINY, decoder=TINY)


def config_of(values: dict) -> FlowMoConfig:
    model = values["model"]
    return FlowMoConfig(
        resolution=values["data"]["image_size"][0],
        patch=model["patch_size"],
        tokens=model["code_length"],
        bits=model["context_dim"],
        group=model["codebook_size_for_entropy"],
        encoder=transformer(values, model["enc_depth"], model["enc_mup_width"]),
        decoder=transformer(values, model["dec_depth"], model["mup_width"]),
    )


def transformer(values: dict, depth: int, width: int) -> Transformer:
    """The base has a width of 4; heads grow with the width, their number does not."""
    base = values["base_transformer_dit_b_4"]
    axes = tuple(n * width // 4 for n in base["axes_dim"])
    hidden = base["hidden_size"] * width // 4
    return Transformer(hidden, depth, base["num_heads"], axes, base["mlp_ratio"])


def sampling_of(values: dict) -> Sampling:
    given = values["eval"]["sampling"]
    interval = literal_eval(given["cfg_interval"])
    return Sampling(given["sample_steps"], power(given["schedule"]), given["cfg"], interval)


def power(schedule: str) -> float:
    return 1.0 if schedule == "linear" else 1 / float(schedule.removeprefix("pow_"))


def schedule(name: re.Match) -> Tensor:
    return torch.tensor(Sampling(int(name["steps"]), power(name["name"])).times)


def variant(sampling: Sampling, name: re.Match) -> Sampling:
    """The sampling that a recorded output is named after."""
    sampling = replace(sampling, steps=int(name["steps"]))
    if name["linear"]:
        sampling = replace(sampling, power=1.0)
    changes = {"noguidance": {"guidance": 1.0}, "guided_everywhere": {"interval": (0, math.inf)}}
    return replace(sampling, **changes.get(name["guidance"], {}))


def trajectory(tokenizer: FlowMo, x: Tensor, code: Tensor) -> Tensor:
    states = [x]
    for t, after in pairwise(tokenizer.sampling.times):
        states.append(tokenizer.step(states[-1], t, after, code))
    return torch.stack(states[1:])


def code_stream(decoder: Decoder, x: Tensor, t: Tensor, code: Tensor) -> Tensor:
    """The decoder's other output, which sampling has no use for."""
    txt, img, condition = decoder.body(x, t, code)
    txt, _ = decoder.double_blocks[-1](txt, img, condition, decoder.rotation)
    return decoder.final_layer_txt(txt, condition)


@torch.inference_mode()
@PATHS
def test_the_official_evaluations(path):
    values, state, io = load_case(path)
    tokenizer = load(config_of(values["config"]), state)
    indices = tokenizer.encode(io["image"])
    code = tokenizer.code(indices)
    at = io["x_t"], io["t"]
    found = {
        "encoder_out": tokenizer.values(io["image"]),
        "bits": unpack(indices, tokenizer.config.group).to(torch.uint8),
        "indices": indices,
        "quantized": code[..., :-1],
        "velocity": tokenizer.velocity(*at, code),
        "velocity_null": tokenizer.velocity(*at, 0 * code),
        "decoder_text_out": code_stream(tokenizer.decoder, *at, code),
    }
    found |= {name: schedule(m) for name in io if (m := SCHEDULE.fullmatch(name))}
    assert_reproduced(found, io, INPUTS | {name for name in io if SAMPLE.fullmatch(name)})


@torch.inference_mode()
@PATHS
def test_the_official_samples(path):
    values, state, io = load_case(path)
    tokenizer = load(config_of(values["config"]), state)
    code = tokenizer.code(io["indices"])
    found = {}
    for name in filter(SAMPLE.fullmatch, io):
        m = SAMPLE.fullmatch(name)
        tokenizer.sampling = variant(sampling_of(values["config"]), m)
        states = trajectory(tokenizer, io["noise"], code)
        assert torch.equal(states[-1], tokenizer.sample(io["noise"], code))
        found[name] = states if m["trajectory"] else states[-1]
    assert_reproduced(found, io, io.keys() - found.keys(), atol=3e-4)


@torch.inference_mode()
@PATHS
def test_stored_tensors_that_do_not_act(path):
    """The list of `flowmo_network`: encoding and decoding are the same without them."""
    values, state, io = load_case(path)
    broken = {name: torch.full_like(state[name], math.nan) for name in values["unused_tensors"]}
    tokenizer = load(config_of(values["config"]), state | broken, Sampling(steps=2))
    assert torch.equal(tokenizer.encode(io["image"]), io["indices"])
    assert tokenizer.decode(io["indices"]).isfinite().all()


@pytest.mark.parametrize(
    "config, expected",
    [
        # 0.07 and 0.22 bits a pixel; 6 of the 25 steps are guided
        (FLOWMO_LO, Description(256, 18, 4608, 945_374_085, 31)),
        (FLOWMO_HI, Description(256, 56, 14336, 945_520_081, 31)),
    ],
)
def test_the_published_sizes(config, expected):
    with torch.device("meta"):
        assert FlowMo(config).describe() == expected


def small(**sampling) -> FlowMo:
    """Random weights, large enough for images to depend on their codes."""
    torch.manual_seed(0)
    tokenizer = FlowMo(SMALL, Sampling(**sampling)).eval().requires_grad_(False)
    for p in tokenizer.decoder.parameters():
        p *= 1.5
    return tokenizer


@pytest.mark.parametrize("guidance, nfe", [(1.5, 31), (1.0, 25)])
def test_nfe_are_those_of_a_decode(guidance, nfe):
    """A code's last channel is zero in the null branch alone."""
    tokenizer = small(guidance=guidance)
    seen = conditions_seen(tokenizer.decoder)
    tokenizer.reconstruct(random_images(2, SMALL.resolution))
    assert len(seen) == 2 * nfe == 2 * tokenizer.describe().nfe
    assert sum(not code[:, -1].any() for code in seen) == 2 * (nfe - 25)


@torch.inference_mode()
def test_a_guided_step_is_both_branches():
    tokenizer = small(guidance=3.0)
    x, t = random_images(2, SMALL.resolution), torch.tensor([0.3])
    code = tokenizer.code(tokenizer.encode(x))
    null, conditional = (tokenizer.velocity(x, t, c) for c in (0 * code, code))
    assert (conditional - null).abs().max() > 0.01
    expected = null + 3.0 * (conditional - null)
    torch.testing.assert_close(tokenizer.guided_velocity(x, t, code), expected)


def test_a_reconstruction_does_not_depend_on_its_batch():
    assert_independent_of_the_batch(small(steps=4))


def test_indices_hold_the_bits():
    bits = torch.randint(2, (2, 5, 12), generator=torch.Generator().manual_seed(0))
    assert torch.equal(unpack(pack(bits, 4), 4), bits)
    indices = pack(bits, 4)
    assert indices.shape == (2, 5, 3)
    for j in range(3):
        assert torch.equal(indices[..., j], sum(bits[..., g * 3 + j] << g for g in range(4)))


@pytest.mark.parametrize(
    "change, told",
    [
        ({"bits": 9}, r"encoder.txt_in.weight \(\[32, 6\] instead of \[32, 9\]\)"),
        ({"decoder": replace(TINY, depth=1)}, "unexpected: decoder.double_blocks.1"),
        ({"encoder": replace(TINY, depth=3)}, "missing: encoder.double_blocks.2"),
    ],
)
def test_a_checkpoint_of_another_size_is_refused(change, told):
    with pytest.raises(MsddError, match=told):
        load(replace(SMALL, **change), small().state_dict())


def test_other_sides_are_refused():
    with pytest.raises(MsddError, match="FlowMo takes images of 16x16 px, not 20x20"):
        small().encode(random_images(1, 20))


def test_the_decoder_compiles_as_one_graph():
    tokenizer = small()
    x = random_images(2, SMALL.resolution)
    given = x, torch.tensor([0.3]), tokenizer.code(tokenizer.encode(x))
    compiled = torch.compile(tokenizer.decoder, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(*given), tokenizer.decoder(*given))
