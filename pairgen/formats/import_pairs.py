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
from hashpipe.common.paths import expanded
from hashpipe.common.progress import stage
from hashpipe.pairgen.ambiguity.relation import Relation
from hashpipe.pairgen.formats.cirtorch import read_cirtorch
from hashpipe.pairgen.formats.colmap_models import read_models
from hashpipe.pairgen.formats.import_summary import ImportSummary
from hashpipe.pairgen.formats.imported import ImportedPairs
from hashpipe.pairgen.formats.imported_rows import complete_row, draw_dissimilar, resolve_copies
from hashpipe.pairgen.formats.options import ImportOptions
from hashpipe.pairgen.formats.pair_lists import read_csv, read_hloc
from hashpipe.pairgen.options import BuildOptions, identity
from hashpipe.pairgen.pairs import tables
from hashpipe.pairgen.pairs.pairset import PairSet, write_pairset
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
    source = expanded(source)
    kind = _format(source, options.source_format)
    workspace = open_workspace(workspace, create=True)
    with locked(workspace):
        _check_replaceable(workspace / "pairs")
        with _lock(workspace / "pairs"), atomic_folder(workspace / "pairs") as folder:
            photos = expanded(options.photos).absolute() if options.photos else None
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
    notes = [*imported.notes, *_check_files(files, status, imported.root, source, kind)]
    usable = [row for row, state in enumerate(status) if state in ("ok", "absent")]
    photos = [files[row] for row in usable]
    place = np.asarray(imported.place)[usable]
    model = np.full(len(usable), -1, np.int32) if imported.model is None else imported.model[usable]
    rows, related, lost = resolve_copies(imported, status, original)
    if lost:
        notes.append(
            f"{lost} pairs were left out: of unreadable photos, of copies of one photo, or between related places."
        )
    number = {row: at for at, row in enumerate(usable)}
    pairs = [complete_row({**row, "a": number[row["a"]], "b": number[row["b"]]}) for row in rows]
    differ = kind == "cirtorch" if options.places_differ is None else options.places_differ
    if differ:
        pairs += draw_dissimilar(place, pairs, related, chosen)
    elif not any(row["label"] < 0 for row in pairs):
        notes.append(
            "No dissimilar pairs: the source does not say that its places differ; give --places-differ if they do."
        )
    splits, queries = _split(photos, [imported.splits[row] for row in usable], place, related, pairs, chosen, notes)

    found = tables.Found(imported.root, files, photos, usable, place, model, splits, queries)
    failures = [(photo.path, "import", photo.reason) for photo in files if photo.reason]
    tables.write_failures(folder / "failures.csv", failures)
    meta = {
        "parameters": {**identity(chosen), "imported_from": kind, "places_differ": differ},
        "imported": {"format": kind, "source": str(source.absolute())},
        "root": str(imported.root),
        "summary": {"notes": notes},
    }
    pair_rows, between = tables.pair_table(pairs, usable), tables.between_places(related)
    pairset = write_pairset(folder, meta, tables.photo_table(found), pair_rows, between)
    write_report(folder)
    return _summary(pairset, source, kind, notes)


def _check_files(files: Sequence[Photo], status: Sequence[str], root: Path, source: Path, kind: str) -> list[str]:
    """Notes on photos that are not on disk. Raises UserError where there are none at all."""
    if not files:
        raise UserError(f"{source} names no photos; check the file.")
    absent = status.count("absent")
    if absent == len(files) and kind != "cirtorch":
        raise UserError(f"None of the {len(files)} photos is in {root}; name their folder with --photos.")
    if absent:
        return [f"{absent} of {len(files)} photos are not in {root}; import again when they are there."]
    return []


def _split(
    photos: Sequence[Photo],
    stated: list[str],
    place: np.ndarray,
    related: Sequence[Relation],
    pairs: Sequence[dict[str, Any]],
    options: BuildOptions,
    notes: list[str],
) -> tuple[list[str], np.ndarray]:
    """The splits that the source states for all photos, or new ones; and the queries, bool (n,)."""
    keys = [photo.sha256 or photo.path for photo in photos]
    groups = [(relation.a, relation.b) for relation in related]
    splits, by_place = (stated, True) if all(stated) else assign_splits(keys, place, groups, options)
    if any(stated) and not all(stated):
        notes.append(f"{stated.count('')} of {len(stated)} photos have no split there, so all splits were drawn anew.")
    if not by_place:
        notes.append("Fewer than three places cannot be split; only new photos of these places can be tested.")
    ends = np.array([(row["a"], row["b"]) for row in pairs if row["label"] > 0], int).reshape(-1, 2)
    return splits, assign_queries(keys, place, ends, options)


def _summary(pairset: PairSet, source: Path, kind: str, notes: list[str]) -> ImportSummary:
    status = pairset.photos["status"].to_pylist()
    usable = np.isin(status, ("ok", "absent"))
    place, model = (pairset.photo_column(name)[usable] for name in ("place", "model"))
    splits = [split for split, used in zip(pairset.photos["split"].to_pylist(), usable, strict=True) if used]
    return ImportSummary(
        pairs_folder=pairset.folder,
        source=str(source),
        source_format=kind,
        photos=len(status),
        absent=status.count("absent"),
        unreadable=status.count("unreadable"),
        duplicates=status.count("duplicate"),
        places=len(set(place[place >= 0].tolist())),
        models=len(set(model[model >= 0].tolist())),
        pairs=tables.count_kinds([{"kind": kind} for kind in pairset.pairs["kind"].to_pylist()]),
        splits=tables.count_places(place, splits),
        queries=int(pairset.photo_column("query").sum()),
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
