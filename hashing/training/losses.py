"""Losses of binary codes for a training loop of one's own, with margins in bits: `hashpipe.losses`.

    loss = hashpipe.losses.BCDH(margin_bits=16)
    loss(u, pairs, labels).backward()

u are the outputs of a network before tanh or sign, float (B,k): bit i of a code is 1 where u_i is not negative. pairs
are positions in the batch, int (P,2), with labels 1 (similar) or -1 (dissimilar), int (P,); without labels all pairs
are similar. Or pairs is an `indices_tuple` of pytorch-metric-learning, of three tensors or four. Each loss is that of
the objective of the same name, for which `hashpipe train` has a sampler, neighbour discovery and a start besides.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from hashpipe.common.errors import UserError
from hashpipe.common.option_values import typed
from hashpipe.hashing.training.known_pairs import Pairs, make_batch
from hashpipe.hashing.training.objectives.base import Known, Objective
from hashpipe.hashing.training.objectives.bcdh import Bcdh, BcdhOptions
from hashpipe.hashing.training.objectives.dpsh import Dpsh, DpshOptions
from hashpipe.hashing.training.objectives.dsah import Dsah, DsahOptions
from hashpipe.hashing.training.objectives.dsh import Dsh, DshOptions
from hashpipe.hashing.training.objectives.dtsh import Dtsh, DtshOptions
from hashpipe.hashing.training.objectives.joint import Joint as JointObjective
from hashpipe.hashing.training.objectives.joint import JointOptions

__all__ = ["BCDH", "DPSH", "DSAH", "DSH", "DTSH", "Joint", "PairLoss"]

_NONE = np.zeros((0, 2), np.int64)


class PairLoss(nn.Module):
    """Base of the losses; it holds no parameters.

    margin_bits: for those that have a margin, the Hamming distance in bits; None for the objective's own share of the
    bits. Raises UserError for a margin that is negative.
    """

    kind: ClassVar[type[Objective]]
    margin_scale: ClassVar[float] = 1.0  # the objective's margin for a Hamming distance of all bits
    similar_are_neighbours: ClassVar[bool] = False  # whether it reads known pairs as what discovery would find

    def __init__(self, options: Any, margin_bits: float | None = None) -> None:
        super().__init__()
        if margin_bits is not None and not margin_bits >= 0:
            raise UserError(f"margin_bits is {margin_bits}; give a Hamming distance in bits, 0 or more.")
        typed(options)
        self.options, self.margin_bits = options, margin_bits

    def forward(
        self,
        u: Tensor,
        pairs: Pairs,
        labels: Tensor | None = None,
        *,
        neighbours: Tensor | None = None,
        places: Tensor | None = None,
        progress: float = 0.0,
    ) -> Tensor:
        """The loss, a scalar that is finite also where a batch has no pair of a kind.

        neighbours: int (P,2), pairs that are guessed to be similar; places: int (B,), a number for each place, -1 where
        it is unknown: photos of two places are dissimilar; progress: share of the training that is done, in [0,1).
        Raises UserError for pairs, labels and places that cannot be meant.
        """
        parts = self.parts(u, pairs, labels, neighbours=neighbours, places=places, progress=progress)
        return torch.stack(list(parts.values())).sum()

    def parts(
        self,
        u: Tensor,
        pairs: Pairs,
        labels: Tensor | None = None,
        *,
        neighbours: Tensor | None = None,
        places: Tensor | None = None,
        progress: float = 0.0,
    ) -> dict[str, Tensor]:
        """The terms of the loss by name, scalars; arguments as in `forward`."""
        batch = make_batch(u, pairs, labels, neighbours, places, progress)
        if self.similar_are_neighbours:
            batch = replace(batch, neighbours=batch.neighbours | batch.similar)
        options = self.options
        if self.margin_bits is not None:
            options = replace(options, margin=self.margin_scale * self.margin_bits / u.shape[1])
        known = Known(np.zeros(0, np.int64), _NONE, _NONE, _NONE)
        return self.kind(options, u.shape[1], known).loss(batch)

    def extra_repr(self) -> str:
        said = {"margin_bits": self.margin_bits, **vars(self.options)}
        return ", ".join(f"{name}={value}" for name, value in said.items() if value is not None)


class BCDH(PairLoss):
    """Pairwise constrained loss (arXiv 1802.07437), per bit, against the signs of the batch.

    Similar pairs are drawn together; dissimilar ones pushed apart up to `margin_bits`, a quarter of the code where
    None. A penalty on the distance from binary codes doubles after each quarter of the training: pass `progress`.
    """

    kind = Bcdh

    def __init__(self, margin_bits: float | None = None) -> None:
        super().__init__(BcdhOptions(binary_step=False), margin_bits)


class DSAH(PairLoss):
    """Deep self-adaptive hashing (arXiv 2108.07094): similar pairs and neighbours attract, all other pairs repel.

    information: weigh pairs by information content; official: the loss of the published code.
    """

    kind = Dsah
    similar_are_neighbours = True

    def __init__(self, information: bool = True, official: bool = False) -> None:
        super().__init__(DsahOptions(information=information, official=official))


class Joint(PairLoss):
    """The project's default: contrast of known pairs and of neighbours, and the constrained loss of known pairs.

    pairwise, neighbours, constraint: weights of the three terms; information: weigh pairs by information content;
    temperature: of the contrast; margin_bits: as for BCDH. Photos of which nothing is said are contrasted with.
    """

    kind = JointObjective

    def __init__(
        self,
        margin_bits: float | None = None,
        pairwise: float = 1.0,
        neighbours: float = 0.3,
        constraint: float = 0.3,
        information: bool = True,
        temperature: float = 0.2,
    ) -> None:
        options = JointOptions(
            pairwise=pairwise,
            neighbours=neighbours,
            constraint=constraint,
            information=information,
            temperature=temperature,
        )
        super().__init__(options, margin_bits)


class DSH(PairLoss):
    """Contrastive distances of real outputs near binary values (Liu et al., CVPR 2016); margin_bits: half the code."""

    kind = Dsh
    margin_scale = 4.0  # squared distance of codes of ±1 that differ in one bit

    def __init__(self, margin_bits: float | None = None, quantise: float = 0.01) -> None:
        super().__init__(DshOptions(quantise=quantise), margin_bits)


class DPSH(PairLoss):
    """Likelihood of pairs under their inner products (Li, Wang, Kang, IJCAI 2016), within the batch; no margin."""

    kind = Dpsh

    def __init__(self, quantise: float = 0.1) -> None:
        super().__init__(DpshOptions(quantise=quantise, memory=False))


class DTSH(PairLoss):
    """A similar photo wins over a dissimilar one by margin_bits, half the code where None (Wang, Shi, Kitani, 2016)."""

    kind = Dtsh

    def __init__(self, margin_bits: float | None = None, quantise: float = 0.0044) -> None:
        super().__init__(DtshOptions(quantise=quantise), margin_bits)
