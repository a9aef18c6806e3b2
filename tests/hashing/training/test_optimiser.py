"""What learns, and the course of its step size."""

from __future__ import annotations

import numpy as np
import pytest
import toys

from hashpipe.hashing.training.heads import head_class
from hashpipe.hashing.training.objectives.base import Recipe
from hashpipe.hashing.training.objectives.greedyhash import GreedyHash, GreedyHashOptions
from hashpipe.hashing.training.optimiser import factor, make_optimiser


def test_half_a_cosine_from_1_to_a_twentieth():
    recipe = Recipe(steps=100)
    found = [factor(recipe, step) for step in range(101)]
    assert (found[0], found[50], found[100]) == pytest.approx((1.0, 0.525, 0.05))
    assert found == sorted(found, reverse=True)
    np.testing.assert_allclose(found, 0.05 + 0.95 * np.cos(np.linspace(0, np.pi / 2, 101)) ** 2)
    assert factor(Recipe(steps=0), 0) == 1.0


def test_the_optimiser_follows_the_recipe_over_head_and_objective():
    head = head_class("linear")(np.zeros((3, 4), np.float32))
    objective = GreedyHash(GreedyHashOptions(), 4, toys.known())
    recipe = Recipe(learning_rate=0.25, epsilon=0.5, steps=10)
    optimiser, schedule = make_optimiser(recipe, head, objective, None, 1.0)
    (group,) = optimiser.param_groups
    assert {id(one) for one in group["params"]} == {
        id(one) for one in (head.weight, head.bias, objective.classifier.layer.weight)
    }
    assert (group["lr"], group["eps"]) == (0.25, 0.5)
    optimiser.step()
    schedule.step()
    assert group["lr"] == pytest.approx(0.25 * factor(recipe, 1))
