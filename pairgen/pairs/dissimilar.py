"""Dissimilar pairs: photos of two components that show no sign of being one place. Everything else is unknown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from hashpipe.pairgen.ambiguity.relation import Relation
from hashpipe.pairgen.matching.matching_rounds import Matches
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.relations import ordered
from hashpipe.pairgen.pairs.similar import similarity

_ROUNDS = 2  # of drawing twice as many components as negatives are wanted


def none_unknown(pairs: np.ndarray) -> np.ndarray:
    """For sources that state which places differ: no pair int (m,2) is unknown; bool (m,)."""
    return np.zeros(len(pairs), bool)


def dissimilar_pairs(
    labels: np.ndarray,
    in_model: np.ndarray,
    matches: Matches,
    vlads: np.ndarray | None,
    related: Sequence[Relation],
    options: BuildOptions,
    near_by_gps: Callable[[int, int], bool] = lambda a, b: False,
    unknown: Callable[[np.ndarray], np.ndarray] = none_unknown,
) -> list[dict]:
    """Rows of dissimilar pairs: hard ones (near in appearance, matched, nothing verified), then random ones.

    labels: int (n,), components; in_model: bool (n,). At most one partner per other component and photo, none in a
    component that is near by GPS, and no pair that `unknown` (int (m,2) to bool (m,)) names. Both photos of a hard pair
    stand in models; a photo in no model is unknown to its VLAD neighbours and to all it was matched with.
    """
    blocked = {(relation.a, relation.b) for relation in related}
    matched = dict(zip(zip(matches.a.tolist(), matches.b.tolist(), strict=True), matches.inliers.tolist(), strict=True))
    rows: dict[tuple[int, int], dict] = {}
    taken: set[tuple[int, int]] = set()

    def unrelated(a: int, b: int) -> bool:
        ends = ordered(labels[a], labels[b])
        return ends[0] != ends[1] and ends not in blocked and not near_by_gps(*ends)

    def add(a: int, b: int, kind: str) -> bool:
        """Add a pair unless one of its photos has a partner in the other's component."""
        keys = {(a, int(labels[b])), (b, int(labels[a]))}
        if keys & taken:
            return False
        pair = ordered(a, b)
        rows[pair] = _negative(pair, kind, matched.get(pair, -1), similarity(vlads, a, b))
        taken.update(keys)
        return True

    hard = _known([(a, b) for a, b in matched if in_model[a] and in_model[b] and unrelated(a, b)], unknown)
    nearness = np.array([similarity(vlads, a, b) for a, b in hard])
    for row in np.argsort(-nearness, kind="stable"):
        a, b = hard[row]
        add(a, b, "hard_negative")

    near = [set(map(int, others)) for others in matches.similar_rows]
    wanted = np.where(in_model, options.negatives, 0)
    generator = np.random.default_rng(options.seed)
    for _ in range(_ROUNDS):
        drawn = []
        for a, b in _draw(labels, np.flatnonzero(wanted), 2 * options.negatives, generator):
            compared = ordered(a, b) in matched or b in near[a] or a in near[b]
            if unrelated(a, b) and (in_model[b] or not compared):
                drawn.append((a, b))
        for a, b in _known(drawn, unknown):
            if wanted[a] and add(a, b, "negative"):
                wanted[a] -= 1
    return [rows[pair] for pair in sorted(rows)]


def _known(pairs: list[tuple[int, int]], unknown: Callable[[np.ndarray], np.ndarray]) -> list[tuple[int, int]]:
    left_out = unknown(np.array(pairs, np.int64).reshape(-1, 2))
    return [pair for pair, out in zip(pairs, left_out.tolist(), strict=True) if not out]


def _draw(labels: np.ndarray, photos: np.ndarray, tries: int, generator: np.random.Generator) -> list[tuple[int, int]]:
    """For each of `photos` one photo of each of `tries` components that are drawn at random."""
    order = np.argsort(labels, kind="stable")
    starts = np.unique(labels[order], return_index=True)[1]
    sizes = np.diff(starts, append=len(order))
    tries = min(len(starts), tries)
    pairs = []
    for a in photos.tolist():
        components = generator.choice(len(starts), tries, replace=False)
        members = starts[components] + (generator.random(tries) * sizes[components]).astype(np.int64)
        pairs += [(a, b) for b in order[members].tolist()]
    return pairs


def _negative(pair: tuple[int, int], kind: str, inliers: int, similarity: float) -> dict:
    nothing = dict.fromkeys(("overlap_ab", "overlap_ba", "visible_ab", "visible_ba"), 0.0)
    unknown = {"scale_change": float("nan"), "view_angle_deg": float("nan")}
    head = {"a": pair[0], "b": pair[1], "label": -1, "kind": kind, "model": -1, "shared_points": 0}
    return {**head, **nothing, **unknown, "inliers": inliers, "similarity": similarity, "near_duplicate": False}
