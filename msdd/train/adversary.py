"""Losses of the adversarial game between a student and a discriminator."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FLOOR = 1e-4  # keeps the adaptive weight finite; VQGAN's


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """(mean relu(1 - real) + mean relu(1 + fake)) / 2 of logits of any shape."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def hinge_generator(fake: Tensor) -> Tensor:
    """-mean of the logits of generated images."""
    return -fake.mean()


def adaptive_weight(
    reconstruction_loss: Tensor,
    adversarial_loss: Tensor,
    last_layer_weight: Tensor,
    maximum: float = 1e4,
) -> Tensor:
    """The factor that makes the adversarial gradient as large as that of the other losses.

    ||d reconstruction_loss|| / (||d adversarial_loss|| + 1e-4), both with respect to
    `last_layer_weight`, at most `maximum`; a scalar without gradient (VQGAN, Esser et al. 2021).
    Both graphs are kept. A vanishing adversarial gradient so gives 1e4 times the reconstruction's,
    up to `maximum`.
    """
    norms = [
        torch.autograd.grad(loss, last_layer_weight, retain_graph=True)[0].norm()
        for loss in (reconstruction_loss, adversarial_loss)
    ]
    return (norms[0] / (norms[1] + FLOOR)).clamp(max=maximum).detach()


class Adversary:
    """A discriminator in training: it judges a step's images, then learns from them.

    Its rate follows the student's schedule, from `learning_rate` at the peak.
    """

    def __init__(
        self, network: nn.Module, learning_rate: float, betas: tuple[float, float]
    ) -> None:
        self.network = network
        self.learning_rate = learning_rate
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=learning_rate, betas=betas, weight_decay=0.0, fused=True
        )
        self.seen: list[tuple[Tensor, Tensor]] = []

    def judge(self, fake: Tensor, real: Tensor) -> Tensor:
        """The student's hinge loss on its images (B, 3, H, W); both sets are kept for `step`."""
        self.seen.append((fake.detach(), real))
        self.network.requires_grad_(False)  # the student's backward has no business there
        return hinge_generator(self.network(fake))

    def step(self, rate: float) -> Tensor:
        """One update on the images judged since the last, at `rate` times the peak; the loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate * self.learning_rate
        self.network.requires_grad_(True)
        self.optimiser.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.seen[0][0].device)
        for fake, real in self.seen:
            loss = hinge_discriminator(self.network(real), self.network(fake)) / len(self.seen)
            loss.backward()
            total += loss.detach()
        self.seen.clear()
        self.optimiser.step()
        return total

    def state_dict(self) -> dict:
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
