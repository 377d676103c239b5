"""Fast convolutions against torch's own in float64, by every algorithm."""

import pytest
import torch
from torch import nn

from msdd.weights import fast_convolutions
from msdd.weights.fast_convolutions import (
    FastConvolution,
    FastMaximum,
    fast_layers,
    private_functions_work,
)

PRIVATE = [
    (torch, "_nnpack_spatial_convolution"),
    (torch.ops.mkldnn, "_reorder_convolution_weight"),
    (torch.ops.mkldnn, "_convolution_pointwise"),
]
# images, weight, stride and padding, and which algorithm is due; sides that fill no tile
CASES = {
    "colours": ((2, 3, 31, 40), (8, 3, 5, 5), 2, 1),
    "colours of many": ((5, 3, 64, 64), (64, 3, 3, 3), 1, 1),
    "product": ((2, 24, 9, 11), (16, 24, 1, 1), 1, 0),
    "onednn": ((2, 24, 9, 11), (16, 24, 1, 7), 1, (0, 3)),
    "onednn, with steps": ((2, 24, 9, 11), (16, 24, 3, 3), 2, 0),
    "nnpack": ((2, 16, 26, 35), (8, 16, 3, 3), 1, 1),
    "nnpack, inside": ((2, 16, 26, 35), (8, 16, 3, 3), 1, 0),
    "nnpack, 5 x 5": ((2, 16, 26, 35), (8, 16, 5, 5), 1, 2),
    "winograd": ((5, 24, 9, 14), (16, 24, 3, 3), 1, 1),
}


def layer(weight: tuple[int, ...], stride: int, padding) -> tuple[FastConvolution, nn.Conv2d]:
    """A fast convolution, and torch's own in float64."""
    generator = torch.Generator().manual_seed(1)
    own = nn.Conv2d(weight[1], weight[0], weight[2:], stride, padding)
    values = torch.randn(weight, generator=generator) / (weight[1] * weight[2] * weight[3]) ** 0.5
    bias = torch.randn(weight[0], generator=generator)
    own.load_state_dict({"weight": values, "bias": bias})
    return FastConvolution(values, bias, own.stride, own.padding), own.double()


def images(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_equals_torch_in_any_layout(case, last):
    shape, weight, stride, padding = CASES[case]
    x = images(*shape)
    x = x.contiguous(memory_format=torch.channels_last) if last else x
    fast, own = layer(weight, stride, padding)
    expected = own(x.double()).relu().float()
    torch.testing.assert_close(fast(x), expected, atol=5e-5, rtol=0)
    assert (fast.points is not None) == (case == "winograd")
    direct = case.startswith("onednn") or (case == "product" and last)
    assert (fast.packed is not None) == direct


@pytest.mark.parametrize("case", CASES)
def test_an_image_has_the_same_bits_in_any_batch(case):
    shape, weight, stride, padding = CASES[case]
    x, (fast, _) = images(*shape), layer(weight, stride, padding)
    assert torch.equal(fast(x), torch.cat([fast(one) for one in x.split(1)]))


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("nnpack")])
def test_strips_of_a_large_image_join(case, monkeypatch):
    """Its rows come in strips, so that memory is bounded; the last strip is short."""
    shape, weight, stride, padding = CASES[case]
    x, (fast, own) = images(*shape), layer(weight, stride, padding)
    monkeypatch.setattr(fast_convolutions, "STRIP", 7 * shape[3])
    torch.testing.assert_close(fast(x), own(x.double()).relu().float(), atol=5e-5, rtol=0)


@pytest.fixture
def tried_anew():
    private_functions_work.cache_clear()
    yield
    private_functions_work.cache_clear()


@pytest.mark.parametrize("refused", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_a_torch_without_its_private_functions_has_the_plain_way(
    case, refused, monkeypatch, capsys, tried_anew
):
    def refuses(*_):
        raise RuntimeError("refused") if refused else AttributeError("missing")

    for owner, name in PRIVATE:
        monkeypatch.setattr(owner, name, refuses)
    shape, weight, stride, padding = CASES[case]
    x, (fast, own) = images(*shape), layer(weight, stride, padding)
    torch.testing.assert_close(fast(x), own(x.double()).relu().float(), atol=5e-5, rtol=0)
    assert torch.equal(fast(x), torch.cat([fast(one) for one in x.split(1)]))
    assert capsys.readouterr().err.count("the networks that measure run slower") == 1


def test_an_error_of_the_fast_way_is_no_reason_for_the_plain_one(tried_anew):
    """Such as images of too few channels, or no memory."""
    fast, _ = layer((16, 24, 1, 7), 1, (0, 3))
    with pytest.raises(RuntimeError):
        fast(images(2, 23, 9, 11))
    assert private_functions_work()


def test_each_private_function_is_tried(monkeypatch, tried_anew):
    called = []
    for owner, name in PRIVATE:
        own = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *a, n=name, f=own: called.append(n) or f(*a))
    assert private_functions_work()
    assert {name for _, name in PRIVATE} == set(called)


def test_another_size_gets_weights_of_its_own():
    fast, own = layer((16, 24, 1, 7), 1, (0, 3))
    for shape in ((1, 24, 9, 11), (3, 24, 20, 8), (1, 24, 9, 11)):
        x = images(*shape)
        torch.testing.assert_close(fast(x), own(x.double()).relu().float(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("case", ["winograd", "onednn"])
def test_another_number_of_threads_gets_weights_of_its_own(case):
    """A layout for another number is right, but far slower without AVX-512."""
    shape, weight, stride, padding = CASES[case]
    x, (fast, _), threads = images(*shape), layer(weight, stride, padding), torch.get_num_threads()
    made = []
    try:
        for number in (2, 1):
            torch.set_num_threads(number)
            assert torch.equal(fast(x), layer(weight, stride, padding)[0](x))
            made.append(fast.points if case == "winograd" else fast.packed)
    finally:
        torch.set_num_threads(threads)
    assert made[0] is not made[1]


@pytest.mark.parametrize("size, step", [(2, 2), (3, 2)])
def test_maxima_are_torchs(size, step):
    x, pool = images(2, 5, 13, 18), nn.MaxPool2d(size, step)
    for some in (x, x.contiguous(memory_format=torch.channels_last)):
        assert torch.equal(FastMaximum(pool)(some), pool(x))


def test_a_trunk_with_another_layer_is_refused():
    with pytest.raises(ValueError, match="no fast form of Sigmoid"):
        fast_layers(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Sigmoid()))
