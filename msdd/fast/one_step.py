"""A student's whole decode as one function of tensors, to be compiled, captured and exported."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from msdd.fast.fold import fold
from msdd.flow.noise import split
from msdd.flow.sampler import chain
from msdd.flow.scales import Scale
from msdd.model.decoder import Decoder


class OneStep(nn.Module):
    """Latents (B, M, dim) and noise (B, sum of 3 side^2) to images (B, 3, R, R) in [-1, 1].

    There is one evaluation for each scale, without guidance; each scale's time is folded into its
    weights. The state is float32, whatever the dtype of the weights.

    decoders, backends: one for each scale; back ends are those of attention. correlation: of the
    noise at jumps between scales.
    """

    def __init__(
        self,
        decoders: Sequence[Decoder],
        correlation: float,
        backends: Sequence[SDPBackend | list[SDPBackend]],
    ) -> None:
        super().__init__()
        self.backends = list(backends)
        self.scales, self.correlation = decoders[0].config.flow, correlation
        pairs = zip(decoders, self.scales, strict=True)
        self.decoders = nn.ModuleList(fold(decoder, scale.first) for decoder, scale in pairs)

    def forward(self, latents: Tensor, noise: Tensor) -> Tensor:
        latents = latents.to(self.decoders[0].head.weight)
        normals = split(noise, self.decoders[0].config.sides)
        ones = [1] * len(self.scales)

        def velocity(x: Tensor, t: float, scale: Scale, conditional: bool) -> Tensor:
            with sdpa_kernel(self.backends[scale.index]):
                return self.decoders[scale.index].denoise(x.to(latents), latents).float()

        states = chain(velocity, normals[0], self.scales, normals[1:], ones, ones, self.correlation)
        return states[-1].clamp(-1, 1)
