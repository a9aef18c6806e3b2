"""What all export formats share: the chosen photos and pairs, photos put beside the list, and the summary."""

from __future__ import annotations

import contextlib
import csv
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.files import atomic_path
from hashpipe.pairgen.formats.options import ExportOptions
from hashpipe.pairgen.pairs.pairset import PairSet
from hashpipe.pairgen.photos.files import content_hash, source_of
from hashpipe.pairgen.photos.load import UnreadablePhoto, load_upright


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
class Chosen:
    """Photo ids (ascending) and pairs (ids a < b, label +1 or -1) to export."""

    photos: np.ndarray
    a: np.ndarray
    b: np.ndarray
    label: np.ndarray

    @property
    def counts(self) -> dict[str, int]:
        similar = int((self.label > 0).sum())
        return {"photos": len(self.photos), "similar": similar, "dissimilar": len(self.label) - similar}


def choose(pairset: PairSet, splits: tuple[str, ...], queries: bool) -> Chosen:
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
    return Chosen(photos, a[kept], b[kept], label[kept])


def put_photo(source: Path, sha256: str, target: Path, how: str) -> bool:
    """Put a photo under another name; False where it is not on disk, or holds something else by now."""
    if how == "none":
        return True
    file, frame = source_of(source)
    if not file.is_file() or (sha256 and content_hash(source) != sha256):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    if frame is not None:
        with contextlib.suppress(UnreadablePhoto):
            load_upright(source).save(target, "PNG")
            return True
        return False
    if how == "copy":
        shutil.copy2(file, target)
    else:
        target.symlink_to(file.resolve())
    return True


def missing_note(count: int, options: ExportOptions) -> tuple[str, ...]:
    if options.photos == "none":
        return ("Photos were not put there (--photos link or copy does).",)
    return (f"{count} photos are not on disk, or have changed, and were not put there.",) if count else ()


def write_table(path: Path, rows: list[tuple[str, ...]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
