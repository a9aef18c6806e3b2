"""Random draws of an objective that a stopped run goes on with: the generator's state is a buffer."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Draws(nn.Module):
    """Buffer `state`, uint8. Seeded from the global generator, which follows the seed while an objective is made."""

    state: Tensor

    def __init__(self) -> None:
        super().__init__()
        seed = int(torch.randint(2**62, ()))
        self.register_buffer("state", torch.Generator().manual_seed(seed).get_state())

    def __call__(self, chance: Tensor, rows: Tensor) -> Tensor:
        """bool, shaped like chance (B,...): True with that chance each, whatever the order of the photos rows (B,)."""
        generator = torch.Generator()
        generator.set_state(self.state)
        drawn = torch.rand(chance.shape, generator=generator)
        self.state = generator.get_state()
        return drawn[rows.argsort().argsort()].to(chance) < chance
