"""The recipe of a training: what its objective wants, changed as the options say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.hashing.data.pair_labels import Targets
from hashpipe.hashing.training.heads import check_lengths
from hashpipe.hashing.training.objectives import objective_class
from hashpipe.hashing.training.objectives.base import Recipe
from hashpipe.hashing.training.options import TrainOptions

PAIRS = 96  # --batch-pairs by default: what the recipes' numbers of pairs are meant for


def recipe_of(options: TrainOptions, has_pairs: bool, photos: int) -> Recipe:
    """The recipe; has_pairs: whether 3D knows a similar pair. Raises UserError for an option that it does not read."""
    found = objective_class(options.objective).recipe(method_of(options), has_pairs, photos)
    if options.batch_pairs is not None:
        _check("--batch-pairs", found.pairs or found.dissimilar or found.neighbours, options)
        share = options.batch_pairs / PAIRS
        sizes = {name: round(getattr(found, name) * share) for name in ("pairs", "dissimilar", "neighbours")}
        found = replace(found, **sizes)
    if options.batch_others is not None:
        _check("--batch-others", found.random or not has_pairs, options)
        found = replace(found, random=options.batch_others)
    changed = {name: getattr(options, name) for name in ("steps", "learning_rate", "noise")}
    return replace(found, **{name: value for name, value in changed.items() if value is not None})


def method_of(options: TrainOptions) -> Any:
    """The options of the objective itself: those given, else its defaults. Raises UserError for another objective's."""
    wanted = objective_class(options.objective).Options
    if options.method is None:
        return wanted()
    if not isinstance(options.method, wanted):
        raise UserError(
            f"--objective {options.objective} reads {wanted.__name__}, not {type(options.method).__name__}."
        )
    return options.method


def head_of(options: TrainOptions) -> str:
    """The kind of head: the one named, else the objective's. Raises UserError where the two do not go together."""
    objective = objective_class(options.objective)
    name = options.head or objective.head
    if objective.heads and name not in objective.heads:
        fit = " or ".join(sorted(objective.heads))
        raise UserError(f"--objective {options.objective} does not work with the head {name}; omit it, or give {fit}.")
    return name


def uses_pairs(options: TrainOptions) -> bool:
    """Whether pairs from 3D take part."""
    found = objective_class(options.objective).recipe(method_of(options), True, 1)
    return options.pairs and found.pairs + found.dissimilar > 0


def check_needs(options: TrainOptions, targets: Targets) -> None:
    """Raise UserError where the objective lacks what it learns from: places as classes, or the whole code."""
    check_lengths(head_of(options), options.bits)
    if options.matryoshka and not objective_class(options.objective).prefix_codes:
        raise UserError(f"--objective {options.objective} reads whole codes; Matryoshka codes need another objective.")
    places = len(np.unique(targets.group[targets.group >= 0]))
    if "places" in objective_class(options.objective).needs and places < 2:
        raise UserError(
            f"--objective {options.objective} learns places as classes and needs two or more, and 3D found {places} to "
            "learn from; add photos, or use --objective joint."
        )


def _check(flag: str, read: object, options: TrainOptions) -> None:
    if not read:
        raise UserError(f"{flag} changes nothing with --objective {options.objective}; omit it.")
