"""Adam and the course of its step size, as a recipe says."""

from __future__ import annotations

import math

import torch

from hashpipe.hashing.training.finetuned_network import Network
from hashpipe.hashing.training.heads.base import TrainedHead
from hashpipe.hashing.training.objectives.base import Objective, Recipe

_STAIR, _DROP = 200, 0.99  # steps between two drops of the "staircase" schedule, and the factor of each


def make_optimiser(
    recipe: Recipe, head: TrainedHead, objective: Objective, network: Network | None, network_rate: float
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Adam over the head, what the objective learns, and a network with a step size of its own."""
    learnt = [one for one in (*head.parameters(), *objective.parameters()) if one.requires_grad]
    optimiser = torch.optim.Adam(learnt, lr=recipe.learning_rate, eps=recipe.epsilon)
    factors = [lambda step: factor(recipe, step)]
    if network is not None:
        optimiser.add_param_group({"params": network.parameters, "lr": network_rate})
        factors.append(network.rate)
    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, factors)


def factor(recipe: Recipe, step: int) -> float:
    """Factor of the step size: half a cosine from 1 to .05, or times .99 every 200 steps."""
    if recipe.schedule == "staircase":
        return float(_DROP ** (step // _STAIR))
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / max(recipe.steps, 1)))
