"""ExchNet: a unified hashing network for fine-grained retrieval (Cui et al., ECCV 2020, arXiv 2008.01369).

Four parts of a feature map learn where to look (the head `parts`): f_a, (B,4,d), beside the whole map. They lie apart,
in space and in channels, by Hellinger distances D of their softmax, and come to mean the same in all photos of a place,
since after half of the steps a part is exchanged with the mean C of its place with chance ½. With h = tanh(u), (B,k):

    12/k (mean over known pairs (i, j) of (k S_ij - h_i . v_j)²  +  γ mean_i |h_i - v_i|²)
  + λ mean_i (1 - D_space)  +  λ mean_i [0.4 - D_channels]_+  +  α mean_ia |f_ia - C_a|²

v are binary codes of all photos; between rounds each of their bits is set to what minimises the first line, the others
held. C are means over the photos of the last round. Without maps (`head=linear`) the first line is left, which is ADSH
(Jiang, Li, AAAI 2018). Reconstruction: third-party code was read. Parts are linear on the map of a frozen network,
where the paper refines them by convolutions; the exchange begins half-way (as shipped it never does); codes start at
the signs of the start, not at random; what is exchanged is also aligned.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.heads.base import TrainedHead
from hashpipe.hashing.training.heads.parts import PARTS, PartsHead
from hashpipe.hashing.training.objectives.asymmetric import asymmetric, solved
from hashpipe.hashing.training.objectives.base import Known, Objective, Recipe
from hashpipe.hashing.training.objectives.draws import Draws
from hashpipe.hashing.training.objectives.place_means import PlaceMeans
from hashpipe.hashing.training.objectives.terms import KnownPairs, masked_mean, signs

_CHANCE, _NEAR = 0.5, 0.4  # of an exchange; the distance of channels that is far enough


@dataclass(frozen=True)
class ExchNetOptions:
    """Options of exchnet."""

    quantise: float = field(default=0.1, metadata={"help": "weight of the gap to the codes of all (γ)", "min": 0.0})
    apart: float = field(default=0.1, metadata={"help": "weight of parts that lie apart (λ)", "min": 0.0})
    align: float = field(default=1.0, metadata={"help": "weight of parts near those of their place (α)", "min": 0.0})
    exchange: float = field(
        default=0.5, metadata={"help": "share of the steps before parts are exchanged", "min": 0.0, "max": 1.0}
    )


def hellinger(p: Tensor, q: Tensor) -> Tensor:
    """|√p - √q| / √2 along the last axis: 0 for equal distributions, 1 for disjoint ones."""
    return ((p.sqrt() - q.sqrt()).square().sum(-1) / 2 + 1e-12).sqrt()


def part_distances(scores: Tensor) -> Tensor:
    """Mean Hellinger distance of two parts, (B,): scores (B,A,P), of which each part's softmax is taken."""
    shares = torch.softmax(scores, -1)
    one, other = torch.triu_indices(scores.shape[1], scores.shape[1], 1)
    return hellinger(shares[:, one], shares[:, other]).mean(1)


class ExchNet(Objective):
    """Buffers: codes ±1 float32 (N,k) of all photos; means of parts by place; the state of what draws exchanges."""

    name = "exchnet"
    Options = ExchNetOptions
    idea = "parts of a map that are exchanged within a place; codes of all photos alternate with the head (ADSH)"
    source = "Cui, Jiang, Wei, Li, Yoshie, ECCV 2020, [arXiv 2008.01369](https://arxiv.org/abs/2008.01369)"
    reconstruction = "from third-party code; parts without convolutions, weights as means"
    head = "parts"
    needs = frozenset({"pairs", "dissimilar"})
    prefix_codes = False  # codes of all photos have all bits
    codes: Tensor

    def __init__(self, options: ExchNetOptions, bits: int, known: Known) -> None:
        super().__init__(options, bits, known)
        self.pairs, self.known, self.draws = KnownPairs(known), known, Draws()
        self.register_buffer("codes", torch.ones(len(known.place), bits))

    def meet(self, head: TrainedHead) -> None:
        if isinstance(head, PartsHead):
            self.means = PlaceMeans(self.known.place, (PARTS, len(head.weight)))

    @classmethod
    def recipe(cls, options: ExchNetOptions, has_pairs: bool, photos: int) -> Recipe:
        return Recipe(pairs=48, random=64, distinct=True, rounds=10)

    def begin(self, u: Tensor, known: Known) -> None:
        self.codes.copy_(signs(u))

    def round(self, u: Tensor, known: Known, progress: float) -> None:
        self.codes.copy_(solved(self.codes, torch.tanh(u), self.pairs, self.weight_of_gap(u)))
        if hasattr(self, "means"):
            self.means.next_round()

    def weight_of_gap(self, u: Tensor) -> float:
        """γ of the sum that codes minimise: in the loss both parts are means."""
        rows = torch.arange(len(u))
        counts = [sum(int(mask.sum()) for mask in self.pairs.with_all(part)) for part in rows.split(512)]
        return self.options.quantise * sum(counts) / max(len(u), 1)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        u, bits = batch.u, batch.u.shape[1]
        if isinstance(batch.head, PartsHead):
            found, u = self.parts(batch, batch.head)
        h = torch.tanh(u)
        gap = (h - self.codes[batch.rows]).square().sum(1).mean()
        pairs = asymmetric(h, self.codes.to(h), *self.pairs.with_all(batch.rows))
        return {"pairs": 12 / bits * pairs, "quantise": 12 / bits * self.options.quantise * gap, **found}

    def parts(self, batch: Batch, head: PartsHead) -> tuple[dict[str, Tensor], Tensor]:
        """The terms of parts, and outputs (B,k), with parts exchanged once it is time."""
        options, maps = self.options, batch.maps
        assert maps is not None
        whole, own = head.coordinates[:, :1], head.coordinates[:, 1:]
        space = part_distances(head.found * maps.flatten(2).mean(1)[:, None])
        channels = part_distances(head.pooled[:, 1:] * head.pooled.shape[2] ** 0.5)
        found = {
            "space": options.apart * (1 - space).mean(),
            "channels": options.apart * (_NEAR - channels).clamp(min=0).mean(),
        }
        means, there = self.means.of(batch.rows)
        self.means.add(batch.rows, own.detach())
        if batch.progress < options.exchange:
            return found, batch.u
        found["align"] = options.align * masked_mean((own - means).square().sum(2).mean(1), there)
        chance = torch.full(own.shape[:2], _CHANCE) * there[:, None]
        parts = torch.where(self.draws(chance, batch.rows)[:, :, None], means, own)
        return found, head.hashed(torch.cat([whole, parts], 1))
