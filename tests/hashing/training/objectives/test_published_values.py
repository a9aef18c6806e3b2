"""Values of published objectives on the five photos of toys.py, computed elsewhere from their formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import toys

from hashpipe.hashing.training.objectives import objective_class
from hashpipe.hashing.training.objectives.base import Objective

CLASSIFIER = ((0.5, -0.2, 0.4, 0.1), (-0.3, 0.6, -0.5, 0.2))  # without bias
BITS = (1.0, 1.0, 0.5, 2.0)

# objective, its options, progress -> the parts of the loss and their sum
VALUES: list[tuple[str, dict[str, Any], float, dict[str, float]]] = [
    ("dtsh", {"quantise": 0.25}, 0.0, {"triplets": 1.518980252, "sum": 1.806480252}),
    ("cnnh", {}, 0.0, {"codes": 0.890625}),
    ("drsdh", {}, 0.0, {"triplets": 3.145858386, "graph": 1e-3 * 17.222590592 / 4, "sum": 3.150164033}),
    ("dsrh", {}, 0.0, {"ranking": 0.437594543, "balance": 0.005389648}),
    ("lin2015", {}, 0.0, {"places": 0.523846664}),
    ("ssdh", {}, 0.05, {"places": 0.523846664, "quantise": 0.0, "balance": 0.004564442}),
    ("ssdh", {}, 0.5, {"quantise": -0.027377397, "sum": 0.501033710}),
    ("rdh", {}, 0.0, {"safe": 0.0274780831}),
    ("cohesion", {}, 0.0, {"pairs": 0.624847377}),
    ("cohesion", {}, 0.75, {"pairs": 0.669135616}),
    ("exponentiated", {}, 0.0, {"pairs": 0.922595957}),
    ("csdh", {"graded": False}, 0.0, {"pairs": 0.211718197, "hamming": 0.0480033663, "sum": 0.259721563}),
    ("csdh", {}, 0.0, {"pairs": 0.140106321}),
    ("ssdh-semi", {}, 0.0, {"triplets": 0.411355738}),
]


def made(name: str, options: dict[str, Any], dtype: torch.dtype) -> Objective:
    """An objective begun at the outputs of the five photos."""
    kind = objective_class(name)
    found = kind(kind.Options(**options), 4, toys.known()).to(dtype)
    for key, parameter in found.named_parameters():
        values = {"classifier.layer.weight": CLASSIFIER, "classifier.layer.bias": (0.0, 0.0), "weight": BITS}[key]
        parameter.data = torch.tensor(values, dtype=dtype)
    found.begin(torch.tensor(toys.U), toys.known())
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "options", "progress", "expected"), VALUES)
def test_values_are_those_of_the_formula(name, options, progress, expected, dtype):
    u = torch.tensor(toys.U, dtype=dtype).requires_grad_()
    parts = made(name, options, dtype).loss(toys.batch(u, progress=progress))
    found = {**parts, "sum": torch.stack(list(parts.values())).sum()}
    for part, value in expected.items():
        assert found[part].item() == pytest.approx(value, abs=1e-6), part
