"""ATH: values and gradients by loops, the attention map, and a class that does not pass through the code."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import toys
from slow_twins import check, triplet_loss

from hashpipe.common.errors import UserError
from hashpipe.hashing.models.formulas import NUMPY
from hashpipe.hashing.models.map_formulas import spatial_map
from hashpipe.hashing.training.heads.spatial import SpatialHead
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives.ath import Ath, AthOptions
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.pca import Pca


def slow(u: np.ndarray, margin: float) -> float:
    return triplet_loss(lambda i, j: float(np.mean([(a - b) ** 2 for a, b in zip(u[i], u[j], strict=True)])), margin)


@pytest.mark.parametrize(("official", "margin", "value"), [(False, 0.5, 0.231250000), (True, 2.0, 1.096875000)])
def test_values_and_gradients_are_those_of_loops(official, margin, value):
    made = Ath(AthOptions(official=official), 4, toys.known())
    check(lambda batch: made.loss(batch)["triplets"], lambda u: slow(u, margin), value)


def test_the_attention_map_has_the_known_values():
    x = np.array([[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [-1.0, 2.0]]])[None]
    kernel = np.zeros((2, 3, 3))
    kernel[0], kernel[1, 1, 1] = 0.1, 0.2
    found = spatial_map(kernel, x, NUMPY)[0]
    np.testing.assert_allclose(found, [[0.689974481, 0.731058579], [0.768524783, 0.802183889]], atol=1e-6)
    np.testing.assert_array_equal(spatial_map(np.zeros((2, 3, 3)), x, NUMPY), np.full((1, 2, 2), 0.5))


def test_the_class_teaches_attention_and_not_the_code():
    head = SpatialHead(np.eye(3, 4, dtype=np.float32), Pca(np.zeros(3, np.float32), np.eye(3, dtype=np.float32)))
    made = Ath(AthOptions(), 4, toys.known())
    made.meet(head)
    maps = torch.rand(5, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    batch = replace(toys.batch(head(maps)), head=head)
    places = made.loss(batch)["places"]
    alone = made.classifier.loss(head.pooled, batch.place).item()
    assert places.item() == pytest.approx(3 * alone)
    places.backward()
    assert head.kernel.grad.abs().max() > 0
    assert made.classifier.layer.weight.grad.abs().max() > 0
    assert head.weight.grad is None


OPTIONS = TrainOptions(bits=(8,), objective="ath", steps=60, batch_pairs=12, batch_others=8, pca=16)


def test_it_learns_and_a_stopped_run_ends_in_the_same_bytes(tmp_path):
    maps, targets = toys.coarse_maps()
    start, found = (fit_heads(None, targets, replace(OPTIONS, steps=steps), maps=maps)[8] for steps in (0, 60))
    assert found.arrays["kernel"].any()
    assert toys.gap(found(maps) >= 0, targets.group) > toys.gap(start(maps) >= 0, targets.group)
    toys.assert_resumes(None, targets, replace(OPTIONS, steps=8), tmp_path, maps)


def test_it_needs_its_head():
    x, targets = toys.places(2)
    with pytest.raises(UserError, match="--objective ath does not work with the head linear"):
        fit_heads(x, targets, replace(OPTIONS, head="linear"))
