"""What a build found, written as a PairSet and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from hashpipe.common.distribution import installed_version
from hashpipe.pairgen.colmap import adapter
from hashpipe.pairgen.mapping.places import Models, collect_models
from hashpipe.pairgen.mapping.reconstruct import Component, Mapping
from hashpipe.pairgen.matching.matching_rounds import Matches
from hashpipe.pairgen.options import BuildOptions, identity
from hashpipe.pairgen.pairs import tables
from hashpipe.pairgen.pairs.evidence import EVIDENCE
from hashpipe.pairgen.pairs.labels import Labelled, Splits
from hashpipe.pairgen.pairs.pairset import PairSet, write_pairset
from hashpipe.pairgen.photos.left_out import LeftOut
from hashpipe.pairgen.photos.listing import distinct_rows, file_status, page_notes
from hashpipe.pairgen.photos.metadata import Photo
from hashpipe.pairgen.summary import BuildSummary


@dataclass(frozen=True)
class Results:
    """All files of a folder, and what was found of the n distinct readable photos among them.

    disturbed: (path, reason) of those whose file changed or went while all this was found.
    """

    root: Path
    files: Sequence[Photo]
    left_out: LeftOut
    photos: Sequence[Photo]
    matches: Matches
    components: Sequence[Component]
    mappings: Sequence[Mapping]
    models: Models
    labelled: Labelled
    splits: Splits
    disturbed: Sequence[tuple[str, str]] = ()


def write_results(
    folder: Path, results: Results, options: BuildOptions, seconds: dict[str, float]
) -> tuple[BuildSummary, PairSet]:
    """Write the PairSet of a build into `folder`, the report excepted."""
    labelled, splits = results.labelled, results.splits
    files = [replace(photo, lat=None, lon=None) if options.strip_location else photo for photo in results.files]
    rows = distinct_rows(files)
    found = tables.Found(
        results.root,
        files,
        results.photos,
        rows,
        labelled.place,
        results.models.model,
        splits.split,
        splits.query,
    )
    (folder / "report.html").unlink(missing_ok=True)  # of the pairs before: the new one may fail
    collect_models(folder, results.models.folders, leave_out=EVIDENCE)
    failures = tables.failures(found, results.components, results.mappings)
    failures += [(path, "check", reason) for path, reason in results.disturbed]
    tables.write_failures(folder / "failures.csv", failures)
    summary = _summary(folder, results, options, seconds)
    meta = {
        "parameters": identity(options),
        "options": asdict(options),
        "versions": {"hashpipe": installed_version(), "pycolmap": adapter.VERSION},
        "root": str(results.root),
        "summary": {**summary.as_json(), "report": str(folder / "report.html")},  # which comes after
    }
    pairs = tables.pair_table(labelled.similar + labelled.dissimilar, rows)
    return summary, write_pairset(folder, meta, tables.photo_table(found), pairs, labelled.relations)


def _summary(folder: Path, results: Results, options: BuildOptions, seconds: dict[str, float]) -> BuildSummary:
    labelled, matches, model = results.labelled, results.matches, results.models.model
    place = labelled.place
    notes = page_notes(results.files) + _notes(place, results.splits.by_place, results.mappings, matches.verified_again)
    if results.disturbed:
        named = ", ".join(path for path, _ in results.disturbed[:3]) + (", ..." if len(results.disturbed) > 3 else "")
        notes.append(
            f"{len(results.disturbed)} photos changed or went while the pairs were made ({named}); the pairs are of "
            "what they were before, build again."
        )
    return BuildSummary(
        pairs_folder=folder,
        photos=len(results.files),
        distinct=len(results.photos),
        skipped=[{"photo": photo.path, "reason": photo.reason} for photo in results.files if photo.reason],
        duplicates=file_status(results.files)[0].count("duplicate"),
        places=len(set(place[place >= 0].tolist())),
        models=results.models.sizes,
        registered=int((model >= 0).sum()),
        without_partner=sum(len(part.photos) == 1 for part in results.components),
        unregistered=sum(len(part.photos) > 1 for part in results.components for row in part.photos if model[row] < 0),
        pairs=tables.count_kinds(labelled.similar + labelled.dissimilar),
        matched_pairs=len(matches.a),
        verified_pairs=int((matches.inliers >= options.min_inliers).sum()),
        relations=labelled.relations.num_rows,
        splits=tables.count_places(place, results.splits.split),
        queries=int(results.splits.query.sum()),
        seconds=seconds,
        fingerprint="",
        missed=sum(pair["inliers"] < options.min_inliers for pair in labelled.similar),
        notes=notes + labelled.notes,
        disturbed=[{"photo": path, "reason": reason} for path, reason in results.disturbed],
        ignored=dict(Counter(reason for photo in results.files for reason in photo.ignored).most_common()),
        left_out=results.left_out.as_json(),
        left_out_because=results.left_out.sentences(),
    )


def _notes(place: np.ndarray, by_place: bool, mappings: Sequence[Mapping], verified_again: int) -> list[str]:
    notes = []
    if len(place) < 3:
        notes.append(f"{len(place)} photos are too few: a place needs three. `train` uses neighbour discovery alone.")
    elif (place < 0).all():
        notes.append(
            "No place could be reconstructed: the photos overlap too little. `train` uses neighbour discovery alone."
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
