"""What an objective is given at each step."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from hashpipe.hashing.training.heads.base import TrainedHead


@dataclass(frozen=True)
class Batch:
    """B photos of one step and what is known of each two of them; what no matrix says is unknown.

    rows         int64 (B,), rows of the photos among all that are learnt from
    u            float32 (B,k), outputs of the head before tanh or sign; gradient flows through them alone
    descriptors  float32 (B,d), unit rows: the float descriptors that the head sees, without gradient
    pairs        int64 (P,2), positions in the batch of the pairs that were drawn
    label        int8 (P,): 1 similar and -1 dissimilar by 3D, 0 discovered neighbours
    similar      bool (B,B), known from 3D
    dissimilar   bool (B,B), excluded by 3D: labelled so, or in two places that nothing connects
    neighbours   bool (B,B), discovered: a guess
    unrelated    bool (B,B), nothing says that the two may show one place; contrastive objectives take these as
                 negatives, although most of them are unknown
    place        int64 (B,), a number for each place, -1 for photos without one: classes that need no labels
    progress     share of the steps that are done, in [0,1)
    grade        float32 (B,B), co-visibility of similar pairs in [0,1], 0 elsewhere; None unless the recipe asks
    maps         float32 (B,C,7,7), feature maps without noise; None unless the head reads them
    head         what makes u, for objectives whose loss looks into it
    """

    rows: Tensor
    u: Tensor
    descriptors: Tensor
    pairs: Tensor
    label: Tensor
    similar: Tensor
    dissimilar: Tensor
    neighbours: Tensor
    unrelated: Tensor
    place: Tensor
    progress: float = 0.0
    grade: Tensor | None = None
    maps: Tensor | None = None
    head: TrainedHead | None = None

    def first(self, bits: int) -> Batch:
        """The same photos with the first `bits` outputs alone."""
        return replace(self, u=self.u[:, :bits])
