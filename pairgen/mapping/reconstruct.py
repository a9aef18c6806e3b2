"""From the verified match graph to models: connected components, their communities, one restartable job for each.

Jobs run in worker processes within the budget of memory; one that fails takes no other along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.files import DISK_FULL, fingerprint, read_json
from hashpipe.common.memory import budget, mapping_bytes
from hashpipe.common.progress import stage
from hashpipe.common.workers import run_jobs
from hashpipe.pairgen.colmap import adapter
from hashpipe.pairgen.colmap.model_files import model_fault
from hashpipe.pairgen.mapping.communities import communities
from hashpipe.pairgen.mapping.reconstruction_job import map_community
from hashpipe.pairgen.matching.candidates import component_labels
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.photos.metadata import Photo

_VERSION = 1  # goes up when mapping changes, so that older results are made again


@dataclass(frozen=True)
class Component:
    """Photos that verified matches connect, as rows in ascending order, and those matches (a, b, inliers)."""

    photos: tuple[int, ...]
    edges: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Mapping:
    """What came of one component: the folders of its models.

    error is empty when all its jobs ended well; jobs counts its communities, stopped those that met the time limit.
    """

    component: int
    models: tuple[Path, ...]
    attempts: int
    seconds: float
    error: str = ""
    jobs: int = 1
    stopped: int = 0


def connected(
    count: int, a: np.ndarray, b: np.ndarray, inliers: np.ndarray, min_inliers: int
) -> tuple[np.ndarray, list[Component]]:
    """Connected components of the verified match graph.

    a, b, inliers: int (m,). Returns a label per photo, int32 (count,), and the components by their first photo.
    """
    good = inliers >= min_inliers
    labels = component_labels(count, np.stack([a[good], b[good]], axis=1))
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
    """Map every component of at least `min_model_size` photos, the largest communities first.

    Finished jobs are only read. A job that fails or meets its time limit takes no other along.
    """
    parts: list[tuple[int, Component]] = []
    for number, component in enumerate(components):
        if len(component.photos) >= options.min_model_size:
            parts += [(number, part) for part in split(component, options.max_community)]
    parts.sort(key=lambda item: (-len(item[1].photos), item[0]))
    outs = [folder / "mapping" / _key(photos, part, options) for _, part in parts]
    todo = [row for row, out in enumerate(outs) if not _finished(out, options)]
    jobs, needs = [], []
    for row in todo:
        part = parts[row][1]
        chosen = [photos[index] for index in part.photos]
        edges = [(photos[a].sha256, photos[b].sha256, strength) for a, b, strength in part.edges]
        jobs.append((folder / "database.db", root, chosen, edges, outs[row], options))
        needs.append(mapping_bytes(len(chosen), len(edges), options.max_features))
    errors: dict[int, str] = {}
    with stage("Reconstructing", sum(len(job[2]) for job in jobs), "photos") as advance:
        for index, outcome in run_jobs(map_community, jobs, options.workers, needs, budget(options.memory_gib)):
            if isinstance(outcome, OSError) and outcome.errno in DISK_FULL:
                raise outcome
            if isinstance(outcome, Exception):
                text = str(outcome).splitlines()[0] if str(outcome) else ""
                errors[todo[index]] = f"{type(outcome).__name__}: {text}"
            advance(len(jobs[index][2]))
    rows_of: dict[int, list[int]] = {}
    for row, (number, _) in enumerate(parts):
        rows_of.setdefault(number, []).append(row)
    found = [
        _united(number, [outs[row] for row in rows], [errors.get(row, "") for row in rows])
        for number, rows in rows_of.items()
    ]
    return sorted(found, key=lambda mapping: (-len(components[mapping.component].photos), mapping.component))


def split(component: Component, most: int) -> list[Component]:
    """A component as communities of at most `most` photos, each with the matches inside it."""
    if len(component.photos) <= most:
        return [component]
    found = []
    for members in communities(component.photos, component.edges, most):
        inside = set(members)
        edges = tuple(edge for edge in component.edges if edge[0] in inside and edge[1] in inside)
        found.append(Component(members, edges))
    return found


def _finished(out: Path, options: BuildOptions) -> bool:
    """Is there a whole result, and not one of a tighter time limit? What is damaged is made again."""
    if not (out / "done.json").exists():
        return False
    try:
        done = read_json(out / "done.json")
        limit = done.get("stopped_after", 0)
        whole = not any(model_fault(out / str(number)) for number in range(done["models"]))
    except (UserError, KeyError, TypeError, AttributeError):
        return False
    return whole and (not limit or 0 < options.job_minutes <= limit)


def _united(number: int, outs: Sequence[Path], errors: Sequence[str]) -> Mapping:
    """All communities of one component."""
    models: list[Path] = []
    attempts, seconds, stopped = 0, 0.0, 0
    for out, error in zip(outs, errors, strict=True):
        if not error:
            done = read_json(out / "done.json")
            models += [out / str(index) for index in range(done["models"])]
            attempts, seconds = attempts + done["attempts"], seconds + done["seconds"]
            stopped += bool(done.get("stopped_after"))
    failed = [error for error in errors if error]
    text = failed[0] if failed else ""
    if failed and len(errors) > 1:
        text = f"{len(failed)} of {len(errors)} communities, {text}"
    return Mapping(number, tuple(models), attempts, round(seconds, 2), text, len(outs), stopped)


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
        *([options.mapper] if options.mapper != "incremental" else []),
    )
    return fingerprint(shas, edges, choices, adapter.VERSION)
