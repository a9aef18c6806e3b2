"""The recipe of a training: what its objective wants, changed as the options say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.hashing.data.pair_labels import Targets
from hashpipe.hashing.training.heads import check_lengths
from hashpipe.hashing.training.objectives import OBJECTIVES, objective_class
from hashpipe.hashing.training.objectives.base import NEEDS, Recipe
from hashpipe.hashing.training.options import TrainOptions

PAIRS = 96  # --batch-pairs by default: what the recipes' numbers of pairs are meant for

MANY, TINY = 100, 3  # places so many, of so few photos, are poor classes


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
    """Raise UserError where the objective lacks what it learns from: pairs, places as classes, or the whole code."""
    check_lengths(head_of(options), options.bits)
    kind = objective_class(options.objective)
    if options.matryoshka and not kind.prefix_codes:
        raise UserError(f"--objective {options.objective} reads whole codes; Matryoshka codes need another objective.")
    if options.amplify and not kind.through_tanh:
        those = " or ".join(name for name in OBJECTIVES if objective_class(name).through_tanh)
        raise UserError(f"--set amplify=true is for objectives that go through tanh; omit it, or choose {those}.")
    places = len(np.unique(targets.group[targets.group >= 0]))
    found = {
        "pairs": len(targets.similar) > 0,
        "dissimilar": len(targets.dissimilar) > 0 or places > 1,
        "places": places > 1,
    }
    lacks = [name for name, there in found.items() if name in kind.needs and not there]
    if lacks:
        raise UserError(
            f"--objective {options.objective} needs {NEEDS[lacks[0]]}, and 3D found {_counted(targets, places)} to "
            "learn from; add photos to the pairs, or use --objective joint, which needs none."
        )


def notes_of(options: TrainOptions, targets: Targets) -> Iterator[str]:
    """What a user should know of how the objective reads what there is."""
    kind, similar = objective_class(options.objective), targets.label > 0
    if "grades" in kind.needs and len(targets.similar) and (targets.grade[similar] == 1).all():
        yield f"no co-visibility is known of the pairs: {options.objective} treats them as one level"
    sizes = np.unique(targets.group[targets.group >= 0], return_counts=True)[1]
    if "places" in kind.needs and len(sizes) >= MANY and np.median(sizes) <= TINY:
        yield (
            f"{options.objective} tells {len(sizes)} places apart of which half have {TINY} photos or fewer: such "
            "classes teach little, and --objective joint does not need them"
        )


def _counted(targets: Targets, places: int) -> str:
    counts = ((len(targets.similar), "similar pair"), (len(targets.dissimilar), "dissimilar pair"), (places, "place"))
    one, two, three = (f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts)
    return f"{one}, {two} and {three}"


def _check(flag: str, read: object, options: TrainOptions) -> None:
    if not read:
        raise UserError(f"{flag} changes nothing with --objective {options.objective}; omit it.")
