"""`pairs check`: everything that is wrong with a PairSet folder, in its tables and in the files beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from hashpipe.common.progress import stage
from hashpipe.pairgen.colmap.model_files import model_fault
from hashpipe.pairgen.pairs.pairset import RELATIONS, STATUS, PairSet, check, compute_fingerprint, load_pairset
from hashpipe.pairgen.photos.files import content_hash, is_there

_LABELS = {"covisible": 1, "visible_surface": 1, "hard_negative": -1, "negative": -1}
_SHARES = ("overlap_ab", "overlap_ba", "visible_ab", "visible_ba")


@dataclass(frozen=True)
class Validation:
    """faults: what makes the PairSet wrong; notes: what one should know of the files around it; a sentence each."""

    pairset: PairSet
    faults: list[str]
    notes: list[str]


def validate_pairset(folder: Path, photos: bool = False) -> Validation:
    """Judge a PairSet folder; with `photos` every photo is read and compared with its SHA-256.

    Raises UserError where the tables cannot be read at all.
    """
    pairset = load_pairset(folder)
    faults = check(pairset)
    faults += _photo_faults(pairset)
    if not any("photo id" in fault for fault in faults):  # the rest would stumble over such ids
        faults += _pair_faults(pairset)
    faults += _relation_faults(pairset) + _count_faults(pairset)
    file_faults, notes = _files(pairset, photos)
    return Validation(pairset, list(dict.fromkeys(faults + file_faults)), notes)


def _photo_faults(pairset: PairSet) -> list[str]:
    faults = []
    status, paths = pairset.photos["status"].to_pylist(), pairset.photos["path"].to_pylist()
    place, split = pairset.photo_column("place"), np.asarray(pairset.photo_column("split"))
    original, count = pairset.photo_column("duplicate_of"), len(paths)
    seen: dict[str, int] = {}
    for row, path in enumerate(paths):
        parts = PurePosixPath(path or "").parts
        if not parts or ".." in parts or parts[0] == "/":
            faults.append(f"photos.parquet row {row}: path {path!r} is not a name below the photo folder")
        elif seen.setdefault(path, row) != row:
            faults.append(f"photos.parquet row {row}: path {path!r} stands in row {seen[path]} too")
        if status[row] not in STATUS:
            faults.append(f"photos.parquet row {row}: there is no status {status[row]!r}")
        first = int(original[row])
        if status[row] == "duplicate" and not (0 <= first < count and status[first] == "ok"):
            faults.append(f"photos.parquet row {row}: it is a duplicate of photo {first}, whose status is not ok")
    if (place < -1).any():
        faults.append(f"photos.parquet row {int(np.argmax(place < -1))}: there is no place {int(place.min())}")
    for number in np.unique(place[place >= 0]).tolist():
        splits = sorted(set(split[place == number].tolist()))
        if len(splits) > 1:
            faults.append(f"photos.parquet: place {number} lies in several splits ({', '.join(splits)})")
    return faults


def _pair_faults(pairset: PairSet) -> list[str]:
    if not pairset.pairs.num_rows:
        return []
    faults = []
    a, b, label = (pairset.pair_column(name) for name in ("a", "b", "label"))
    usable = np.isin(pairset.photo_column("status"), ("ok", "absent"))
    kinds = pairset.pairs["kind"].to_pylist()
    expected = np.array([_LABELS.get(kind, own) for kind, own in zip(kinds, label.tolist(), strict=True)])
    wrong = {
        "a photo of it is a duplicate or unreadable": ~(usable[a] & usable[b]),
        "its label contradicts its kind": expected != label,
        "a share is not between 0 and 1": np.any([_outside(pairset, name, 0.0, 1.0) for name in _SHARES], axis=0),
        "its scale change is below 1": _outside(pairset, "scale_change", 1.0, np.inf) & (label > 0),
        "its viewing angle is not between 0 and 180": _outside(pairset, "view_angle_deg", 0.0, 180.0),
        "its inliers are below -1": pairset.pair_column("inliers") < -1,
    }
    for what, mask in wrong.items():
        if mask.any():
            row = int(np.argmax(mask))
            more = f" (and {int(mask.sum()) - 1} more)" if mask.sum() > 1 else ""
            faults.append(f"pairs.parquet row {row} ({a[row]}, {b[row]}): {what}{more}")
    return faults


def _outside(pairset: PairSet, name: str, low: float, high: float) -> np.ndarray:
    """Rows beyond the bounds; NaN, not measured, is inside. Rounding of float32 is forgiven."""
    values = pairset.pair_column(name).astype(float)
    with np.errstate(invalid="ignore"):
        return (values < low - 1e-6) | (values > high + 1e-6)


def _relation_faults(pairset: PairSet) -> list[str]:
    places = set(pairset.photo_column("place").tolist())
    faults = []
    for row, entry in enumerate(pairset.relations.to_pylist()):
        if entry["relation"] not in RELATIONS:
            faults.append(f"place_relations.parquet row {row}: there is no relation {entry['relation']!r}")
        lost = [end for end in (entry["place_a"], entry["place_b"]) if end not in places or end < 0]
        if lost:
            faults.append(f"place_relations.parquet row {row}: no photo is in place {lost[0]}")
        if entry["place_a"] == entry["place_b"]:
            faults.append(f"place_relations.parquet row {row}: place {entry['place_a']} is related to itself")
    return faults


def _count_faults(pairset: PairSet) -> list[str]:
    counts = {
        "photos": pairset.photos.num_rows,
        "pairs": pairset.pairs.num_rows,
        "relations": pairset.relations.num_rows,
    }
    stored = pairset.meta.get("counts")
    faults = [] if stored == counts else [f"meta.json: it counts {stored}, the tables hold {counts}"]
    found = compute_fingerprint(pairset.meta.get("parameters", {}), pairset.photos, pairset.pairs)
    if pairset.meta.get("fingerprint") != found:
        faults.append("meta.json: the fingerprint does not match the tables")
    return faults


def _files(pairset: PairSet, read: bool) -> tuple[list[str], list[str]]:
    """Faults and notes of the files that the tables name: models, photos, report."""
    faults, notes = [], []
    numbers = {int(one) for one in (*pairset.photo_column("model"), *pairset.pair_column("model")) if one >= 0}
    lost = {one: fault for one in sorted(numbers) if (fault := model_fault(pairset.folder / "models" / str(one)))}
    if lost:
        first, fault = next(iter(lost.items()))
        notes.append(
            f"models/{first}/{fault} is missing or damaged: {len(lost)} of {len(numbers)} models are not whole, and "
            "pictures lack their points; make the pairs again"
        )
    if not (pairset.folder / "report.html").is_file():
        notes.append("report.html is not there")
    status, shas = pairset.photos["status"].to_pylist(), pairset.photos["sha256"].to_pylist()
    paths, names = pairset.photo_paths(), pairset.photos["path"].to_pylist()
    gone = []
    with stage("Checking photos", len(paths) if read else 0, "photos") as advance:
        for row, path in enumerate(paths):
            if status[row] in ("ok", "duplicate") and not is_there(path):
                gone.append(names[row])
            elif read and status[row] in ("ok", "duplicate") and (fault := _content_fault(path, shas[row])):
                faults.append(f"photos.parquet row {row}: {names[row]} {fault}")
            advance(1)
    if gone:
        text = f"{len(gone)} photos are no longer where they were ({gone[0]}{', ...' if len(gone) > 1 else ''})"
        (faults if read else notes).append(text)
    return faults, notes


def _content_fault(path: Path, sha256: str) -> str:
    """What is wrong with the content of a photo file, "" when it is what it was."""
    try:
        return "" if content_hash(path) == sha256 else "has changed since the pairs were made"
    except OSError as error:
        return f"cannot be read ({(error.strerror or str(error)).lower()})"
