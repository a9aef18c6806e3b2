"""`pairs import`: pairs that others made become an ordinary PairSet, which all later commands work on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.files import WAIT_SECONDS, atomic_folder, locked, open_workspace, read_json
from hashpipe.common.progress import stage
from hashpipe.pairgen.ambiguity.relation import Relation
from hashpipe.pairgen.formats.cirtorch import read_cirtorch
from hashpipe.pairgen.formats.colmap_models import read_models
from hashpipe.pairgen.formats.import_summary import ImportSummary
from hashpipe.pairgen.formats.imported import ImportedPairs, mirrored
from hashpipe.pairgen.formats.options import ImportOptions
from hashpipe.pairgen.formats.pair_lists import read_csv, read_hloc
from hashpipe.pairgen.matching.matching_rounds import no_matches
from hashpipe.pairgen.options import BuildOptions, identity
from hashpipe.pairgen.pairs import tables
from hashpipe.pairgen.pairs.dissimilar import dissimilar_pairs
from hashpipe.pairgen.pairs.pairset import PAIRS_SCHEMA, write_pairset
from hashpipe.pairgen.pairs.splits import assign_queries, assign_splits
from hashpipe.pairgen.photos.listing import ABSENT, file_status
from hashpipe.pairgen.photos.metadata import Photo, describe
from hashpipe.pairgen.report.page import write_report

_READERS = {"cirtorch": read_cirtorch, "hloc": read_hloc, "csv": read_csv}
_BY_SUFFIX = {".pkl": "cirtorch", ".pickle": "cirtorch", ".txt": "hloc", ".csv": "csv"}


def import_pairs(source: Path, workspace: Path, options: ImportOptions) -> ImportSummary:
    """Make `workspace/pairs` from a foreign source: whole or not at all; an earlier import is replaced.

    Raises UserError for a source that is missing, damaged or not of its format, for names that leave the photo folder,
    and for a workspace whose pairs were built from photos.
    """
    source = Path(source).expanduser()
    kind = _format(source, options.source_format)
    workspace = open_workspace(workspace, create=True)
    with locked(workspace):
        _check_replaceable(workspace / "pairs")
        with _lock(workspace / "pairs"), atomic_folder(workspace / "pairs") as folder:
            photos = options.photos.expanduser().absolute() if options.photos else None
            if photos is not None and not photos.is_dir():
                raise UserError(f"There is no folder {photos}; give the folder of the photos with --photos.")
            chosen = _build_options(options)
            if kind == "colmap":
                imported = read_models(source.absolute(), photos, folder / "models", chosen)
            else:
                imported = _READERS[kind](source.absolute(), photos)
            summary = _write(folder, imported, source, kind, options, chosen)
    return replace(summary, pairs_folder=workspace / "pairs")


def _lock(pairs: Path) -> AbstractContextManager[None]:
    """The lock on earlier pairs that are to be replaced, against those who verify some of them."""
    return locked(pairs, wait=WAIT_SECONDS) if pairs.exists() else nullcontext()


def _format(source: Path, asked: str) -> str:
    if not source.exists():
        raise UserError(f"{source} does not exist; give a COLMAP model folder, a .pkl, a pairs.txt or a .csv.")
    if asked == "guess":
        asked = "colmap" if source.is_dir() else _BY_SUFFIX.get(source.suffix.lower(), "")
    if not asked:
        raise UserError(f"{source} has no known suffix; name its format with --from cirtorch, hloc or csv.")
    if (asked == "colmap") != source.is_dir():
        raise UserError(f"{source} is {'a' if source.is_dir() else 'no'} folder, which --from {asked} does not read.")
    return asked


def _check_replaceable(pairs: Path) -> None:
    if pairs.exists() and any(not entry.name.startswith(".") for entry in pairs.iterdir()):
        meta = read_json(pairs / "meta.json") if (pairs / "meta.json").exists() else {}
        if not isinstance(meta, dict) or "imported" not in meta:
            raise UserError(f"{pairs} holds pairs that were built from photos; name a new workspace with -w.")


def _build_options(options: ImportOptions) -> BuildOptions:
    known = {one.name for one in fields(BuildOptions)}
    return BuildOptions(
        **{name: value for name, value in asdict(options).items() if name in known and name != "photos"}
    )


def _write(
    folder: Path, imported: ImportedPairs, source: Path, kind: str, options: ImportOptions, chosen: BuildOptions
) -> ImportSummary:
    files = _describe(imported)
    status, original = file_status(files)
    notes = list(imported.notes)
    if not files:
        raise UserError(f"{source} names no photos; check the file.")
    absent = status.count("absent")
    if absent == len(files) and kind != "cirtorch":
        raise UserError(f"None of the {len(files)} photos is in {imported.root}; name their folder with --photos.")
    if absent:
        notes.append(f"{absent} of {len(files)} photos are not in {imported.root}; import again when they are there.")
    usable = [row for row, state in enumerate(status) if state in ("ok", "absent")]
    rows, related, lost = _resolve_copies(imported, status, original)
    if lost:
        notes.append(
            f"{lost} pairs were left out: of unreadable photos, of copies of one photo, or between related places."
        )
    names = [files[row] for row in usable]
    number = {row: at for at, row in enumerate(usable)}
    place = np.asarray(imported.place)[usable]
    apart = kind == "cirtorch" if options.places_differ is None else options.places_differ
    pairs = [_complete({**row, "a": number[row["a"]], "b": number[row["b"]]}) for row in rows]
    if apart:
        pairs += _draw_dissimilar(place, pairs, related, chosen)
    elif not any(row["label"] < 0 for row in pairs):
        notes.append("No dissimilar pairs: nothing says that two places differ (--places-differ says so).")
    keys = [photo.sha256 or photo.path for photo in names]
    groups = [(relation.a, relation.b) for relation in related]
    stated = [imported.splits[row] for row in usable]
    splits, by_place = (stated, True) if all(stated) else assign_splits(keys, place, groups, chosen)
    if any(stated) and not all(stated):
        notes.append(f"{stated.count('')} of {len(stated)} photos have no split there, so all splits were drawn anew.")
    if not by_place:
        notes.append("Fewer than three places cannot be split; only new photos of these places can be tested.")
    ends = np.array([(row["a"], row["b"]) for row in pairs if row["label"] > 0], int).reshape(-1, 2)
    queries = assign_queries(keys, place, ends, chosen)
    model = np.full(len(usable), -1, np.int32) if imported.model is None else imported.model[usable]
    found = tables.Found(imported.root, files, names, usable, place, model, splits, queries)
    between = tables.between_places(related)
    tables.write_failures(
        folder / "failures.csv", [(photo.path, "import", photo.reason) for photo in files if photo.reason]
    )
    meta = {
        "parameters": {**identity(chosen), "imported_from": kind, "places_differ": apart},
        "imported": {"format": kind, "source": str(source.absolute())},
        "root": str(imported.root),
        "summary": {"notes": notes},
    }
    pairset = write_pairset(folder, meta, tables.photo_table(found), tables.pair_table(pairs, usable), between)
    write_report(folder)
    return ImportSummary(
        pairs_folder=folder,
        source=str(source),
        source_format=kind,
        photos=len(files),
        absent=absent,
        unreadable=status.count("unreadable"),
        duplicates=status.count("duplicate"),
        places=len(set(place[place >= 0].tolist())),
        models=len(set(model[model >= 0].tolist())),
        pairs=tables.count_kinds(pairs),
        splits=tables.count_places(place, splits),
        queries=int(queries.sum()),
        fingerprint=pairset.fingerprint,
        notes=notes,
    )


def _describe(imported: ImportedPairs) -> list[Photo]:
    def describe_named(name: str) -> Photo:
        try:
            there = (imported.root / name).is_file()
        except OSError:  # a name too long for this disk
            there = False
        return describe(imported.root, name) if there else Photo(name, reason=ABSENT)

    with (
        stage("Reading photos", len(imported.names), "photos") as advance,
        ThreadPoolExecutor(os.cpu_count()) as threads,
    ):
        found = []
        for photo in threads.map(describe_named, imported.names):
            found.append(photo)
            advance(1)
    return found


def _resolve_copies(
    imported: ImportedPairs, status: Sequence[str], original: Sequence[int]
) -> tuple[list[dict[str, Any]], list[Relation], int]:
    """Pairs of usable photos: copies stand for their original, and places that hold copies of one photo are related."""
    related = {(relation.a, relation.b): relation for relation in imported.related}
    place = imported.place.tolist()
    for row, first in enumerate(original):
        low, high = sorted((place[row], place[first])) if first >= 0 else (-1, -1)
        if 0 <= low < high:
            text = f"{imported.names[row]} is a copy of {imported.names[first]}"
            related.setdefault((low, high), Relation(low, high, "may_be_same", text))
    kept: dict[tuple[int, int], dict[str, Any]] = {}
    lost = 0
    for pair in imported.rows:
        ends = [original[pair[end]] if original[pair[end]] >= 0 else pair[end] for end in ("a", "b")]
        a, b = sorted(ends)
        same = place[a] == place[b]
        key = (min(place[a], place[b]), max(place[a], place[b]))
        fits = same and place[a] >= 0 if pair["label"] > 0 else not (same and place[a] >= 0) and key not in related
        if a == b or not fits or any(status[end] not in ("ok", "absent") for end in ends):
            lost += 1
        else:
            kept.setdefault((a, b), {**(pair if ends == [a, b] else mirrored(pair)), "a": a, "b": b})
    return [kept[pair] for pair in sorted(kept)], [related[key] for key in sorted(related)], lost


def _complete(row: dict[str, Any]) -> dict[str, Any]:
    """A row with every column: what nobody measured is NaN, 0 points, -1 for never matched."""
    unknown = {"model": -1, "shared_points": 0, "inliers": -1, "near_duplicate": False}
    return {name: row.get(name, unknown.get(name, float("nan"))) for name in PAIRS_SCHEMA.names}


def _draw_dissimilar(
    place: np.ndarray, pairs: Sequence[dict[str, Any]], related: Sequence[Relation], options: BuildOptions
) -> list[dict[str, Any]]:
    """Dissimilar pairs between places, at most one per other place and photo, beside those that are listed.

    The source or the user has said that places differ, so no place counts as uncertain, however small it is.
    """
    placed = np.flatnonzero(place >= 0)
    labels = place[placed]
    listed = {(row["a"], row["b"]) for row in pairs}
    everyone = np.ones(len(placed), bool)
    drawn = dissimilar_pairs(labels, everyone, no_matches(len(placed)), None, related, options)
    drawn = [{**row, "a": int(placed[row["a"]]), "b": int(placed[row["b"]])} for row in drawn]
    return [row for row in drawn if (row["a"], row["b"]) not in listed]
