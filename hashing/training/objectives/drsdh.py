"""DRSDH, bit-scalable deep hashing (DRSCH in the paper): bits carry learnt weights, so that codes can be cut later.

Zhang, Lin, Zhang, Zuo, Zhang, TIP 24(12), 2015. Relaxed codes are weighted, v = w ∘ tanh(γu/2), and

    mean over triplets of [m + ||v_i - v_p||² - ||v_i - v_n||²]_+  +  (β / 2T) sum over similar pairs of ||v_i - v_j||²

with T triplets. γ grows from 5 by a tenth and m from 5 by .1, eight times over the course of training. Codes are the
signs; the model keeps bits by falling |w|, so that its first k' bits are the k' that weigh most.

The authors' code hands over the negative of A + D in place of the Laplacian, so that its graph term rewards large
norms, and tests on real outputs; both are mended. Reconstruction: the graph joins similar pairs alone, and growth
follows the share of the steps. Ours: Adam on a linear head from ITQ.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives.base import Known, Objective
from hashpipe.hashing.training.objectives.terms import squared_distances
from hashpipe.hashing.training.objectives.triplets import hinge, triplets

_GROWTHS = 8  # times that γ and m grow


@dataclass(frozen=True)
class DrsdhOptions:
    """Options of drsdh."""

    margin: float = field(default=5.0, metadata={"help": "margin between weighted distances (m); a wrong bit costs 4"})
    graph: float = field(default=1e-3, metadata={"help": "weight of the graph of similar pairs (β)", "min": 0.0})
    steepness: float = field(default=5.0, metadata={"help": "steepness of tanh at the start (γ)", "min": 0.01})


class Drsdh(Objective):
    """Learns one weight for each bit, float32 (k,), beside the head."""

    name = "drsdh"
    Options = DrsdhOptions
    idea = "triplets on codes whose bits carry learnt weights; the least important may be cut off later"
    source = "Zhang, Lin, Zhang, Zuo, Zhang, TIP 24(12), 2015"
    needs = frozenset({"pairs", "dissimilar"})
    prefix_codes = False  # bits are put in order when all have learnt
    through_tanh = True

    def __init__(self, options: DrsdhOptions, bits: int, known: Known) -> None:
        super().__init__(options, bits, known)
        self.weight = nn.Parameter(torch.ones(bits))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        grown = _GROWTHS * batch.progress
        v = self.weight * torch.tanh(self.options.steepness * 1.1**grown * batch.u / 2)
        chosen = triplets(batch)
        graph = (squared_distances(v) * batch.similar).sum() / (2 * max(len(chosen), 1))
        ranked = hinge(v, chosen, self.options.margin + 0.1 * grown)
        return {"triplets": ranked, "graph": self.options.graph * graph}

    def bit_weights(self) -> Tensor:
        return self.weight.detach().abs()
