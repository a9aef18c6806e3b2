"""All that the nested benchmark needs of a collection, in one file: descriptors, mined pairs and frozen relevance.

The file holds no photo and no path. With it the benchmark runs on a machine that has neither photos nor COLMAP.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from hashpipe.pairgen.pairs.pairset import PairSet

PHOTO_COLUMNS = ("sha256", "status", "place", "split", "query")
PAIR_COLUMNS = ("a", "b", "label", "kind", "shared_points", "overlap_ab", "overlap_ba", "visible_ab", "visible_ba")
PAIR_COLUMNS += ("scale_change", "view_angle_deg", "inliers", "similarity", "near_duplicate")
RELATION_COLUMNS = ("place_a", "place_b", "relation")
FOLDS, TURNS = 5, 5


@dataclass(frozen=True)
class Collection:
    """N photos.

    pairset      what the miner found, without paths; its places are the miner's own
    ok           bool (N,), False for photos that cannot be learnt from
    near, junk   bool (N,N), frozen relevance: row searches column
    descriptors  float32 (N,D) by name, unit rows
    pixels       what perceptual hashes are made of, by the hash's name: see `hashpipe.hashing.features`
    maps         feature maps of mobilenet_v2, float16 (N,C,7,7), memory-mapped; None where the file beside is absent
    place        int (N,), frozen places by number, -1 none; photos of one spot are one place
    fold         int (N,), fold of the photo's place, -1 none
    turn         int (N,), 0 .. TURNS-1 within each place, -1 none
    mark         hash of all of it
    """

    pairset: PairSet
    ok: np.ndarray
    near: np.ndarray
    junk: np.ndarray
    descriptors: dict[str, np.ndarray]
    place: np.ndarray
    fold: np.ndarray
    turn: np.ndarray
    mark: str
    pixels: dict[str, np.ndarray] = field(default_factory=dict)
    maps: np.ndarray | None = None

    @property
    def keys(self) -> list[str]:
        return list(map(str, self.pairset.photo_column("sha256")))

    @property
    def fold_of_place(self) -> dict[int, int]:
        return {int(place): int(fold) for place, fold in zip(self.place, self.fold, strict=True) if place >= 0}


def collection(
    pairset: PairSet, near: np.ndarray, junk: np.ndarray, descriptors: dict[str, np.ndarray], ok: np.ndarray
) -> Collection:
    """Complete a collection with places, folds and turns, all by content hash."""
    keys = list(map(str, pairset.photo_column("sha256")))
    together = near | junk
    _, number = connected_components(coo_matrix(together), directed=False)
    members = [rows for rows in (np.flatnonzero(number == one) for one in np.unique(number)) if together[rows].any()]
    sha = np.array([hashlib.sha256(key.encode()).hexdigest() for key in keys])
    members.sort(key=lambda rows: min(sha[rows]))
    place, fold, turn = (np.full(len(keys), -1) for _ in range(3))
    for one, (rows, its_fold) in enumerate(zip(members, balanced([len(rows) for rows in members]), strict=True)):
        place[rows], fold[rows] = one, its_fold
        turn[rows[np.argsort(sha[rows])]] = np.arange(len(rows)) % TURNS
    digest = hashlib.sha256("\0".join(keys).encode())
    for array in (near, junk, ok, *(descriptors[name] for name in sorted(descriptors))):
        digest.update(np.ascontiguousarray(array).tobytes())
    for name in ("a", "b", "label"):
        digest.update(pairset.pair_column(name).astype("<i4").tobytes())
    return Collection(pairset, ok, near, junk, descriptors, place, fold, turn, digest.hexdigest()[:16])


def balanced(sizes: list[int], folds: int = FOLDS) -> list[int]:
    """A fold for each place, of about as many photos each: the largest places first, into the smallest fold.

    Places arrive in the order of their hash, which decides between places of one size. Folds of one size matter: bits
    can be re-centred on a database of at least 200 photos only.
    """
    photos, found = [0] * folds, [0] * len(sizes)
    for one in sorted(range(len(sizes)), key=lambda place: -sizes[place]):
        found[one] = photos.index(min(photos))
        photos[found[one]] += sizes[one]
    return found


def save(path: Path, data: Collection) -> None:
    """Write the file that `load` reads."""
    arrays: dict[str, np.ndarray] = {}
    tables = {"photos": data.pairset.photos, "pairs": data.pairset.pairs, "relations": data.pairset.relations}
    columns = {"photos": PHOTO_COLUMNS, "pairs": PAIR_COLUMNS, "relations": RELATION_COLUMNS}
    for table, names in columns.items():
        for name in names:
            values = tables[table][name].to_numpy(zero_copy_only=False)
            arrays[f"{table}.{name}"] = values.astype(str) if values.dtype == object else values
    arrays["near"], arrays["junk"] = np.packbits(data.near, axis=1), np.packbits(data.junk, axis=1)
    arrays["ok"] = data.ok
    arrays |= {f"descriptors.{name}": values for name, values in data.descriptors.items()}
    arrays |= {f"pixels.{name}": values for name, values in data.pixels.items()}
    if data.maps is not None:
        np.save(maps_file(path), data.maps)
    mark = data.pairset.meta.get("fingerprint", "")
    np.savez_compressed(path, meta=np.array(json.dumps({"fingerprint": mark})), **arrays)  # type: ignore[arg-type]


def load(path: Path) -> Collection:
    """The collection of a file that `save` wrote."""
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    tables = {
        table: pa.table({name.partition(".")[2]: values for name, values in arrays.items() if name.startswith(table)})
        for table in ("photos.", "pairs.", "relations.")
    }
    pairset = PairSet(
        Path(), json.loads(str(arrays["meta"])), tables["photos."], tables["pairs."], tables["relations."]
    )
    n = len(arrays["ok"])
    near, junk = (np.unpackbits(arrays[name], axis=1, count=n).astype(bool) for name in ("near", "junk"))
    known, pixels = (
        {name.partition(".")[2]: values for name, values in arrays.items() if name.startswith(kind)}
        for kind in ("descriptors.", "pixels.")
    )
    maps = np.load(maps_file(path), mmap_mode="r") if maps_file(path).exists() else None
    return replace(collection(pairset, near, junk, known, arrays["ok"]), pixels=pixels, maps=maps)


def maps_file(path: Path) -> Path:
    """Where the feature maps of a file of data lie: beside it, so that they can be memory-mapped."""
    return path.with_suffix(".maps.npy")
