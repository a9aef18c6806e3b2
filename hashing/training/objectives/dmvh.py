"""DMVH: deep learning to hash with multiple representations (Kang, Kim, Choi, ICDM 2012).

A photo has two descriptors, x_1 and x_2, (B,d). Hidden units see the first alone (z_1), the second alone (z_2) or both
(z_s), and make the outputs u (the head `views`); each descriptor is rebuilt from its own units and the common ones:

    β Σ_v mean_i |x_v - R_v [z_v; z_s]|²  -  mean_i log( Σ_{j similar} e^-d_ij / Σ_{j known} e^-d_ij )

d_ij = |t_i - t_j|², t = tanh(u), over photos i with a similar one (NCA). One view of a photo is dropped with chance ¼,
so that either suffices. Reconstruction: all but the idea, as the paper is known by its abstract. The two descriptors
are GeM and the maximum of one feature map; the paper learns layer by layer as in a Boltzmann machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.heads.base import TrainedHead
from hashpipe.hashing.training.heads.views import ViewsHead
from hashpipe.hashing.training.objectives.base import Known, Objective, Recipe
from hashpipe.hashing.training.objectives.draws import Draws
from hashpipe.hashing.training.objectives.terms import mean_or_zero, squared_distances


@dataclass(frozen=True)
class DmvhOptions:
    """Options of dmvh."""

    rebuild: float = field(default=1.0, metadata={"help": "weight of rebuilding both descriptors (β)", "min": 0.0})
    drop: float = field(default=0.25, metadata={"help": "chance that a photo lacks a view", "min": 0.0, "max": 1.0})


def neighbourhood(t: Tensor, similar: Tensor, dissimilar: Tensor) -> Tensor:
    """The last term above, scalar: t (B,k), masks bool (B,B); 0 where no photo has a similar one."""
    asks = similar.any(1)
    closeness = -squared_distances(t)[asks]
    parts = [torch.where(mask[asks], closeness, -torch.inf).logsumexp(1) for mask in (similar, similar | dissimilar)]
    return -mean_or_zero(parts[0] - parts[1])


class Dmvh(Objective):
    """Learns a decoder of each view, from its own units and the common ones; buffer: the state of what drops views."""

    name = "dmvh"
    Options = DmvhOptions
    idea = "units of each of two descriptors and units of both, from which either is rebuilt; neighbours by known pairs"
    source = "Kang, Kim, Choi, ICDM 2012"
    reconstruction = "all but the idea: the paper is known by its abstract"
    head = "views"
    needs = frozenset({"pairs", "dissimilar"})
    through_tanh = True

    def __init__(self, options: DmvhOptions, bits: int, known: Known) -> None:
        super().__init__(options, bits, known)
        self.draws = Draws()

    def meet(self, head: TrainedHead) -> None:
        if isinstance(head, ViewsHead):
            _, width, quarter = head.private.shape
            self.decoders = nn.ModuleList(nn.Linear(3 * quarter, width) for _ in range(2))

    @classmethod
    def recipe(cls, options: DmvhOptions, has_pairs: bool, photos: int) -> Recipe:
        return Recipe(pairs=48, random=64, distinct=True)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        u = batch.u
        if isinstance(batch.head, ViewsHead):
            found, outputs = self.views(batch, batch.head)
            u = outputs[:, : u.shape[1]]
        return {"neighbourhood": neighbourhood(torch.tanh(u), batch.similar, batch.dissimilar), **found}

    def views(self, batch: Batch, head: ViewsHead) -> tuple[dict[str, Tensor], Tensor]:
        """What rebuilding costs, and outputs (B,k) of photos of which some lack a view."""
        views, drop = head.coordinates, self.options.drop
        chance = torch.tensor([drop, 0.5]).expand(len(views), 2)  # that one is dropped, that it is the first
        dropped, first = self.draws(chance, batch.rows).T
        kept = ~torch.stack([dropped & first, dropped & ~first], 1)
        units = head.units(views * kept[:, :, None])
        quarter = units.shape[1] // 4
        gap = torch.zeros(())
        for number, decoder in enumerate(self.decoders):
            own = torch.cat([units[:, number * quarter : (number + 1) * quarter], units[:, 2 * quarter :]], 1)
            gap = gap + (views[:, number].detach() - decoder(own)).square().sum(1).mean()
        return {"rebuild": self.options.rebuild * gap}, head.hashed(units)
