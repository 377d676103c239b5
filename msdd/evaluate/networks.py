"""The networks that measure, loaded once for all protocols."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import nn

from msdd.errors import MsddError
from msdd.evaluate.protocols import Fid, Protocol
from msdd.metrics.perceptual import DreamSim, Lpips, without_dreamsim
from msdd.weights.pretrained import feature_network


class Networks:
    """What the protocols need, on a device. `missing` says which metrics it has not, and why.

    skip: leave out metrics whose weights cannot be had, in place of MsddError. DreamSim, which no
          other protocol needs and no package ships, may always be missing.
    """

    def __init__(
        self, protocols: Iterable[Protocol], device: torch.device, skip: bool = False
    ) -> None:
        protocols = list(protocols)
        self.device, self.skip = device, skip
        self.missing: dict[str, str] = {}
        self.lpips: dict[str, Lpips] = {}
        self.features: dict[tuple[str, str], nn.Module] = {}
        for net in sorted(nets(protocols)):
            self.load(self.lpips, net, partial(Lpips, net, device), [f"lpips_{net}"])
        with_kid = {p.fid.name for p in protocols if p.fid and p.kid}
        for fid in [p.fid for p in protocols if p.fid]:
            named = [fid.name, *([fid.kid_name] if fid.name in with_kid else [])]
            make = partial(feature_network, fid.features, device, network_key(fid)[1] or None)
            self.load(self.features, network_key(fid), make, named, without(fid))
        if any(p.dreamsim for p in protocols):
            self.add_dreamsim()

    def load(
        self,
        into: dict[Any, Any],
        key: Any,
        make: Callable[[], object],
        metrics: list[str],
        others: str = "",
    ) -> None:
        """Put a network into its table, or say which metrics are missing for want of it.

        others: ways without the network, for the message where nothing is skipped
        """
        if key in into or metrics[0] in self.missing:
            return
        try:
            into[key] = make()
        except MsddError as error:
            if not self.skip:
                ways = f"{others}--missing skip to measure the rest (params: evaluate.missing)"
                raise MsddError(f"{error}; or give {ways}") from error
            self.missing |= dict.fromkeys(metrics, str(error))

    def add_dreamsim(self) -> None:
        if reason := without_dreamsim():
            self.missing["dreamsim"] = reason
        else:
            self.dreamsim = DreamSim(self.device)

    def measurable(self, protocol: Protocol) -> Protocol:
        """A protocol without the metrics that are missing."""
        here: dict[str, object] = {}
        if protocol.lpips:
            left = tuple(net for net in protocol.lpips.nets if net in self.lpips)
            lpips = protocol.lpips.model_copy(update={"nets": left})
            here["lpips"] = lpips if left else None
        if protocol.fid and protocol.fid.name in self.missing:
            here |= {"fid": None, "kid": False}
        if "dreamsim" in self.missing:
            here["dreamsim"] = None
        return protocol.model_copy(update=here)


def nets(protocols: Iterable[Protocol]) -> set[str]:
    return {net for protocol in protocols if protocol.lpips for net in protocol.lpips.nets}


def network_key(fid: Fid) -> tuple[str, str]:
    """Name and resize, which is empty where a network has no choice."""
    return fid.features, fid.resize if fid.features == "inception" else ""


def without(fid: Fid) -> str:
    """The options that measure another distance, or none."""
    free = [other for other in ("efficientnet-lite0", "none") if other != fid.features]
    return "".join(f"--features {other}, or " for other in free)
