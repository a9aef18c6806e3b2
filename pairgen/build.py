"""build_pairs: the stages of `hashpipe pairs build` in order. Each stage reads what the last one left on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from hashpipe.common.clock import Clock
from hashpipe.common.errors import UserError
from hashpipe.common.extras import optional
from hashpipe.common.files import WAIT_SECONDS, locked, open_workspace, read_json
from hashpipe.common.known_files import FILE, remember_all
from hashpipe.common.option_values import from_keywords
from hashpipe.common.paths import check_scratch
from hashpipe.pairgen.diff import compare, contents, pairset_before
from hashpipe.pairgen.mapping.places import place_models
from hashpipe.pairgen.mapping.reconstruct import connected, reconstruct
from hashpipe.pairgen.matching.extract import extract_features, photo_vlads
from hashpipe.pairgen.matching.matching_rounds import match_photos
from hashpipe.pairgen.option_bounds import check_options
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.evidence import measure_models
from hashpipe.pairgen.pairs.labels import label_pairs, split_photos
from hashpipe.pairgen.photos.find import Found
from hashpipe.pairgen.photos.hashes import photo_hashes
from hashpipe.pairgen.photos.listing import describe_photos, distinct_photos, disturbed, list_photos
from hashpipe.pairgen.replacing import refuse_lost, refuse_other_folder
from hashpipe.pairgen.report.page import write_report
from hashpipe.pairgen.results import Results, write_results
from hashpipe.pairgen.summary import BuildSummary


def build_pairs(
    photos: str | Path, workspace: str | Path, options: BuildOptions | None = None, **chosen: Any
) -> BuildSummary:
    """Photos to a PairSet in `workspace/pairs`; finished stages are not repeated. Keywords: fields of BuildOptions.

    Raises UserError for a missing, empty or unreadable folder, a workspace of another version or in use, bad options.
    """
    options = from_keywords(BuildOptions, options, chosen)
    photos, workspace = Path(photos), Path(workspace)
    check_options(options)
    check_scratch()
    root, found = list_photos(photos, workspace, options.video_frames)
    workspace = open_workspace(workspace, create=True)
    with locked(workspace):
        _refuse_imported(workspace / "pairs" / "meta.json")
        with locked(workspace / "pairs", wait=WAIT_SECONDS):  # verify_pairs writes to its database too
            return _build(root, found, workspace / "pairs", options)


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


def _build(root: Path, found: Found, folder: Path, options: BuildOptions) -> BuildSummary:
    clock = Clock()
    former = pairset_before(folder)
    if former is not None and not options.force:
        refuse_other_folder(former, root, found.names)
    files = describe_photos(root, found.names)
    if former is not None and not options.force:
        refuse_lost(former, root, files)
    clock.lap("read")
    broken = extract_features(root, distinct_photos(root, files), folder, options)
    files = [replace(photo, reason=photo.reason or broken.get(photo.sha256, "")) for photo in files]
    photos = distinct_photos(root, files, at_least=2)
    hashes = photo_hashes(root, photos, folder)
    clock.lap("features")
    vlads = photo_vlads(folder, [photo.sha256 for photo in photos], options)
    clock.lap("describe")
    matches = match_photos(folder, photos, vlads, options)
    clock.lap("match")
    labels, components = connected(len(photos), matches.a, matches.b, matches.inliers, options.min_inliers)
    mappings = reconstruct(root, photos, folder, components, options)
    clock.lap("reconstruct")
    models = place_models(photos, components, mappings)
    evidence = measure_models(models.folders, {photo.path: row for row, photo in enumerate(photos)}, options.workers)
    clock.lap("measure")
    labelled = label_pairs(photos, labels, models, evidence, matches, vlads, hashes, options)
    splits = split_photos(photos, labelled, options)
    clock.lap("mine")

    moved = disturbed(root, files)
    results = Results(
        root, files, found.left_out, photos, matches, components, mappings, models, labelled, splits, moved
    )
    summary, written = write_results(
        folder, results, options, {name: round(value, 2) for name, value in clock.seconds.items()}
    )
    with optional("The report", "what the build found"):
        write_report(folder)
    remember_all(folder.parent / FILE, ((root / one.path, one.stamp, one.sha256) for one in files))
    clock.lap("report")
    changes = compare(contents(former), contents(written)) if former is not None else None
    return replace(summary, fingerprint=written.fingerprint, changes=changes)
