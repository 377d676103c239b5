"""What holds for every tokenizer that decodes from noise, alone or with guidance."""

import torch
from torch import Tensor, nn

from msdd.tokenizers.tokenizer import Tokenizer


def random_images(count: int, side: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return 2 * torch.rand(count, 3, side, side, generator=generator) - 1


def conditions_seen(decoder: nn.Module) -> list[Tensor]:
    """The third argument of the decoder for each image, a row an evaluation, as they come."""
    seen: list[Tensor] = []
    decoder.register_forward_pre_hook(lambda _, given: seen.extend(given[2]))
    return seen


def assert_independent_of_the_batch(tokenizer: Tokenizer) -> None:
    """An image alone or among others is the same; another seed's is not."""
    images, ids = random_images(3, tokenizer.resolution), [7, 2, 9]
    together = tokenizer.reconstruct(images, ids, seed=1)
    assert together.abs().max() <= 1 and together.std() > 0.1
    for image, i, expected in zip(images, ids, together, strict=True):
        alone = tokenizer.reconstruct(image[None], [i], seed=1)
        torch.testing.assert_close(alone[0], expected, atol=1e-5, rtol=0)
    other = tokenizer.reconstruct(images, ids, seed=2)
    assert (other - together).abs().mean() > 0.01
