"""`pairs export`: a PairSet in the formats of cirtorch, hloc and pytorch-metric-learning, and as a CSV table."""

from __future__ import annotations

import csv
import hashlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.files import atomic_folder, atomic_path, write_text
from hashpipe.common.safe_pickle import dump_plain
from hashpipe.pairgen.formats.options import ExportOptions
from hashpipe.pairgen.formats.readers import cid_path
from hashpipe.pairgen.matching.candidates import component_labels
from hashpipe.pairgen.pairs.pairset import SPLITS, PairSet

_CODED = re.compile(r"[\s%]")  # what hloc cannot have in a name, and the sign that codes it


@dataclass(frozen=True)
class ExportSummary:
    """What was written; `notes` are sentences for people."""

    out: Path
    to: str
    photos: int
    similar: int
    dissimilar: int
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "out": str(self.out), "notes": list(self.notes)}

    def as_text(self) -> str:
        counted = f"{self.photos} photos, {self.similar} similar and {self.dissimilar} dissimilar pairs"
        return "\n".join([f"Wrote {self.out} ({self.to}): {counted}", *(f"Note  {note}" for note in self.notes)])


@dataclass(frozen=True)
class _Chosen:
    """Photo ids (ascending) and pairs (ids a < b, label +1 or -1) to export."""

    photos: np.ndarray
    a: np.ndarray
    b: np.ndarray
    label: np.ndarray

    @property
    def counts(self) -> dict[str, int]:
        similar = int((self.label > 0).sum())
        return {"photos": len(self.photos), "similar": similar, "dissimilar": len(self.label) - similar}


def export_pairs(pairset: PairSet, out: Path, options: ExportOptions) -> ExportSummary:
    """Write the pairs for another program. Raises UserError where `out` exists, but for an empty folder."""
    out = Path(out).expanduser().absolute()
    folder = options.to in ("cirtorch", "hloc")
    if out.exists() and not (folder and out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out} exists already; name a new {'folder' if folder else 'file'}.")
    return {"cirtorch": _cirtorch, "hloc": _hloc, "csv": _csv, "pml": _index_tuples}[options.to](pairset, out, options)


def _choose(pairset: PairSet, splits: tuple[str, ...], queries: bool) -> _Chosen:
    """Pairs between photos of these splits; a dissimilar pair may have one end without a place.

    `queries`: keep pairs of photos that are held out as queries.
    """
    split, place = np.asarray(pairset.photo_column("split")), pairset.photo_column("place")
    inside = np.isin(split, splits) & (place >= 0)
    allowed = np.isin(pairset.photo_column("status"), ("ok", "absent"))
    if not queries:
        allowed &= ~pairset.photo_column("query").astype(bool)
    a, b, label = (pairset.pair_column(name).astype(np.int64) for name in ("a", "b", "label"))
    both, either = (
        inside[a] & inside[b],
        (inside[a] | inside[b]) & (inside | (place < 0))[a] & (inside | (place < 0))[b],
    )
    kept = allowed[a] & allowed[b] & np.where(label > 0, both, either)
    photos = np.union1d(np.flatnonzero(inside & allowed), np.union1d(a[kept], b[kept]))
    return _Chosen(photos, a[kept], b[kept], label[kept])


def _cirtorch(pairset: PairSet, out: Path, options: ExportOptions) -> ExportSummary:
    """NAME/NAME.pkl and NAME/ims/..: similar pairs in both directions; clusters are places, related ones united.

    cirtorch takes every photo of another cluster for a negative. Photos without a place are therefore left out, and so
    are queries and the test split.
    """
    cluster = _clusters(pairset)
    shas, paths, names = pairset.photos["sha256"].to_pylist(), pairset.photo_paths(), pairset.photos["path"].to_pylist()
    database: dict[str, dict[str, list]] = {}
    counts = {"photos": 0, "similar": 0, "dissimilar": 0}
    missing = turned = 0
    table: list[tuple[str, ...]] = [("cid", "path", "split", "cluster")]
    with atomic_folder(out) as folder:
        for mode in ("train", "val"):
            chosen = _choose(pairset, (mode,), queries=False)
            photos = chosen.photos[cluster[chosen.photos] >= 0].tolist()
            number = {photo: row for row, photo in enumerate(photos)}
            cids = [_cid(names[photo], shas[photo]) for photo in photos]
            similar = np.stack([chosen.a, chosen.b], axis=1)[chosen.label > 0].tolist()
            both = [pair for a, b in similar for pair in ((number[a], number[b]), (number[b], number[a]))]
            database[mode] = {
                "cids": cids,
                "cluster": [int(cluster[photo]) for photo in photos],
                "qidxs": [q for q, _ in both],
                "pidxs": [p for _, p in both],
            }
            counts["photos"] += len(photos)
            counts["similar"] += len(similar)
            for photo, cid in zip(photos, cids, strict=True):
                table.append((cid, names[photo], mode, str(cluster[photo])))
                missing += not _put(paths[photo], folder / "ims" / cid_path(cid), options.photos)
                turned += int(pairset.photos["orientation"][photo].as_py() or 1) > 1
        with atomic_path(folder / f"{out.name}.pkl") as temporary:
            temporary.write_bytes(dump_plain(database))
        _write_table(folder / "cids.csv", table)
    notes = ["Held-out queries, test places and photos without a place are not in it."]
    if not out.name.startswith("retrieval-SfM"):
        notes.append("cirtorch reads DATA/train/NAME/NAME.pkl only where NAME begins with retrieval-SfM; rename it so.")
    if turned:
        notes.append(f"{turned} photos are turned by their EXIF orientation, which cirtorch does not read.")
    return ExportSummary(out, "cirtorch", **counts, notes=(*notes, *_missing(missing, options)))


