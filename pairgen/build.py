"""build_pairs: the stages of `hashpipe pairs build` in order. Each stage reads what the last one left on disk."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.files import WAIT_SECONDS, atomic_folder, locked, open_workspace, read_json
from hashpipe.common.progress import stage
from hashpipe.pairgen.ambiguity.model_consistency import doubtful_models
from hashpipe.pairgen.ambiguity.split_places import part_places, take_apart
from hashpipe.pairgen.colmap import adapter
from hashpipe.pairgen.diff import compare, contents, contents_before
from hashpipe.pairgen.mapping.reconstruct import Component, Mapping, connected, reconstruct
from hashpipe.pairgen.matching.extract import extract_features, photo_vlads
from hashpipe.pairgen.matching.matching_rounds import match_photos
from hashpipe.pairgen.matching.parallel_matching import WEAK_INLIERS
from hashpipe.pairgen.options import BuildOptions, identity
from hashpipe.pairgen.pairs import pair_rules, tables
from hashpipe.pairgen.pairs.evidence import (
    EVIDENCE,
    measure_models,
    measured_cameras,
    measured_parts,
    registered_paths,
)
from hashpipe.pairgen.pairs.gps import nearness
from hashpipe.pairgen.pairs.pairset import write_pairset
from hashpipe.pairgen.pairs.splits import assign_queries, assign_splits
from hashpipe.pairgen.photos.photo_files import Photo, describe, find_photos
from hashpipe.pairgen.report.page import write_report
from hashpipe.pairgen.summary import BuildSummary


class _Clock:
    """Seconds of each stage, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[name] = round(now - self._last, 2)
        self._last = now


def build_pairs(photos: Path, workspace: Path, options: BuildOptions) -> BuildSummary:
    """Photos to a PairSet in `workspace/pairs`; finished stages are not repeated.

    Raises UserError for a missing, empty or unreadable folder, a workspace of another version or in use, bad options.
    """
    check_options(options)
    root, names = list_photos(photos, workspace)
    workspace = open_workspace(workspace, create=True)
    with locked(workspace):
        _refuse_imported(workspace / "pairs" / "meta.json")
        with locked(workspace / "pairs", wait=WAIT_SECONDS):  # verify_pairs writes to its database too
            return _build(root, names, workspace / "pairs", options)


def _refuse_imported(meta: Path) -> None:
    try:
        found = read_json(meta)
    except UserError:  # none there, or a damaged one, which the build makes again
        return
    if isinstance(found, dict) and "imported" in found:
        raise UserError(
            f"{meta.parent} holds pairs imported from {found['imported'].get('source')}, which a build would replace; "
            "name another workspace with -w."
        )


def list_photos(photos: Path, workspace: Path) -> tuple[Path, list[str]]:
    """The absolute photo folder and the photo files below it, those of the workspace left out.

    Raises UserError where there are none, or where the folder is the workspace.
    """
    root = Path(photos).expanduser().absolute()
    if root.resolve() == Path(workspace).expanduser().resolve():
        raise UserError(f"{root} cannot be both photo folder and workspace; name another folder with -w.")
    names = find_photos(root, exclude=Path(workspace).expanduser().absolute())
    if not names:
        raise UserError(f"{root} holds no photos (jpg, png, tif, bmp, webp, heic, avif); give a folder that does.")
    return root, names


_BOUNDS: dict[str, tuple[float, float]] = {
    "seed": (0, 2**31 - 1),
    "max_side": (64, 20_000),
    "max_features": (100, 100_000),
    "exhaustive_below": (0, 10_000),
    "neighbours": (1, 1000),
    "min_inliers": (WEAK_INLIERS, 10_000),
    "min_model_size": (3, 1000),
    "mapper_attempts": (1, 100),
    "min_overlap": (0.0, 1.0),
    "max_scale_change": (1.0, 1e6),
    "min_visible_overlap": (0.0, 1.0),
    "max_visible_scale_change": (1.0, 1e6),
    "max_view_angle": (0.0, 180.0),
    "negatives": (0, 10_000),
    "far_metres": (0.0, 1e7),
    "val_share": (0.0, 0.5),
    "test_share": (0.0, 0.5),
    "query_share": (0.0, 0.5),
    "outside_neighbours": (0, 1000),
    "max_partners": (1, 100_000),
    "gps_neighbours": (0, 1000),
    "gps_metres": (0.0, 1e6),
    "time_neighbours": (0, 1000),
    "time_seconds": (0.0, 1e6),
    "max_community": (4, 10_000),
    "job_minutes": (0.0, 1e6),
    "memory_gib": (0.0, 1e6),
    "workers": (0, 1024),
}


