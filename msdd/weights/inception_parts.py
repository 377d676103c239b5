"""What evaluators of samples take from Inception beside its pooled features."""

from typing import NamedTuple

from torch import Tensor, nn

from msdd.weights.features import Inception

CHANNELS = 7  # of the 17 x 17 map, which make 2023 numbers


class Parts(NamedTuple):
    """What a network makes of images: pooled features (B, D), and for Inception also the spatial
    features (B, 2023) and the logits (B, 1008)."""

    pool: Tensor
    spatial: Tensor | None = None
    logits: Tensor | None = None


class InceptionParts(nn.Module):
    """Inception of `msdd.weights.features`, whose inner maps are kept: images (B, 3, H, W) in
    [-1, 1] to `Parts`.

    spatial: the first 7 channels of the node `mixed_6/conv` of the TensorFlow graph of 2015, which
             is the first branch of torchvision's Mixed_6d, behind its ReLU, in the order of height,
             width, channel (guided-diffusion 22e0df8, evaluations/evaluator.py)
    logits:  without the bias, as both that program and torch-fidelity's `logits_unbiased` have them
    """

    def __init__(self, state: dict[str, Tensor], resize: str = "pytorch_fid") -> None:
        super().__init__()
        self.inception = Inception(state, resize)
        self.register_buffer("head", state["fc.weight"])
        self.inception.network.blocks[2][6].branch1x1.register_forward_hook(self.keep)

    def keep(self, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        self.map = output[:, :CHANNELS]

    def forward(self, images: Tensor) -> Parts:
        pool = self.inception(images)
        return Parts(pool, self.map.permute(0, 2, 3, 1).flatten(1), pool @ self.head.T)


class PooledOnly(nn.Module):
    """A network of pooled features in the form of the above."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Parts:
        return Parts(self.network(images))
