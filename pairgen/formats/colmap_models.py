"""Models that COLMAP made elsewhere, as pairs: what their photos share, measured as in a build."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.workers import run_jobs
from hashpipe.pairgen.ambiguity.model_consistency import contradicted_models
from hashpipe.pairgen.ambiguity.split_places import split_places
from hashpipe.pairgen.colmap import reconstructions
from hashpipe.pairgen.colmap.model_files import check_lengths
from hashpipe.pairgen.formats.imported import ImportedPairs, portable, safe_name
from hashpipe.pairgen.matching.candidates import component_labels
from hashpipe.pairgen.matching.matching_rounds import no_matches
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.evidence import (
    EVIDENCE,
    measure_models,
    measured_cameras,
    measured_parts,
    registered_paths,
)
from hashpipe.pairgen.pairs.similar import similar_pairs
from hashpipe.pairgen.photos.metadata import Photo

_FILES = ("cameras", "images", "points3D")
_PARTS = (*_FILES, "rigs", "frames")


def find_models(source: Path) -> list[Path]:
    """Folders with COLMAP's three files (.bin or .txt): the source itself, or folders up to two levels below it.

    Raises UserError where one of the three is missing, or where there is no model.
    """
    candidates = [source, *sorted(source.glob("*")), *sorted(source.glob("*/*"))]
    found = [folder for folder in candidates if folder.is_dir() and _is_model(folder)]
    if not found:
        lists = sorted(path for path in source.glob("*") if path.suffix in (".pkl", ".txt", ".csv"))
        named = next((path.name for path in lists if path.name != "names.csv" and path.stem not in _PARTS), "")
        advice = f"give {source / named} if that is what you mean" if named else "check the path"
        raise UserError(f"{source} holds no COLMAP model (cameras, images and points3D, .bin or .txt); {advice}.")
    return [folder for folder in found if not any(other in folder.parents for other in found)]


def _is_model(folder: Path) -> bool:
    there = {kind: [(folder / f"{name}{kind}").is_file() for name in _FILES] for kind in (".bin", ".txt")}
    if any(all(found) for found in there.values()):
        return True
    for kind, found in there.items():
        if sum(found) > 1:
            missing = next(name for name, is_there in zip(_FILES, found, strict=True) if not is_there)
            raise UserError(
                f"{folder} lacks {missing}{kind}, so it is not a complete COLMAP model; copy the missing file there."
            )
    return False


def read_models(source: Path, photos: Path | None, into: Path, options: BuildOptions) -> ImportedPairs:
    """Similar pairs by shared points and visible surface from every model below `source`.

    Models that share photos are one place, unless look-alikes were laid upon each other in them; two models may show
    one place all the same. They are copied to `into`/0, 1, ..., largest first, as COLMAP's binary files, with their
    cleaned clouds.
    """
    folders = find_models(source)
    root = photos or _photo_folder(source, folders[0])
    copies = _copy(folders, into, root, options.workers)
    registered = [registered_paths(copy) for copy in copies]
    names = sorted({name for listed in registered for name in listed})
    for name in names:
        if safe_name(name, source) != name:
            raise UserError(f"{source}: photo {name!r} is not a plain relative path; rename it there.")
    rows = {name: row for row, name in enumerate(names)}
    evidence = measure_models(copies, rows, options.workers)
    contradicted = contradicted_models([measured_cameras(copy, rows) for copy in copies])
    parts = [measured_parts(copy, rows) for copy in copies]
    for copy in copies:
        (copy / EVIDENCE).unlink()
    members = [[rows[name] for name in listed] for listed in registered]
    model = np.full(len(names), -1, np.int32)
    for number in range(len(members) - 1, -1, -1):
        model[members[number]] = number
    unmatched = no_matches(len(names))
    photos_named = [Photo(name) for name in names]
    place, related = split_places(photos_named, _places(len(names), members), unmatched, parts, options.min_inliers)
    trusted = [(number, found) for number, found in enumerate(evidence) if number not in contradicted]
    pairs = similar_pairs(trusted, unmatched, None, options, labels=place)
    notes = [f"{why}; its pairs are unknown." for why in contradicted.values()]
    notes += [
        f"Model {number} of {len(registered[number])} photos has no two that see a 3D point together, so it gives no "
        "pairs; triangulate it first (colmap point_triangulator)."
        for number, found in enumerate(evidence)
        if not len(found.a)
    ]
    if len(copies) > 1:
        notes.append(f"{len(copies)} models: two of them may show one place, so no pair across them is dissimilar.")
    return ImportedPairs(root, names, place, [""] * len(names), pairs, related, model, notes)


def _copy(folders: Sequence[Path], into: Path, root: Path, workers: int) -> list[Path]:
    """Read every model in a process of its own, because a damaged one may take its process along."""
    sizes: list[tuple[int, int]] = []
    drafts = [into / f"draft-{index}" for index in range(len(folders))]
    for draft in drafts:
        draft.mkdir(parents=True)
    for folder in folders:
        if cut := check_lengths(folder):
            raise UserError(f"{folder / cut} is cut or damaged; copy the model again or leave it out.")
    jobs = [(folder, draft, partial(_photo_name, root)) for folder, draft in zip(folders, drafts, strict=True)]
    outcomes = dict(run_jobs(reconstructions.copy_model, jobs, workers))
    for index, folder in enumerate(folders):
        outcome = outcomes[index]
        if isinstance(outcome, UserError):
            raise outcome
        if isinstance(outcome, Exception):
            reason = (str(outcome).splitlines() or [type(outcome).__name__])[0]
            raise UserError(f"{folder} cannot be read as a COLMAP model ({reason}); make it again or leave it out.")
        if outcome == 0:
            raise UserError(f"{folder} is a COLMAP model without photos; leave it out.")
        sizes.append((-outcome, index))
    copies = []
    for number, (_, index) in enumerate(sorted(sizes)):
        copies.append(drafts[index].rename(into / str(number)))
    return copies


def _photo_name(root: Path, name: str) -> str:
    """A photo's name as a path below `root`, as other programs write it: from Windows, from ./ or from the root /."""
    path = PurePosixPath(portable(name, root))
    for above in (root, root.resolve()):
        if path.is_relative_to(above):
            return path.relative_to(above).as_posix()
    return path.as_posix()


def _photo_folder(source: Path, model: Path) -> Path:
    """`images` beside the model or up to three levels above it, as COLMAP and nerfstudio lay folders out."""
    for folder in (model, *model.absolute().parents[:3]):
        if (folder / "images").is_dir():
            return folder / "images"
    raise UserError(f"There is no folder `images` near {source}; name the folder of its photos with --photos.")


def _places(count: int, members: Sequence[Sequence[int]]) -> np.ndarray:
    """Photos that models connect, int32 (count,). members: rows of the photos of each model."""
    return component_labels(count, [(listed[0], row) for listed in members for row in listed])
