"""Properties that every registered objective has; new ones join by being registered.

An objective that reads no pairs stands in UNLABELLED with what it reads instead.
"""

from __future__ import annotations

from dataclasses import replace

import loss_cases as cases
import numpy as np
import pytest
import torch
import toys
from torch import Tensor

from hashpipe.hashing.training.heads import reads_maps
from hashpipe.hashing.training.objectives import OBJECTIVES, objective_class
from hashpipe.hashing.training.options import TrainOptions

UNLABELLED = {"dsah": "discovered neighbours, all others are apart", "bihalf": "descriptors", "dh": "outputs"}
OF_CODES = ("quantise", "quantisation", "balance", "variance", "decay")  # parts that read every photo, or weights alone
GUESSING = {"ssdh-semi": {"near", "far"}, "joint": {"neighbours"}}  # parts that read photos unknown to 3D too
ITQ = TrainOptions((12,), steps=0)
LABELLED = [name for name in OBJECTIVES if name not in UNLABELLED]
ON_MAPS = {name for name in OBJECTIVES if reads_maps(objective_class(name).head)}  # they learn in files of their own


def of_knowledge(name: str, parts: dict[str, Tensor]) -> Tensor:
    """The sum of the parts that read what 3D knows."""
    left_out = {*OF_CODES, *GUESSING.get(name, ())}
    return torch.stack([value for part, value in parts.items() if part not in left_out]).sum()


@pytest.mark.parametrize("name", LABELLED)
@pytest.mark.parametrize("progress", [0.0, 0.6])
def test_a_photo_of_which_nothing_is_known_changes_nothing_and_gets_no_gradient(name, progress):
    case = cases.case(progress=progress)
    for relation in (case.near, case.unrelated):
        relation[8] = relation[:, 8] = False
    found = []
    for last in (0.0, 3.0):
        case.u[8] = last
        batch = cases.batch(case)
        total = of_knowledge(name, cases.made(name, {}, case).loss(batch))
        total.backward()
        assert batch.u.grad is not None
        assert (batch.u.grad[8] == 0).all()
        assert (batch.u.grad[:7] != 0).any()
        found.append(total.item())
    assert found[0] == found[1]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_order_of_the_batch_does_not_matter(name):
    case = cases.case()
    order = np.random.default_rng(5).permutation(cases.B)
    one, other = cases.batch(case), cases.batch(case, order)
    for batch in (one, other):
        parts = cases.made(name, {}, case).loss(batch)
        torch.stack(list(parts.values())).sum().backward()
    first, second = (cases.made(name, {}, case).loss(batch) for batch in (one, other))
    assert set(first) == set(second)
    for part, value in first.items():
        assert value.item() == pytest.approx(second[part].item(), abs=1e-9)
    assert one.u.grad is not None
    torch.testing.assert_close(one.u.grad[torch.from_numpy(order)], other.u.grad, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", LABELLED)
def test_where_nothing_is_known_the_loss_is_0_and_its_gradient_finite(name):
    case = cases.case()
    batch = toys.nothing_known(cases.batch(case))
    for relation in (case.similar, case.apart, case.near):
        relation[:] = False
    if "places" not in objective_class(name).needs:
        case.place[:] = -1
    parts = cases.made(name, {}, case).loss(batch)
    total = of_knowledge(name, parts)
    assert total.item() == 0
    torch.stack(list(parts.values())).sum().backward()
    assert batch.u.grad is not None
    assert torch.isfinite(batch.u.grad).all()


@pytest.mark.parametrize(
    "name", [name for name in LABELLED if name not in {"itdh", *ON_MAPS}]
)  # a closed form: test_itdh.py
def test_two_hundred_steps_bring_places_together_beyond_itq(name):
    x, targets = toys.places(6, 8, 30, spread=0.37, apart=True)
    learnt = toys.learning(name, (12,), steps=200, batch_pairs=32)
    gaps = [toys.gap(toys.fitted_outputs(x, targets, of) >= 0, targets.group) for of in (ITQ, learnt)]
    assert gaps[1] > gaps[0] + 0.02


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name not in ON_MAPS])
def test_a_stopped_run_ends_in_the_same_bytes(name, tmp_path):
    x, targets = toys.places(5, 6, 5, 16, apart=True)
    options = toys.learning(name, steps=24)
    toys.assert_resumes(x, targets, options, tmp_path, toys.maps_for(options, x))


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if cases.SLOW.get(name)])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_loss_is_that_of_loops_and_so_is_its_gradient(name, seed):
    slow, options = cases.SLOW[name]
    case = cases.case(seed)
    made, batch = cases.made(name, options, case), cases.batch(case)
    total = torch.stack(list(made.loss(batch).values())).sum()
    assert total.item() == pytest.approx(slow(case.u, case, made.options, made), abs=1e-9)
    if name in cases.THROUGH_SIGN:
        return
    total.backward()
    expected = np.zeros_like(case.u)
    for at in np.ndindex(case.u.shape):
        values = []
        for step in (1e-6, -1e-6):
            moved = case.u.copy()
            moved[at] += step
            values.append(slow(moved, case, made.options, made))
        expected[at] = (values[0] - values[1]) / 2e-6
    assert batch.u.grad is not None
    np.testing.assert_allclose(batch.u.grad.numpy(), expected, rtol=0, atol=2e-7)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_it_says_what_it_is(name):
    kind = objective_class(name)
    assert kind.idea
    assert kind.source
    assert not kind.idea.endswith(".")
    assert kind.__doc__
    assert set(kind.recipe(kind.Options(), True, 100).__dataclass_fields__)


def test_a_batch_of_one_photo_is_no_error():
    case = cases.case()
    for name in OBJECTIVES:
        whole = toys.nothing_known(cases.batch(case))
        one = torch.zeros(1, 1, dtype=torch.bool)
        single = replace(
            whole,
            rows=whole.rows[:1],
            u=whole.u[:1],
            descriptors=whole.descriptors[:1],
            similar=one,
            dissimilar=one,
            neighbours=one,
            unrelated=one,
            place=whole.place[:1],
            grade=None,
        )
        parts = cases.made(name, {}, case).loss(single)
        assert all(torch.isfinite(value) for value in parts.values()), name
