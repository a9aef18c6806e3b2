"""The interface of a learning objective: one published method is one file beside this one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from torch import Tensor, nn

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.heads.base import TrainedHead

NEEDS = {
    "pairs": "a pair known similar from 3D",
    "dissimilar": "a pair known dissimilar, or two places",
    "places": "two places, which stand for classes",
    "grades": "co-visibility of pairs; without it all similar pairs are of one level",
    "neighbours": "discovered neighbours, which need no 3D",
}  # what an objective may need


@dataclass(frozen=True)
class Recipe:
    """What an objective wants of a batch, and how it is optimised.

    pairs, dissimilar  pairs known from 3D in a batch; half of the dissimilar ones are hard where `hard` mines them
    neighbours         discovered pairs in a batch; without a known pair they take the place of `pairs` too
    random             further photos, drawn at random
    distinct           each photo once and in ascending order, for objectives over all pairs of a batch
    discovery          first neighbours: those among each other's nearest ("mutual"), DSAH's rule ("dsah"), or none
    neighbourhood      nearest photos that discovery begins with, at least
    drop               deviations below the mean at which a round drops a neighbour; None drops none
    hard               mine dissimilar pairs that lie near in code space, once per pass over the similar ones
    graded             batches carry the co-visibility of their pairs
    noise              on descriptors, in standard deviations of each dimension
    steps, rounds      optimisation steps; `Objective.round` is called between rounds of equal length
    towards_start      weight of the starting point when the learnt head is interpolated with it at the end
    """

    pairs: int = 0
    dissimilar: int = 0
    neighbours: int = 0
    random: int = 0
    distinct: bool = False
    discovery: Literal["none", "mutual", "dsah"] = "none"
    neighbourhood: int = 6
    drop: float | None = 2.0
    hard: bool = False
    graded: bool = False
    noise: float = 0.3
    steps: int = 500
    rounds: int = 4
    learning_rate: float = 5e-3
    epsilon: float = 1e-8
    schedule: Literal["cosine", "staircase"] = "cosine"
    towards_start: float = 0.0


@dataclass(frozen=True)
class Known:
    """All that is known of N photos: pairs int64 (P,2) of rows, the place of each photo int64 (N,), -1 none."""

    place: np.ndarray
    similar: np.ndarray
    dissimilar: np.ndarray
    neighbours: np.ndarray
    hard: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int64))

    def labelled(self) -> tuple[np.ndarray, np.ndarray]:
        """All pairs (P,2) and their labels (P,): 1 for similar ones and neighbours, -1 for dissimilar and hard ones."""
        alike, apart = len(self.similar) + len(self.neighbours), len(self.dissimilar) + len(self.hard)
        pairs = np.concatenate([self.similar, self.neighbours, self.dissimilar, self.hard])
        return pairs, np.repeat([1, -1], [alike, apart])


class Objective(nn.Module):
    """A learning objective. Its parameters learn beside the head; its buffers and parameters go into checkpoints.

    A subclass names its frozen dataclass of options, says in `recipe` what batches it wants and computes `loss`.
    """

    name: ClassVar[str]
    Options: ClassVar[type]
    idea: ClassVar[str] = ""  # one clause: what is learnt
    source: ClassVar[str] = "this project"  # authors, venue, year, link
    reconstruction: ClassVar[str] = ""  # what is chosen here for want of the paper; empty where its formula is known
    head: ClassVar[str] = "linear"  # the kind of head that the method is published with, taken where none is named
    heads: ClassVar[frozenset[str]] = frozenset()  # the only kinds that it works with; any where empty
    needs: ClassVar[frozenset[str]] = frozenset()  # of NEEDS
    through_tanh: ClassVar[bool] = False  # whether its relaxed codes are a tanh of u, so that `amplify` applies
    on_device: ClassVar[bool] = False  # whether it makes all its tensors where u is, so that a GPU can hold them
    prefix_codes: ClassVar[bool] = True  # whether the loss of the first bits alone makes sense (Matryoshka)

    def __init__(self, options: Any, bits: int, known: Known) -> None:
        super().__init__()
        self.options, self.bits = options, bits

    @classmethod
    def recipe(cls, options: Any, has_pairs: bool, photos: int) -> Recipe:
        """What batches are made of; has_pairs: whether 3D knows a similar pair; photos: how many are learnt from.

        By default known pairs and random photos, each once, with co-visibility where the objective needs it.
        """
        return Recipe(pairs=96, random=128, distinct=True, graded="grades" in cls.needs)

    @classmethod
    def start(cls, options: Any, x: np.ndarray, bits: int, known: Known) -> np.ndarray | None:
        """Weights float32 (d,bits) where learning starts, on descriptors x float32 (N,d); None for ITQ."""
        return None

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Named scalars whose sum is minimised; 0 where a batch has nothing for a part, never nan.

        Parts that read codes whatever is known of the photos are named "quantise" (or "quantisation"), "balance" and
        "variance"; those that read weights alone "decay" and "orthogonal".
        """
        raise NotImplementedError

    def meet(self, head: TrainedHead) -> None:
        """Called once before `begin`; here parameters are made whose shape depends on the head."""

    def begin(self, u: Tensor, known: Known) -> None:
        """Called once before the first step; u float32 (N,k), outputs for all photos, without gradient."""

    def round(self, u: Tensor, known: Known, progress: float) -> None:
        """Called between two rounds, after neighbours were discovered anew; u as in `begin`."""

    def bit_weights(self) -> Tensor | None:
        """How much each bit weighs, float32 (k,) of no negative numbers, where the method learns that; else None."""
        return None
