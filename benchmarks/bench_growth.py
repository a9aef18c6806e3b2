"""How candidate search, covisibility and mining grow with the number of photos: time and peak memory of each stage.

    python benchmarks/bench_growth.py --photos 1000 5000 20000

Descriptors and models are simulated: places of `--place` photos that look alike and see common points, among as many
lone photos. Each stage of each size runs in a process of its own, so that its peak memory is its own. The exponent of a
stage is the slope of log(seconds) over log(photos) between the two largest sizes: 1 is linear. Flat kNN is quadratic
with a small factor; the last lines say from how many photos on it takes longer than everything else on this page, and
than matching, at `--pair-seconds` for each pair.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import resource
import time
from collections.abc import Callable

import numpy as np

from hashpipe.common.knn import nearest
from hashpipe.pairgen.colmap.model import Model
from hashpipe.pairgen.mapping.overlap import Evidence, pair_evidence
from hashpipe.pairgen.mapping.reconstruct import connected
from hashpipe.pairgen.matching.candidates import gps_pairs, growth, neighbour_pairs, outside_pairs, time_pairs
from hashpipe.pairgen.matching.matching_rounds import Matches
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.dissimilar import dissimilar_pairs
from hashpipe.pairgen.pairs.gps import near_by_gps
from hashpipe.pairgen.pairs.relations import related_components
from hashpipe.pairgen.pairs.similar import similar_pairs
from hashpipe.pairgen.pairs.uncertain import signs_of, uncertain_units, unknown_pairs
from hashpipe.pairgen.photos.metadata import Photo

WORDS = 64 * 128
OPTIONS = BuildOptions()


def places_of(count: int, size: int) -> np.ndarray:
    """Place of every photo: half of them in places of `size`, the others alone (a number of their own)."""
    inside = count // 2 // size * size
    return np.concatenate([np.arange(inside) // size, inside + np.arange(count - inside)])


def descriptors(place: np.ndarray, seed: int = 0) -> np.ndarray:
    """Unit rows float32 (n, 8192): photos of one place are nearer to each other than to others."""
    rows = np.random.default_rng(seed).standard_normal((len(place), WORDS), dtype=np.float32)
    for number in np.unique(place):
        rows[place == number] += np.random.default_rng([seed, number]).standard_normal(WORDS, dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def described(place: np.ndarray, seed: int = 0, apart: float = 0.01) -> list[Photo]:
    """Photos with position and time: those of one place within metres and minutes, places `apart` degrees."""
    random = np.random.default_rng(seed)
    side = math.isqrt(int(place.max()) + 1) + 1
    shift = random.normal(0, 1e-4, (len(place), 2))
    return [
        Photo(
            f"{row:06d}.jpg",
            lat=apart * (number // side) + shift[row, 0],
            lon=apart * (number % side) + shift[row, 1],
            taken_at=f"2021-{1 + number % 12:02}-{1 + number // 12 % 28:02}T{number % 24:02}:{row % 60:02}:00",
        )
        for row, number in enumerate(place.tolist())
    ]


def matched(place: np.ndarray) -> Matches:
    """What matching leaves: all pairs of a place verified, and ten unrelated photos of each photo without geometry."""
    random = np.random.default_rng(1)
    count = len(place)
    similar = random.integers(0, count, (count, OPTIONS.neighbours))
    pairs = {(min(a, b), max(a, b)) for a in range(count) for b in similar[a].tolist() if a != b}
    starts = np.flatnonzero(np.diff(place, prepend=-1, append=-1))
    for start, stop in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        pairs.update((a, b) for a in range(start, stop) for b in range(a + 1, stop))
    table = np.array(sorted(pairs), np.int32)
    inliers = np.where(place[table[:, 0]] == place[table[:, 1]], 60, 0).astype(np.int32)
    return Matches(table[:, 0], table[:, 1], inliers + 20, inliers, similar, np.zeros(similar.shape, np.float32))


def model(photos: int, seed: int) -> Model:
    """A wall of points seen by photos along it, each with 300 observations of points in front of it."""
    random = np.random.default_rng(seed)
    points = np.column_stack(
        [random.uniform(0, photos, 150 * photos), random.uniform(-2, 2, (150 * photos, 1)), np.zeros(150 * photos)]
    )
    order = np.argsort(points[:, 0])
    points = points[order]
    centers = np.column_stack([np.arange(photos) + 0.5, np.zeros(photos), np.full(photos, -4.0)])
    seen = [(row, point) for row in range(photos) for point in _in_front(points, centers[row, 0], random)]
    return Model(
        photos=np.arange(photos, dtype=np.int32),
        rotation=np.tile(np.eye(3), (photos, 1, 1)),
        translation=-centers,
        focal=np.full(photos, 800.0),
        principal=np.tile([512.0, 384.0], (photos, 1)),
        size=np.tile(np.array([1024, 768], np.int32), (photos, 1)),
        points=points,
        colors=np.zeros((len(points), 3), np.uint8),
        errors=np.full(len(points), 0.5, np.float32),
        observations=np.array(seen, np.int32),
    )


def _in_front(points: np.ndarray, along: float, random: np.random.Generator) -> list[int]:
    first, last = np.searchsorted(points[:, 0], [along - 2.0, along + 2.0])
    return np.sort(random.choice(np.arange(first, last), min(300, last - first), replace=False)).tolist()


def candidate_search(count: int, size: int) -> Callable[[], int]:
    vlads = descriptors(places_of(count, size))
    return lambda: len(neighbour_pairs(nearest(vlads, OPTIONS.neighbours)[0]))


def outside_search(count: int, size: int) -> Callable[[], int]:
    """Where all near photos are of one's own place: the search goes on for photos outside it."""
    place = places_of(count, size)
    vlads = descriptors(place)
    own = np.arange(count)[:, None] // size * size + np.arange(OPTIONS.neighbours)
    near = np.where((place < count // 2 // size)[:, None], np.minimum(own, count - 1), (own + size) % count)
    return lambda: len(outside_pairs(vlads, place, near, OPTIONS.outside_neighbours))


def space_and_time(count: int, size: int) -> Callable[[], int]:
    photos = described(places_of(count, size))
    return lambda: len(
        gps_pairs(photos, OPTIONS.gps_neighbours, OPTIONS.gps_metres)
        | time_pairs(photos, OPTIONS.time_neighbours, OPTIONS.time_seconds)
    )


def growth_rounds(count: int, size: int) -> Callable[[], int]:
    place = places_of(count, size)
    random = np.random.default_rng(0)
    asked = {(a, a + 1) for a in range(count - 1)}
    asked |= {(min(a, b), max(a, b)) for a, b in random.integers(0, count, (8 * count, 2)).tolist() if a != b}

    def work() -> int:
        wanted, known, verified = set(asked), set(), set()
        while wanted:
            known |= wanted
            fresh = {(a, b) for a, b in wanted if place[a] == place[b]}
            verified |= fresh
            wanted = growth(verified, fresh, known, OPTIONS.max_partners)
        return len(known)

    return work


def one_large_place(count: int, size: int) -> Callable[[], int]:
    """Growth where every photo shows one place: the bound on partners keeps it linear."""
    asked = {(a, a + step) for a in range(count) for step in (1, 2, 3) if a + step < count}

    def work() -> int:
        wanted, known, verified = set(asked), set(), set()
        while wanted:
            known |= wanted
            fresh = {(a, b) for a, b in wanted if b - a < 300}
            verified |= fresh
            wanted = growth(verified, fresh, known, 40)
        return len(known)

    return work


def components(count: int, size: int) -> Callable[[], int]:
    found = matched(places_of(count, size))
    return lambda: len(connected(count, found.a, found.b, found.inliers, OPTIONS.min_inliers)[1])


def covisibility(count: int, size: int) -> Callable[[], int]:
    models = [model(size, seed) for seed in range(min(count // 2 // size, 8))]
    total = max(1, count // 2 // size)

    def work() -> int:  # the models of a few places, in turn, until all places are done
        return sum(len(pair_evidence(models[turn % len(models)]).a) for turn in range(total))

    return work


def mining_in_one_town(count: int, size: int) -> Callable[[], int]:
    """Mining where all photos were taken within some hundred metres: hardly any pair may be dissimilar."""
    return mining(count, size, apart=0.0)


def mining(count: int, size: int, apart: float = 0.01) -> Callable[[], int]:
    place = places_of(count, size)
    found = matched(place)
    vlads = np.random.default_rng(2).standard_normal((count, 128), dtype=np.float32)
    vlads /= np.linalg.norm(vlads, axis=1, keepdims=True)
    hashes = np.random.default_rng(3).integers(0, 256, (count, 8), np.uint8)
    labels, parts = connected(count, found.a, found.b, found.inliers, OPTIONS.min_inliers)
    inside = place < count // 2 // size
    number = np.where(inside, labels, -1).astype(np.int32)
    evidence = [(turn, _evidence(part.photos)) for turn, part in enumerate(parts) if len(part.photos) > 2]
    photos = described(place, apart=apart)

    def work() -> int:
        similar = similar_pairs(evidence, found, vlads, OPTIONS)
        related = related_components(photos, labels, found, OPTIONS)
        near = near_by_gps(photos, labels, OPTIONS.far_metres)
        units = uncertain_units(labels, number >= 0, found, OPTIONS.min_inliers)
        signs = signs_of(photos, vlads, hashes)

        def unknown(pairs: np.ndarray) -> np.ndarray:
            return unknown_pairs(pairs, labels, units, signs)

        return len(similar) + len(dissimilar_pairs(labels, number >= 0, found, vlads, related, OPTIONS, near, unknown))

    return work


def _evidence(photos: tuple[int, ...]) -> Evidence:
    pairs = np.array([(a, b) for row, a in enumerate(photos) for b in photos[row + 1 :]], np.int32)
    share, few = np.full(len(pairs), 0.4, np.float32), np.full(len(pairs), 100, np.int32)
    values = dict.fromkeys(Evidence.__dataclass_fields__, share)
    values |= {"a": pairs[:, 0], "b": pairs[:, 1], "shared_points": few, "scale_change": share + 1}
    return Evidence(**values)


STAGES: dict[str, Callable[[int, int], Callable[[], int]]] = {
    "nearest by VLAD": candidate_search,
    "nearest outside": outside_search,
    "space and time": space_and_time,
    "growth": growth_rounds,
    "growth, one place": one_large_place,
    "components": components,
    "overlap": covisibility,
    "mining": mining,
    "mining, one town": mining_in_one_town,
}


def _measure(stage: str, count: int, size: int, pipe) -> None:
    work = STAGES[stage](count, size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pipe.send(
        {
            "stage": stage,
            "photos": count,
            "seconds": seconds,
            "peak_mib": peak / 1024,
            "own_mib": (peak - before) / 1024,
            "found": result,
        }
    )


def measure(stage: str, count: int, size: int) -> dict:
    """Run one stage in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_measure, args=(stage, count, size, theirs))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        raise SystemExit(f"{stage} at {count} photos ended without a result, perhaps for lack of memory") from None
    finally:
        process.join()


def exponent(rows: list[dict]) -> float:
    """Slope of log(seconds) over log(photos) between the two largest sizes, nan where they are too fast to tell."""
    if len(rows) < 2 or rows[-2]["seconds"] < 1e-3:
        return math.nan
    small, large = rows[-2:]
    return math.log(large["seconds"] / small["seconds"]) / math.log(large["photos"] / small["photos"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, nargs="+", default=[1000, 5000, 20000])
    parser.add_argument("--place", type=int, default=20, help="photos of one place")
    parser.add_argument("--stages", nargs="+", choices=list(STAGES), default=list(STAGES))
    parser.add_argument("--pair-seconds", type=float, default=0.048, help="matching one pair, with all cores")
    options = parser.parse_args()
    table: dict[str, list[dict]] = {}
    for stage in options.stages:
        for count in sorted(options.photos):
            row = measure(stage, count, options.place)
            table.setdefault(stage, []).append(row)
            print(
                json.dumps({key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}),
                flush=True,
            )
    print(f"\n{'stage':<20}" + "".join(f"{count:>16,}" for count in sorted(options.photos)) + "   exponent")
    for stage, rows in table.items():
        cells = "".join(f"{row['seconds']:>8.2f} s{row['peak_mib']:>5.0f} M" for row in rows)
        print(f"{stage:<20}{cells}   {exponent(rows):.2f}")
    if "nearest by VLAD" in table:
        _take_over(table, options.pair_seconds)


def _take_over(table: dict[str, list[dict]], pair_seconds: float) -> None:
    """Where quadratic search overtakes what is linear: a n^2 = b n at n = b / a."""
    search = table["nearest by VLAD"][-1]
    factor = search["seconds"] / search["photos"] ** 2
    linear = (rows[-1] for name, rows in table.items() if not name.startswith("nearest"))
    others = sum(row["seconds"] / row["photos"] for row in linear)
    matching = pair_seconds * OPTIONS.neighbours
    print(f"\nFlat kNN takes {factor * 1e10 / 60:.0f} min for 100,000 photos. It overtakes all other stages here")
    print(f"at {others / factor:,.0f} photos, matching at {matching / factor:,.0f} ({matching:.2f} s for each photo).")


if __name__ == "__main__":
    main()
