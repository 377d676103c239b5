"""Convolutions of frozen networks on a CPU, each by the way that is fastest for its size.

oneDNN's direct convolutions run near the processor's ceiling, so what is left is to multiply less.
NNPACK, which torch contains, does so for narrow layers of large maps: 3 x 3 by Winograd's algorithm
(Lavin, Gray 2016), 5 x 5 by Fourier transforms. It transforms the weights at every call, which
costs more than it gains elsewhere; there `msdd.weights.winograd` has them transformed once.
"""

import sys
from functools import cache, reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msdd.weights.winograd import packed_points, winograd

SMALL = 6  # pixels a side of a map, below which direct convolutions are fastest
LARGE, WIDE = 24, 8  # NNPACK is from LARGE pixels a side on, for up to WIDE channels for each pixel
COLOURS = 4  # channels: so few are read as they are, others are taken last in memory
TRIED = [((8, 8, 1, 7), 9), ((8, 8, 3, 3), 9), ((8, 8, 3, 3), LARGE)]  # oneDNN, Winograd, NNPACK
STRIP = 2**16  # pixels that NNPACK makes at once: its workspace, 1 KB a pixel, grows with them


class FastConvolution(nn.Module):
    """relu(convolution + bias) of a frozen layer, of images (B, C, H, W) in float32.

    weight (K, C, h, w), bias (K,); stride and padding as of `nn.Conv2d`. No gradients. On a CPU it
    differs from torch's own convolution by the rounding of float32, at most 1e-4 of the deviation
    of outputs; elsewhere it is torch's own.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor, stride: tuple[int, ...], padding: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.weight, self.bias = weight.detach().contiguous(), bias.detach().contiguous()
        self.stride, self.padding = list(stride), list(padding)
        # Weights in oneDNN's layout, which depends on the size of the images and on the number of
        # threads. In that of another number it computes right, but far slower without AVX-512.
        self.seen: list[int] = []  # size and threads that `packed` is for
        self.packed: Tensor | None = None
        self.threads = 0  # that `points` are for
        self.points: Tensor | None = None  # of Winograd's algorithm

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        if not runs_onednn(images):
            return self.by_torch(images)
        return self.by_fastest(images) if private_functions_work() else self.one_by_one(images)

    def by_fastest(self, images: Tensor) -> Tensor:
        kernel, side = tuple(self.weight.shape[2:]), min(images.shape[2:])
        if images.shape[1] <= COLOURS:
            # Without steps one by one, as their bits would depend on how many there are.
            return self.one_by_one(images) if self.stride == [1, 1] else self.by_torch(images)
        if kernel == (1, 1) and self.stride == [1, 1] and images.is_contiguous():
            return self.by_product(images)
        if kernel in ((3, 3), (5, 5)) and self.stride == [1, 1] and side >= SMALL:
            if by_nnpack(images):
                return one_batch([self.by_nnpack(one) for one in images.split(1)])
            if kernel == (3, 3) and self.padding == [1, 1]:
                return self.by_winograd(images)
        return self.by_onednn(images)

    def one_by_one(self, images: Tensor) -> Tensor:
        return one_batch([self.by_torch(one) for one in images.split(1)])

    def by_torch(self, images: Tensor) -> Tensor:
        return F.conv2d(images, self.weight, self.bias, self.stride, self.padding).relu_()

    def by_product(self, images: Tensor) -> Tensor:
        """1 x 1, as a product of matrices for each image."""
        weight, bias = self.weight.flatten(1), self.bias[:, None]
        made = [torch.addmm(bias, weight, image.flatten(1)).relu_()[None] for image in images]
        return one_batch(made).unflatten(2, images.shape[2:])

    def by_onednn(self, images: Tensor) -> Tensor:
        images = images.contiguous(memory_format=torch.channels_last)
        how, shape = [self.padding, self.stride, [1, 1], 1], list(images.shape)
        seen = [*shape, torch.get_num_threads()]
        if seen != self.seen:
            pack = torch.ops.mkldnn._reorder_convolution_weight
            self.packed = pack(self.weight, *how, shape)  # first, for other threads
            self.seen = seen
        convolve = torch.ops.mkldnn._convolution_pointwise
        return convolve(images, self.packed, self.bias, *how, "relu", [], "")

    def by_nnpack(self, image: Tensor) -> Tensor:
        """The output for one image (1, C, H, W), laid out in memory as the image is: one layout
        for all branches of a block, which need not be converted to be joined."""
        last = not image.is_contiguous()
        made = self.strips(image.contiguous()).relu_()
        return made.contiguous(memory_format=torch.channels_last) if last else made

    def strips(self, image: Tensor) -> Tensor:
        """Before the ReLU, by strips of rows that overlap by the kernel less one."""
        around, reach = self.padding[0], self.weight.shape[2]
        height = image.shape[2] + 2 * around - reach + 1
        rows = max(reach, STRIP // image.shape[3])
        if rows >= height:
            return self.strip(image)
        image = F.pad(image, (0, 0, around, around))
        parts = [image[:, :, top : top + rows + reach - 1] for top in range(0, height, rows)]
        return torch.cat([self.inside(part.contiguous()) for part in parts], 2)

    def inside(self, part: Tensor) -> Tensor:
        """Without the rows that lack their neighbours."""
        around, made = self.padding[0], self.strip(part)
        return made[:, :, around : made.shape[2] - around]

    def strip(self, image: Tensor) -> Tensor:
        return torch._nnpack_spatial_convolution(
            image, self.weight, self.bias, self.padding, self.stride
        )

    def by_winograd(self, images: Tensor) -> Tensor:
        if self.threads != (threads := torch.get_num_threads()):
            self.points = packed_points(self.weight)  # first, for other threads
            self.threads = threads
        return winograd(images, self.points, self.bias).relu_()


def runs_onednn(images: Tensor) -> bool:
    return images.device.type == "cpu" and torch.backends.mkldnn.is_available()


@cache
def private_functions_work() -> bool:
    """Whether the functions private to torch that the fast ways call work here, tried once.

    torch 2.13 has them; another version may lack or refuse them, which is told on stderr.
    """
    try:
        for weight, side in TRIED:
            layer = FastConvolution(torch.zeros(weight), torch.zeros(weight[0]), (1, 1), (1, 1))
            layer.by_fastest(torch.zeros(1, weight[1], side, side))
    except (AttributeError, RuntimeError, TypeError) as error:
        print(
            f"msdd: warning: with torch {torch.__version__} the networks that measure run slower: "
            f"{str(error).splitlines()[0]}",
            file=sys.stderr,
        )
        return False
    return True


def by_nnpack(images: Tensor) -> bool:
    """Whether NNPACK is fastest; asking torch for it also prepares it."""
    channels, side = images.shape[1], min(images.shape[2:])
    return side >= LARGE and channels < WIDE * side and torch.backends.nnpack.is_available()


def one_batch(parts: list[Tensor]) -> Tensor:
    """One batch; a single part is not copied."""
    return torch.cat(parts) if len(parts) > 1 else parts[0]


class FastMaximum(nn.Module):
    """`nn.MaxPool2d` without padding: one axis after the other, as maxima of shifted maps."""

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self.size, self.step = pool.kernel_size, pool.stride

    def forward(self, images: Tensor) -> Tensor:
        if not images.is_contiguous():  # with channels last torch's own is vectorised
            return F.max_pool2d(images, self.size, self.step)
        return self.along(self.along(images, 2), 3)

    def along(self, images: Tensor, axis: int) -> Tensor:
        windows = images.unfold(axis, self.size, self.step)
        return reduce(torch.maximum, windows.unbind(-1))


def fast_layers(trunk: nn.Sequential) -> list[nn.Module]:
    """The layers of a frozen trunk of convolutions, ReLUs and pools; each ReLU in its convolution.

    ValueError for any other layer.
    """
    layers: list[nn.Module] = []
    for layer in trunk:
        if isinstance(layer, nn.Conv2d):
            layers.append(of_layer(layer))
        elif isinstance(layer, nn.MaxPool2d):
            layers.append(FastMaximum(layer))
        elif not (isinstance(layer, nn.ReLU) and isinstance(layers[-1], FastConvolution)):
            raise ValueError(f"no fast form of {layer}")
    return layers


def of_layer(layer: nn.Conv2d) -> FastConvolution:
    return FastConvolution(layer.weight, layer.bias, layer.stride, layer.padding)
