"""The shape of a model, as it stands in `config.json` beside its weights."""

from dataclasses import dataclass

from msdd.errors import MsddError


@dataclass(frozen=True)
class ModelConfig:
    """Everything that decides a model's tensors and how they are used; see params `model`.

    time_scale multiplies T before its embedding (the authors' layout has 1).
    """

    resolution: int
    scales: int
    patch: int
    encoder_patch: int
    width: int
    depth: int
    heads: int
    latents: int
    latent_dim: int
    positions: str
    time_scale: float = 1000.0

    @property
    def sides(self) -> list[int]:
        """Image side at each scale, coarsest first."""
        return [self.resolution >> (self.scales - 1 - i) for i in range(self.scales)]

    @classmethod
    def from_json(cls, values: dict, where: str) -> "ModelConfig":
        try:
            return cls(**values)
        except TypeError as error:
            raise MsddError(f"{where}: not a model's configuration ({error})") from error
