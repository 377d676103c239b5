"""The networks that measure, loaded once for all protocols."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import nn

from msdd.errors import MsddError
from msdd.evaluate.columns import Features, all_pairs, frechet_pairs, of_single_images
from msdd.evaluate.ocr import Reader
from msdd.evaluate.protocol import Protocol
from msdd.metrics.dists import Dists
from msdd.metrics.perceptual import DreamSim, Lpips, without_dreamsim
from msdd.weights.classifier import classifier
from msdd.weights.face_networks import FaceNetworks
from msdd.weights.fast_inception import faster_inception
from msdd.weights.pretrained_networks import feature_network
from msdd.weights.representations import REPRESENTATIONS, key_of


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
        self.unavailable: dict[str, str] = {}  # reasons, by weights of feature networks
        self.lpips: dict[str, Lpips] = {}
        self.features: dict[tuple[str, str], nn.Module] = {}
        self.alone: dict[str, Any] = {}  # what one metric needs, by a protocol's key
        for net in sorted(nets(protocols)):
            self.load(self.lpips, net, partial(Lpips, net, device), [f"lpips_{net}"])
        if any(p.dists for p in protocols):
            self.load(self.alone, "dists", partial(Dists, device), ["dists"])
        for protocol in protocols:
            for _, made in all_pairs(protocol):
                self.add_features(made, protocol, metrics_on(made.network, protocols))
        judges = {"classes": partial(classifier, device), "text": Reader, "faces": FaceNetworks}
        for key, make in judges.items():
            if any(getattr(p, key) for p in protocols):
                self.load(self.alone, key, make, [key])
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

    def add_features(self, made: Features, protocol: Protocol, metrics: list[str]) -> None:
        """A feature network; without another attempt to get weights that cannot be had."""
        weights, key = REPRESENTATIONS[made.network].weights, (made.network, made.resize)
        if reason := self.unavailable.get(weights):
            self.missing |= dict.fromkeys(metrics, reason)
            return

        def make() -> nn.Module:
            network = feature_network(made.network, self.device, made.resize or None)
            return faster_inception(network, self.device)

        self.load(self.features, key, make, metrics, without(made, protocol))
        if key not in self.features:
            self.unavailable[weights] = self.missing[metrics[0]]

    def add_dreamsim(self) -> None:
        if reason := without_dreamsim():
            self.missing["dreamsim"] = reason
        else:
            self.alone["dreamsim"] = DreamSim(self.device)

    def measurable(self, protocol: Protocol) -> Protocol:
        """A protocol without the metrics that are missing."""
        here: dict[str, object] = {}
        if protocol.lpips:
            left = tuple(net for net in protocol.lpips.nets if net in self.lpips)
            lpips = protocol.lpips.model_copy(update={"nets": left})
            here["lpips"] = lpips if left else None
        if protocol.fid and protocol.fid.name in self.missing:
            here |= {"fid": None, "kid": False, "kid_torch_fidelity": False}
        if more := protocol.frechet:
            left = tuple(n for n in more.networks if f"fd_{key_of(n)}" not in self.missing)
            here["frechet"] = more.model_copy(update={"networks": left}) if left else None
        if protocol.patch_fid and protocol.patch_fid.name in self.missing:
            here["patch_fid"] = None
        alone = ("cmmd", "dists", "dreamsim", "classes", "text", "faces")
        here |= {name: None for name in alone if name in self.missing}
        return protocol.model_copy(update=here)


def nets(protocols: Iterable[Protocol]) -> set[str]:
    return {net for protocol in protocols if protocol.lpips for net in protocol.lpips.nets}


def metrics_on(network: str, protocols: Iterable[Protocol]) -> list[str]:
    """The metrics of some protocols that need a feature network, by name."""
    names = []
    for protocol in protocols:
        names += [f"fd_{key_of(n)}" for n in frechet_pairs(protocol) if n == network]
        of_single = of_single_images(protocol).items()
        if (of := protocol.patch_fid) and of.features == network:
            names.append(of.name)
        names += [name for name, (_, pair) in of_single if pair[1].network == network]
    return list(dict.fromkeys(names))


def without(made: Features, protocol: Protocol) -> str:
    """The options that measure another distance in place of one of one network, or none."""
    chosen = {of.features for of in (protocol.fid, protocol.patch_fid) if of}
    others = ("efficientnet-lite0", "none") if made.network in chosen else ("none",)
    return "".join(f"--features {other}, or " for other in others if other != made.network)
