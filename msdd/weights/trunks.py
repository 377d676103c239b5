"""The trunks of LPIPS, AlexNet and VGG16, built without torchvision.

Importing torchvision also imports torch's compiler, which takes longer than the rest of torch.
"""

from collections.abc import Iterator

from torch import Tensor, nn

from msdd.weights.trunk_layers import LAYERS


def slices(net: str, state: dict[str, Tensor]) -> list[nn.Sequential]:
    """The layers before each map of `alex` or `vgg`, frozen.

    state: weights and biases by torchvision's names, `features.0.weight`.
    """
    numbers = sorted(int(name.split(".")[1]) for name in state if name.endswith(".weight"))
    weights = ((state[f"features.{n}.weight"], state[f"features.{n}.bias"]) for n in numbers)
    return [nn.Sequential(*made(layers, weights)) for layers in LAYERS[net]]


def made(layers: list[tuple[int, int, int, int]], weights: Iterator) -> Iterator[nn.Module]:
    for channels, kernel, stride, padding in layers:
        if not channels:
            yield nn.MaxPool2d(kernel, stride)
            continue
        weight, bias = next(weights)
        layer = nn.Conv2d(weight.shape[1], channels, kernel, stride, padding, device="meta")
        layer.load_state_dict({"weight": weight, "bias": bias}, assign=True)
        yield layer.requires_grad_(False)
        yield nn.ReLU(inplace=True)