def check_options(options: BuildOptions) -> None:
    """Raise UserError for a value that no build can use."""
    for name, (low, high) in _BOUNDS.items():
        value = getattr(options, name)
        if not low <= value <= high:
            raise UserError(f"--{name.replace('_', '-')} is {value}; choose a value from {low} to {high}.")


def _build(root: Path, names: list[str], folder: Path, options: BuildOptions) -> BuildSummary:
    clock = _Clock()
    before = contents_before(folder)
    described = describe_photos(root, names)
    clock.lap("read")
    readable = _chosen(root, described)
    broken = extract_features(root, [described[row] for row in readable], folder, options)
    described = [replace(photo, reason=photo.reason or broken.get(photo.sha256, "")) for photo in described]
    chosen = _chosen(root, described)
    if len(chosen) < 2:
        raise UserError(
            f"{root} holds one distinct readable photo in {len(names)} files; "
            "pairs need at least two photos and places three, give a folder with more."
        )
    usable = [described[row] for row in chosen]
    shas = [photo.sha256 for photo in usable]
    clock.lap("features")
    vlads = photo_vlads(folder, shas, options)
    clock.lap("describe")
    matches = match_photos(folder, usable, vlads, options)
    clock.lap("match")
    labels, components = connected(len(usable), matches.a, matches.b, matches.inliers, options.min_inliers)
    mappings = reconstruct(root, usable, folder, components, options)
    clock.lap("reconstruct")
    place, model, folders, sizes = _places(usable, components, mappings)
    rows = {photo.path: row for row, photo in enumerate(usable)}
    evidence = measure_models(folders, rows, options.workers)
    clock.lap("measure")
    parts = [measured_parts(model_folder, rows) for model_folder in folders]
    whole = labels
    labels, doubts = take_apart(usable, whole, matches, parts, options.min_inliers)
    place = part_places(place, model, whole, labels)
    contradicted = doubtful_models([measured_cameras(model_folder, rows) for model_folder in folders])
    trusted = [(number, found) for number, found in enumerate(evidence) if number not in contradicted]
    similar = pair_rules.similar_pairs(trusted, matches, vlads, options, usable, labels)
    related = pair_rules.relations(usable, labels, matches, options, doubts)
    near = nearness(usable, labels, options.far_metres)
    dissimilar = pair_rules.dissimilar_pairs(labels, place, model, matches, vlads, related, options, near)
    between = tables.relation_table(related, labels, place)
    groups = list(zip(between["place_a"].to_pylist(), between["place_b"].to_pylist(), strict=True))
    splits, by_place = assign_splits(shas, place, groups, options)
    ends = np.array([(row["a"], row["b"]) for row in similar], int).reshape(-1, 2)
    queries = assign_queries(shas, place, ends, options)
    clock.lap("mine")

    files = [replace(photo, lat=None, lon=None) for photo in described] if options.strip_location else described
    found = tables.Found(root, files, usable, chosen, place, model, splits, queries)
    _collect_models(folder, folders)
    tables.write_failures(folder / "failures.csv", tables.failures(found, components, mappings))
    pairs = similar + dissimilar
    summary = BuildSummary(
        pairs_folder=folder,
        photos=len(described),
        distinct=len(usable),
        skipped=[{"photo": photo.path, "reason": photo.reason} for photo in described if photo.reason],
        duplicates=tables.file_status(described)[0].count("duplicate"),
        places=len(set(place[place >= 0].tolist())),
        models=sizes,
        registered=int((model >= 0).sum()),
        without_partner=sum(len(part.photos) == 1 for part in components),
        unregistered=sum(len(part.photos) > 1 for part in components for row in part.photos if model[row] < 0),
        pairs=tables.count_kinds(pairs),
        matched_pairs=len(matches.a),
        verified_pairs=int((matches.inliers >= options.min_inliers).sum()),
        relations=between.num_rows,
        splits=tables.count_places(place, splits),
        queries=int(queries.sum()),
        seconds=clock.seconds,
        fingerprint="",
        missed=sum(pair["inliers"] < options.min_inliers for pair in similar),
        notes=_notes(place, by_place, mappings, matches.verified_again)
        + [f"{why}; its pairs are unknown." for why in contradicted.values()],
    )
    meta = {"parameters": identity(options), "options": asdict(options), "versions": _versions(), "root": str(root)}
    written = write_pairset(
        folder,
        {**meta, "summary": summary.as_json()},
        tables.photo_table(found),
        tables.pair_table(pairs, chosen),
        between,
    )
    write_report(folder)
    clock.lap("report")
    changes = compare(before, contents(written)) if before is not None else None
    return replace(summary, fingerprint=written.fingerprint, changes=changes)


