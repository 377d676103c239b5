"""The networks that measure, loaded once for all protocols."""

from collections.abc import Iterable

import torch
from torch import nn

from msdd.errors import MsddError
from msdd.evaluate.protocols import Fid, Protocol
from msdd.metrics.perceptual import DreamSim, Lpips, without_dreamsim
from msdd.weights.pretrained import feature_network


class Networks:
    """What the protocols need, on a device. `missing` says which metrics it has not, and why.

    Raises MsddError for weights that cannot be had; only DreamSim, which no other protocol needs
    and no package ships, may be missing.
    """

    def __init__(self, protocols: Iterable[Protocol], device: torch.device) -> None:
        protocols = list(protocols)
        self.device = device
        self.missing: dict[str, str] = {}
        self.lpips = {net: Lpips(net, device) for net in sorted(nets(protocols))}
        self.features = feature_networks([p.fid for p in protocols if p.fid], device)
        if any(p.dreamsim for p in protocols):
            self.add_dreamsim()

    def add_dreamsim(self) -> None:
        if reason := without_dreamsim():
            self.missing["dreamsim"] = reason
        else:
            self.dreamsim = DreamSim(self.device)


def nets(protocols: Iterable[Protocol]) -> set[str]:
    return {net for protocol in protocols if protocol.lpips for net in protocol.lpips.nets}


def feature_networks(fids: Iterable[Fid], device: torch.device) -> dict[tuple[str, str], nn.Module]:
    """By name and resize; the resize is empty where a network has no choice."""
    wanted = {(fid.features, fid.resize if fid.features == "inception" else "") for fid in fids}
    try:
        return {key: feature_network(key[0], device, key[1] or None) for key in sorted(wanted)}
    except MsddError as error:
        others = ["efficientnet-lite0", "none"]
        free = [other for other in others if other not in {network for network, _ in wanted}]
        ways = ", or ".join(f"--features {other}" for other in free)
        raise MsddError(f"{error}; or measure without it: {ways}") from error
