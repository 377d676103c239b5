"""Transformer blocks with attention in windows and relative positions: SSDD's middle."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msdd.model.mmdit import modulate

FAR = -1e7  # bias of positions outside the window


def window_bias(table: Tensor, height: int, width: int) -> Tensor:
    """Biases (1, heads, H W, H W) of queries and keys on a grid, from a table of a window w.

    table: (2w - 1, 2w - 1, heads); [dy + w - 1, dx + w - 1] belongs to a query dy rows and dx
    columns after its key. Pairs further apart get -1e7. The grid is no smaller than the window.

    The pairs are a strided view of the padded table, copied once: no index for each of them.
    """
    window = (len(table) + 1) // 2
    y, x = height - window, width - window
    wide = F.pad(table.permute(2, 0, 1), (x, x, y, y), value=FAR)  # (heads, 2H - 1, 2W - 1)
    pairs = wide.unfold(1, height, 1).unfold(2, width, 1)  # (heads, H, W, H, W), last key first
    return pairs.flip(3, 4).flatten(3).flatten(1, 2)[None]


class WindowTransformer(nn.Module):
    """All blocks on the positions of features (B, width, H, W), and a residual around the whole."""

    def __init__(self, width: int, context_width: int, depth: int, heads: int, window: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(32, width, eps=1e-6)
        self.proj_in = nn.Linear(width, width)
        self.transformer_blocks = nn.ModuleList(
            Block(width, context_width, heads, window) for _ in range(depth)
        )
        self.proj_out = nn.Linear(width, width)

    def biases(self, height: int, width: int, dtype: torch.dtype) -> list[Tensor]:
        """Attention biases of every block on this grid, (1, heads, H W, H W) each."""
        blocks = self.transformer_blocks
        return [block.relative_position_bias(height, width, dtype) for block in blocks]

    def forward(self, x: Tensor, context: Tensor, biases: list[Tensor]) -> Tensor:
        """x, given the context of each position (B, H W, context_width), activated."""
        tokens = self.proj_in(self.norm(x).flatten(2).mT)
        for block, bias in zip(self.transformer_blocks, biases, strict=True):
            tokens = block(tokens, context, bias)
        return x + self.proj_out(tokens).mT.reshape(x.shape)


class Block(nn.Module):
    """Attention, modulated by the context; then an MLP. No time enters."""

    def __init__(self, width: int, context_width: int, heads: int, window: int) -> None:
        super().__init__()
        self.norm1 = AdaLayerNorm(width, context_width)
        self.relative_position_bias = RelativePositionBias(window, heads)
        self.attn1 = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.ff = FeedForward(width)

    def forward(self, x: Tensor, context: Tensor, bias: Tensor) -> Tensor:
        x = x + self.attn1(self.norm1(x, context), bias)
        return x + self.ff(self.norm2(x))


class RelativePositionBias(nn.Module):
    """The learned table of `window_bias`."""

    def __init__(self, window: int, heads: int) -> None:
        super().__init__()
        self.relative_bias_table = nn.Parameter(torch.zeros(2 * window - 1, 2 * window - 1, heads))

    def forward(self, height: int, width: int, dtype: torch.dtype) -> Tensor:
        return window_bias(self.relative_bias_table.to(dtype), height, width)


class AdaLayerNorm(nn.Module):
    """Layer norm whose shift and scale come from the activated context, (B, L, its width)."""

    def __init__(self, width: int, context_width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(context_width, 2 * width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        shift, scale = self.linear(context).chunk(2, dim=-1)
        return modulate(F.layer_norm(x, x.shape[-1:]), shift, scale)


class Attention(nn.Module):
    """Softmax attention of tokens (B, L, width) with additive biases (1, heads, L, L)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        q, k, v = (
            project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project in (self.to_q, self.to_k, self.to_v)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, bias)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class GEGLU(nn.Module):
    """a GELU(b) of the two halves of a projection (Shazeer 2020)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 2 * hidden)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.proj(x).chunk(2, dim=-1)
        return a * F.gelu(b)


class FeedForward(nn.Module):
    """The MLP of a block, four times as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj_in_act = GEGLU(width, 4 * width)
        self.proj_out = nn.Linear(4 * width, width)
        nn.init.zeros_(self.proj_out.weight)  # every MLP begins as nothing
        nn.init.zeros_(self.proj_out.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj_out(self.proj_in_act(x))
