"""One reconstruction job: the models of one community of photos within its time limit.

All models are kept. Where photos stay unregistered, mapping is tried again from other photos while time is left.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.files import atomic_folder, require_space, write_json
from hashpipe.common.paths import scratch_folder
from hashpipe.common.workers import run_alone
from hashpipe.pairgen.colmap import adapter
from hashpipe.pairgen.colmap.reconstructions import observations, registered, write_model
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.photos.load import UnreadablePhoto, load_upright
from hashpipe.pairgen.photos.metadata import Photo

MIN_POINTS = 30  # a "model" of fewer points is an accident of a few matches
MIN_POINTS_PER_PHOTO = 8  # the global mapper also registers photos that hardly any point holds
ENOUGH = 0.8  # share of the photos that the global mapper must register, or the incremental one follows

Edge = tuple[str, str, int]  # two photos by SHA-256 and the inliers between them


def map_community(
    database: Path,
    root: Path,
    photos: Sequence[Photo],
    edges: Sequence[Edge],
    out: Path,
    options: BuildOptions,
) -> None:
    """Map photos and write `out`: numbered model folders and done.json, all or nothing.

    edges: their matches by SHA-256. Raises OSError where the disk is full.
    """
    clock = _TimeLimit(options.job_minutes)
    with scratch_folder() as scratch:
        names = [photo.sha256 for photo in photos]
        part = scratch / "part.db"
        adapter.write_part(database, names, [(a, b) for a, b, _ in edges], part)
        models = _map_globally(part, scratch, options, clock) if options.mapper == "global" else []
        attempts = int(bool(models))
        if len(set().union(*map(registered, models))) < ENOUGH * len(names):
            more, tried = _map_until_registered(part, names, edges, options, clock)
            models, attempts = models + more, attempts + tried
    stopped = {"stopped_after": options.job_minutes} if clock.over() else {}  # colouring and writing have no limit
    kept = _without_subsets(models)
    paths = {photo.sha256: photo.path for photo in photos}
    require_space(database.parent, sum(24 * model.num_points3D() + 200_000 * model.num_reg_images() for model in kept))
    with atomic_folder(out) as temporary:
        for index, model in enumerate(kept):
            (temporary / str(index)).mkdir()
            colors = _point_colors(model, root, paths, options.max_side)
            write_model(model, temporary / str(index), paths, colors)
        done = {"models": len(kept), "attempts": attempts, "seconds": round(clock.spent(), 2)}
        write_json(temporary / "done.json", {**done, **stopped})


class _TimeLimit:
    """Time of one job; `left` is what mapping may still take, 0 without a limit."""

    def __init__(self, minutes: float) -> None:
        self._start, self._limit = time.monotonic(), 60 * minutes

    def spent(self) -> float:
        return time.monotonic() - self._start

    def over(self) -> bool:
        return bool(self._limit) and self.spent() >= self._limit

    def left(self) -> float:
        return max(1.0, self._limit - self.spent()) if self._limit else 0.0


def _map_globally(part: Path, scratch: Path, options: BuildOptions, clock: _TimeLimit) -> list[Any]:
    """Models of the global mapper; none where it fails, runs out of time or makes something from hardly any points."""
    out = scratch / "global"
    out.mkdir()
    job = (part, out, options.seed, options.min_inliers, options.min_model_size)
    if run_alone(adapter.write_global_models, job, clock.left()):
        return []
    return [
        model
        for model in adapter.written_models(out)
        if model.num_points3D() >= max(MIN_POINTS, MIN_POINTS_PER_PHOTO * model.num_reg_images())
    ]


def _map_until_registered(
    part: Path, names: Sequence[str], edges: Sequence[Edge], options: BuildOptions, clock: _TimeLimit
) -> tuple[list[Any], int]:
    """Models of a community and the attempts they took: each further one begins where photos are still missing."""
    models = _map(part, names, options, 0, None, clock)
    attempts = 1
    used: set[tuple[str, str] | None] = set()
    while attempts < options.mapper_attempts and (missing := set(names).difference(*map(registered, models))):
        initial = _initial_pair(edges, missing, used) if attempts > 1 else None  # first COLMAP's own choice, gently
        if clock.over() or (attempts > 1 and initial is None):
            break
        used.add(initial)
        near = missing.union(*({a, b} for a, b, _ in edges if a in missing or b in missing))
        around = [name for name in names if name in near]
        fresh = _map(part, around, options, attempts, initial, clock)
        models += [model for model in fresh if registered(model) & missing]
        attempts += 1
    return models, attempts


def _map(
    database: Path,
    names: Sequence[str],
    options: BuildOptions,
    attempt: int,
    initial: tuple[str, str] | None,
    clock: _TimeLimit,
) -> list:
    if len(names) < options.min_model_size:
        return []
    found = adapter.map_photos(
        database,
        names,
        options.seed + attempt,
        options.min_inliers,
        options.min_model_size,
        initial,
        gentle=attempt > 0,
        seconds=clock.left(),
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
        if not any(registered(model) <= registered(other) for other in kept):
            kept.append(model)
    return kept


def _point_colors(model: Any, root: Path, paths: dict[str, str], max_side: int) -> dict[int, np.ndarray]:
    """Mean colour of every 3D point over the photos that observe it; a photo gone since leaves no colour behind."""
    sums: dict[int, np.ndarray] = {}
    for name, points, places in observations(model):
        try:
            picture = np.asarray(load_upright(root / paths[name], max_side), np.int64)
        except UnreadablePhoto:
            continue
        columns = np.clip(places[:, 0].astype(int), 0, picture.shape[1] - 1)
        rows = np.clip(places[:, 1].astype(int), 0, picture.shape[0] - 1)
        for point, color in zip(points.tolist(), picture[rows, columns], strict=True):
            sums[point] = sums.get(point, 0) + np.append(color, 1)
    return {point: (total[:3] / total[3]).round().astype(np.uint8) for point, total in sums.items()}
