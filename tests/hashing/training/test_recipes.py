"""What an objective asks of a batch, and what options make of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import toys

from hashpipe.common.errors import UserError
from hashpipe.hashing.data.pair_labels import no_targets
from hashpipe.hashing.training.objectives import OBJECTIVES, objective_class
from hashpipe.hashing.training.objectives.base import NEEDS
from hashpipe.hashing.training.objectives.bcdh import BcdhOptions
from hashpipe.hashing.training.objectives.dsah import DsahOptions
from hashpipe.hashing.training.objectives.joint import JointOptions
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.recipes import PAIRS, check_needs, method_of, notes_of, recipe_of, uses_pairs


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_options_of_the_batch_and_of_the_optimiser_win_over_the_recipe(objective):
    plain = recipe_of(TrainOptions(objective=objective), True, 1000)
    changes = {"steps": 7, "learning_rate": 0.125, "noise": 0.75}
    found = recipe_of(TrainOptions(objective=objective, **changes), True, 1000)
    assert found == replace(plain, **changes)
    without = recipe_of(TrainOptions(objective=objective, batch_others=5), False, 1000)
    assert without.random == 5
    if not plain.pairs + plain.dissimilar + plain.neighbours:
        return
    half = recipe_of(TrainOptions(objective=objective, batch_pairs=PAIRS // 2), True, 1000)
    for name in ("pairs", "dissimilar", "neighbours"):
        assert getattr(half, name) == getattr(plain, name) / 2
    assert half == replace(plain, **{name: getattr(half, name) for name in ("pairs", "dissimilar", "neighbours")})


def test_what_an_objective_does_not_draw_cannot_be_asked_for():
    with pytest.raises(UserError, match=r"^--batch-others changes nothing with --objective bcdh; omit it\.$"):
        recipe_of(TrainOptions(objective="bcdh", batch_others=5), True, 1000)
    official = TrainOptions(objective="dsah", method=DsahOptions(official=True), batch_pairs=5)
    with pytest.raises(UserError, match=r"^--batch-pairs changes nothing with --objective dsah; omit it\.$"):
        recipe_of(official, True, 1000)


def test_the_method_is_that_of_the_objective():
    assert method_of(TrainOptions(objective="bcdh")) == BcdhOptions()
    given = JointOptions(margin=0.125)
    assert method_of(TrainOptions(method=given)) is given
    with pytest.raises(UserError, match="--objective dsah reads DsahOptions, not JointOptions"):
        method_of(TrainOptions(objective="dsah", method=given))
    with pytest.raises(UserError, match="--objective joynt is not known; choose joint"):
        objective_class("joynt")
    with pytest.raises(UserError, match="--objective xyz is not known; choose ") as caught:
        objective_class("xyz")
    assert all(name in str(caught.value) for name in OBJECTIVES)  # nothing is near: all are named


def test_joint_without_guesses_draws_and_discovers_none():
    found = recipe_of(TrainOptions(method=JointOptions(neighbours=0.0)), True, 1000)
    assert (found.neighbours, found.discovery) == (0, "none")
    with_guesses = recipe_of(TrainOptions(method=JointOptions(neighbourhood=9)), True, 1000)
    assert with_guesses.neighbours > 0
    assert (with_guesses.discovery, with_guesses.neighbourhood) == ("mutual", 9)
    assert recipe_of(TrainOptions(method=JointOptions(towards_start=0.9)), True, 1000).towards_start == 0.9


def test_who_uses_pairs():
    assert uses_pairs(TrainOptions())
    assert not uses_pairs(TrainOptions(pairs=False))
    assert not uses_pairs(TrainOptions(objective="dsah"))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_names_its_options_and_its_needs(objective):
    found = objective_class(objective)
    assert found.name == objective
    assert found.needs <= set(NEEDS)
    assert found.idea
    assert found.source
    assert found.Options() == method_of(TrainOptions(objective=objective))
    made = found(found.Options(), 4, toys.known())
    assert np.isfinite([float(value.detach()) for value in made.double().loss(toys.batch()).values()]).all()


PAIR, NONE = np.array([[0, 1]]), np.zeros((0, 2), np.int64)


@pytest.mark.parametrize(
    ("objective", "targets", "said"),
    [
        ("dpsh", no_targets(6), "needs a pair known similar from 3D, and 3D found 0 similar pairs, 0 dissimilar pairs"),
        (
            "dtsh",
            toys.pair_targets(PAIR, NONE, np.zeros(6)),
            "needs a pair known dissimilar, or two places, and 3D found ",
        ),
        ("ssdh", toys.pair_targets(PAIR, NONE, np.zeros(6)), "1 similar pair, 0 dissimilar pairs and 1 place to learn"),
    ],
)
def test_an_objective_that_lacks_what_it_needs_says_so_and_what_would_do(objective, targets, said):
    with pytest.raises(UserError, match=said) as caught:
        check_needs(TrainOptions((8,), objective), targets)
    assert str(caught.value).endswith("add photos to the pairs, or use --objective joint, which needs none.")
    for fit in (toys.pair_targets(PAIR, PAIR + 2, np.full(6, -1)), toys.pair_targets(PAIR, NONE, np.arange(6) // 2)):
        if not toys.lacks(objective, fit):
            check_needs(TrainOptions((8,), objective), fit)


def test_graded_methods_say_where_all_pairs_are_of_one_level():
    targets = toys.pair_targets(PAIR, NONE, np.arange(6) // 2)
    assert list(notes_of(TrainOptions((8,), "dsrh"), targets)) == [
        "no co-visibility is known of the pairs: dsrh treats them as one level"
    ]
    measured = replace(targets, grade=np.array([0.4], np.float32))
    assert not list(notes_of(TrainOptions((8,), "dsrh"), measured))
    assert not list(notes_of(TrainOptions((8,), "dpsh"), targets))


def test_classes_of_hundreds_of_tiny_places_are_said_to_teach_little():
    many = toys.pair_targets(PAIR, NONE, np.arange(900) // 3)
    (note,) = notes_of(TrainOptions((8,), "lin2015"), many)
    assert "tells 300 places apart of which half have 3 photos or fewer" in note
    assert not list(notes_of(TrainOptions((8,), "lin2015"), toys.pair_targets(PAIR, NONE, np.arange(900) // 9)))
    assert not list(notes_of(TrainOptions((8,), "dpsh"), many))
