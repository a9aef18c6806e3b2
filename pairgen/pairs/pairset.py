"""The PairSet folder: the contract between pair mining and learning. Written atomically, validated on read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hashpipe.common.errors import UserError
from hashpipe.common.files import atomic_path, fingerprint, put_back, read_json, write_json
from hashpipe.common.parquet import DamagedTable, read_parquet

FORMAT_VERSION = 1
SPLITS = ("train", "val", "test")
MINED_KINDS = ("covisible", "visible_surface", "hard_negative", "negative")
KINDS = (*MINED_KINDS, "imported")  # imported: from another program
STATUS = ("ok", "unreadable", "duplicate", "absent")  # absent: imported by name, not on disk
MAY_BE_NULL = frozenset({"taken_at", "lat", "lon"})
RELATIONS = ("may_be_same", "look_alike")

PHOTOS_SCHEMA = pa.schema(
    [
        ("photo", pa.int32()),  # id = row number
        ("path", pa.string()),  # POSIX, relative to root
        ("root", pa.string()),
        ("sha256", pa.string()),
        ("width", pa.int32()),  # upright, pixels
        ("height", pa.int32()),
        ("orientation", pa.int8()),  # EXIF 1..8
        ("taken_at", pa.string()),  # ISO 8601 or null
        ("lat", pa.float64()),  # degrees or null
        ("lon", pa.float64()),
        ("status", pa.string()),  # one of STATUS
        ("duplicate_of", pa.int32()),  # photo id, -1 none
        ("place", pa.int32()),  # -1 none
        ("model", pa.int32()),  # largest model that holds the photo, -1 none
        ("split", pa.string()),  # train | val | test, by place
        ("query", pa.bool_()),  # held out: no pair of it is trained on
    ]
)
PAIRS_SCHEMA = pa.schema(
    [
        ("a", pa.int32()),
        ("b", pa.int32()),  # a < b
        ("label", pa.int8()),  # +1 similar, -1 dissimilar
        ("kind", pa.string()),
        ("model", pa.int32()),  # -1 where no common model
        ("shared_points", pa.int32()),
        ("overlap_ab", pa.float32()),
        ("overlap_ba", pa.float32()),
        ("visible_ab", pa.float32()),
        ("visible_ba", pa.float32()),
        ("scale_change", pa.float32()),  # >= 1, nan unknown
        ("view_angle_deg", pa.float32()),
        ("inliers", pa.int32()),  # of the verified match, 0 none, -1 never matched
        ("similarity", pa.float32()),  # cosine of the VLADs
        ("near_duplicate", pa.bool_()),
    ]
)
RELATIONS_SCHEMA = pa.schema(
    [("place_a", pa.int32()), ("place_b", pa.int32()), ("relation", pa.string()), ("evidence", pa.string())]
)


@dataclass(frozen=True)
class PairSet:
    """A PairSet in memory: three tables (schemas above) and the metadata of meta.json."""

    folder: Path
    meta: dict[str, Any]
    photos: pa.Table
    pairs: pa.Table
    relations: pa.Table

    @property
    def fingerprint(self) -> str:
        return str(self.meta["fingerprint"])

    def photo_column(self, name: str) -> np.ndarray:
        """One column of photos, row i = photo id i."""
        return self.photos[name].to_numpy(zero_copy_only=False)

    def pair_column(self, name: str) -> np.ndarray:
        return self.pairs[name].to_numpy(zero_copy_only=False)

    def photo_paths(self) -> list[Path]:
        """Absolute path of every photo, by photo id."""
        return [
            Path(root) / path
            for root, path in zip(self.photos["root"].to_pylist(), self.photos["path"].to_pylist(), strict=True)
        ]


def compute_fingerprint(parameters: dict[str, Any], photos: pa.Table, pairs: pa.Table) -> str:
    """Fingerprint over photos (path, content, place, split, query), parameters and labels, not over the root."""
    digest = hashlib.sha256()
    for name in ("path", "sha256", "status", "place", "split", "query"):
        digest.update("\0".join(map(str, photos[name].to_pylist())).encode())
    for name in ("a", "b", "label"):
        digest.update(pairs[name].to_numpy().astype("<i4").tobytes())
    return fingerprint(FORMAT_VERSION, parameters, digest.hexdigest())


def write_pairset(
    folder: Path, meta: dict[str, Any], photos: pa.Table, pairs: pa.Table, relations: pa.Table
) -> PairSet:
    """Write the tables, then meta.json last: a folder without a matching meta.json is not a PairSet.

    `meta` needs "parameters"; the format version, counts and fingerprint are added here.
    """
    folder = Path(folder)
    photos, pairs, relations = photos.cast(PHOTOS_SCHEMA), pairs.cast(PAIRS_SCHEMA), relations.cast(RELATIONS_SCHEMA)
    meta = {
        "format_version": FORMAT_VERSION,
        **meta,
        "counts": {"photos": photos.num_rows, "pairs": pairs.num_rows, "relations": relations.num_rows},
        "fingerprint": compute_fingerprint(meta["parameters"], photos, pairs),
    }
    pairset = PairSet(folder, meta, photos, pairs, relations)
    problems = check(pairset)
    if problems:
        raise AssertionError(f"refusing to write an invalid PairSet: {problems[0]}")
    (folder / "meta.json").unlink(missing_ok=True)
    for name, table in (("photos", photos), ("pairs", pairs), ("place_relations", relations)):
        with atomic_path(folder / f"{name}.parquet") as temporary, temporary.open("wb") as file:
            pq.write_table(table, file)
    write_json(folder / "meta.json", meta)
    return pairset


def read_pairset(folder: Path) -> PairSet:
    """Read and validate a PairSet folder; a UserError says what is wrong and where."""
    pairset = load_pairset(folder)
    problems = check(pairset)
    if problems:
        raise UserError(f"{folder} is not a valid PairSet: {problems[0]}; run `hashpipe pairs build` again.")
    return pairset


def load_pairset(folder: Path) -> PairSet:
    """Read a PairSet folder without judging its content; a UserError where its files are missing or of another form."""
    folder = Path(folder)
    put_back(folder)
    if not (folder / "meta.json").exists():
        raise UserError(f"{folder} holds no pairs yet; run `hashpipe pairs build PHOTOS` first.")
    meta = read_json(folder / "meta.json")
    version = meta.get("format_version") if isinstance(meta, dict) else None
    if version != FORMAT_VERSION:
        raise UserError(
            f"{folder} holds pairs of format {version}, this hashpipe reads format {FORMAT_VERSION}; "
            "run `hashpipe pairs build` again."
        )
    tables = {}
    for name, schema in (("photos", PHOTOS_SCHEMA), ("pairs", PAIRS_SCHEMA), ("place_relations", RELATIONS_SCHEMA)):
        path = folder / f"{name}.parquet"
        try:
            tables[name] = read_parquet(path)
        except (FileNotFoundError, DamagedTable) as error:
            raise UserError(f"{path} cannot be read ({error}); run `hashpipe pairs build` again.") from None
        if not tables[name].schema.equals(schema):
            raise UserError(f"{path} lacks the columns of format {FORMAT_VERSION}; run `hashpipe pairs build` again.")
        for column in schema.names:
            if tables[name][column].null_count and column not in MAY_BE_NULL:
                raise UserError(f"{path} has empty values in column {column}; run `hashpipe pairs build` again.")
    return PairSet(folder, meta, tables["photos"], tables["pairs"], tables["place_relations"])


def _ends(relations: pa.Table) -> tuple[list[int], list[int]]:
    return relations["place_a"].to_pylist(), relations["place_b"].to_pylist()


def check(pairset: PairSet) -> list[str]:
    """Everything that is wrong with a PairSet, one sentence each; empty when it is valid."""
    problems: list[str] = []
    photos, n = pairset.photos, pairset.photos.num_rows
    if not np.array_equal(pairset.photo_column("photo"), np.arange(n)):
        problems.append("photos.parquet: photo ids are not 0..n-1 in order")
    unknown = set(photos["split"].to_pylist()) - set(SPLITS)
    if unknown:
        problems.append(f"photos.parquet: unknown split {sorted(unknown)[0]!r}")
    place = pairset.photo_column("place")
    if n and (place.min() < -1 or place.max() >= n):  # there are no more places than photos, and tables of all places
        problems.append(f"photos.parquet: a place lies outside -1..{n - 1}")
    lost = {end for side in _ends(pairset.relations) for end in side} - set(place[place >= 0].tolist())
    if lost:
        problems.append(f"place_relations.parquet: no photo is in place {min(lost)}")
    a, b, label = (pairset.pair_column(name) for name in ("a", "b", "label"))
    if len(a):
        if (a >= b).any():
            row = int(np.flatnonzero(a >= b)[0])
            problems.append(f"pairs.parquet row {row}: photo a ({a[row]}) is not below photo b ({b[row]})")
        if min(a.min(), b.min()) < 0 or max(a.max(), b.max()) >= n:
            problems.append(f"pairs.parquet: a photo id lies outside 0..{n - 1}")
            return problems
        if not np.isin(label, (-1, 1)).all():
            problems.append("pairs.parquet: a label is neither +1 nor -1")
        keys = a.astype(np.int64) * n + b
        if len(np.unique(keys)) != len(keys):
            problems.append("pairs.parquet: a pair occurs twice")
        unknown = set(pairset.pairs["kind"].to_pylist()) - set(KINDS)
        if unknown:
            problems.append(f"pairs.parquet: unknown kind {sorted(unknown)[0]!r}")
        if ((label == -1) & (place[a] == place[b]) & (place[a] >= 0)).any():
            problems.append("pairs.parquet: a dissimilar pair lies inside one place")
        if ((label == 1) & (place[a] != place[b])).any():
            problems.append("pairs.parquet: a similar pair crosses places")
        relations = {tuple(sorted(ends)) for ends in zip(*_ends(pairset.relations), strict=True)}
        between = zip(place[a[label == -1]].tolist(), place[b[label == -1]].tolist(), strict=True)
        if relations and any((min(ends), max(ends)) in relations for ends in between):
            problems.append("pairs.parquet: a dissimilar pair lies between related places")
    if pairset.meta.get("fingerprint") != compute_fingerprint(
        pairset.meta.get("parameters", {}), photos, pairset.pairs
    ):
        problems.append("meta.json: the fingerprint does not match the tables")
    return problems
