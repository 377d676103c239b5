"""The columns and features that protocols need of each image."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from msdd.evaluate.protocols import Protocol
from msdd.metrics.quantisation import level_table


@dataclass(frozen=True)
class MetricColumn:
    """One number an image. What several protocols need is one column."""

    kind: str
    quantisation: str
    variant: str = ""  # LPIPS's trunk, SSIM's range

    def __str__(self) -> str:
        return f"{self.kind} {self.quantisation} {self.variant}".rstrip()


def columns(protocol: Protocol) -> dict[str, MetricColumn]:
    """The columns of a protocol by the names of its metrics."""
    by_name = {}
    if protocol.psnr:
        by_name["psnr"] = MetricColumn("squared_error", protocol.psnr.quantisation)
    if protocol.ssim:
        by_name["ssim"] = MetricColumn("ssim", protocol.ssim.quantisation, str(protocol.ssim.range))
    if protocol.lpips:
        for net in protocol.lpips.nets:
            by_name[f"lpips_{net}"] = MetricColumn("lpips", protocol.lpips.quantisation, net)
    if protocol.dreamsim:
        by_name["dreamsim"] = MetricColumn("dreamsim", protocol.dreamsim.quantisation)
    return by_name


@dataclass(frozen=True)
class Features:
    """Features of one side, `real` or `made`, of the first so many images."""

    side: str
    network: str
    resize: str
    quantisation: str
    first: int | None

    def __str__(self) -> str:
        return f"{self.side} {self.network} {self.resize} {self.quantisation} {self.first or 'all'}"


def features(protocol: Protocol) -> tuple[Features, Features] | None:
    """Those of the originals and of the reconstructions.

    Originals are the same under all rules that keep their levels.
    """
    fid = protocol.fid
    if fid is None:
        return None
    resize = fid.resize if fid.features == "inception" else ""
    made = Features("made", fid.features, resize, fid.quantisation, fid.first)
    quantisation = "none" if level_table(fid.quantisation) is None else fid.quantisation
    return replace(made, side="real", quantisation=quantisation), made


def features_to_sample(protocols: Iterable[Protocol]) -> set[Features]:
    """The features of which KID needs a sample."""
    return {side for protocol in protocols if protocol.kid for side in features(protocol) or ()}
