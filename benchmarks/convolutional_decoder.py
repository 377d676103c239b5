"""A one-step pixel diffusion decoder of convolutions, as large as CoD-Lite's, to be timed.

    msdd throughput --preset imagenet256 --random --systems student \
        benchmarks/convolutional_decoder.py:decoder --json own/decoders.json

Its widths are published in microsoft/GenCodec (c49eb0d, CoD_Lite): patches of 16 px, 21 blocks of
width 384 (a product, a depthwise 3 x 3 convolution, attention over channels, a product, an MLP of
four times the width), then 3 MLPs of width 32 for each pixel, modulated by its patch. At one step
the time is constant, so its networks are left out, as in `Fast`: of 52 M weights 41 M remain. They
are random, and `encode` makes nothing but a shape.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PATCH, WIDTH, BLOCKS = 16, 384, 21
PIXEL_WIDTH, PIXEL_BLOCKS = 32, 3


class Convolutional(nn.Module):
    """A block on patches (B, WIDTH, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.before, self.after, self.channels = (nn.Conv2d(WIDTH, WIDTH, 1) for _ in range(3))
        self.depthwise = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH)
        self.wide, self.narrow = nn.Conv2d(WIDTH, 4 * WIDTH, 1), nn.Conv2d(4 * WIDTH, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = F.gelu(self.depthwise(self.before(normed(self.norms[0], x))))
        h = h * self.channels(h.mean((2, 3), keepdim=True)).sigmoid()
        x = x + self.after(h)
        return x + self.narrow(F.gelu(self.wide(normed(self.norms[1], x))))


def normed(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class PerPixel(nn.Module):
    """An MLP on pixels (N, PATCH^2, PIXEL_WIDTH), modulated by their patches."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(PIXEL_WIDTH)
        self.adaln = nn.Linear(PIXEL_WIDTH, 3 * PIXEL_WIDTH)
        self.mlp = nn.Sequential(
            nn.Linear(PIXEL_WIDTH, PIXEL_WIDTH), nn.SiLU(), nn.Linear(PIXEL_WIDTH, PIXEL_WIDTH)
        )

    def forward(self, x: Tensor, of_patch: Tensor) -> Tensor:
        shift, scale, gate = self.adaln(F.silu(of_patch)).chunk(3, dim=-1)
        return x + gate * self.mlp(self.norm(x) * (1 + scale) + shift)


class Decoder(nn.Module):
    """Latents (B, WIDTH, H, W) to images (B, 3, 16 H, 16 W) in [-1, 1], with fresh noise."""

    resolution = 256

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 128, PATCH, stride=PATCH, bias=False)
        self.join = nn.Conv2d(128 + WIDTH, WIDTH, 1)
        self.blocks = nn.ModuleList(Convolutional() for _ in range(BLOCKS))
        self.of_latents = nn.Conv2d(WIDTH, PIXEL_WIDTH * PATCH**2, 1)
        self.of_patch = nn.Linear(WIDTH, PIXEL_WIDTH * PATCH**2)
        self.of_pixel = nn.Linear(3 + PIXEL_WIDTH, PIXEL_WIDTH)
        self.pixels = nn.ModuleList(PerPixel() for _ in range(PIXEL_BLOCKS))
        self.head = nn.Linear(PIXEL_WIDTH, 3)
        self.eval().requires_grad_(False)

    def encode(self, images: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(images, images.shape[-1] // PATCH).repeat(1, WIDTH // 3, 1, 1)

    def decode(self, latents: Tensor) -> Tensor:
        b, _, h, w = latents.shape
        noise = torch.randn(b, 3, PATCH * h, PATCH * w, device=latents.device)
        x = self.join(torch.cat([self.embed(noise), latents], 1))
        for block in self.blocks:
            x = block(x)
        patches = self.of_patch(x.permute(0, 2, 3, 1)).view(b * h * w, PATCH**2, PIXEL_WIDTH)
        noisy = F.pixel_unshuffle(noise, PATCH).unflatten(1, (3, PATCH**2))
        pixels = torch.cat([noisy, self.of_latents(latents).unflatten(1, (-1, PATCH**2))], 1)
        pixels = self.of_pixel(pixels.permute(0, 3, 4, 2, 1).reshape(b * h * w, PATCH**2, -1))
        for block in self.pixels:
            pixels = block(pixels, patches)
        colours = self.head(pixels).view(b, h, w, PATCH**2, 3).permute(0, 4, 3, 1, 2)
        return F.pixel_shuffle(colours.flatten(1, 2), PATCH).clamp(-1, 1)


decoder = Decoder()
