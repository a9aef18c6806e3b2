"""Weak cut_sides, cameras that do not fit, and look-alikes laid upon each other: simulated, with known answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from hashpipe.pairgen.ambiguity.articulation_points import cut_sides
from hashpipe.pairgen.ambiguity.doppelgangers import (
    CELL_POINTS,
    CELLS,
    CHANCE,
    TESTED_CELLS,
    Parts,
    conflicts,
    doubtful_parts,
    gravity_deviation,
)
from hashpipe.pairgen.ambiguity.model_consistency import Cameras, contradicted_models, disagreement
from hashpipe.pairgen.ambiguity.relation import Relation
from hashpipe.pairgen.ambiguity.split_places import number_places, split_places
from hashpipe.pairgen.build import build_pairs
from hashpipe.pairgen.colmap.model import Model
from hashpipe.pairgen.mapping.overlap import pair_evidence
from hashpipe.pairgen.mapping.surface import visible_surface
from hashpipe.pairgen.matching.matching_rounds import Matches
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.dissimilar import dissimilar_pairs
from hashpipe.pairgen.pairs.pairset import read_pairset
from hashpipe.pairgen.pairs.relations import related_components
from hashpipe.pairgen.pairs.similar import similar_pairs
from hashpipe.pairgen.photos.metadata import Photo
from hashpipe.pairgen.synthetic.render import look_at

NO_PARTS = Parts(np.zeros(0, np.int32))


def clique(rows: range, inliers: int = 80) -> list[tuple[int, int, int]]:
    return [(a, b, inliers) for a in rows for b in rows if a < b]


def matched(edges: list[tuple[int, int, int]], count: int) -> Matches:
    table = np.array([(a, b, max(i, 20), i) for a, b, i in edges], np.int32).reshape(-1, 4)
    return Matches(*table.T, np.zeros((count, 0), np.int64), np.zeros((count, 0), np.float32))


def slow_bridges(count: int, edges: list[tuple[int, int, int]]) -> set[tuple[int, tuple[int, ...], int]]:
    """Take out one photo after the other and look at what falls apart."""

    def parts(rows: set[int]) -> list[set[int]]:
        found = []
        while rows:
            part, fresh = set(), {min(rows)}
            while fresh:
                part |= fresh
                fresh = {o for a, b, _ in edges for o in (a, b) if (a in fresh or b in fresh) and o in rows} - part
            found.append(part)
            rows = rows - part
        return found

    tie = {(x, y): i for a, b, i in edges for x, y in ((a, b), (b, a))}
    answer = set()
    for whole in parts(set(range(count))):
        for photo in whole:
            sides = [tuple(sorted(side)) for side in parts(whole - {photo})]
            ties = {side: max(tie[photo, other] for other in side if (photo, other) in tie) for side in sides}
            own = max(sides, key=lambda side: (ties[side], len(side)), default=())
            answer |= {
                (photo, side, ties[side])
                for side in sides
                if side != own and min(len(side), len(whole) - 1 - len(side)) >= 3
            }
    return answer


@pytest.mark.parametrize("seed", range(6))
def test_bridges_equal_the_slow_search(seed: int) -> None:
    generator = np.random.default_rng(seed)
    count = 24
    pairs = {tuple(sorted(pair)) for pair in generator.integers(0, count, (30, 2)).tolist() if pair[0] != pair[1]}
    edges = [(a, b, int(generator.integers(15, 90))) for a, b in sorted(pairs)]
    table = np.array(edges)
    found = cut_sides(count, *table.T)
    assert {(one.photo, tuple(one.side.tolist()), one.inliers) for one in found} == slow_bridges(count, edges)


def test_a_side_knows_its_strongest_match() -> None:
    edges = [*clique(range(4)), *clique(range(4, 8)), (3, 4, 17), (3, 5, 22)]
    (found,) = cut_sides(8, *np.array(edges).T)
    assert (found.photo, found.side.tolist(), found.size, found.inliers) == (3, [4, 5, 6, 7], 4, 22)
    assert cut_sides(0, *np.zeros((3, 0), int)) == []
    assert cut_sides(3, *np.array(clique(range(3))).T) == []


def files(count: int) -> list[Photo]:
    return [Photo(f"{row}.jpg") for row in range(count)]


def test_a_weak_bridge_takes_a_place_apart_and_a_confirmed_one_does_not() -> None:
    edges = [*clique(range(4)), *clique(range(4, 8)), (3, 4, 17)]
    table, whole = matched(edges, 8), np.zeros(8, np.int32)
    fresh, related = split_places(files(8), whole, table, [], 15)
    assert fresh.tolist() in ([0] * 4 + [1] * 4, [1] * 4 + [0] * 4)
    assert related == [Relation(0, 1, "may_be_same", related[0].evidence)]
    assert "17 inliers" in related[0].evidence
    # strong, but no model holds both sides
    strong = matched([*edges[:-1], (3, 4, 60)], 8)
    halves = [(np.arange(4), NO_PARTS), (np.arange(4, 8), NO_PARTS)]
    assert len(set(split_places(files(8), whole, strong, halves, 15)[0].tolist())) == 2
    # strong, and one model does
    kept, none = split_places(files(8), whole, strong, [(np.arange(8), Parts(np.zeros(8, np.int32)))], 15)
    assert kept.tolist() == [0] * 8
    assert none == []


def test_a_part_between_two_weak_bridges_is_taken_from_both() -> None:
    edges = [*clique(range(5)), *clique(range(5, 9)), *clique(range(9, 15))]
    edges += [(0, 5, 16), (0, 6, 16), (7, 9, 16), (8, 9, 16)]  # each bridge hangs on one photo of one end only
    fresh, related = split_places(files(15), np.zeros(15, np.int32), matched(edges, 15), [], 15)
    first, middle, last = (set(fresh[part].tolist()) for part in (range(5), range(5, 9), range(9, 15)))
    assert len(first) == len(middle) == len(last) == 1
    assert len(first | middle | last) == 3
    tied = {tuple(sorted((*one, *other))) for one, other in ((first, middle), (middle, last), (first, last))}
    assert {(one.a, one.b) for one in related} == tied


def never_dissimilar(labels: np.ndarray, related: list[Relation], matches: Matches) -> bool:
    """Does mining with these relations leave all photos of one component of the match graph unknown to each other?"""
    count = len(labels)
    found = related_components(files(count), labels, matches, BuildOptions(), related)
    return not dissimilar_pairs(labels, labels >= 0, matches, None, found, BuildOptions(negatives=50))


def test_no_two_parts_of_one_component_are_ever_dissimilar() -> None:
    """They hang together by verified matches, though some only over others: a chain, or upon one common body."""
    ends = [range(start, start + 4) for start in (0, 4, 8, 12)]
    chain = matched([edge for end in ends for edge in clique(end)] + [(3, 4, 16), (7, 8, 16), (11, 12, 16)], 16)
    fresh, related = split_places(files(16), np.zeros(16, np.int32), chain, [], 15)
    assert len(set(fresh.tolist())) == 4
    assert never_dissimilar(fresh, related, chain)
    # One model lays a second place upon its body twice: both groups show the second place, from its two sides.
    model = (np.arange(9), Parts(np.repeat(np.arange(3), 3).astype(np.int32), ("look_alike",) * 2, ("twins",) * 2))
    upon = matched([*clique(range(3)), *((a, b, 40) for a in range(3) for b in range(3, 9))], 9)
    fresh, related = split_places(files(9), np.zeros(9, np.int32), upon, [model], 15)
    assert [(one.a, one.b, one.relation) for one in related] == [
        (0, 1, "look_alike"),
        (0, 2, "look_alike"),
        (1, 2, "may_be_same"),
    ]
    assert never_dissimilar(fresh, related, upon)
    # The body itself was taken apart at a bridge, and only one of its parts is what the twins were compared with.
    bridged = matched([*clique(range(4)), (3, 4, 16), *clique(range(4, 11))], 11)
    twins = (np.arange(11), Parts(np.array([0] * 8 + [1] * 3, np.int32), ("look_alike",), ("twins",)))
    fresh, related = split_places(files(11), np.zeros(11, np.int32), bridged, [twins], 15)
    assert len(set(fresh.tolist())) == 3
    assert never_dissimilar(fresh, related, bridged)


def test_where_no_model_holds_the_rest_its_part_keeps_the_place() -> None:
    fresh = np.array([0, 0, 0, 1, 1, 1], np.int32)
    place = number_places(np.zeros(6, np.int32), np.array([-1, -1, -1, 0, 0, 0]), np.zeros(6, np.int32), fresh)
    assert place.tolist() == [-1, -1, -1, 0, 0, 0]


def test_parts_of_models_become_places_and_their_pairs_unknown() -> None:
    model = (np.arange(6), Parts(np.array([0, 0, 0, 1, 1, 1], np.int32), ("look_alike",), ("twins",)))
    fresh, related = split_places(files(7), np.zeros(7, np.int32), matched(clique(range(7)), 7), [model], 15)
    assert fresh.tolist() == [0, 0, 0, 1, 1, 1, 0]
    assert related == [Relation(0, 1, "look_alike", "twins")]
    place = number_places(np.zeros(7, np.int32), np.array([0] * 6 + [-1]), np.zeros(7, np.int32), fresh)
    assert place.tolist() == [0, 0, 0, 1, 1, 1, 0]
    told = related_components(files(7), fresh, matched(clique(range(7)), 7), BuildOptions(), related)
    assert told == related  # matches between the parts say nothing new


def test_matches_without_geometry_make_look_alikes() -> None:
    table = Matches(
        *np.array([(0, 1, 60, 9), (2, 3, 24, 11)], np.int32).T, np.zeros((4, 0), np.int64), np.zeros((4, 0), np.float32)
    )
    (found,) = related_components(files(4), np.arange(4), table, BuildOptions())
    assert (found.a, found.b, found.relation) == (0, 1, "look_alike")
    assert "60 matches" in found.evidence


def wall_model(twins: bool, rolled: int = 0, seed: int = 0) -> Model:
    """Ten cameras before a wall, each observing half of what it should see.

    twins: the left and right thirds of the wall are observed by even cameras in one half of the points and by odd ones
    in the other, as if two places with one middle were laid upon each other.
    """
    generator = np.random.default_rng(seed)
    count, size = 10, (640, 480)
    points = np.stack(
        [generator.uniform(-5, 5, 1500), generator.normal(0, 0.05, 1500), generator.uniform(0, 5, 1500)], 1
    )
    cameras = [
        look_at(
            np.array([x, -9.0, 2.0 + 0.3 * (n % 3)]),
            np.array([0, 0, 2.4]),
            focal=0.75,
            size=size,
            roll=0.8 if n < rolled else 0.02 * n,
        )
        for n, x in enumerate(np.linspace(-1.5, 1.5, count))
    ]
    owner = np.where(np.abs(points[:, 0]) < 1.7, -1, generator.integers(0, 2, len(points)))
    observations = []
    for n in range(count):
        able = (owner < 0) | (owner == n % 2) if twins else np.ones(len(points), bool)
        observations += [(n, p) for p in np.flatnonzero(able & (generator.random(len(points)) < 0.5))]
    return Model(
        photos=np.arange(count, dtype=np.int32),
        rotation=np.stack([c.R for c in cameras]),
        translation=np.stack([c.t for c in cameras]),
        focal=np.array([c.K[0, 0] for c in cameras]),
        principal=np.tile([320.0, 240.0], (count, 1)),
        size=np.tile(np.array(size, np.int32), (count, 1)),
        points=points,
        colors=np.full((len(points), 3), 128, np.uint8),
        errors=np.full(len(points), 0.5, np.float32),
        observations=np.array(observations, np.int32),
    )


def test_twins_are_told_from_a_place_seen_twice() -> None:
    honest = wall_model(twins=False)
    assert not doubtful_parts(honest, visible_surface(honest, foreground=False)).part.any()
    _, blank = conflicts(honest, visible_surface(honest))
    assert len(blank) > 20
    assert blank.max() < 0.2
    doubled = wall_model(twins=True)
    found = doubtful_parts(doubled, visible_surface(doubled, foreground=False))
    assert found.relation == ("look_alike",)
    assert len({found.part[n] for n in range(0, 10, 2)}) == len({found.part[n] for n in range(1, 10, 2)}) == 1
    assert found.part[0] != found.part[1]
    labels = np.array([n % 2 for n in range(10)])
    evidence = [(0, pair_evidence(doubled, visible_surface(doubled)))]
    nothing = matched([], 10)
    pairs = similar_pairs(evidence, nothing, None, BuildOptions(), labels=labels)
    assert pairs
    assert all(labels[pair["a"]] == labels[pair["b"]] for pair in pairs)


def slow_conflicts(model: Model, visible: csr_matrix) -> dict[tuple[int, int], float]:
    """Pair by pair, cell by cell."""
    sees = [set(visible[row].indices.tolist()) for row in range(len(model.photos))]
    observes = [set(model.observations[model.observations[:, 0] == row, 1].tolist()) for row in range(len(sees))]

    def blank_share(one: int, other: int) -> float | None:
        expected: dict[tuple[int, int], int] = {}
        got: dict[tuple[int, int], int] = {}
        for point in sees[one] & observes[other]:
            x, y = model.project(one, model.points[[point]])[0] / model.size[one]
            cell = min(int(x * CELLS), CELLS - 1), min(int(y * CELLS), CELLS - 1)
            expected[cell] = expected.get(cell, 0) + 1
            got[cell] = got.get(cell, 0) + (point in observes[one])
        speaking = [cell for cell in expected if expected[cell] >= CELL_POINTS]
        full = [cell for cell in speaking if got[cell]]
        if not full:
            return None
        rate = sum(got[cell] for cell in full) / sum(expected[cell] for cell in full)
        blank = [cell for cell in speaking if not got[cell] and (1 - rate) ** expected[cell] < CHANCE]
        return len(blank) / (len(full) + len(blank)) if len(full) + len(blank) >= TESTED_CELLS else None

    found = {}
    for i in range(len(sees)):
        for j in range(i + 1, len(sees)):
            common = sorted(observes[i] & observes[j])
            if len(common) < 10:
                continue
            rays = [np.median(model.points[common], axis=0) - model.centers[one] for one in (i, j)]
            angle = np.degrees(np.arccos(rays[0] @ rays[1] / np.linalg.norm(rays[0]) / np.linalg.norm(rays[1])))
            shares = blank_share(i, j), blank_share(j, i)
            if angle < 25 and None not in shares:
                found[i, j] = min(shares)
    return found


@pytest.mark.parametrize(("twins", "seed"), [(False, 0), (True, 1), (True, 2)])
def test_conflicts_equal_the_slow_count(twins: bool, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hashpipe.pairgen.ambiguity.doppelgangers._TOGETHER", 3)
    model = wall_model(twins=twins, seed=seed)
    visible = visible_surface(model, foreground=False)
    pairs, shares = conflicts(model, visible)
    assert dict(zip(map(tuple, pairs.tolist()), shares.tolist(), strict=True)) == slow_conflicts(model, visible)
    assert len(pairs) > 20


def test_nothing_to_compare() -> None:
    model = wall_model(twins=False)
    strangers = replace(model, observations=np.zeros((0, 2), np.int32))
    pairs, shares = conflicts(strangers, csr_matrix((10, len(model.points)), dtype=bool))
    assert (pairs.shape, shares.shape) == ((0, 2), (0,))


def test_cameras_of_another_gravity() -> None:
    level = wall_model(twins=False)
    assert gravity_deviation(level).max() < 15
    tilted = wall_model(twins=False, rolled=3)
    found = doubtful_parts(tilted, visible_surface(tilted))
    assert found.part.tolist() == [1] * 3 + [0] * 7
    assert "tilt" in found.why[0]
    turned = np.array([[0, 1.0, 0], [-1, 0, 0], [0, 0, 1]])  # a photo held on its side is no tilt
    upright = replace(level, rotation=np.concatenate([turned @ level.rotation[:3], level.rotation[3:]]))
    assert gravity_deviation(upright).max() < 15


@pytest.mark.parametrize("count", [0, 1, 5])
def test_few_photos_are_never_taken_apart(count: int) -> None:
    model = wall_model(twins=True)
    kept = model.observations[:, 0] < count
    few = replace(
        model,
        **{
            name: getattr(model, name)[:count]
            for name in ("photos", "rotation", "translation", "focal", "principal", "size")
        },
        observations=model.observations[kept],
    )
    assert doubtful_parts(few, few.incidence().astype(bool)).part.tolist() == [0] * count


def cameras(rows: range, *, scale: float = 1.0, spin: float = 0.0, seed: int = 0) -> Cameras:
    """Photos `rows` of one set of twelve cameras, in a world scaled and turned as a whole."""
    from scipy.spatial.transform import Rotation

    generator = np.random.default_rng(seed)
    rotation, centers = Rotation.random(12, random_state=seed).as_matrix(), generator.normal(size=(12, 3))
    world = Rotation.from_rotvec([0, spin, 0.3 * spin]).as_matrix()
    chosen = np.array(list(rows))
    return Cameras(chosen, rotation[chosen] @ world.T, scale * centers[chosen] @ world.T)


def test_models_with_common_photos_agree_whatever_their_world() -> None:
    first = cameras(range(8))
    assert disagreement(first, cameras(range(4, 12), scale=7.0, spin=2.0)) == ""
    assert disagreement(first, cameras(range(6, 12), scale=9.0)) == ""  # two common photos say nothing
    stretched = cameras(range(4, 12))
    stretched.centers[4:6] *= 30
    assert disagreement(cameras(range(12)), stretched).endswith("in scale")
    folded = cameras(range(3, 12))
    folded.rotation[::2] = folded.rotation[::2] @ np.diag([1.0, -1, -1])
    assert "degrees apart" in disagreement(cameras(range(12)), folded)
    assert list(contradicted_models([cameras(range(12)), folded, cameras(range(2, 9), scale=3)])) == [1]
    assert contradicted_models([]) == {}


@pytest.mark.slow
def test_rendered_twins_get_no_wrong_label(tmp_path: Path) -> None:
    """COLMAP lays two places with one house front upon each other; their pairs stay unknown all the same."""
    from twin_scenes import write_twins

    truth = write_twins(tmp_path / "photos", [(1, 11), (1, 12), (3, 13)], 10, (560, 420))
    build_pairs(tmp_path / "photos", tmp_path / "ws", BuildOptions())
    pairset = read_pairset(tmp_path / "ws" / "pairs")
    place = np.array([truth[path] for path in pairset.photos["path"].to_pylist()])
    model = pairset.photo_column("model")
    assert any(len(set(place[model == number])) > 1 for number in set(model[model >= 0]))  # the model is wrong
    a, b, label = (pairset.pair_column(name) for name in ("a", "b", "label"))
    assert (label > 0).sum() > 50
    assert (place[a] == place[b])[label > 0].all()
    assert (place[a] != place[b])[label < 0].all()
    assert pairset.relations["relation"].to_pylist() == ["look_alike"]