def _chosen(root: Path, photos: Sequence[Photo]) -> list[int]:
    """Rows of the photos to work with: readable, each content once. At least one, or a UserError."""
    chosen = [row for row, state in enumerate(tables.file_status(photos)[0]) if state == "ok"]
    if not chosen:
        raise UserError(
            f"None of the {len(photos)} photo files in {root} can be read ({photos[0].path}: {photos[0].reason}); "
            "give a folder with readable photos."
        )
    return chosen


def describe_photos(root: Path, names: Sequence[str]) -> list[Photo]:
    """Hash and describe files, several at once, in their order."""
    with stage("Reading photos", len(names), "photos") as advance, ThreadPoolExecutor() as threads:
        described = []
        for photo in threads.map(lambda name: describe(root, name), names):
            described.append(photo)
            advance(1)
    return described


def _places(
    photos: Sequence[Photo], components: Sequence[Component], mappings: Sequence[Mapping]
) -> tuple[np.ndarray, np.ndarray, list[Path], list[dict[str, int]]]:
    """Place and model of each photo (-1 none), the folders of all models, largest first, and their sizes."""
    rows = {photo.path: row for row, photo in enumerate(photos)}
    place, model = np.full(len(photos), -1, np.int32), np.full(len(photos), -1, np.int32)
    found: list[tuple[int, int, Path, list[int], int]] = []
    with_models = sorted({mapping.component for mapping in mappings if mapping.models})
    numbers = {component: number for number, component in enumerate(with_models)}
    for mapping in mappings:
        for folder in mapping.models:
            number = numbers[mapping.component]
            place[list(components[mapping.component].photos)] = number
            registered = [rows[path] for path in registered_paths(folder)]
            found.append((-len(registered), number, folder, registered, adapter.point_count(folder)))
    found.sort(key=lambda item: (item[0], item[1], item[2].name))
    infos = []
    for index, (size, number, _, registered, points) in enumerate(found):
        infos.append({"model": index, "place": number, "registered": -size, "points": points})
        free = [row for row in registered if model[row] < 0]
        model[free] = index
    return place, model, [item[2] for item in found], infos


def _collect_models(folder: Path, models: Sequence[Path]) -> None:
    with atomic_folder(folder / "models") as temporary:
        for index, source in enumerate(models):
            shutil.copytree(source, temporary / str(index), ignore=shutil.ignore_patterns(EVIDENCE, ".*"))


def _notes(place: np.ndarray, by_place: bool, mappings: Sequence[Mapping], verified_again: int) -> list[str]:
    notes = []
    if (place < 0).all():
        notes.append(
            "No place could be reconstructed: the photos overlap too little. `train` goes on with neighbour discovery."
        )
    elif not by_place:
        notes.append("Fewer than three places cannot be split; only new photos of these places can be tested.")
    split = [mapping for mapping in mappings if mapping.jobs > 1]
    if split:
        jobs = sum(mapping.jobs for mapping in split)
        notes.append(f"{len(split)} large places were reconstructed as {jobs} overlapping communities.")
    stopped = sum(mapping.stopped for mapping in mappings)
    if stopped:
        notes.append(f"{stopped} reconstructions met the time limit and keep what they had; raise --job-minutes.")
    failed = [mapping for mapping in mappings if mapping.error]
    if verified_again:
        notes.append(
            f"An earlier version had verified {verified_again} pairs without noting its seed; "
            "those in use were verified again."
        )
    return notes + [f"Reconstruction of component {mapping.component} failed: {mapping.error}" for mapping in failed]


def _versions() -> dict[str, str]:
    try:
        own = version("hashpipe")
    except PackageNotFoundError:
        own = "unknown"
    return {"hashpipe": own, "pycolmap": adapter.VERSION}
