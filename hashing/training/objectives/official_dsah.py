"""DSAH as its published code has it: loss, optimiser, batch and number of steps, on descriptors of any backbone.

Read off the official TensorFlow code: Adam with step 1e-4 and epsilon 1.0, times .99 every 200 steps; batches of 50;
one softmax over all pairs of the batch at temperature 1, the diagonal included in softmax and mean; gradient through
the weights; no quantisation term; new neighbours from the mean of the present ones on (gamma 0), none dropped; 30
epochs a round. Mended, because it cannot be meant: the initial neighbours (its script intersects with an empty set and
finds none) and when neighbours are discovered (after the last epoch of one round it has no effect: here between two
rounds). Ours: one linear layer from descriptor to code, begun as ITQ, where it trains VGG-19's fc7 with two layers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hashpipe.hashing.training.objectives import dsah
from hashpipe.hashing.training.options import TrainOptions

RATE, EPSILON, BATCH, ROUNDS, EPOCHS = 1e-4, 1.0, 50, 2, 30


def applies(options: TrainOptions) -> bool:
    return options.objective == "dsah" and options.faithful


def steps(options: TrainOptions, photos: int) -> int:
    """Steps of all rounds: 30 epochs each, or what --steps says where it is not the default."""
    if options.steps != TrainOptions.steps:
        return options.steps
    return ROUNDS * EPOCHS * -(-photos // BATCH)


def decay(step: int) -> float:
    """Factor of the step size."""
    return float(0.99 ** (step // 200))


def loss(h: Tensor, target: Tensor, weighted: bool = True) -> dict[str, Tensor]:
    """The official loss: dsah.loss at temperature 1 with the diagonal, where a photo is its own neighbour.

    h: (B,k); target: (B,B) of ±1.
    """
    itself = torch.eye(len(h), dtype=torch.bool, device=h.device)
    return dsah.loss(h, target.masked_fill(itself, 1.0), 1.0, 0.0, weighted, through_weights=True, diagonal=True)
