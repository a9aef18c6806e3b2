"""`pairs export`: a PairSet in the formats of cirtorch, hloc and pytorch-metric-learning, and as a CSV table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.files import atomic_folder, atomic_path, write_text
from hashpipe.common.paths import expanded
from hashpipe.pairgen.formats.export_cirtorch import export_cirtorch
from hashpipe.pairgen.formats.exported import ExportSummary, choose, missing_note, put_photo, write_table
from hashpipe.pairgen.formats.options import ExportOptions
from hashpipe.pairgen.pairs.pairset import SPLITS, PairSet

_CODED = re.compile(r"[\s%]")  # what hloc cannot have in a name, and the sign that codes it


def export_pairs(pairset: PairSet, out: Path, options: ExportOptions) -> ExportSummary:
    """Write the pairs for another program. Raises UserError where `out` exists, but for an empty folder."""
    out = expanded(out).absolute()
    folder = options.to in ("cirtorch", "hloc")
    if out.exists() and not (folder and out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out} exists already; name a new {'folder' if folder else 'file'}.")
    return {"cirtorch": export_cirtorch, "hloc": _hloc, "csv": _csv, "pml": _index_tuples}[options.to](
        pairset, out, options
    )


def _hloc(pairset: PairSet, out: Path, options: ExportOptions) -> ExportSummary:
    """pairs.txt: similar pairs, two names a line, as hloc reads them: names must not hold blanks.

    Where one does, blanks and % are written as %20 and %25 in all names, `names.csv` lists code and path, and the
    photos are put into `photos/` under the coded names.
    """
    chosen = choose(pairset, options.splits or SPLITS, queries=True)
    names: list[str] = pairset.photos["path"].to_pylist()
    similar = chosen.label > 0
    used = np.union1d(chosen.a[similar], chosen.b[similar]).tolist()
    blank = any(re.search(r"\s", names[photo]) for photo in used)
    coded = {photo: _CODED.sub(lambda m: quote(m.group()), names[photo]) if blank else names[photo] for photo in used}
    missing = 0
    with atomic_folder(out) as folder:
        ends = zip(chosen.a[similar].tolist(), chosen.b[similar].tolist(), strict=True)
        write_text(folder / "pairs.txt", "".join(f"{coded[a]} {coded[b]}\n" for a, b in ends))
        if blank:
            write_table(folder / "names.csv", [("name", "path"), *((coded[photo], names[photo]) for photo in used)])
            paths = pairset.photo_paths()
            missing = sum(
                not put_photo(paths[photo], folder / "photos" / coded[photo], options.photos) for photo in used
            )
    where = "in photos/, blanks in their names written as %20" if blank else f"below {pairset.meta.get('root', '')}"
    notes = [
        f"The names are those of photos {where}.",
        "No dissimilar pairs are in it: hloc's lists have only one kind.",
    ]
    counts = {"photos": len(used), "similar": int(similar.sum()), "dissimilar": 0}
    if blank:
        notes += missing_note(missing, options)
    return ExportSummary(out, "hloc", **counts, notes=tuple(notes))


def _csv(pairset: PairSet, out: Path, options: ExportOptions) -> ExportSummary:
    """One line for every pair: both paths, places and splits, then the columns of pairs.parquet but for the ids."""
    chosen = choose(pairset, options.splits or SPLITS, queries=True)
    wanted = set(zip(chosen.a.tolist(), chosen.b.tolist(), strict=True))
    photos: dict[str, list] = {name: pairset.photos[name].to_pylist() for name in ("path", "place", "split")}
    columns = [name for name in pairset.pairs.column_names if name not in ("a", "b")]
    table = [(*(f"{name}_{end}" for name in photos for end in "ab"), *columns)]
    for row in pairset.pairs.to_pylist():
        if (row["a"], row["b"]) in wanted:
            sides = (values[row[end]] for values in photos.values() for end in "ab")
            table.append((*map(str, sides), *("" if _nan(row[name]) else str(row[name]) for name in columns)))
    write_table(out, table)
    notes = (
        f"The names are those of photos below {pairset.meta.get('root', '')}.",
        "Photos without any pair are not in it.",
    )
    return ExportSummary(out, "csv", len(set(chosen.a) | set(chosen.b)), **_pairs_only(chosen.counts), notes=notes)


def _index_tuples(pairset: PairSet, out: Path, options: ExportOptions) -> ExportSummary:
    """.npz of int64 arrays a1, p (similar) and a2, n (dissimilar), both directions, as `indices_tuple` of a loss.

    Indices count the photos that `paths` (texts) and `photo` (ids) list; held-out queries are not among them.
    """
    chosen = choose(pairset, options.splits or ("train",), queries=False)
    number = np.full(pairset.photos.num_rows, -1, np.int64)
    number[chosen.photos] = np.arange(len(chosen.photos))
    a, b, similar = number[chosen.a], number[chosen.b], chosen.label > 0
    arrays: dict[str, Any] = {
        "a1": np.concatenate([a[similar], b[similar]]),
        "p": np.concatenate([b[similar], a[similar]]),
        "a2": np.concatenate([a[~similar], b[~similar]]),
        "n": np.concatenate([b[~similar], a[~similar]]),
        "photo": chosen.photos,
        "paths": np.array([str(pairset.photos["path"][int(photo)]) for photo in chosen.photos], dtype=np.str_),
    }
    if out.suffix != ".npz":
        raise UserError(f"{out} must end in .npz for --to pml; name such a file.")
    with atomic_path(out) as temporary:
        np.savez(temporary, **arrays)
    return ExportSummary(out, "pml", **chosen.counts, notes=("Held-out queries are not in it.",))


def _pairs_only(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: counts[name] for name in ("similar", "dissimilar")}


def _nan(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)
