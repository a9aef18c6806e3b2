"""One restartable mapping job per place: all models are kept, an under-registered place is tried again."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.pairgen import colmap
from hashpipe.pairgen.files import atomic_folder, fingerprint, read_json, write_json
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.photos import Photo, UnreadablePhoto, load_upright
from hashpipe.pairgen.progress import stage
from hashpipe.pairgen.workers import run_jobs

_VERSION = 1  # goes up when mapping changes, so that older results are made again
MIN_POINTS = 30  # a "model" of fewer points is an accident of a few matches

Edge = tuple[str, str, int]  # two photos by SHA-256 and the inliers between them


@dataclass(frozen=True)
class Component:
    """Photos that verified matches connect, as rows in ascending order, and those matches (a, b, inliers)."""

    photos: tuple[int, ...]
    edges: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Mapping:
    """What came of one component: folders of its models, largest first; `error` is empty when the job ended well."""

    component: int
    models: tuple[Path, ...]
    attempts: int
    seconds: float
    error: str = ""


def connected(
    count: int, a: np.ndarray, b: np.ndarray, inliers: np.ndarray, min_inliers: int
) -> tuple[np.ndarray, list[Component]]:
    """Connected components of the verified match graph.

    a, b, inliers: int (m,). Returns a label per photo, int32 (count,), and the components by their first photo.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    good = inliers >= min_inliers
    graph = coo_matrix((np.ones(good.sum()), (a[good], b[good])), shape=(count, count))
    labels = connected_components(graph, directed=False)[1].astype(np.int32) if count else np.zeros(0, np.int32)
    edges: list[list[tuple[int, int, int]]] = [[] for _ in range(int(labels.max(initial=-1)) + 1)]
    for first, second, strength in zip(a[good].tolist(), b[good].tolist(), inliers[good].tolist(), strict=True):
        edges[labels[first]].append((first, second, strength))
    members: list[list[int]] = [[] for _ in edges]
    for row, label in enumerate(labels.tolist()):
        members[label].append(row)
    return labels, [Component(tuple(rows), tuple(links)) for rows, links in zip(members, edges, strict=True)]


def reconstruct(
    root: Path, photos: Sequence[Photo], folder: Path, components: Sequence[Component], options: BuildOptions
) -> list[Mapping]:
    """Map every component of at least `min_model_size` photos, largest first; finished ones are only read."""
    wanted = [(number, part) for number, part in enumerate(components) if len(part.photos) >= options.min_model_size]
    wanted.sort(key=lambda item: (-len(item[1].photos), item[0]))
    outs = [folder / "mapping" / _key(photos, part, options) for _, part in wanted]
    todo = [row for row, out in enumerate(outs) if not (out / "done.json").exists()]
    jobs = []
    for row in todo:
        part = wanted[row][1]
        chosen = [photos[index] for index in part.photos]
        edges = [(photos[a].sha256, photos[b].sha256, strength) for a, b, strength in part.edges]
        jobs.append((folder / "database.db", root, chosen, edges, outs[row], options))
    errors: dict[int, str] = {}
    with stage("Reconstructing", sum(len(wanted[row][1].photos) for row in todo), "photos") as advance:
        for index, outcome in run_jobs(_map_component, jobs, options.workers):
            if isinstance(outcome, Exception):
                errors[todo[index]] = (
                    f"{type(outcome).__name__}: {str(outcome).splitlines()[0] if str(outcome) else ''}"
                )
            advance(len(jobs[index][2]))
    found = []
    for row, (number, _) in enumerate(wanted):
        if row in errors:
            found.append(Mapping(number, (), 0, 0.0, errors[row]))
            continue
        done = read_json(outs[row] / "done.json")
        models = tuple(outs[row] / str(index) for index in range(done["models"]))
        found.append(Mapping(number, models, done["attempts"], done["seconds"]))
    return found


def _key(photos: Sequence[Photo], part: Component, options: BuildOptions) -> str:
    shas = [(photos[row].sha256, photos[row].path) for row in part.photos]
    edges = [(photos[a].sha256, photos[b].sha256, strength) for a, b, strength in part.edges]
    choices = (
        _VERSION,
        options.seed,
        options.min_inliers,
        options.min_model_size,
        options.mapper_attempts,
        options.max_side,
        options.max_features,
    )
    return fingerprint(shas, edges, choices, colmap.VERSION)