def _cid(name: str, sha256: str) -> str:
    """The first half of the photo's SHA-256, 32 letters as in published databases; an imported id stays what it was."""
    kept = name.rsplit("/", 1)[-1]
    if "/" in name and name == cid_path(kept):
        return kept
    return (sha256 or hashlib.sha256(name.encode()).hexdigest())[:32]


def _clusters(pairset: PairSet) -> np.ndarray:
    """Places, those that are related united, int64 (photos,); -1 none."""
    place = pairset.photo_column("place").astype(np.int64)
    count = int(place.max(initial=-1)) + 1
    related = np.stack([pairset.relations[name].to_numpy() for name in ("place_a", "place_b")], axis=1)
    group = component_labels(count, related)
    return np.where(place >= 0, group[place] if count else -1, -1)


def _hloc(pairset: PairSet, out: Path, options: ExportOptions) -> ExportSummary:
    """pairs.txt: similar pairs, two names a line, as hloc reads them: names must not hold blanks.

    Where one does, blanks and % are written as %20 and %25 in all names, `names.csv` lists code and path, and the
    photos are put into `photos/` under the coded names.
    """
    chosen = _choose(pairset, options.splits or SPLITS, queries=True)
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
            _write_table(folder / "names.csv", [("name", "path"), *((coded[photo], names[photo]) for photo in used)])
            paths = pairset.photo_paths()
            missing = sum(not _put(paths[photo], folder / "photos" / coded[photo], options.photos) for photo in used)
    where = "in photos/, blanks in their names written as %20" if blank else f"below {pairset.meta.get('root', '')}"
    notes = [f"The names are those of photos {where}."]
    counts = {"photos": len(used), "similar": int(similar.sum()), "dissimilar": 0}
    if blank:
        notes += _missing(missing, options)
    return ExportSummary(out, "hloc", **counts, notes=tuple(notes))


def _csv(pairset: PairSet, out: Path, options: ExportOptions) -> ExportSummary:
    """One line for every pair: both paths, places and splits, then the columns of pairs.parquet but for the ids."""
    chosen = _choose(pairset, options.splits or SPLITS, queries=True)
    wanted = set(zip(chosen.a.tolist(), chosen.b.tolist(), strict=True))
    photos: dict[str, list] = {name: pairset.photos[name].to_pylist() for name in ("path", "place", "split")}
    columns = [name for name in pairset.pairs.column_names if name not in ("a", "b")]
    table = [(*(f"{name}_{end}" for name in photos for end in "ab"), *columns)]
    for row in pairset.pairs.to_pylist():
        if (row["a"], row["b"]) in wanted:
            sides = (values[row[end]] for values in photos.values() for end in "ab")
            table.append((*map(str, sides), *("" if _nan(row[name]) else str(row[name]) for name in columns)))
    _write_table(out, table)
    notes = (
        f"The names are those of photos below {pairset.meta.get('root', '')}.",
        "Photos without any pair are not in it.",
    )
    return ExportSummary(out, "csv", len(set(chosen.a) | set(chosen.b)), **_pairs_only(chosen.counts), notes=notes)


def _index_tuples(pairset: PairSet, out: Path, options: ExportOptions) -> ExportSummary:
    """.npz of int64 arrays a1, p (similar) and a2, n (dissimilar), both directions, as `indices_tuple` of a loss.

    Indices count the photos that `paths` (texts) and `photo` (ids) list; held-out queries are not among them.
    """
    chosen = _choose(pairset, options.splits or ("train",), queries=False)
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


def _put(source: Path, target: Path, how: str) -> bool:
    """Put a photo under another name; False where it is not on disk."""
    if how == "none":
        return True
    if not source.is_file():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    if how == "copy":
        shutil.copy2(source, target)
    else:
        target.symlink_to(source.resolve())
    return True


def _missing(count: int, options: ExportOptions) -> tuple[str, ...]:
    if options.photos == "none":
        return ("Photos were not put there (--photos link or copy does).",)
    return (f"{count} photos are not on disk and were not put there.",) if count else ()


def _pairs_only(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: counts[name] for name in ("similar", "dissimilar")}


def _nan(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)


def _write_table(path: Path, rows: list[tuple[str, ...]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
