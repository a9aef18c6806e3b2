"""Choose a variant for every outer fold, by the scores of the other folds alone.

A cell is a descriptor, a form and a code length. A variant's lead in it is its mAP over the other folds' places less
that of the best baseline there. Its score is the mean lead over all cells of a group, each counting at most `cap`, so
that a large lead does not pay for a loss elsewhere. The default gives way to the variant of the highest score if that
is higher by more than one standard error of the difference (bootstrap over places).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from nested import baselines, items
from nested.data import FOLDS

DRAWS = 1000
Cell = tuple[str, str, int]  # descriptor, form, bits
Group = tuple[Any, ...]


class Store:
    """Scores of a file of results: mAP by place, mean over seeds. Of several codes or data sets the last one counts."""

    def __init__(self, lines: Sequence[dict[str, Any]]) -> None:
        folds: dict[str, dict[int, int]] = {}
        last: dict[bool, tuple[str, str]] = {}
        scored = [line for line in lines if "key" in line]
        for line in lines:
            if "folds" in line:
                folds[line["data"]] = {int(place): fold for place, fold in line["folds"].items()}
        for line in scored:
            last[_is_baseline(line)] = line["data"], line["code"]
        self._values: dict[tuple[Any, ...], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.seconds: dict[tuple[str, str, int], list[float]] = defaultdict(list)
        self.seeds: set[int] = set()
        seen: set[str] = set()
        for line in scored:
            if (line["data"], line["code"]) != last[_is_baseline(line)] or line["key"] in seen:
                continue
            seen.add(line["key"])
            self.seeds.add(line["seed"])
            self.seconds[line["method"], line["descriptor"], line["bits"]].append(line["seconds"])
            for method, places in line["map"].items():
                where = (line["descriptor"], line["form"], tuple(line["hidden"]), line["bits"], method)
                for place, value in places.items():
                    self._values[where][int(place)].append(value)
        self.fold = folds[next(iter(last.values()))[0]] if last else {}

    def outer(self, cell: Cell, method: str) -> dict[int, float]:
        """Reported mAP by place, each from the fit that hides its fold. Raises KeyError where a fit is absent."""
        return self._of(cell, method, {fold: (fold,) for fold in range(FOLDS)})

    def inner(self, cell: Cell, method: str, left_out: int) -> dict[int, float]:
        """mAP by place of all folds but one, from fits that hide that one too."""
        others = (fold for fold in range(FOLDS) if fold != left_out)
        return self._of(cell, method, {fold: tuple(sorted((fold, left_out))) for fold in others})

    def has_outer(self, cell: Cell, method: str) -> bool:
        try:
            self.outer(cell, method)
        except KeyError:
            return False
        return True

    def _of(self, cell: Cell, method: str, hidden_by_fold: dict[int, tuple[int, ...]]) -> dict[int, float]:
        descriptor, form, bits = cell
        if method.split("/")[0] in (*baselines.FITTED, *baselines.FURTHER, baselines.FLOAT):
            form = items.baseline_form(form)
        bits = 0 if method == baselines.FLOAT else bits
        found = {}
        for place, fold in sorted(self.fold.items()):
            if fold not in hidden_by_fold:
                continue
            where = (descriptor, form, () if form == "known" else hidden_by_fold[fold], bits, method)
            if where not in self._values:
                raise KeyError(f"{method} at {cell}, hidden {where[2]}: not fitted yet")
            if place in self._values[where]:  # else no query of it has a relevant photo in the database
                found[place] = float(np.mean(self._values[where][place]))
        return found


def _is_baseline(line: dict[str, Any]) -> bool:
    return line["method"] in (*baselines.FITTED, *baselines.FURTHER, baselines.FLOAT)


def groups(cells: Iterable[Cell], per: str) -> dict[Group, list[Cell]]:
    """Cells that one choice is made for: all, or those of one code length, form or cell."""
    found: dict[Group, list[Cell]] = defaultdict(list)
    for cell in cells:
        found[group_of(cell, per)].append(cell)
    return found


def group_of(cell: Cell, per: str) -> Group:
    return {"all": (), "bits": (cell[2],), "form": (cell[1],), "cell": cell}[per]


def choose(store: Store, cells: Sequence[Cell], names: Sequence[str], left_out: int, cap: float) -> tuple[str, dict]:
    """The variant for one outer fold and one group; and of every variant (score, gain over the default, its error).

    names: the default comes first.
    """
    scores = {name: np.zeros(DRAWS + 1) for name in names}
    places = sorted(place for place, fold in store.fold.items() if fold != left_out)
    weights = np.ones((DRAWS + 1, len(places)))
    weights[1:] = np.random.default_rng(left_out).multinomial(len(places), np.full(len(places), 1 / len(places)), DRAWS)
    for cell in cells:
        best = np.max([_mean(store.inner(cell, one, left_out), places, weights) for one in baselines.METHODS], axis=0)
        for name in names:
            lead = _mean(store.inner(cell, name, left_out), places, weights) - best
            scores[name] += np.minimum(lead, cap) / len(cells)
    gains = {name: scores[name] - scores[names[0]] for name in names}
    told = {name: (float(scores[name][0]), float(gains[name][0]), float(gains[name][1:].std())) for name in names}
    best_name = max(names, key=lambda name: told[name][0])
    return (best_name if told[best_name][1] > told[best_name][2] else names[0]), told


def _mean(by_place: dict[int, float], places: Sequence[int], weights: np.ndarray) -> np.ndarray:
    """Mean over places under each of the weights, float (W,); places without a query do not count."""
    kept = np.array([place in by_place for place in places])
    values = np.array([by_place[place] for place in places if place in by_place])
    return weights[:, kept] @ values / weights[:, kept].sum(axis=1)
