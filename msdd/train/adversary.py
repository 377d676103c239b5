"""Losses of the adversarial game between a student and a discriminator, and its training."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msdd.train.team import ALONE, Team

FLOOR = 1e-4  # keeps the adaptive weight finite; as in VQGAN's code


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's hinge loss, (mean relu(1 - real) + mean relu(1 + fake)) / 2.

    real, fake: logits of any shape, high for what it takes for real.
    """
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def hinge_generator(fake: Tensor) -> Tensor:
    """The generator's hinge loss, minus the mean of the logits of generated images."""
    return -fake.mean()


def adaptive_weight(
    reconstruction_loss: Tensor,
    adversarial_loss: Tensor,
    last_layer_weight: Tensor,
    maximum: float = 1e4,
) -> Tensor:
    """The factor that makes the adversarial gradient as large as that of the other losses.

    ||d reconstruction_loss|| / (||d adversarial_loss|| + 1e-4), both with respect to
    `last_layer_weight`, at most `maximum`; a scalar without gradient (VQGAN, Esser et al. 2021,
    equation 7). Where the adversarial gradient vanishes it is 1e4 times the norm of the other, at
    most `maximum`. Both graphs are retained.
    """
    norms = [
        torch.autograd.grad(loss, last_layer_weight, retain_graph=True)[0].norm()
        for loss in (reconstruction_loss, adversarial_loss)
    ]
    return (norms[0] / (norms[1] + FLOOR)).clamp(max=maximum).detach()


class Adversary:
    """A discriminator in training: it judges the images of a step, then learns from them.

    Every microbatch finds its buffers and the random numbers as if it were the only one of the
    step, so that it does not matter which process computes which.

    learning_rate: at the peak of the student's schedule, which its own follows.
    betas:         decay rates of Adam's two averages.
    """

    def __init__(
        self, network: nn.Module, learning_rate: float, betas: tuple[float, float]
    ) -> None:
        self.network = network
        self.learning_rate = learning_rate
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=learning_rate, betas=betas, weight_decay=0.0, fused=True
        )
        self.seen: list[tuple[Tensor, Tensor, Tensor]] = []
        self.before: list[Tensor] = []

    def judge(self, fake: Tensor, real: Tensor) -> Tensor:
        """The student's hinge loss, a scalar, on its images (B, 3, H, W) in [-1, 1].

        Both sets of images are kept for `step`, with the state of the random numbers.
        """
        self._begin(not self.seen)
        self.network.requires_grad_(False)  # the student's backward pass leaves no gradient here
        logits = self.network(fake)
        self.seen.append((fake.detach(), real, torch.get_rng_state()))
        return hinge_generator(logits)

    def step(self, rate: float, team: Team = ALONE) -> tuple[Tensor, Tensor]:
        """Update the discriminator on the images judged since the last step; returns its loss and
        the norm of its gradients.

        rate: of the peak learning rate, in [0, 1].
        team: the processes that have judged as many microbatches each.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = rate * self.learning_rate
        self.network.requires_grad_(True)
        self.optimiser.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.seen[0][0].device)
        for index, (fake, real, random) in enumerate(self.seen):
            self._begin(index == 0)
            torch.set_rng_state(random)
            loss = hinge_discriminator(self.network(real), self.network(fake))
            loss = loss / (len(self.seen) * team.size)
            loss.backward()
            total += loss.detach()
        self.seen.clear()
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        team.add_up([*gradients, total])
        team.copy_first(list(self.network.buffers()))
        self.optimiser.step()
        return total, torch.nn.utils.get_total_norm(gradients)

    def _begin(self, first: bool) -> None:
        """Give every microbatch the buffers that the first one found."""
        if first:
            self.before = [buffer.clone() for buffer in self.network.buffers()]
        for buffer, before in zip(self.network.buffers(), self.before, strict=True):
            buffer.copy_(before)

    def state_dict(self) -> dict:
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