def _map_component(
    database: Path,
    root: Path,
    photos: Sequence[Photo],
    edges: Sequence[Edge],
    out: Path,
    options: BuildOptions,
) -> None:
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        names = [photo.sha256 for photo in photos]
        part = Path(scratch) / "part.db"
        colmap.write_part(database, names, [(a, b) for a, b, _ in edges], part)
        models, attempts = _map_until_registered(part, names, edges, options)
    kept = _without_subsets(models)
    paths = {photo.sha256: photo.path for photo in photos}
    with atomic_folder(out) as temporary:
        for index, model in enumerate(kept):
            (temporary / str(index)).mkdir()
            colors = _point_colors(model, root, paths, options.max_side)
            colmap.write_model(model, temporary / str(index), paths, colors)
        seconds = round(time.monotonic() - start, 2)
        write_json(temporary / "done.json", {"models": len(kept), "attempts": attempts, "seconds": seconds})


def _map_until_registered(
    part: Path, names: Sequence[str], edges: Sequence[Edge], options: BuildOptions
) -> tuple[list[Any], int]:
    """Models of a component and the attempts they took: each further one begins where photos are still missing."""
    models = _map(part, names, options, 0, None)
    attempts = 1
    used: set[tuple[str, str] | None] = set()
    while attempts < options.mapper_attempts and (missing := set(names).difference(*map(colmap.registered, models))):
        initial = _initial_pair(edges, missing, used) if attempts > 1 else None  # first COLMAP's own choice, gently
        if attempts > 1 and initial is None:
            break
        used.add(initial)
        near = missing.union(*({a, b} for a, b, _ in edges if a in missing or b in missing))
        around = [name for name in names if name in near]
        fresh = _map(part, around, options, attempts, initial)
        models += [model for model in fresh if colmap.registered(model) & missing]
        attempts += 1
    return models, attempts


def _map(
    database: Path, names: Sequence[str], options: BuildOptions, attempt: int, initial: tuple[str, str] | None
) -> list:
    if len(names) < options.min_model_size:
        return []
    found = colmap.map_photos(
        database,
        names,
        options.seed + attempt,
        options.min_inliers,
        options.min_model_size,
        initial,
        gentle=attempt > 0,
    )
    return [model for model in found if model.num_points3D() >= MIN_POINTS]


def _initial_pair(
    edges: Sequence[Edge], missing: set[str], used: set[tuple[str, str] | None]
) -> tuple[str, str] | None:
    """A match of middling strength, not begun with yet, that holds most missing photos.

    The strongest matches are between photos taken side by side, from where depth cannot be told.
    """
    choices = [edge for edge in edges if edge[:2] not in used and (edge[0] in missing or edge[1] in missing)]
    if not choices:
        return None
    most = max((a in missing) + (b in missing) for a, b, _ in choices)
    best = sorted((strength, a, b) for a, b, strength in choices if (a in missing) + (b in missing) == most)
    _, first, second = best[len(best) // 2]
    return first, second


def _without_subsets(models: list) -> list:
    """Models in order of size, without those whose photos all stand in a larger one."""
    ordered = sorted(models, key=lambda model: (-model.num_reg_images(), -model.num_points3D()))
    kept: list = []
    for model in ordered:
        if not any(colmap.registered(model) <= colmap.registered(other) for other in kept):
            kept.append(model)
    return kept


def _point_colors(model: Any, root: Path, paths: dict[str, str], max_side: int) -> dict[int, np.ndarray]:
    """Mean colour of every 3D point over the photos that observe it; a photo gone since leaves no colour behind."""
    sums: dict[int, np.ndarray] = {}
    for name, points, places in colmap.observations(model):
        try:
            picture = np.asarray(load_upright(root / paths[name], max_side), np.int64)
        except UnreadablePhoto:
            continue
        columns = np.clip(places[:, 0].astype(int), 0, picture.shape[1] - 1)
        rows = np.clip(places[:, 1].astype(int), 0, picture.shape[0] - 1)
        for point, color in zip(points.tolist(), picture[rows, columns], strict=True):
            sums[point] = sums.get(point, 0) + np.append(color, 1)
    return {point: (total[:3] / total[3]).round().astype(np.uint8) for point, total in sums.items()}
