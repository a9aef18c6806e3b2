"""build_pairs: the stages of `hashpipe pairs build` in order. Each stage reads what the last one left on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hashpipe.common.clock import Clock
from hashpipe.common.errors import UserError
from hashpipe.common.files import WAIT_SECONDS, locked, open_workspace, read_json
from hashpipe.common.paths import check_scratch
from hashpipe.pairgen.diff import compare, contents, contents_before
from hashpipe.pairgen.mapping.places import place_models
from hashpipe.pairgen.mapping.reconstruct import connected, reconstruct
from hashpipe.pairgen.matching.extract import extract_features, photo_vlads
from hashpipe.pairgen.matching.matching_rounds import match_photos
from hashpipe.pairgen.option_bounds import check_options
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.evidence import measure_models
from hashpipe.pairgen.pairs.labels import label_pairs, split_photos
from hashpipe.pairgen.photos.hashes import photo_hashes
from hashpipe.pairgen.photos.listing import describe_photos, distinct_photos, list_photos
from hashpipe.pairgen.report.page import write_report
from hashpipe.pairgen.results import Results, write_results
from hashpipe.pairgen.summary import BuildSummary


def build_pairs(photos: Path, workspace: Path, options: BuildOptions) -> BuildSummary:
    """Photos to a PairSet in `workspace/pairs`; finished stages are not repeated.

    Raises UserError for a missing, empty or unreadable folder, a workspace of another version or in use, bad options.
    """
    check_options(options)
    check_scratch()
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


def _build(root: Path, names: list[str], folder: Path, options: BuildOptions) -> BuildSummary:
    clock = Clock()
    before = contents_before(folder)

    files = describe_photos(root, names)
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

    results = Results(root, files, photos, matches, components, mappings, models, labelled, splits)
    summary, written = write_results(
        folder, results, options, {name: round(value, 2) for name, value in clock.seconds.items()}
    )
    write_report(folder)
    clock.lap("report")
    changes = compare(before, contents(written)) if before is not None else None
    return replace(summary, fingerprint=written.fingerprint, changes=changes)
