"""How many groups the norms of a convolutional network have."""

from torch import nn


def regroup(network: nn.Module, groups: int) -> None:
    """Give every group norm so many groups, on which the shape of no weight depends.

    A narrow network wants fewer than the 32 of the published ones: a group of a single channel
    loses its mean over the image, and with it the image's brightness.
    """
    for part in network.modules():
        if hasattr(part, "num_groups"):
            part.num_groups = groups
