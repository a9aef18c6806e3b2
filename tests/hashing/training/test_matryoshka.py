"""Matryoshka codes: one head whose first bits are the shorter codes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import toys

from hashpipe.hashing.models.heads import FORMULAS
from hashpipe.hashing.training import matryoshka
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives import OBJECTIVES, objective_class
from hashpipe.hashing.training.options import TrainOptions


def photos(n: int = 60, d: int = 20) -> np.ndarray:
    x = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32) * np.linspace(3, 0.3, d, dtype=np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("objective", [name for name in OBJECTIVES if objective_class(name).prefix_codes])
def test_short_codes_are_the_first_bits_of_long_ones(objective):
    x, targets = toys.places(lone=10)
    options = toys.learning(objective, (6, 10, 16), steps=12, matryoshka=True)
    heads = fit_heads(x, targets, options, maps=toys.maps_for(options, x))
    *shorter, longest = options.bits
    assert sorted(heads) == list(options.bits)
    whole = toys.outputs(heads[longest], options, x)
    for short in shorter:
        for name in FORMULAS[heads[longest].kind].by_bit:
            np.testing.assert_array_equal(heads[short].arrays[name], heads[longest].arrays[name][..., :short])
        # a product of another width may be summed in another order
        np.testing.assert_allclose(toys.outputs(heads[short], options, x), whole[:, :short], rtol=0, atol=1e-5)


def test_start_gives_every_length_the_itq_of_what_is_left():
    x = photos() - photos().mean(axis=0)
    weight = matryoshka.start(x, (4, 8, 40), 0)
    assert weight.shape == (20, 40)
    assert np.isfinite(weight).all()
    np.testing.assert_allclose(weight[:, :4], matryoshka.start(x, (4,), 0), atol=1e-6)
    code = np.where(x @ weight >= 0, 1.0, -1.0)
    gaps = [np.square(x - code[:, :k] @ np.linalg.lstsq(code[:, :k], x, rcond=None)[0]).mean() for k in (4, 8, 40)]
    assert gaps[0] > gaps[1] > gaps[2]  # every block says something new


@pytest.mark.parametrize("n", [1, 2])
def test_start_from_few_photos(n):
    assert np.isfinite(matryoshka.start(np.zeros((n, 3), np.float32), (4, 8), 0)).all()


def test_parts_are_means_over_lengths():
    found = matryoshka.parts(
        lambda k: {"a": torch.tensor(float(k))} | ({"b": torch.tensor(6.0)} if k == 4 else {}), (4, 8, 12)
    )
    assert float(found["a"]) == pytest.approx(8.0)
    assert float(found["b"]) == pytest.approx(2.0)


def test_every_length_counts_in_what_is_learnt():
    """A head learnt for the longest code alone differs from one learnt for all lengths."""
    x, targets = toys.places(lone=10)
    options = TrainOptions((6, 16), steps=12, batch_pairs=8, matryoshka=True)
    both = fit_heads(x, targets, options)[16].arrays["weight"]
    lines: list[dict] = []
    fit_heads(x, targets, options, lines.append)
    assert {line["bits"] for line in lines} == {16}
    real = matryoshka.parts
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(matryoshka, "parts", lambda one, lengths: real(one, lengths[-1:]))
        longest = fit_heads(x, targets, options)[16].arrays["weight"]
    assert not np.array_equal(both, longest)
